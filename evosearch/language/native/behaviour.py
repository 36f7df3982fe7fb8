"""`behaviour.c`: its source, its steps as bytes, and a call of it."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from evosearch.language.probes import BITS, GRADIENT_SCALES, SIZES, STEPS, Step, probes
from evosearch.language.program import INPUTS
from primitives import OPCODES, TABLE

CONSTANT = 255
"""The operation of a statement that computes a constant."""

_STEP = struct.Struct("<iiihBBd")
STEP_BYTES = _STEP.size

_OWN_LOOPS = ("norm", "rms", "global_norm", "dot", "cosine_sim", "clip")
"""Primitives that look at more than one element: `behaviour.c` has a loop `run_NAME` for each."""

_SIGNATURE = "(double *, const double *, const double *, const double *)"

_LOOP = """\
static void run_{name}(double *d, const double *px, const double *py, const double *pa) {{
    for (int i = 0; i < NUMBERS; i++) {{
        const double x = px[i], y = py[i], a = pa[i];
        (void)x, (void)y, (void)a;
        d[i] = {c};
    }}
}}
"""


def source() -> str:
    """The whole text, for a C11 compiler.

    Example:
        >>> "run_global_norm" in source()
        True
    """
    elements = sum(SIZES)
    numbers = {
        **{"BITS": BITS, "TIMES": STEPS, "LEAVES": len(SIZES), "ELEMENTS": elements},
        **{"NUMBERS": elements * len(GRADIENT_SCALES), "CONSTANT": CONSTANT},
    }
    run = [row for row in TABLE if row.c is not None or row.name in _OWN_LOOPS]
    entries = "".join(f"    [{OPCODES[row.name]}] = run_{row.name},\n" for row in run)
    kernel = files(__package__).joinpath("behaviour.c").read_text(encoding="ascii")
    return "\n".join(
        (
            files("primitives").joinpath("in_double.h").read_text(encoding="ascii"),
            "#include <stdlib.h>\n",
            "enum { " + ", ".join(f"{name} = {number}" for name, number in numbers.items()) + " };",
            f"static const int SIZES[LEAVES] = {{{', '.join(map(str, SIZES))}}};",
            f"static const int ARITY[] = {{{', '.join(str(row.arity) for row in TABLE)}}};\n",
            "".join(_LOOP.format(name=row.name, c=row.c) for row in run if row.c is not None),
            "".join(f"static void run_{name}{_SIGNATURE};\n" for name in _OWN_LOOPS),
            f"static void (*const OPERATIONS[]){_SIGNATURE} = {{\n{entries}}};\n",
            kernel,
        )
    )


class NativeBehaviour:
    """What a program computes on the probes, found by machine code.

    Args:
        library: `source()`, compiled.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        library.behaviour_step_size.restype = ctypes.c_int64
        assert library.behaviour_step_size() == STEP_BYTES, "Step is not the same on both sides"
        self._run = library.behaviour
        self._run.restype = ctypes.c_int64
        self._run.argtypes = (ctypes.c_void_p, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 4)
        weights, gradients, schedule = map(np.ascontiguousarray, probes())
        self._probes = weights, gradients, schedule[:, 0, 0].copy()
        self._addresses = [array.ctypes.data for array in self._probes]
        self._bytes = STEPS * weights.nbytes

    def __call__(self, steps: bytes | int, count: int, variables: int, carried: int) -> bytes:
        """The rounded updates of a program, one step after the other: what `numpy_behaviour` finds.

        Args:
            steps: as `pack` makes them, or the address of such.
            count: how many of them.
            variables: the number of each is below this.
            carried: which slots are carried, as bits of `DEPENDS`.

        Raises:
            MemoryError: there is no memory for the variables.
        """
        told = ctypes.create_string_buffer(self._bytes)
        if not self._run(steps, count, variables, carried, *self._addresses, told):
            raise MemoryError("there is not enough memory for a program's variables")
        return told.raw


@functools.cache
def native_behaviour() -> NativeBehaviour:
    """The machine code, compiled unless it is in the cache; once per process.

    Raises:
        NoCompilerError: there is no C compiler, or it fails.
    """
    # Only here: who needs no fingerprint should not wait for what this imports.
    from evosearch.c_library import CLibrary, compiled

    return NativeBehaviour(ctypes.CDLL(str(compiled(CLibrary("the fingerprint", source())))))


def pack(steps: Sequence[Step]) -> tuple[bytes, int, int]:
    """Live statements as bytes of C's `Step`, how many these are, and how many variables there are."""
    number_of = {name: number for number, name in enumerate((*INPUTS, "update"))}
    packed = []
    for target, primitive, args, constant in steps:
        padded, constants = [0, 0, 0], 0
        for place, arg in enumerate(args):
            if isinstance(arg, str):
                padded[place] = number_of.setdefault(arg, len(number_of))
            else:
                padded[place] = struct.unpack("<i", struct.pack("<f", arg))[0]
                constants |= 1 << place
        written = number_of.setdefault(target, len(number_of))
        opcode = OPCODES[primitive] if constant is None else CONSTANT
        packed.append(_STEP.pack(*padded, written, opcode, constants, 0.0 if constant is None else constant))
    return b"".join(packed), len(packed), len(number_of)
