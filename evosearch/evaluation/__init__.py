"""Evaluation: train a proxy task with a program and score it.

Reading order: `outcome` (what comes out), `schedule`, `rule` (how weights are moved), `training` (the one
compiled loop), `flow` (a program as distinct computations), `native` (as data for machine code), `encode` and
`interpreter` (as data for XLA), `interpreters` (which of them), `compiled` (a program traced into JAX),
`references` (optax's optimizers), `plan` and `evaluator` (jobs in, outcomes out), `batched` (many at once),
`compilations` (kept on disk).
"""

from evosearch.evaluation.batched.evaluator import BatchedEvaluator, make_evaluator
from evosearch.evaluation.evaluator import Evaluator, Job, Tuned
from evosearch.evaluation.interpreters import batch_of
from evosearch.evaluation.outcome import Outcome, Status, best_factor
from evosearch.evaluation.plan import Plan, TaskPlan
from evosearch.evaluation.schedule import Schedule

__all__ = [
    "BatchedEvaluator",
    "Evaluator",
    "Job",
    "Outcome",
    "Plan",
    "Schedule",
    "Status",
    "TaskPlan",
    "Tuned",
    "batch_of",
    "best_factor",
    "make_evaluator",
]
