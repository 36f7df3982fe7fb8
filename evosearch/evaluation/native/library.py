"""The native interpreter's shared library: compiled at first use, kept in the cache folder, known to JAX.

Nothing is compiled when the package is installed, so it installs anywhere; where there is no C compiler,
programs run through XLA alone. The library's name is a digest of its text, its compiler's version and flags,
and the processor, so that one folder serves several machines and no library is ever out of date.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax

from evosearch.errors import EvosearchError
from evosearch.evaluation.native.source import source
from evosearch.runtime import processor
from proxy_tasks.pretraining import cache_folder

TARGET = "evosearch_step"
"""The name under which compiled trainings call the library."""

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",  # a product and a sum round twice, as a program says
    "-fno-math-errno",
    "-fno-trapping-math",  # both only set flags that nobody reads; without them no loop is vectorized
    "-fPIC",
    "-shared",
)


class NoCompilerError(EvosearchError):
    """The native interpreter can't be built on this machine."""


@functools.cache
def compiler() -> tuple[str, ...]:
    """The C compiler's command: what the variable CC says, else the first of cc, gcc, clang; () for none."""
    named = shlex.split(os.environ.get("CC", ""))
    for program, *arguments in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        found = shutil.which(program)
        if found:
            return found, *arguments
    return ()


@functools.cache
def load() -> None:
    """Compile the library unless it is in the cache, load it, and make it known to JAX; once per process.

    Raises:
        NoCompilerError: there is no C compiler, or it fails.
    """
    path = _library()
    function = ctypes.CDLL(str(path)).evosearch_step
    capsule = jax.ffi.pycapsule(function)  # type: ignore[no-untyped-call]
    jax.ffi.register_ffi_target(TARGET, capsule, platform="cpu")


def _library() -> Path:
    cc = compiler()
    if not cc:
        raise NoCompilerError(
            "the native interpreter needs a C compiler, found none (CC, cc, gcc, clang): install one, or set "
            "evaluation.interpreter to xla"
        )
    text = source()
    version = subprocess.run([*cc, "--version"], capture_output=True, text=True, check=False).stdout
    parts = (text, version, *cc, *FLAGS, processor(), jax.__version__)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path = cache_folder() / "native" / f"{digest}{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _compile(cc, text, path)
    except OSError:  # a cache that can't be written to is no reason to fail: it is made again the next time
        folder = tempfile.mkdtemp(prefix="evosearch-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / path.name
        _compile(cc, text, path)
    return path


def _compile(cc: Sequence[str], text: str, path: Path) -> None:
    """Make the library; it is there as a whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        (Path(folder) / "step.c").write_text(text, encoding="ascii")
        made = Path(folder) / path.name
        command = [*cc, *FLAGS, f"-I{jax.ffi.include_dir()}", "-o", str(made), "step.c", *_libraries()]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            named, first = " ".join(cc), (done.stderr.strip() or "no message").splitlines()[0]
            raise NoCompilerError(
                f"{named} can't compile the native interpreter ({first}): name another compiler with CC, "
                "or set evaluation.interpreter to xla"
            )
        with made.open("rb") as file:
            os.fsync(file.fileno())  # loading what a crash has cut short would kill the process
        made.replace(path)  # in one step: another process may be doing the same


def _libraries() -> tuple[str, ...]:
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    return ("-lmvec", "-lm") if libc and os.uname().machine == "x86_64" else ("-lm",)
