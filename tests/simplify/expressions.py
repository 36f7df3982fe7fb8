"""Terms from text, for tests."""

from evosearch.simplify.rules import Pattern, parse_pattern
from evosearch.simplify.terms import Term, constant, folded, input_term


def term(text: str) -> Term:
    """A term from an expression over w, g, m, v, lr.

    >>> str(term("g / abs(m)"))
    'g / abs(m)'
    """
    return _built(parse_pattern(text))


def _built(pattern: Pattern) -> Term:
    if isinstance(pattern, str):
        return input_term(pattern)
    if isinstance(pattern, tuple):
        return folded(str(pattern[0]), [_built(part) for part in pattern[1:]])
    return constant(pattern)
