"""Random programs through everything, short; and that what is broken on purpose is found.

`scripts/soak` runs the same function long.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from evosearch.evaluation import Evaluator
from evosearch.language import Statement, analyze, builtin, parse
from evosearch.soak import Report, fuzz, fuzz_checks, fuzz_scores, fuzz_steps
from evosearch.soak.fuzz_programs import SOURCES, Fuzzed, mended, program_at
from evosearch.soak.fuzz_steps import Interpreters, complaints, steps_of

pytestmark = pytest.mark.usefixtures("quick_compile")

ADAMW = builtin("adamw").statements


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simplifier takes longest, so it sees few programs here."""
    monkeypatch.setattr(fuzz, "SIMPLIFIED_EVERY", 60)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what needs no compilation."""
    monkeypatch.setattr(fuzz, "interpreters", lambda: ())
    monkeypatch.setattr(fuzz, "_check_together", lambda *_: iter(()))


def figures(report: Report) -> dict[str, Any]:
    return dict(report.figures)


def body(*lines: str) -> tuple[Statement, ...]:
    return parse(
        "\n    ".join(["def train(w, g, m, v, lr):", *lines, "return update, m, v"]) + "\n"
    ).statements


def test_random_programs_keep_every_promise() -> None:
    shown: list[tuple[str, int, int]] = []
    report = fuzz.check_programs(150, 0, lambda *told: shown.append(told))
    assert report.broken == ()
    found = figures(report)
    assert shown == [("programs", 0, 150), ("programs", 150, 150)]
    assert found["programs"] == 150
    assert found["valid programs"] > 105
    assert found["programs simplified"] >= 2
    assert found["programs scored twice"] == found["valid programs"] * len(fuzz.interpreters())
    assert found["outputs compared"] > 2 * found["valid programs"] * (1 + len(fuzz.interpreters()))
    assert found["programs merged with another text"] >= 1
    assert found["hashes"] > 50
    assert found["broken promises"] == 0


@pytest.mark.usefixtures("cheap")
def test_the_report_does_not_depend_on_how_programs_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fuzz.check_programs(90, 1)
    monkeypatch.setattr(fuzz, "CHUNK", 40)
    assert fuzz.check_programs(90, 1) == whole


def test_programs_are_of_every_kind() -> None:
    programs = [program_at(3, index) for index in range(400)]
    assert programs == [program_at(3, index) for index in range(400)]
    assert {program.source for program in programs} == set(SOURCES)
    lengths = [len(program.statements) for program in programs]
    assert min(lengths) <= 1
    assert max(lengths) >= 50
    refused = [analysis.refusal for p in programs if not (analysis := analyze(p.statements)).valid]
    assert len(refused) > 20
    assert all(refusal is not None and refusal.reason for refusal in refused)
    assert len({program.text for program in programs}) > 380
    assert all(analyze(mended(program.statements)).valid for program in programs)


# ---------------------------------------------------------------- broken on purpose


@pytest.mark.usefixtures("cheap")
def test_a_false_merge_is_found_however_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = body("update = g * 0.5"), body("update = g * 0.25")

    def programs(seed: int, index: int) -> Fuzzed:
        return Fuzzed(seed, index, "small", {3: one, 28: other}.get(index, ADAMW))

    monkeypatch.setattr(fuzz, "program_at", programs)
    monkeypatch.setattr(fuzz, "CHUNK", 10)
    assert fuzz.check_programs(30, 0).broken == ()
    merged = analyze(one).hash
    original = fuzz._seen

    def same_hash(program: Fuzzed, analysis: Any) -> Any:
        seen = original(program, analysis)
        return seen if program.statements == ADAMW else fuzz.Seen(**{**_fields(seen), "hash": merged})

    monkeypatch.setattr(fuzz, "_seen", same_hash)
    broken = fuzz.check_programs(30, 0).broken
    assert len(broken) == 2
    assert broken[0].startswith(f"false merge: hash {merged}, another behaviour: program 3 of seed 0 (small)")
    assert "[update = g * 0.5] and program 28 of seed 0 (small) [update = g * 0.25]" in broken[0]


def _fields(seen: fuzz.Seen) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in fuzz.Seen.__slots__}


@pytest.mark.usefixtures("cheap")
def test_exceptions_become_sentences_and_some_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(statements: Any) -> Iterator[str]:
        if len(statements) > 1:
            raise ValueError("no\nidea")
        yield "it is short"

    monkeypatch.setattr(fuzz, "check_text", careless)
    monkeypatch.setattr(fuzz, "SHOWN", 10)
    report = fuzz.check_programs(30, 0)
    assert figures(report)["broken promises"] == 30
    assert len(report.broken) == 10
    first = next(sentence for sentence in report.broken if "raised" in sentence)
    assert ": raised ValueError: no idea [" in first


def test_a_hang_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    checked, program = fuzz.Checked(), Fuzzed(7, 5, "small", body("update = g * lr"))
    fuzz._guarded(checked, program, lambda: time.sleep(600))
    assert checked.broken == ["program 5 of seed 7 (small): a check took more than 0.2 s [update = g * lr]"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.usefixtures("cheap")
def test_a_process_that_dies_is_told_with_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying:
        """Processes of which the second dies at its fourth program, and with it all that is not done yet."""

        def __init__(self, processes: int, context: Any, begin: Any, args: Any) -> None:
            self.started = args[0]

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, check: Any, seed: int, number: int, begin: int, end: int) -> Any:
            future: Future[Any] = Future()
            if number == 0:
                future.set_result(check(seed, number, begin, end))
            else:
                self.started[number] = begin + 3 if number == 1 else -1
                future.set_exception(BrokenProcessPool("a process died"))
            return future

    monkeypatch.setattr(fuzz, "ProcessPoolExecutor", Dying)
    monkeypatch.setattr(fuzz, "CHUNK", 10)
    report = fuzz.check_programs(30, 0, processes=2)
    assert figures(report)["programs"] == 10
    died, left = report.broken
    assert died == f"a process died, or hung for 600 s, at {fuzz._sentence(program_at(0, 13), '')}"
    assert left == "the last 2 chunks of 10 programs were not all checked"


def test_a_wrong_interpreter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = fuzz.interpreters()[0]
    other = body("m = interp(g, m, 0.91)", "update = m * lr")
    statements = body("m = interp(g, m, 0.9)", "update = m * lr")
    steps = steps_of(statements, analyze(statements), (0, 0))
    alone, tally = Interpreters((name,)), Counter[str]()
    assert [c for step in steps for c in complaints(name, step, alone.one(name, step), tally)] == []
    assert tally == {"outputs compared": 6}
    found = alone.one(name, steps[0]._replace(statements=other))
    wrong = [*complaints(name, steps[0], found, tally)]
    assert [sentence.split(" is ")[0] for sentence in wrong] == [
        f"{name}, step 0: update",
        f"{name}, step 0: m",
    ]
    found = alone.one(name, steps[0])._replace(finite=False)
    assert "finite is False" in next(complaints(name, steps[0], found, tally))


def test_a_score_that_depends_on_what_ran_before_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Evaluator.evaluate
    ran: list[Evaluator] = []

    def leaking(self: Evaluator, job: Any) -> Any:
        ran.append(self)
        outcome = evaluate(self, job)
        return outcome if ran.count(self) < 4 else type(outcome)(outcome.status)

    monkeypatch.setattr(Evaluator, "evaluate", leaking)
    name = fuzz.interpreters()[0]
    programs = [program for i in range(60) if analyze((program := program_at(0, i)).statements).valid][:5]
    told = [complaint for _, complaint in fuzz_scores.check_scores(name, programs)]
    assert any("in a used evaluator" in complaint for complaint in told)
    assert any("in a fresh evaluator, after these programs" in complaint for complaint in told)


def test_a_wrong_simplifier_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(statements: Any) -> Any:
        stages = original(statements)
        return [*stages[:-1], type(stages[-1])("names", stages[-1].before, stages[-1].after[1:], ())]

    original = fuzz_checks.simplify
    assert [*fuzz_checks.check_simplifier(ADAMW)] == []
    monkeypatch.setattr(fuzz_checks, "simplify", careless)
    (complaint,) = fuzz_checks.check_simplifier(ADAMW)
    assert complaint.startswith("simplified it ")


def test_what_differs_by_rounding_alone_is_counted_apart() -> None:
    """XLA fuses a product of `interp` with the sum: far outside 0 to 1 no digit is left of the others."""
    far, near = body("update = interp(g, w, -1e+30)"), body("update = interp(g, w, 3.0)")
    assert fuzz_steps.cancels(far)
    assert not fuzz_steps.cancels(near)
    assert fuzz_steps.vanishes(body("lr = lr * 1.1754944e-38", "update = lr * 3.4028235e+38"))
    assert not fuzz_steps.vanishes(body("update = g * 1e-08"))


def test_weights_moved_beyond_float32_are_known() -> None:
    """-1e38 * g itself is finite; 128 times it is not, and a fused multiply-add may bring it back."""
    for factor, expected in (("-1e+38", True), ("-1e+30", False)):
        statements = body(f"update = {factor} * g")
        steps = steps_of(statements, analyze(statements), (2026, 123177))
        assert any(fuzz_steps.overflows(step) for step in steps) is expected
