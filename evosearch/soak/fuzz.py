"""Bad candidates: random programs of many kinds through everything that a candidate goes through.

Every program is written and read, judged, run in NumPy, run by each interpreter and trained for a few steps;
some are simplified. No exception may come out, nothing may hang, equal hashes must mean equal behaviour, and
no score may depend on what ran before it.

`fuzz_programs` makes the programs, `fuzz_checks`, `fuzz_steps` and `fuzz_scores` check them. Programs are
checked in chunks of `CHUNK`, each a function of (seed, index) alone, so the report is the same for any number
of processes.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

from evosearch.c_library import NoCompilerError
from evosearch.evaluation.compilations import keep_compilations
from evosearch.evaluation.interpreters import choose
from evosearch.language import AbstractExecution, Analysis, analyze, program_text
from evosearch.language.abstract import live_statements
from evosearch.language.fingerprint import fingerprint
from evosearch.soak.fuzz_checks import (
    Behaviour,
    behaviour,
    check_abstract,
    check_live,
    check_simplifier,
    check_text,
    check_types,
)
from evosearch.soak.fuzz_programs import Fuzzed, program_at
from evosearch.soak.fuzz_scores import check_scores
from evosearch.soak.fuzz_steps import TOGETHER, Interpreters, Step, complaints, steps_of
from evosearch.soak.report import Report, Show, silent

CHUNK = 2000
"""Programs that one process checks one after the other; after each chunk come their scores."""

SIMPLIFIED_EVERY = 10
"""One program in so many is simplified: that takes ten times as long as everything else."""

MEMO = 500
"""Results that abstract execution remembers here: few, so that it forgets often."""

SECONDS = 120.0
"""What one check may take before it counts as hanging; a thousand times what it should."""

HARD_SECONDS = 600.0
"""After this much a process that does not even notice that is ended."""

SHOWN = 300
"""Sentences in the report; the others are counted."""


class HangError(BaseException):
    """A check went on for `SECONDS`; no ordinary exception, so nobody on the way catches it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a valid program turned out to be, to compare all programs at the end.

    Attributes:
        index: of the program.
        hash: canonical.
        behaviour: the digest of what it does.
        telling: whether it does anything: some update is neither zero nor not finite.
        fingerprint: behavioural.
        written: a digest of its live statements' text.
    """

    index: int
    hash: str
    behaviour: bytes
    telling: bool
    fingerprint: bytes
    written: bytes


@dataclass
class Checked:
    """What was found in some programs."""

    figures: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)


def check_programs(count: int, seed: int, show: Show = silent, processes: int = 1) -> Report:
    """Check random programs, and what they have to do with each other.

    Args:
        count: how many.
        seed: of the run.
        show: is told how many are done.
        processes: that share the work; with one, it is done in this process. Set threads before, see
            `runtime.one_thread_each`.

    Example:
        check_programs(2000, seed=0, processes=2).broken
    """
    chunks = [(begin, min(begin + CHUNK, count)) for begin in range(0, count, CHUNK)]
    results = _here(seed, chunks) if processes == 1 else _spread(seed, chunks, processes)
    total = Checked()
    show("programs", 0, count)
    for (_, end), result in zip(chunks, results, strict=False):
        total.figures.update(result.figures)
        total.broken += result.broken
        total.seen += result.seen
        show("programs", end, count)
    merges = _check_merges(seed, total.seen)
    broken = [*total.broken, *merges.broken]
    names = ("programs", "valid programs", *sorted(set(total.figures) - {"programs", "valid programs"}))
    figures: list[tuple[str, int | float | str]] = [(name, total.figures[name]) for name in names]
    figures += [*merges.figures.items(), ("broken promises", len(broken))]
    figures += [("interpreters", ", ".join(interpreters())), ("one simplified in", SIMPLIFIED_EVERY)]
    return Report(tuple(figures), tuple(broken[:SHOWN]))


def interpreters() -> tuple[str, ...]:
    """Those that run one program at a time on this machine; without a C compiler there is one less."""
    try:
        choose("native")
    except NoCompilerError:
        return ("xla",)
    return ("native", "xla")


# ---------------------------------------------------------------- processes

_started: MutableSequence[int] | None = None
"""Where a process writes which program of a chunk it has come to; the one that waits reads it."""


def _here(seed: int, chunks: Iterable[tuple[int, int]]) -> Iterator[Checked]:
    for number, (begin, end) in enumerate(chunks):
        yield _check_chunk(seed, number, begin, end)


def _spread(seed: int, chunks: list[tuple[int, int]], processes: int) -> Iterator[Checked]:
    """Chunks in order, checked by processes; when one of them dies, the rest is left undone."""
    context = multiprocessing.get_context("spawn")
    started = context.Array("q", [-1] * len(chunks), lock=False)
    with ProcessPoolExecutor(processes, context, _begin_process, (started,)) as pool:
        futures = [pool.submit(_check_chunk, seed, k, *chunk) for k, chunk in enumerate(chunks)]
        for number, future in enumerate(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                unfinished = [f.exception() is not None for f in futures]
                at = [started[k] for k, lost in enumerate(unfinished) if lost and started[k] >= 0]
                texts = " or ".join(_sentence(program_at(seed, index), "") for index in at)
                yield Checked(broken=[f"a process died, or hung for {HARD_SECONDS:.0f} s, at {texts}"])
                left = len(chunks) - number
                yield Checked(broken=[f"the last {left} chunks of {CHUNK} programs were not all checked"])
                return


def _begin_process(started: MutableSequence[int]) -> None:
    global _started
    _started = started
    keep_compilations()


@contextmanager
def _watched(seconds: float) -> Iterator[None]:
    """Raise `HangError` here after so many seconds; only a process's first thread can do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again, as it may be ignored inside a callback
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- a chunk


def _check_chunk(seed: int, number: int, begin: int, end: int) -> Checked:
    """Everything that can be said of programs without looking at other chunks."""
    checked = Checked()
    alone = Interpreters(interpreters())
    execution = AbstractExecution(MEMO)
    valid: list[Fuzzed] = []
    together: list[tuple[Fuzzed, list[Step]]] = []
    for index in range(begin, end):
        if _started is not None:
            _started[number] = index
            faulthandler.dump_traceback_later(HARD_SECONDS, exit=True)
        program = program_at(seed, index)
        steps = _check_one(program, execution, alone, checked)
        if steps:
            valid.append(program)
            together.append((program, steps))
        if len(together) == TOGETHER or (index == end - 1 and together):
            _guarded(checked, together[-1][0], partial(_check_together, alone, together, checked))
            together = []
    for name in alone.names:
        if _started is not None:
            faulthandler.dump_traceback_later(HARD_SECONDS, exit=True)
        complaints_of = partial(check_scores, name, valid)
        _guarded_pairs(checked, valid, complaints_of, SECONDS * 4)
        checked.figures["programs scored twice"] += len(valid)
    if _started is not None:
        faulthandler.cancel_dump_traceback_later()
    return checked


def _check_one(
    program: Fuzzed, execution: AbstractExecution, alone: Interpreters, checked: Checked
) -> list[Step]:
    """All checks of a single program; its first steps if it is valid."""
    statements = program.statements
    checked.figures["programs"] += 1
    _guarded(checked, program, partial(check_text, statements))
    analyses: list[Analysis] = []
    _guarded(checked, program, lambda: analyses.append(analyze(statements)))
    if not analyses:
        return []
    (analysis,) = analyses
    rng = random.Random(f"{program.seed} mutant {program.index}")
    _guarded(checked, program, partial(check_abstract, statements, analysis, execution, rng))
    _guarded(checked, program, partial(check_types, statements, analysis))
    if not analysis.valid:
        return []
    checked.figures["valid programs"] += 1
    _guarded(checked, program, partial(_check_seen, program, analysis, checked))
    if program.index % SIMPLIFIED_EVERY == 0:
        checked.figures["programs simplified"] += 1
        _guarded(checked, program, partial(check_simplifier, statements))
    steps: list[Step] = []
    key = (program.seed, program.index)
    _guarded(checked, program, lambda: steps.extend(steps_of(statements, analysis, key)))
    for name in alone.names:
        _guarded(checked, program, partial(_check_steps, name, alone, steps, checked))
    return steps


def _check_seen(program: Fuzzed, analysis: Analysis, checked: Checked) -> Iterator[str]:
    seen = _seen(program, analysis)
    checked.seen.append(seen)
    yield from check_live(program.statements, Behaviour(seen.behaviour, seen.telling), seen.fingerprint)


def _seen(program: Fuzzed, analysis: Analysis) -> Seen:
    does = behaviour(program.statements, analysis)
    written = blake2b(program_text(live_statements(program.statements)).encode(), digest_size=16).digest()
    fingerprinted = fingerprint(program.statements)
    return Seen(program.index, analysis.hash, does.digest, does.telling, fingerprinted, written)


def _check_steps(name: str, alone: Interpreters, steps: list[Step], checked: Checked) -> Iterator[str]:
    for step in steps:
        yield from complaints(name, step, alone.one(name, step), checked.figures)


def _check_together(
    alone: Interpreters, together: list[tuple[Fuzzed, list[Step]]], checked: Checked
) -> Iterator[str]:
    steps = [step for _, own in together for step in own]
    programs = [program for program, own in together for _ in own]
    for program, step, found in zip(programs, steps, alone.many(steps), strict=True):
        for complaint in complaints("batched", step, found, checked.figures):
            yield f"{complaint}, beside others; it is {_sentence(program, '')}"


def _guarded(checked: Checked, program: Fuzzed, check: Callable[[], Iterable[str] | None]) -> None:
    """Run a check; what it says, an exception and a hang become sentences."""
    _guarded_pairs(checked, [program], lambda: ((program, complaint) for complaint in check() or ()), SECONDS)


def _guarded_pairs(
    checked: Checked,
    programs: list[Fuzzed],
    check: Callable[[], Iterable[tuple[Fuzzed, str]]],
    seconds: float,
) -> None:
    try:
        with _watched(seconds):
            checked.broken += [_sentence(program, complaint) for program, complaint in check()]
    except Exception as error:
        what = f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        checked.broken.append(_sentence(programs[-1], what))
    except HangError:
        checked.broken.append(_sentence(programs[-1], f"a check took more than {seconds:g} s"))


def _sentence(program: Fuzzed, complaint: str) -> str:
    colon = ": " if complaint else ""
    where = f"program {program.index} of seed {program.seed} ({program.source})"
    return f"{where}{colon}{complaint} [{program.text}]"


# ---------------------------------------------------------------- all programs


def _check_merges(seed: int, seen: Iterable[Seen]) -> Checked:
    """Programs of one hash do the same, however far apart they came; and how many hashes do the same."""
    checked = Checked()
    first: dict[str, Seen] = {}
    written: dict[str, set[bytes]] = {}
    for each in seen:
        known = first.setdefault(each.hash, each)
        others = written.setdefault(each.hash, set())
        if others and each.written not in others:
            checked.figures["programs merged with another text"] += 1
        others.add(each.written)
        for what, ours, theirs in (
            ("behaviour", each.behaviour, known.behaviour),
            ("fingerprint", each.fingerprint, known.fingerprint),
        ):
            if ours != theirs:
                one, other = (_sentence(program_at(seed, i), "") for i in (known.index, each.index))
                checked.broken.append(f"false merge: hash {each.hash}, another {what}: {one} and {other}")
    does = Counter(each.behaviour for each in first.values() if each.telling)
    checked.figures["hashes"] = len(first)
    checked.figures["hashes that do nothing finite but zero"] = len(first) - sum(does.values())
    checked.figures["hashes that do what another does"] = sum(does.values()) - len(does)
    return checked
