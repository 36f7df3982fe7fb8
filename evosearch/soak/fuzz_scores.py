"""No score depends on what ran before: it has the same bits early and late, in used and fresh evaluators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan
from evosearch.evaluation.flow import Capacity
from evosearch.language import builtin
from evosearch.soak.fuzz_programs import LONGEST, Fuzzed

TASK = TaskPlan("digits_mlp", (("steps", 8), ("batch", 8), ("width", 8)))
ANCHOR = "adamw"
"""The shipped program that is evaluated again and again between the others."""

ANCHOR_EVERY = 10
CAPACITY = Capacity(LONGEST + 8)


def check_scores(name: str, programs: Sequence[Fuzzed]) -> Iterator[tuple[Fuzzed, str]]:
    """Evaluate programs in an evaluator that has evaluated much else, then backwards in a fresh one.

    Args:
        name: of the interpreter.
        programs: valid ones.

    Returns:
        Programs whose outcome changed, with the sentence that says so.
    """
    used, fresh = _used(name), Evaluator(_plan(name))
    anchor = _outcome(used, ANCHOR)
    early: list[str] = []
    for place, program in enumerate(programs):
        early.append(_outcome(used, program))
        if place % ANCHOR_EVERY == 0 and _outcome(used, ANCHOR) != anchor:
            yield program, f"{name}: after it {ANCHOR} has another outcome than before"
    for program, outcome in zip(reversed(programs), reversed(early), strict=True):
        found = _outcome(fresh, program)
        if found != outcome:
            yield program, f"{name}: {outcome} in a used evaluator, {found} in a fresh one"
    if _outcome(fresh, ANCHOR) != anchor and programs:
        yield programs[0], f"{name}: {ANCHOR} has another outcome in a fresh evaluator, after these programs"


def _outcome(evaluator: Evaluator, program: Fuzzed | str) -> str:
    """The outcome, every bit of it; its seconds left out."""
    statements = builtin(program).statements if isinstance(program, str) else program.statements
    return repr(replace(evaluator.evaluate(Job(0, statements, ((0,),))), seconds=0.0))


def _plan(name: str) -> Plan:
    return Plan((TASK,), (1.0, 1e30), (0.5,), capacity=CAPACITY, interpreter=name)


@cache
def _used(name: str) -> Evaluator:
    """The evaluator that goes on from call to call in this process."""
    return Evaluator(_plan(name))
