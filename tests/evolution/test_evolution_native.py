"""The native engine tells the history of the Python one, to the last digit, whatever the rules."""

import ctypes
import gc
import random
import subprocess
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evolution_fakes import ADAMW, EVEN, MUTATION, Drive, World, hash_of, make_rules

from evosearch.c_library import NoCompilerError, compiler
from evosearch.errors import SearchError
from evosearch.evaluation import Outcome, Status
from evosearch.evolution import (
    Budget,
    Child,
    Engine,
    HurdleRules,
    NativeEngine,
    Restarts,
    Rules,
    SeedRules,
    ToEvaluate,
    make,
    make_engine,
)
from evosearch.evolution.native import tables
from evosearch.language import Constant, Program, Statement, analyze, builtin, builtin_names, parse
from evosearch.language.mutation import ConstantRules
from evosearch.language.program import Statements, constant_text
from evosearch.language.vocabulary import vocabulary
from evosearch.records.columns import Columns
from evosearch.records.parts import columns_table
from evosearch.search.run import row_of

POOL = tuple(range(6))
GOOD = Outcome(Status.OK, (((1.0,), (1.0,)),), (((), ()),))
CONSTANTS = replace(MUTATION, weights=(("modify", 1.0),), constants_only=True)
ACCUMULATING = SeedRules("accumulating", (POOL,), start=1, most=6, penalty=0.15)

CASES: dict[str, tuple[dict[str, Any], World]] = {
    "plain": ({"budget": Budget(programs=1500)}, World()),
    "no lag": ({"lag": 1, "population": 1, "tournament": 1}, World()),
    "long lag": ({"lag": 90, "population": 3, "tournament": 7}, World()),
    "small cache": ({"cache": 20, "budget": Budget(programs=1500)}, World()),
    "random": ({"method": "random"}, World()),
    "constants": ({"mutation": CONSTANTS, "method": "constants"}, World()),
    "hurdles": (
        {"hurdles": HurdleRules(2, 0.5, 0.05, seeds=True), "budget": Budget(programs=1500)},
        World(hurdles=2),
    ),
    "several tasks": (
        {"seeds": SeedRules("fixed", ((0, 1), (5, 9))), "hurdles": HurdleRules(1, 0.7, 0.0, seeds=True)},
        World(hurdles=1, factors=2),
    ),
    "fresh": ({"seeds": SeedRules("fresh", (POOL,), start=2)}, World()),
    "accumulating": ({"seeds": ACCUMULATING, "factor_slack": 0.1}, World(factors=3, unlucky=0.05)),
    "accumulating, small cache": (
        {"seeds": ACCUMULATING, "cache": 30, "budget": Budget(programs=1500), "population": 60},
        World(unlucky=0.1),
    ),
    "fingerprint": ({"fingerprint": True}, World()),
    "fingerprint, small cache": (
        {"fingerprint": True, "cache": 15, "seeds": ACCUMULATING, "budget": Budget(programs=900)},
        World(),
    ),
    "restarts": ({"restarts": Restarts(3, 2, 100), "budget": Budget(programs=550)}, World()),
    "restarts from a program that only the population keeps": (
        {
            **{"restarts": Restarts(9, 1, 60), "budget": Budget(programs=900), "cache": 2},
            **{"population": 200, "lag": 4, "seeds": ACCUMULATING},
        },
        World(unlucky=0.05),
    ),
    "patience": ({"restarts": Restarts(4, 2, None, 60), "budget": Budget(programs=2000)}, World()),
    "to the last run": ({"restarts": Restarts(2, 2, 80, 50), "budget": Budget()}, World()),
    "evaluations": ({"budget": Budget(evaluations=100)}, World()),
    "steps": ({"budget": Budget(steps=3000)}, World()),
    "short programs": ({"mutation": replace(MUTATION, max_statements=11)}, World()),
    "all primitives": ({"mutation": replace(MUTATION, primitives=vocabulary("all"))}, World()),
    "mostly inserts": (
        {"mutation": replace(MUTATION, weights=(("insert", 8.0), ("delete", 1.0)), max_statements=60)},
        World(failing=0.0),
    ),
    "wild constants": (
        {"mutation": replace(MUTATION, constants=ConstantRules(0.8, 1e-30, 0.9, 40.0)), "seed": 2**31 - 1},
        World(),
    ),
}


class Native:
    """A native engine, driven as `Drive` drives the other."""

    def __init__(self, rules: Rules, world: World, warm_start: Statements = ADAMW) -> None:
        self.world = world
        self.rows: list[dict[str, Any]] = []
        self.children: list[ToEvaluate] = []
        baseline = world.outcome(hash_of(warm_start), rules.seeds.pools)
        self.engine = NativeEngine(rules, warm_start, baseline, self._take)

    def _take(self, columns: Columns) -> None:
        assert columns.first == len(self.rows)
        self.rows += columns_table(columns).to_pylist()
        assert len(self.rows) == columns.first + columns.count

    def run(self, order: random.Random | None = None) -> None:
        """To the end; outcomes are told at once, or in any order."""
        untold: list[ToEvaluate] = []
        while not self.engine.finished:
            child = self.engine.ask()
            if child is not None:
                self.children.append(child)
                untold.append(child)
            if order is not None:
                order.shuffle(untold)
            while untold and (order is None or child is None or order.random() < 0.3):
                ready = untold.pop()
                self.engine.tell(ready.id, self.world.outcome(ready.hash, ready.request.seeds))
        self.engine.hand_over()


def facts(child: Child | ToEvaluate) -> tuple[object, ...]:
    """All that is said of a child that is to be evaluated; the rest is in its row."""
    return tuple(getattr(child, name) for name in ToEvaluate._fields if name != "known")


def agree(rules: Rules, world: World, warm_start: Statements = ADAMW, order: int | None = None) -> Native:
    drive = Drive(rules, world, warm_start)
    drive.run()
    native = Native(rules, world, warm_start)
    native.run(None if order is None else random.Random(order))
    assert native.rows == [row_of(absorbed)._asdict() for absorbed in drive.rows]
    expected = [facts(child) for child in drive.children if child.request is not None]
    assert [facts(child) for child in native.children] == expected
    assert native.engine.counts == drive.engine.counts
    assert (native.engine.round, native.engine.restart) == (drive.engine.round, drive.engine.restart)
    ours, theirs = (
        [(one.id, one.statements, one.known.fitness, one.known.count) for one in engine.leaders()]
        for engine in (native.engine, drive.engine)
    )
    assert ours == theirs
    return native


@pytest.mark.parametrize("name", CASES)
def test_both_engines_tell_the_same_history(name: str) -> None:
    changes, world = CASES[name]
    native = agree(make_rules(**changes), world)
    assert len({row["hash"] for row in native.rows}) > 20


@pytest.mark.parametrize("seed", range(12))
def test_the_same_for_rules_drawn_at_random(seed: int) -> None:
    rng = random.Random(seed)
    weights = tuple((kind, rng.choice([0.2, 1.0, 3.0])) for kind, _ in rng.sample(EVEN, rng.randint(2, 3)))
    constants = ConstantRules(rng.random(), 10 ** rng.uniform(-3, 3), rng.random(), rng.uniform(0.1, 9))
    mutation = replace(
        MUTATION, weights=weights, constants=constants, max_statements=rng.choice([12, 25, 40])
    )
    policy = rng.choice(["fixed", "fresh", "accumulating"])
    rules = make_rules(
        seed=rng.randrange(2**31),
        population=rng.choice([1, 5, 20, 60, 200]),
        tournament=rng.randint(1, 5),
        lag=rng.randint(1, 50),
        mutation=mutation,
        restarts=rng.choice([Restarts(), Restarts(2, 2, 150), Restarts(9, 1, None, 40)]),
        budget=Budget(programs=700),
        seeds=SeedRules(policy, (POOL, POOL[1:]), rng.randint(1, 2), rng.randint(2, 5), rng.random() / 5),
        hurdles=rng.choice([HurdleRules(), HurdleRules(2, rng.random(), 0.1, seeds=True)]),
        factor_slack=rng.choice([None, 0.05]),
        cache=rng.choice([2, 5, 30, 20_000]),
        fingerprint=rng.random() < 0.2,
    )
    world = World(factors=2, hurdles=2, failing=rng.random() / 2, unlucky=rng.random() / 5)
    agree(rules, world, order=seed)


@pytest.mark.parametrize("name", builtin_names())
def test_the_same_from_every_shipped_program(name: str) -> None:
    rules = make_rules(budget=Budget(programs=200), mutation=replace(MUTATION, max_statements=40))
    agree(rules, World(failing=0.0), builtin(name).statements)


def test_names_of_a_warm_start_are_kept_and_not_given_twice() -> None:
    text = """\
def train(w, g, m, v, lr):
    t2 = sqrt(g)
    a_rather_long_name_for_a_variable_of_a_warm_start = t2 * 3.25
    t1 = w * -1e-05
    update = a_rather_long_name_for_a_variable_of_a_warm_start + t1
    return update, m, v
"""
    agree(make_rules(), World(failing=0.0), parse(text).statements)


@pytest.mark.parametrize("values", [16, 700])
def test_values_are_forgotten_and_found_again(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for so few that they are renewed all the time, and that the room has to grow."""
    text = tables.source()
    small = tables.load(text.replace("VALUES = 200000", f"VALUES = {values}"))
    assert text != text.replace("VALUES = 200000", "")
    monkeypatch.setattr("evosearch.evolution.native.engine.library", lambda: small)
    agree(make_rules(population=50, budget=Budget(programs=1200), restarts=Restarts(2, 1, 500)), World())


def test_rows_come_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 7)
    agree(make_rules(lag=40), World())


def test_a_search_in_which_everything_is_known_lets_its_driver_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evosearch.evolution.native.engine.AT_ONCE", 5)
    once = parse("def train(w, g, m, v, lr):\n    update = w * 0.5\n    return update, m, v\n").statements
    only = replace(MUTATION, primitives=("get_pi",), weights=EVEN[::2])
    native = Native(make_rules(mutation=only), World(), once)
    idle = 0
    while not native.engine.finished:
        child = native.engine.ask()
        idle += child is None and not native.engine.waits
        if child is not None:
            native.engine.tell(child.id, native.world.outcome(child.hash, child.request.seeds))
    assert idle > 50


# ---------------------------------------------------------------- constants


def texts_of(bits: list[int]) -> list[str]:
    native = Native(make_rules(), World())
    room = ctypes.create_string_buffer(32)
    engine = native.engine
    found = []
    for number in bits:
        size = engine._c.breeder_write_constant(engine._breeder, number, room)
        found.append(room.raw[:size].decode())
    return found


def test_constants_are_written_as_in_python() -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    # Powers of two and their neighbours are where the shortest digits are hardest to find.
    powers = [(exponent << 23) + change for exponent in range(1, 255) for change in (-1, 0, 1)]
    wild = rng.integers(1 << 23, 0x7F800000, 40_000).tolist()
    usual = rng.normal(size=40_000).astype(np.float32).view(np.int32).tolist()
    round_ones = [float(f"{d}e{e}") for d in (1, 2, 9, 1.5, 9.9999) for e in range(-37, 38)]
    short = np.array(round_ones, np.float32).view(np.int32).tolist()
    bits = [n for n in (*powers, *wild, *usual, *short) if n >= 1 << 23]
    signed = np.array([*bits, *[n | -(2**31) for n in bits], 0, -(2**31)], np.int64).astype(np.int32)
    floats = signed.view(np.float32)
    expected = [constant_text(float(number)) for number in floats]
    assert texts_of(signed.tolist()) == expected
    assert (np.array(expected, np.float32).view(np.int32) == signed).all()


# ---------------------------------------------------------------- errors, memory, choice


def test_what_can_not_be_bred_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evosearch.evolution.native.engine.MAX_ATTEMPTS", 200)
    no_constants = parse(
        "def train(w, g, m, v, lr):\n    update = g * lr\n    return update, m, v\n"
    ).statements
    with pytest.raises(SearchError, match=r"^no valid child in 200 mutations; allow more kinds"):
        NativeEngine(make_rules(mutation=CONSTANTS), no_constants, GOOD, print).ask()
    scalars = replace(MUTATION, primitives=("get_pi",), constants=ConstantRules(share=1.0))
    with pytest.raises(SearchError, match=r"^no valid program in 200 random ones; allow more primitives$"):
        NativeEngine(make_rules(method="random", mutation=scalars), ADAMW, GOOD, print).ask()
    huge = replace(MUTATION, constants=ConstantRules(share=1.0, std=1e300))
    with pytest.raises(OverflowError, match=r"lower search\.mutation\.constants\.std$"):
        Native(make_rules(mutation=huge), World()).run()
    with pytest.raises(SearchError, match="the warm start is not a valid program: update is never defined"):
        NativeEngine(make_rules(), (), GOOD, print)


def test_an_engine_that_nobody_needs_is_gone() -> None:
    native = Native(make_rules(), World())
    native.run()
    gone = weakref.ref(native.engine)
    del native
    gc.collect()
    assert gone() is None


def test_without_a_compiler_the_engine_is_the_python_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> ctypes.CDLL:
        raise NoCompilerError("the native engine needs a C compiler, found none")

    make.without_machine_code.cache_clear()
    try:
        assert isinstance(make_engine(make_rules(), ADAMW, GOOD, print, print), NativeEngine)
        make.without_machine_code.cache_clear()
        monkeypatch.setattr(make, "library", missing)
        assert isinstance(make_engine(make_rules(), ADAMW, GOOD, print, print), Engine)
        assert make.without_machine_code() == "the native engine needs a C compiler, found none"
    finally:
        make.without_machine_code.cache_clear()


def test_packed_statements_read_back() -> None:
    program = builtin("program8")
    names = tuple({name: 0 for s in program.statements for name in (s.target, *s.variables)})
    packing = tables.Packing(names)
    packed = packing.pack(program.statements)
    assert len(packed) == len(program) * tables.STATEMENT_BYTES
    assert packing.unpack(packed) == program.statements
    statement = Statement(names[0], "get_pi", ())
    assert packing.unpack(packing.pack((statement,))) == (statement,)
    assert str(Program(packing.unpack(packed))) == str(program)
    assert isinstance(packing.unpack(packed)[0].args[0], str | Constant)
    assert analyze(packing.unpack(packed)).hash == analyze(program.statements).hash


def test_the_text_has_no_warnings() -> None:
    flags = ("-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-x", "c", "-")
    done = subprocess.run(
        [*compiler(), *flags], input=tables.source(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
