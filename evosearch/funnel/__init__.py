"""The funnel: which of many programs really are better.

Reading order: `rules` (what a stage asks: `Better` than baselines, or the `Best` few), `bounds` (how surely,
at each look), `differences` (paired scores as relative differences), `decide` (what is promoted or given up
at a look), `verdict` (what people read), `plan` (a stage and its state), `looks` (one look at a stage),
`allocation` (which seeds are wanted next), `truths` and `simulation` (error rates, power and cost where the
truth is known).

So far all is pure logic. What trains: `config` (the YAML), `entrants` (who goes in), `contest` (tuning, and
the trainings that are compared), `stage` (one stage from its first look to its report), `run` (all stages, in
a folder), `result` (what they found, as plain data); and beside them `overfitting` (the best program so far
along searches, on a larger task).

No score of a search comes in: a stage knows the scores that it asked for, no others.
"""

from evosearch.funnel.allocation import begin, finished, resumed, told, verdicts, wanted
from evosearch.funnel.plan import Allocation, Score, State, Wanted, usual_looks
from evosearch.funnel.rules import CONTROLS, Best, Better, Failures
from evosearch.funnel.verdict import Decision, Difference, Verdict

__all__ = [
    "CONTROLS",
    "Allocation",
    "Best",
    "Better",
    "Decision",
    "Difference",
    "Failures",
    "Score",
    "State",
    "Verdict",
    "Wanted",
    "begin",
    "finished",
    "resumed",
    "told",
    "usual_looks",
    "verdicts",
    "wanted",
]
