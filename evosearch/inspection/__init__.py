"""Inspection: what people ask about a run, answered from its record.

Reading order: `history` (a run's columns as arrays, read once), `ancestry` (one program's way from the warm
start, replayed from the mutations), `live_code` (the live code of many programs, quickly). Then one file for
each question: `best` (which programs are best, distinct by behaviour), `lineage` (how one came about, and
which steps mattered), `ideas` (when each of its ideas appeared first), `mutations` (what mutations do),
`primitives_used` (what the good are made of), `outcomes` (how evaluations ended), `curves` (all that over
the run's progress).

Functions take a `History` and give frozen values, whose `to_json` is plain data where it is not obvious:

    run = RunReader("runs/quickstart")
    history = read_history(run)
    steps = lineage(run, history, best(run, history, 1)[0].row.id).mattered
"""

from evosearch.inspection.best import Best, best
from evosearch.inspection.curves import Curves, curves
from evosearch.inspection.history import History, read_history
from evosearch.inspection.ideas import Idea, ideas
from evosearch.inspection.lineage import Lineage, Step, lineage
from evosearch.inspection.mutations import MutationStatistics, mutation_statistics
from evosearch.inspection.outcomes import OutcomeStatistics, outcome_statistics
from evosearch.inspection.primitives_used import PrimitiveUse, primitives_used

__all__ = [
    "Best",
    "Curves",
    "History",
    "Idea",
    "Lineage",
    "MutationStatistics",
    "OutcomeStatistics",
    "PrimitiveUse",
    "Step",
    "best",
    "curves",
    "ideas",
    "lineage",
    "mutation_statistics",
    "outcome_statistics",
    "primitives_used",
    "read_history",
]
