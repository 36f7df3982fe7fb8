"""What a funnel found, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evosearch.funnel.stage import Reported, Staged
from evosearch.funnel.verdict import Verdict
from evosearch.study.statistics import Mean, Paired

SCHEMA = 1


@dataclass(frozen=True)
class Funnel:
    """What a funnel found.

    Attributes:
        name: of the funnel.
        sources: where entrants come from.
        stages: in their order; fewer than asked for if one let nobody through.
        reported: baselines and survivors of the last stage on data that no stage has seen.
    """

    name: str
    sources: tuple[str, ...]
    stages: tuple[Staged, ...]
    reported: tuple[Reported, ...]


def funnel_facts(funnel: Funnel) -> dict[str, Any]:
    """All of it; see `json_text` for how it becomes JSON."""
    return {
        "schema": SCHEMA,
        "funnel": funnel.name,
        "sources": list(funnel.sources),
        "stages": [_stage(staged) for staged in funnel.stages],
        "report": [_reported(row) for row in funnel.reported],
    }


def _stage(staged: Staged) -> dict[str, Any]:
    by_name = {verdict.name: verdict for verdict in staged.verdicts}
    return {
        "stage": staged.name,
        "tasks": list(staged.tasks),
        "metrics": list(staged.metrics),
        "trainings": staged.trainings,
        "contest_if_all_had_all_seeds": staged.equal,
        "baselines": [_person(staged, baseline.name) for baseline in staged.baselines],
        "entrants": [
            {
                **_person(staged, entrant.name),
                "source": entrant.source,
                "search_score": entrant.score,
                **_verdict(staged, by_name[entrant.name]),
                "text": entrant.text,
            }
            for entrant in staged.entrants
        ],
        "survivors": [entrant.name for entrant in staged.survivors],
    }


def _person(staged: Staged, name: str) -> dict[str, Any]:
    optima = [staged.settings(name, task) for task in range(len(staged.tasks))]
    return {
        "name": name,
        "seeds": staged.seeds[name],
        "means": [_mean(mean) for mean in staged.means[name]],
        "settings": [[dict(optimum.values) for optimum in of_task] for of_task in optima],
        "at_the_edge": [[list(optimum.edge) for optimum in of_task] for of_task in optima],
        "curves": [list(curve) for curve in staged.curves[name]],
    }


def _verdict(staged: Staged, verdict: Verdict) -> dict[str, Any]:
    return {
        "decision": verdict.decision.name.lower(),
        "promoted": verdict.promoted,
        "reason": verdict.reason,
        "failures": verdict.failures,
        "differences": [asdict(difference) for difference in staged.differences[verdict.name]],
        "rank": verdict.rank,
    }


def _mean(mean: Mean) -> dict[str, Any]:
    return {"mean": mean.mean, "error": mean.error, "failed": mean.failed}


def _reported(row: Reported) -> dict[str, Any]:
    return {
        "name": row.name,
        "means": [_mean(mean) for mean in row.means],
        "differences": {name: _paired(found) for name, found in row.differences.items()},
    }


def _paired(found: Paired | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
