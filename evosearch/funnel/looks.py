"""One look at a stage: what its scores say of each candidate, and whom the budget gives the next look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evosearch.errors import StudyError
from evosearch.funnel.decide import decide, interval, mean_ranks
from evosearch.funnel.differences import Summary, failures, summary
from evosearch.funnel.plan import State
from evosearch.funnel.rules import Best, Better
from evosearch.funnel.verdict import Decision, Difference, Finding
from evosearch.study.sequential import Numbers


def looked(state: State) -> State:
    """The stage after a look that has all it wanted.

    Raises:
        StudyError: a baseline whose mean metric is not above 0.
    """
    rule = state.plan.rule
    findings = _tested(state, rule) if isinstance(rule, Better) else _ranked(state, rule)
    return replace(state, findings=findings, look=state.look + 1)


def _metrics(state: State, names: Sequence[str]) -> Numbers:
    """(names, tasks, seeds) of the look."""
    seeds = range(state.plan.looks[state.look])
    rows = [[state.scores[name, seed] for seed in seeds] for name in names]
    return np.asarray(rows, np.float64).reshape(len(names), len(seeds), len(state.plan.tasks)).swapaxes(1, 2)


def _tested(state: State, rule: Better) -> tuple[Finding, ...]:
    plan, going = state.plan, np.array([name in state.going for name in state.names])
    found = _measured(state, going)
    before = np.array([finding.decision is Decision.PROMOTED for finding in state.findings])
    look = decide(rule, plan.looks, found, going, before, plan.failures.allowed(plan.looks[-1]))
    on = {name for name, goes in zip(state.names, going & ~look.over, strict=True) if goes}
    paid = _paid(state, on, found)
    low, high = interval(rule, plan.looks, found, going)

    def finding(k: int) -> Finding:
        if not going[k]:
            return state.findings[k]
        columns = (values[:, k].tolist() for values in (found.mean, low, high))
        versus = tuple(map(Difference, plan.baselines, *columns))
        masks = {
            Decision.PROMOTED: look.promoted[k],
            Decision.FAILED: look.failed[k],
            Decision.WORSE: look.worse[k],
            Decision.HOPELESS: look.hopeless[k],
            Decision.UNSETTLED: found.seeds == plan.looks[-1],
            Decision.UNPAID: state.names[k] not in paid,
            Decision.RUNNING: True,
        }
        decision = next(decision for decision, holds in masks.items() if holds)
        return Finding(decision, found.seeds, int(found.failures[k]), versus)

    return tuple(finding(k) for k in range(len(state.names)))


def _measured(state: State, going: NDArray[np.bool_]) -> Summary:
    """Differences of those who are going; the columns of the others hold NaN."""
    plan, count = state.plan, len(state.names)
    baselines = _mended(state, _metrics(state, plan.baselines))
    for name, means in zip(plan.baselines, baselines.mean(axis=-1), strict=True):
        for task, mean in zip(plan.tasks, means, strict=True):
            if not mean > 0:
                raise StudyError(
                    f"expected a mean metric above 0 of baseline {name!r} on task {task!r}, found {mean:g}; "
                    f"differences are shares of it, so that this task can't decide"
                )
    part = summary(_metrics(state, state.going), baselines, plan.failures.loss)
    columns = []
    for values in (part.mean, part.error, part.skew):
        whole = np.full((len(plan.baselines), count), math.nan)
        whole[:, going] = values
        columns.append(whole)
    failed = np.zeros(count, np.int64)
    failed[going] = part.failures
    return Summary(columns[0], columns[1], columns[2], failed, part.seeds)


def _mended(state: State, metrics: Numbers) -> Numbers:
    """Baselines' metrics with a few failed trainings as if they had given the mean: no one gains by them.

    Raises:
        StudyError: a baseline that fails on more seeds than a candidate may, and than a tenth.
    """
    plan, failed = state.plan, ~np.isfinite(metrics)
    allowed = max(1, plan.failures.allowed(plan.looks[-1]), int(plan.failures.share * metrics.shape[-1]))
    for name, of_name in zip(plan.baselines, failed, strict=True):
        for task, count in zip(plan.tasks, of_name.sum(axis=-1), strict=True):
            if count > allowed:
                raise StudyError(
                    f"baseline {name!r} failed on {count} of {metrics.shape[-1]} seeds of task {task!r}, so "
                    "that nothing can be compared with it there; tune it with more settings or finalists, or "
                    "name another baseline"
                )
    means = np.where(failed, 0.0, metrics).sum(axis=-1, keepdims=True) / np.maximum(
        (~failed).sum(axis=-1, keepdims=True), 1
    )
    return np.where(failed, means, metrics)


def _affordable(state: State, candidates: int) -> int:
    """How many of the candidates the budget gives the next look."""
    plan = state.plan
    if plan.budget is None or state.look + 1 == len(plan.looks):
        return candidates
    step = (plan.looks[state.look + 1] - plan.looks[state.look]) * len(plan.tasks)
    pays = (plan.budget - state.trainings) // step - len(plan.baselines)
    return max(0, min(candidates, pays))


def _paid(state: State, on: set[str], found: Summary) -> frozenset[str]:
    """Who of those who are open is given the next look."""
    worst = dict(zip(state.names, found.mean.max(axis=0).tolist(), strict=True))
    best_first = sorted(on, key=lambda name: (worst[name], name))
    return frozenset(best_first[: _affordable(state, len(on))])


def _ranked(state: State, rule: Best) -> tuple[Finding, ...]:
    """Successive halving: the better part by mean rank goes on, and at the end so many are promoted."""
    plan, seeds = state.plan, state.plan.looks[state.look]
    metrics = _metrics(state, state.going)
    ranks = dict(zip(state.going, mean_ranks(metrics).tolist(), strict=True))
    failed = dict(zip(state.going, failures(metrics).tolist(), strict=True))
    allowed = plan.failures.allowed(plan.looks[-1])
    sound = sorted((n for n in state.going if failed[n] <= allowed), key=lambda name: (ranks[name], name))
    keep = rule.kept(len(state.names), state.look + 1, len(plan.looks))
    over = len(sound) <= rule.count or _affordable(state, keep) < rule.count
    keep = rule.count if over else _affordable(state, keep)
    kept, end = set(sound[:keep]), over or keep == rule.count

    def finding(name: str, earlier: Finding) -> Finding:
        if name not in ranks:
            return earlier
        decision = Decision.FAILED if failed[name] > allowed else Decision.OUTRANKED
        if name in kept:
            decision = Decision.PROMOTED if end else Decision.RUNNING
        return Finding(decision, seeds, failed[name], (), ranks[name])

    return tuple(map(finding, state.names, state.findings))
