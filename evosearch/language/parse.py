"""Read a program's text with `ast`; nothing is ever executed."""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path

from evosearch.errors import ProgramError, nearest
from evosearch.language.program import INPUTS, OUTPUTS, Argument, Constant, Program, Statement
from evosearch.regular_files import read_start
from primitives import BY_NAME, Primitive

MAX_CHARACTERS = 1_000_000
MAX_STATEMENTS = 10_000
MAX_NAME = 64
MAX_QUOTE = 60

_NEWLINE = re.compile(r"\r\n?|\n")

OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}


def parse(text: str, source: str = "<program>") -> Program:
    r"""The program that `text` spells.

    Both `m / s` and `divide(m, s)` are read, and every alias of the table of primitives. Only the form is
    checked here; whether the program is *valid* is for abstract execution to say.

    Args:
        text: `def train(w, g, m, v, lr):`, statements with one primitive each, `return update, m, v`.
            A docstring and comments are allowed and not kept.
        source: where the text comes from, for messages.

    Raises:
        ProgramError: `SOURCE:LINE:COLUMN: what was expected and what was found`.

    >>> len(parse("def train(w, g, m, v, lr):\n    update = g * 0.1\n    return update, m, v\n"))
    1
    """
    try:
        return _Reader(text, source).program()
    except RecursionError as error:
        raise ProgramError(f"{source}:1:1: this is not a program: nested too deep") from error


def read_program(path: Path) -> Program:
    """Parse the program in a file. Raises ProgramError where it can't be read."""
    try:
        text = read_start(path, MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ProgramError(f"{path}: can't read this program: {reason}") from error
    return parse(text, str(path))


class _Reader:
    """Turns syntax nodes into statements; knows the text and its source for messages."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source

    def error(self, node: ast.AST | None, message: str) -> ProgramError:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        return ProgramError(f"{self.source}:{line}:{column}: {message}")

    def quote(self, node: ast.AST) -> str:
        """The text of a node for a message: its first line, cut where it is long."""
        # `ast.get_source_segment` takes the square of a line's length.
        lines = _NEWLINE.split(self.text)
        number, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        line = lines[number - 1].encode() if number <= len(lines) else b""
        end = node.end_col_offset if number == last and hasattr(node, "end_col_offset") else None
        first = line[getattr(node, "col_offset", 0) : end].decode()
        return f"`{first[:MAX_QUOTE]}...`" if number < last or len(first) > MAX_QUOTE else f"`{first}`"

    def program(self) -> Program:
        if len(self.text) > MAX_CHARACTERS:
            raise self.error(None, f"expected at most {MAX_CHARACTERS} characters, found more")
        *body, last = self.function(self.tree()).body
        if body and _is_docstring(body[0]):
            body = body[1:]
        self.check_return(last)
        if len(body) > MAX_STATEMENTS:
            raise self.error(
                body[MAX_STATEMENTS], f"expected at most {MAX_STATEMENTS} statements, found {len(body)}"
            )
        return Program(tuple(self.statement(node) for node in body))

    def tree(self) -> ast.Module:
        try:
            with warnings.catch_warnings():  # a text that is only read has nobody to warn
                warnings.simplefilter("ignore")
                return ast.parse(self.text)
        except SyntaxError as error:
            where = f"{self.source}:{error.lineno or 1}:{error.offset or 1}"
            raise ProgramError(f"{where}: this is not a program: {error.msg}") from error
        except (ValueError, MemoryError) as error:
            raise self.error(None, f"this is not a program: {str(error) or 'nested too deep'}") from error

    def function(self, module: ast.Module) -> ast.FunctionDef:
        expected = f"expected one function `train({', '.join(INPUTS)})`"
        if not module.body:
            raise self.error(None, f"{expected}, found nothing")
        function, *more = module.body
        if not isinstance(function, ast.FunctionDef):
            raise self.error(function, f"{expected}, found {self.quote(function)}")
        if more:
            raise self.error(more[0], f"{expected}, found {self.quote(more[0])} after it")
        if function.decorator_list:
            decorator = function.decorator_list[0]
            raise self.error(decorator, f"{expected} without decorators, found {self.quote(decorator)}")
        names = tuple(a.arg for a in function.args.args)
        plain = function.returns is None and ast.unparse(function.args) == ", ".join(names)
        if function.name != "train" or names != INPUTS or not plain:
            raise self.error(function, f"{expected}, found {self.quote(function)}")
        return function

    def check_return(self, node: ast.stmt) -> None:
        expected = f"expected `return {', '.join(OUTPUTS)}`"
        if not isinstance(node, ast.Return):
            raise self.error(node, f"{expected} as the last line, found {self.quote(node)}")
        found = node.value.elts if isinstance(node.value, ast.Tuple) else []
        if tuple(e.id if isinstance(e, ast.Name) else None for e in found) != OUTPUTS:
            raise self.error(node, f"{expected}, found {self.quote(node)}")

    def statement(self, node: ast.stmt) -> Statement:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            raise self.error(
                node, f"expected a statement `name = primitive(arguments)`, found {self.quote(node)}"
            )
        target = node.targets[0]
        if not isinstance(target, ast.Name):
            raise self.error(target, f"expected one variable's name before `=`, found {self.quote(target)}")
        primitive, arguments = self.call(node.value)
        if len(arguments) != primitive.arity:
            plural = "" if primitive.arity == 1 else "s"
            raise self.error(
                node.value,
                f"{primitive.name} takes {primitive.arity} argument{plural}, found {len(arguments)}",
            )
        return Statement(self.name(target), primitive.name, tuple(self.argument(a) for a in arguments))

    def call(self, node: ast.expr) -> tuple[Primitive, list[ast.expr]]:
        if isinstance(node, ast.BinOp):
            if type(node.op) not in OPERATORS:
                raise self.error(node, f"expected one of + - * /, found {self.quote(node)}")
            return BY_NAME[OPERATORS[type(node.op)]], [node.left, node.right]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            name = self.name(node.func)
            if name not in BY_NAME:
                raise self.error(node, f"unknown primitive {name!r}{nearest(name, BY_NAME)}")
            return BY_NAME[name], node.args
        raise self.error(
            node, f"expected one primitive, as in `sqrt(v)` or `m / s`, found {self.quote(node)}"
        )

    def argument(self, node: ast.expr) -> Argument:
        if isinstance(node, ast.Name):
            return self.name(node)
        sign, number = 1.0, node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, number = (-1.0 if isinstance(node.op, ast.USub) else 1.0), node.operand
        value = number.value if isinstance(number, ast.Constant) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(
                node,
                f"expected a variable or a number as argument, found {self.quote(node)}: "
                "one primitive a statement",
            )
        try:
            return Constant(sign * float(value))
        except OverflowError:
            raise self.error(node, f"expected a finite float32 constant, found {self.quote(node)}") from None

    def name(self, node: ast.Name) -> str:
        if len(node.id) > MAX_NAME or not node.id.isascii():
            raise self.error(
                node, f"expected a name of at most {MAX_NAME} ASCII characters, found {self.quote(node)}"
            )
        return node.id


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
