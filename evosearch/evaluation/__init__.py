"""Evaluation: train a proxy task with a program and score it.

Reading order: `outcome` (what comes out), `schedule`, `training` (the one compiled loop), `encode` and
`interpreter` (a program as data), `compiled` (a program traced into JAX), `references` (optax's optimizers),
`evaluator` (jobs in, outcomes out).
"""

from evosearch.evaluation.evaluator import Evaluator, Job, Plan, TaskPlan, Tuned
from evosearch.evaluation.outcome import Outcome, Status, best_factor
from evosearch.evaluation.schedule import Schedule

__all__ = ["Evaluator", "Job", "Outcome", "Plan", "Schedule", "Status", "TaskPlan", "Tuned", "best_factor"]
