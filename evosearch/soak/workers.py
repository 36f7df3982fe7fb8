"""Workers that are killed, that their candidates take down, and whose nodes come and go; Linux only.

All of it on a Ray cluster of this machine alone.
"""

from __future__ import annotations

import random
from pathlib import Path

from evosearch.evaluation import make_evaluator
from evosearch.soak.cluster import loopback
from evosearch.soak.faulty_candidates import FaultyCase, small_search
from evosearch.soak.killed_workers import MODES, disturb
from evosearch.soak.report import Report, Show, silent
from evosearch.soak.worker_faults import KINDS, Tally

KILLS_PER_SEARCH = 5
ROUNDS_PER_KILLS = 20
"""For so many kills there is one search with faulty candidates."""


def check_workers(folder: Path, count: int, seed: int, show: Show = silent) -> Report:
    """Searches whose workers are killed, and searches some of whose candidates kill or hang their workers.

    Args:
        folder: gets the runs; must not hold earlier ones.
        count: how many times workers are killed.
        seed: of what is disturbed when, and of the searches.
        show: is told how far it is.

    Returns:
        What was done. Promises: the history is that of an undisturbed search in this process; a faulty
        candidate is tried as often as stated and never again, and its process is gone; as many workers end
        up ready as were asked for.

    Example:
        check_workers(Path("soak/workers"), count=1000, seed=1)
    """
    rng = random.Random(seed)
    tally, broken = Tally(), list[str]()
    config = small_search()
    evaluator = make_evaluator(config.plan())
    with loopback() as nodes:
        for number, first in enumerate(range(0, count, KILLS_PER_SEARCH)):
            show("worker kills", first, count)
            last = min(count, first + KILLS_PER_SEARCH)
            modes = [MODES[kill % len(MODES)] for kill in range(first, last)]
            searched = config.model_copy(update={"seed": seed + number})
            where = folder / f"kills-{number}"
            broken += disturb(searched, where, nodes, rng, modes, lambda _: evaluator, tally)
        rounds = max(1, count // ROUNDS_PER_KILLS)
        for number in range(rounds):
            show("faulty candidates", number, rounds)
            searched = config.model_copy(update={"seed": seed + number})
            case = FaultyCase(
                folder / f"faults-{number}",
                searched,
                kinds=tuple(KINDS) if rounds > 1 else ("segfault", "memory", "hang"),
                alone=number % 2 == 0,
                retries=(1, 2, 0)[number % 3],
            )
            broken += case.check(nodes, tally)
    show("worker kills", count, count)
    return Report(tuple(tally.items()), tuple(broken))
