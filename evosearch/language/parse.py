"""Read a program's text with `ast`; nothing is ever executed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NoReturn

from evosearch.errors import ProgramError, nearest
from evosearch.language.program import INPUTS, OUTPUTS, Argument, Constant, Program, Statement
from primitives import BY_NAME, Primitive

MAX_CHARACTERS = 1_000_000
MAX_STATEMENTS = 10_000
MAX_NAME = 64

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}


def parse(text: str, source: str = "<program>") -> Program:
    """The program that `text` spells.

    Both `m / s` and `divide(m, s)` are read, and every alias of the table of primitives. Only the form is
    checked here; whether the program is *valid* is for abstract execution to say.

    Args:
        text: `def train(w, g, m, v, lr):`, statements with one primitive each, `return update, m, v`.
            A docstring and comments are allowed and not kept.
        source: where the text comes from, for messages.

    Raises:
        ProgramError: `SOURCE:LINE:COLUMN: what was expected and what was found`.

    >>> len(parse("def train(w, g, m, v, lr):\\n    update = g * 0.1\\n    return update, m, v\\n"))
    1
    """
    try:
        return _Reader(source).program(text)
    except RecursionError as error:
        raise ProgramError(f"{source}:1:1: this is not a program: nested too deep") from error


def read_program(path: Path) -> Program:
    """Parse the program in a file. Raises ProgramError where it can't be read."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ProgramError(f"{path}: can't read this program: {reason}") from error
    return parse(text, str(path))


class _Reader:
    """Turns syntax nodes into statements; knows the source for messages."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, node: ast.AST | None, message: str) -> NoReturn:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        raise ProgramError(f"{self.source}:{line}:{column}: {message}")

    def program(self, text: str) -> Program:
        if len(text) > MAX_CHARACTERS:
            self.fail(None, f"expected at most {MAX_CHARACTERS} characters, found more")
        body = self.function(self.tree(text)).body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]  # a docstring
        if not body or not isinstance(body[-1], ast.Return):
            self.fail(body[-1] if body else None, f"expected `return {', '.join(OUTPUTS)}` as the last line")
        self.check_return(body[-1])
        if len(body) > MAX_STATEMENTS:
            self.fail(None, f"expected at most {MAX_STATEMENTS} statements, found {len(body) - 1}")
        return Program(tuple(self.statement(node) for node in body[:-1]))

    def tree(self, text: str) -> ast.Module:
        try:
            return ast.parse(text)
        except SyntaxError as error:
            where = f"{self.source}:{error.lineno or 1}:{error.offset or 1}"
            raise ProgramError(f"{where}: this is not a program: {error.msg}") from error
        except (ValueError, MemoryError) as error:
            raise ProgramError(f"{self.source}:1:1: this is not a program: {error or 'nested too deep'}") from error

    def function(self, module: ast.Module) -> ast.FunctionDef:
        expected = f"expected one function `train({', '.join(INPUTS)})`"
        if len(module.body) != 1 or not isinstance(module.body[0], ast.FunctionDef):
            self.fail(module.body[1] if len(module.body) > 1 else None, expected)
        function = module.body[0]
        names = tuple(a.arg for a in function.args.args)
        plain = ast.unparse(function.args) == ", ".join(names)
        if function.name != "train" or names != INPUTS or not plain or function.decorator_list:
            self.fail(function, f"{expected}, found `{function.name}({ast.unparse(function.args)})`")
        return function

    def check_return(self, node: ast.Return) -> None:
        found = ast.unparse(node.value) if node.value else "nothing"
        if found.strip("()") != ", ".join(OUTPUTS):
            self.fail(node, f"expected `return {', '.join(OUTPUTS)}`, found `return {found}`")

    def statement(self, node: ast.stmt) -> Statement:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            self.fail(node, "expected a statement `name = primitive(arguments)`")
        target = node.targets[0]
        if not isinstance(target, ast.Name):
            self.fail(target, f"expected one variable's name before `=`, found `{ast.unparse(target)}`")
        primitive, arguments = self.call(node.value)
        if len(arguments) != primitive.arity:
            self.fail(
                node.value,
                f"{primitive.name} takes {primitive.arity} argument{'s' * (primitive.arity != 1)}, "
                f"found {len(arguments)}",
            )
        return Statement(self.name(target), primitive.name, tuple(self.argument(a) for a in arguments))

    def call(self, node: ast.expr) -> tuple[Primitive, list[ast.expr]]:
        if isinstance(node, ast.BinOp):
            if type(node.op) not in _OPERATORS:
                self.fail(node, f"expected one of + - * /, found `{ast.unparse(node)}`")
            return BY_NAME[_OPERATORS[type(node.op)]], [node.left, node.right]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            name = node.func.id
            if name not in BY_NAME:
                self.fail(node, f"unknown primitive {name!r}{nearest(name, BY_NAME)}")
            return BY_NAME[name], node.args
        self.fail(node, f"expected one primitive, as in `sqrt(v)` or `m / s`, found `{_short(node)}`")

    def argument(self, node: ast.expr) -> Argument:
        if isinstance(node, ast.Name):
            return self.name(node)
        sign, number = 1.0, node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, number = (-1.0 if isinstance(node.op, ast.USub) else 1.0), node.operand
        if isinstance(number, ast.Constant) and type(number.value) in (int, float):
            try:
                return Constant(sign * float(number.value))
            except OverflowError:
                self.fail(node, f"expected a finite float32 constant, found {_short(node)}")
        self.fail(
            node, f"expected a variable or a number as argument, found `{_short(node)}`: one primitive a statement"
        )

    def name(self, node: ast.Name) -> str:
        if len(node.id) > MAX_NAME or not node.id.isascii():
            self.fail(node, f"expected a name of at most {MAX_NAME} ASCII characters, found {node.id[:80]!r}")
        return node.id


def _short(node: ast.expr, limit: int = 60) -> str:
    text = ast.unparse(node)
    return text if len(text) <= limit else text[:limit] + "..."
