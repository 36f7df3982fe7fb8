"""The native interpreter's machine code: made at first use (`c_library`), known to JAX.

Where there is no C compiler, programs run through XLA alone.
"""

from __future__ import annotations

import ctypes
import functools
import os

import jax

from evosearch.c_library import CLibrary, compiled
from evosearch.evaluation.native.source import source

TARGET = "evosearch_step"
"""The name under which compiled trainings call the library."""


@functools.cache
def load() -> None:
    """Compile the library unless it is in the cache, load it, and make it known to JAX; once per process.

    Raises:
        NoCompilerError: there is no C compiler, or it fails.
    """
    function = ctypes.CDLL(str(compiled(_library()))).evosearch_step
    capsule = jax.ffi.pycapsule(function)  # type: ignore[no-untyped-call]
    jax.ffi.register_ffi_target(TARGET, capsule, platform="cpu")


def _library() -> CLibrary:
    return CLibrary(
        what="the native interpreter",
        text=source(),
        flags=(
            "-fno-math-errno",
            "-fno-trapping-math",
        ),  # nobody reads what they leave out; now loops vectorize
        libraries=_libraries(),
        includes=(jax.ffi.include_dir(),),
        made_with=(jax.__version__,),
        otherwise=", or set evaluation.interpreter to xla",
    )


def _libraries() -> tuple[str, ...]:
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    return ("-lmvec", "-lm") if libc and os.uname().machine == "x86_64" else ("-lm",)
