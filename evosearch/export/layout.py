"""Layout of exported source: as `ruff format --line-length 100` leaves it, without needing ruff."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100
STEP = "    "


def call_lines(indent: str, before: str, function: str, args: Sequence[str]) -> list[str]:
    """`before function(args)` on one line, or with its arguments on the next, or with one on each line.

    Example:
        >>> call_lines("", "m = ", "f", ["a", "b"])
        ['m = f(a, b)']
    """
    flat = f"{indent}{before}{function}({', '.join(args)})"
    if len(flat) <= WIDTH:
        return [flat]
    inner = f"{indent}{STEP}{', '.join(args)}"
    body = [inner] if len(inner) <= WIDTH else [f"{indent}{STEP}{arg}," for arg in args]
    return [f"{indent}{before}{function}(", *body, f"{indent})"]


def assignment_lines(indent: str, name: str, value: ast.expr) -> list[str]:
    """`name = value`, broken where it is too long for a line."""
    text = f"{indent}{name} = {ast.unparse(value)}"
    if len(text) <= WIDTH:
        return [text]
    if isinstance(value, ast.Call):
        args = [ast.unparse(arg) for arg in (*value.args, *value.keywords)]
        return call_lines(indent, f"{name} = ", ast.unparse(value.func), args)
    inner = f"{indent}{STEP}"
    lines = [f"{inner}{ast.unparse(value)}"]
    if len(lines[0]) > WIDTH and isinstance(value, ast.BinOp):
        lines = [f"{inner}{line}" for line in _operand_lines(value)]
    return [f"{indent}{name} = (", *lines, f"{indent})"]


_SUMS, _PRODUCTS = (ast.Add, ast.Sub), (ast.Mult, ast.Div)
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def _operand_lines(value: ast.BinOp) -> list[str]:
    """A sum with one term on each line, or a product with one factor; each operator begins a line."""
    alike = _SUMS if isinstance(value.op, _SUMS) else _PRODUCTS
    if type(value.op) not in _SIGNS:
        return [ast.unparse(value)]
    lines: list[str] = []
    rest: ast.expr = value
    while isinstance(rest, ast.BinOp) and isinstance(rest.op, alike):
        # Unparsed beside an operand of nothing, an operand keeps the parentheses it needs.
        beside = ast.unparse(ast.BinOp(ast.Name("_"), rest.op, rest.right)).removeprefix("_ ")
        lines.append(beside)
        rest = rest.left
    first = ast.unparse(ast.BinOp(rest, value.op, ast.Name("_")))
    return [first.removesuffix(f" {_SIGNS[type(value.op)]} _"), *reversed(lines)]


def head_lines(indent: str, name: str, arguments: Sequence[str], returns: str) -> list[str]:
    """The head of a function on one line, or with its arguments on the next, or with one on each line."""
    flat = f"{indent}def {name}({', '.join(arguments)}) -> {returns}:"
    if len(flat) <= WIDTH:
        return [flat]
    inner = f"{indent}{STEP}{', '.join(arguments)}"
    if len(inner) > WIDTH:
        return signature_lines(indent, name, arguments, returns)
    return [f"{indent}def {name}(", inner, f"{indent}) -> {returns}:"]


def signature_lines(indent: str, name: str, arguments: Iterable[str], returns: str) -> list[str]:
    """The head of a function with one argument on each line."""
    lines = [f"{indent}{STEP}{argument}," for argument in arguments]
    if not lines:
        return [f"{indent}def {name}() -> {returns}:"]
    return [f"{indent}def {name}(", *lines, f"{indent}) -> {returns}:"]


def paragraph(text: str, indent: str = "", hanging: str = "") -> list[str]:
    """Text as lines that fit."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def docstring_lines(indent: str, summary: str, blocks: Iterable[Sequence[str]] = ()) -> list[str]:
    """A docstring: a summary of one line, then blocks of lines that are indented here.

    Args:
        indent: of the docstring.
        summary: its first line; no longer than a line.
        blocks: each follows an empty line.
    """
    lines = [f'{indent}"""{summary}']
    for block in blocks:
        lines += ["", *(f"{indent}{line}" if line else "" for line in block)]
    if len(lines) == 1:
        return [f'{indent}"""{summary}"""']
    return [*lines, f'{indent}"""']


def described(name: str, text: str, indent: str) -> list[str]:
    """One argument in the `Args:` of a docstring that stands at `indent`."""
    lines = paragraph(f"{name}: {text}", indent + STEP, STEP)
    return [line.removeprefix(indent) for line in lines]
