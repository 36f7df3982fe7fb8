"""Each question, answered the slow way beside it."""

import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from recorded_runs import WARM_SCORE, written_run

from evosearch.errors import RunError
from evosearch.evaluation import Status
from evosearch.inspection import (
    best,
    curves,
    ideas,
    lineage,
    mutation_statistics,
    outcome_statistics,
    primitives_used,
    read_history,
)
from evosearch.inspection.ancestry import ancestor_ids
from evosearch.inspection.live_code import LiveCode
from evosearch.inspection.mutations import Effect
from evosearch.inspection.survey import PRIMITIVES, survey
from evosearch.language import analyze, builtin, parse
from evosearch.language.abstract import live_statements
from evosearch.language.fingerprint import fingerprint
from evosearch.language.program import program_text
from evosearch.records import Row

# ---------------------------------------------------------------- survey


def test_the_first_row_of_a_hash_speaks_for_all_of_them(rows, looked):
    """What the survey says of the first rows is true of all rows."""
    reader = looked.reader
    used: dict[str, int] = {}
    first: dict[int, int] = {}
    for row in rows:
        for live in reader.of_text(row.text, "here"):
            used.setdefault(live.primitive, row.id)
            first.setdefault(live.idea, row.id)
    assert looked.ideas == first
    columns = {
        n: looked.first[looked.uses[:, i]] for i, n in enumerate(PRIMITIVES) if looked.uses[:, i].any()
    }
    assert {name: int(ids[0]) for name, ids in columns.items()} == used


def test_parts_do_not_matter(bred, history, looked):
    assert len(list(bred.iter_batches(["id"]))) > 1
    again = survey(bred, history)
    assert again.ideas == looked.ideas
    assert (again.uses == looked.uses).all()
    assert len(again.first) == history.different


# ---------------------------------------------------------------- best


def test_best_are_distinct_by_behaviour_and_in_order(bred, history, rows):
    found = best(bred, history, 15)
    assert len(found) == 15
    prints = [fingerprint(parse(one.row.text).statements) for one in found]
    assert len(set(prints)) == 15
    assert [one.score for one in found] == sorted(one.score for one in found)
    assert found[0].row.id == history.best_id()
    assert found[0].score == min(row.score for row in rows)
    for one in found:
        assert one.live.statements == live_statements(parse(one.row.text).statements)
        assert one.to_json()["hash"] == one.row.hash.hex()


def row_with(text: str, id_: int, score: float, **more) -> Row:
    """A row of a program, inserted statement by statement."""
    program = parse(text)
    analysis = analyze(program.statements)
    values = {
        "id": id_, "parent": -1, "round": 0, "restart": 0, "mutation": "random", "statement": 0, "before": "",
        "after": "", "invalid": 0, "hash": bytes.fromhex(analysis.hash), "text": str(program),
        "statements": len(program), "live_statements": sum(analysis.live), "cache_hit": False,
        "outcome": "OK" if math.isfinite(score) else "DIVERGED", "score": score, "seeds": 1, "steps": 1,
        "seconds": 0.0,
    }  # fmt: skip
    return Row(**{**values, **more})


def written(*lines: str) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"def train(w, g, m, v, lr):\n{body}\n    return update, m, v\n"


def test_programs_that_behave_alike_count_as_one(tmp_path: Path):
    run = written_run(
        tmp_path / "run",
        [
            row_with(written("update = g * 2.0"), 0, 1.0),
            row_with(written("update = g + g"), 1, 0.5),
            row_with(written("update = g * 3.0"), 2, 0.75),
            row_with(written("update = g * 2.0"), 3, 0.25, seeds=2),
        ],
    )
    found = best(run, read_history(run), 10)
    assert [(one.row.id, one.score, one.seeds, one.alike) for one in found] == [
        (0, 0.25, 2, 1),
        (2, 0.75, 1, 0),
    ]
    assert [one.row.id for one in best(run, read_history(run), 1)] == [0]


def test_no_best_where_nothing_trains(failed):
    assert best(failed, read_history(failed), 5) == []


# ---------------------------------------------------------------- lineage


@pytest.mark.parametrize("id_", [0, 250, 500, 799])
def test_lineage_tells_each_step(bred, history, rows, id_):
    found = lineage(bred, history, id_)
    assert [step.id for step in found.steps] == ancestor_ids(history, id_)
    assert found.start == builtin("adamw")
    assert found.start_score == WARM_SCORE
    assert str(found.end) == rows[id_].text
    for step in found.steps:
        row = rows[step.id]
        parent = rows[row.parent].score if row.parent >= 0 else WARM_SCORE
        assert (step.score, step.before, step.after) == (row.score, row.before, row.after)
        assert (step.statements, step.live_statements) == (row.statements, row.live_statements)
        assert step.changed == bool(history.changed[step.id])
        if step.changed and math.isfinite(row.score) and math.isfinite(parent):
            assert step.difference == row.score - parent
        else:
            assert step.difference is None
        assert step.mattered == (step.changed or step.stays)
    live = [
        s.text
        for s, flag in zip(found.end.statements, analyze(found.end.statements).live, strict=True)
        if flag
    ]
    assert all(step.after in live for step in found.steps if step.stays)
    facts = found.to_json()
    assert facts["mattered"] == sum(step["mattered"] for step in facts["steps"])


def chain(*mutations: tuple[int, str, str, float]) -> list[Row]:
    """Rows, each the child of the one before, from AdamW on: index, before, after, score."""
    statements, rows = builtin("adamw").statements, []
    for id_, (index, before, after, score) in enumerate(mutations):
        new = parse(written(after)).statements if after else ()
        statements = (*statements[:index], *new, *statements[index + bool(before) :])
        kind = "insert" if not before else "modify" if after else "delete"
        rows.append(
            row_with(program_text(statements), id_, score, parent=id_ - 1, mutation=kind, statement=index,
                     before=before, after=after)
        )  # fmt: skip
    return rows


DORMANT = chain(
    (0, "", "t1 = sign(g)", 2.0),  # dead when written
    (0, "", "t2 = sign(w)", 2.0),  # dead for ever
    (3, "m = interp(g, m, 0.9)", "m = interp(t1, m, 0.9)", 1.5),  # brings t1 to life
    (8, "update = update + wd", "", 1.25),
)


def test_a_step_that_came_to_life_later_mattered(tmp_path: Path):
    run = written_run(tmp_path / "run", DORMANT)
    found = lineage(run, read_history(run), 3)
    assert [(s.changed, s.stays, s.mattered) for s in found.steps] == [
        (False, True, True),
        (False, False, False),
        (True, True, True),
        (True, False, True),
    ]
    assert [step.difference for step in found.steps] == [None, None, -0.5, -0.25]
    assert [step.id for step in found.mattered] == [0, 2, 3]
    diff = found.diff()
    assert "-    update = update + wd" in diff
    assert "+    t1 = sign(g)" in diff
    assert not any("t2" in line for line in diff)


def test_lineage_of_a_program_drawn_at_random_is_itself(drawn):
    history = read_history(drawn)
    found = lineage(drawn, history, 5)
    (step,) = found.steps
    assert (step.id, step.mutation, step.stays, found.start) == (5, "random", True, None)
    assert all(line[0] in "-+@ " for line in found.diff())


# ---------------------------------------------------------------- ideas


def test_ideas_know_who_wrote_them_and_who_made_them_live(tmp_path: Path):
    run = written_run(tmp_path / "run", DORMANT)
    history = read_history(run)
    found = {idea.text: idea for idea in ideas(run, history, survey(run, history), 3)}
    sign = found["t1 = sign(g)"]
    assert (sign.first, sign.written, sign.alive) == (2, 0, 2)
    assert (sign.score, sign.difference, sign.first_score) == (1.5, -0.5, 1.5)
    square = found["g2 = square(g)"]
    assert (square.first, square.written, square.alive, square.difference) == (-1, -1, -1, None)
    assert "t2 = sign(w)" not in found
    assert not any(idea.constant for idea in found.values())


@pytest.mark.parametrize("id_", [13, 444, 799])
def test_ideas_beside_the_slow_way(bred, history, rows, looked, id_):
    found = ideas(bred, history, looked, id_)
    statements = parse(rows[id_].text).statements
    assert [i.statement for i in found] == [n for n, live in enumerate(analyze(statements).live) if live]
    ways = [-1, *ancestor_ids(history, id_)]
    reader = looked.reader
    numbers = {live.statement: live.idea for live in reader.of(statements)}
    warm = {live.idea for live in reader.of(builtin("adamw").statements)}
    for idea in found:
        assert statements[idea.statement].text == idea.text
        assert idea.written in ways
        assert ways.index(idea.written) <= ways.index(idea.alive)
        assert idea.constant == (idea.statement not in numbers)
        if not idea.constant:
            number = numbers[idea.statement]
            seen = (r.id for r in rows if number in {x.idea for x in reader.of_text(r.text, "")})
            assert idea.first == (-1 if number in warm else next(seen))
            assert idea.first <= id_


# ---------------------------------------------------------------- mutations


def effect_of(row: Row, rows: list[Row], warm: bytes) -> Effect:
    parent = rows[row.parent] if row.parent >= 0 else None
    before = parent.score if parent else WARM_SCORE
    if row.hash == (parent.hash if parent else warm):
        return Effect.NEUTRAL
    if not math.isfinite(row.score):
        return Effect.FAILED
    return Effect.BETTER if row.score < before else Effect.WORSE if row.score > before else Effect.SAME


def test_mutations_beside_the_slow_way(history, rows):
    found = mutation_statistics(history)
    warm = bytes.fromhex(analyze(builtin("adamw").statements).hash)
    counts = Counter((row.mutation, effect_of(row, rows, warm)) for row in rows)
    parents = {row.parent for row in rows}
    assert {kind.name for kind in found.kinds} == {"insert", "modify", "delete"}
    for kind in found.kinds:
        mine = [row for row in rows if row.mutation == kind.name]
        assert kind.programs == len(mine) == sum(kind.effects.values())
        assert kind.effects == {e.name: counts[kind.name, e] for e in Effect}
        assert kind.accepted == sum(row.id in parents for row in mine)
        assert kind.harmful == counts[kind.name, Effect.WORSE] + counts[kind.name, Effect.FAILED]
    best_yet, records = WARM_SCORE, 0
    for row in rows:
        records += row.score < best_yet
        best_yet = min(best_yet, row.score)
    assert found.total.records == records == sum(effect.records for effect in found.effects)
    assert [effect.programs for effect in found.effects] == [found.total.effects[e.name] for e in Effect]
    assert sum(effect.accepted for effect in found.effects) == found.total.accepted
    assert found.invalid == sum(row.invalid for row in rows)
    assert all(
        found.total.effects[e.name] for e in (Effect.NEUTRAL, Effect.BETTER, Effect.WORSE, Effect.FAILED)
    )
    assert found.to_json()["all"]["harmful"] == found.total.harmful


def test_another_hash_with_the_same_score(tmp_path: Path):
    run = written_run(
        tmp_path / "run", chain((5, "wd = w * 0.01", "wd = w * 0.02", 2.0), (0, "", "t1 = sign(g)", 2.0))
    )
    effects = mutation_statistics(read_history(run)).total.effects
    assert effects == {"NEUTRAL": 1, "BETTER": 0, "SAME": 1, "WORSE": 0, "FAILED": 0}


def test_programs_drawn_at_random_have_no_mutations(drawn):
    with pytest.raises(RunError, match=r"every program of .* was drawn at random .*: there are no mutations"):
        mutation_statistics(read_history(drawn))


# ---------------------------------------------------------------- primitives, outcomes, curves


def test_primitives_beside_the_slow_way(history, rows, looked):
    found = primitives_used(history, looked, good=30)
    reader = LiveCode()
    firsts = {row.hash: row for row in reversed(rows)}
    used = {h: {x.primitive for x in reader.of_text(row.text, "")} for h, row in firsts.items()}
    good = [rows[id_].hash for id_ in history.ranked()[:30]]
    names = {name for uses in used.values() for name in uses}
    assert {use.name for use in found} == names
    for use in found:
        users = [h for h, uses in used.items() if use.name in uses]
        assert use.programs == len(users)
        assert use.all == len(users) / len(used)
        assert use.good == sum(use.name in used[h] for h in good) / 30
        assert use.ratio == use.good / use.all
        assert math.isclose(use.failed, sum(not math.isfinite(firsts[h].score) for h in users) / len(users))
        warm = use.name in {s.primitive for s in builtin("adamw").statements}
        assert use.warm_start == warm
        assert use.first == (-1 if warm else min(firsts[h].id for h in users))
    assert [use.good for use in found] == sorted((use.good for use in found), reverse=True)


def test_primitives_of_the_good_need_a_good_program(failed):
    history = read_history(failed)
    with pytest.raises(RunError, match="has trained to the end"):
        primitives_used(history, survey(failed, history))


def test_primitives_of_programs_drawn_at_random(drawn):
    history = read_history(drawn)
    assert {use.warm_start for use in primitives_used(history, survey(drawn, history))} == {None}


def test_outcomes_beside_the_slow_way(bred, history, rows):
    found = outcome_statistics(bred, history)
    ended = Counter(bred.evaluations()["status"].to_pylist())
    assert {row.status: row.evaluations for row in found.reasons} == dict(ended)
    assert {row.status: row.programs for row in found.reasons} == dict(Counter(row.outcome for row in rows))
    assert [row.reason for row in found.reasons] == [s.value for s in Status if s.name in ended]
    assert len(ended) == 4
    assert found.total.evaluations == sum(ended.values())
    assert found.total.steps == sum(row.steps for row in rows)
    assert math.isclose(found.total.seconds, sum(row.seconds for row in rows))
    assert math.isclose(sum(row.share for row in found.reasons), 1.0)
    assert found.to_json()["all"] == asdict(found.total)


def test_a_run_that_evaluated_nothing_has_no_outcomes(tmp_path: Path):
    run = written_run(tmp_path / "run", DORMANT)
    found = outcome_statistics(run, read_history(run))
    assert (found.total.evaluations, found.total.share) == (0, 0.0)


def test_curves_beside_the_slow_way(history, rows):
    found = curves(history, points=7)
    ends = found.progress.astype(int).tolist()
    assert ends[-1] == 800
    for begin, end, place in zip([0, *ends], ends, range(7), strict=False):
        piece = rows[begin:end]
        trained = [row.score for row in piece if math.isfinite(row.score)]
        total = sum(row.statements for row in piece)
        assert math.isclose(found.cache_hits[place], sum(row.cache_hit for row in piece) / len(piece))
        assert math.isclose(found.redundancy[place], 1 - sum(row.live_statements for row in piece) / total)
        assert math.isclose(found.statements[place], total / len(piece))
        assert math.isclose(found.median[place], float(np.median(trained)))
        assert found.best[place] == min(row.score for row in rows[:end])
    assert np.allclose(sum(found.effects.values()), 1.0)
    assert len(found.tenths) == 10
    assert found.tenths[-1]["best_score"] == found.best[-1]
    assert found.tenths[0]["programs"] == 80.0


def test_curves_of_few_programs_have_no_tenths(tmp_path: Path):
    found = curves(read_history(written_run(tmp_path / "run", DORMANT)))
    assert found.tenths == []
    assert found.progress.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_curves_where_nothing_trains_have_no_median(failed):
    tenths = curves(read_history(failed)).tenths
    assert [tenth["median_score"] for tenth in tenths] == [None] * 10
    assert {tenth["best_score"] for tenth in tenths} == {math.inf}


def test_curves_of_programs_drawn_at_random_have_no_effects(drawn):
    assert curves(read_history(drawn)).effects == {}
