"""The C source of the native interpreter: a loop for each primitive of the table, then `kernel.c`."""

from __future__ import annotations

from importlib.resources import files

from evosearch.evaluation.native.operations import ELEMENTWISE, INDEX_BITS, Kind, Operation
from primitives import TABLE

# Results may lie where an operand lies, never shifted against it: no iteration waits for another.
_HEAD = """\
enum { NONE_NARROW, SECOND_NARROW, FIRST_NARROW };
#if defined(__clang__)
#define EACH _Pragma("clang loop vectorize(assume_safety)") for (int64_t i = 0; i < n; i++)
#elif defined(__GNUC__)
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#else
#define EACH for (int64_t i = 0; i < n; i++)
#endif
"""

_SIGNATURE = "(float *d, const float *px, const float *py, const float *pa, int form, int64_t n)"

_BODIES = {
    "x": "    (void)py, (void)pa, (void)form;\n    EACH { const float x = px[i]; d[i] = RESULT; }\n",
    "y": """\
    const float a = *pa;
    (void)a;
    if (form == NONE_NARROW) {
        EACH { const float x = px[i], y = py[i]; d[i] = RESULT; }
    } else if (form == SECOND_NARROW) {
        const float y = *py;
        EACH { const float x = px[i]; d[i] = RESULT; }
    } else {
        const float x = *px;
        EACH { const float y = py[i]; d[i] = RESULT; }
    }
""",
}
"""Loops of operations of one operand, and of more."""


def source() -> str:
    """The whole text, for a C11 compiler that finds jaxlib's headers.

    Example:
        >>> "sqrtf(fabsf(x))" in source()
        True
    """
    table = {code: row.c for code, row in enumerate(TABLE) if row.c is not None}
    expressions: dict[int, str] = {**table, **ELEMENTWISE}
    single = {code for code, row in enumerate(TABLE) if row.arity == 1} | {Operation.COPY}
    numbers = {"INDEX_BITS": INDEX_BITS} | {row.name: row.value for row in (*Kind, *Operation)}
    loops = "".join(
        f"static void operation_{code:d}{_SIGNATURE} {{\n"
        + _BODIES["x" if code in single else "y"].replace("RESULT", c)
        + "}\n"
        for code, c in expressions.items()
    )
    entries = "".join(f"    [{code:d}] = operation_{code:d},\n" for code in expressions)
    return "\n".join(
        (
            files("primitives").joinpath("elementwise.h").read_text(encoding="ascii"),
            "enum { " + ", ".join(f"{name} = {number}" for name, number in numbers.items()) + " };",
            _HEAD,
            loops,
            f"static void (*const OPERATIONS[]){_SIGNATURE} = {{\n{entries}}};\n",
            files(__package__).joinpath("kernel.c").read_text(encoding="ascii"),
        )
    )
