"""Every task teaches: tuned AdamW beats a guess, and itself with a tenth of the steps, tuned as hard.

The figures are those of `evosearch tune`; see docs/tasks.md for the commands.
"""

from functools import cache
from pathlib import Path

import pytest

from evosearch.study.statistics import paired
from evosearch.study.tuned import TunedRecord, read_tuned, shipped_file
from proxy_tasks import TASKS, build

ONE_TENTH = Path(__file__).parents[2] / "docs" / "data" / "one_tenth.json"


@cache
def tuned(path: Path, task: str) -> TunedRecord:
    """AdamW's first tuning on a tiny task; in the shipped file, at its own number of steps."""
    found = [r for r in read_tuned(path) if (r.task, r.reference, r.repeat) == (task, "adamw", 0)]
    return next(r for r in found if path == ONE_TENTH or not r.knobs)


@pytest.mark.parametrize("task", TASKS)
def test_tuned_adamw_beats_itself_with_a_tenth_of_the_steps(task: str):
    full, tenth = tuned(shipped_file(), task), tuned(ONE_TENTH, task)
    assert full.steps == 10 * tenth.steps
    assert full.settings == tenth.settings
    found = paired(full.report.scores, tenth.report.scores)
    assert found is not None
    assert found.pairs >= 15
    assert found.interval[1] < 0


@pytest.mark.parametrize("task", TASKS)
def test_tuned_adamw_beats_a_guess_by_far(task: str):
    full = tuned(shipped_file(), task)
    assert full.report.mean is not None
    assert full.report.mean < 0.6 * build(task).chance
