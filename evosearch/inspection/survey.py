"""One look at the live code of every different program of a run, for all who ask what stands in it.

Programs of one hash have the same live code up to names, slots and constant expressions, so the first row of
each hash speaks for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evosearch.inspection.history import History, Ints
from evosearch.inspection.live_code import LiveCode
from evosearch.records import RunReader
from primitives import TABLE

PRIMITIVES = tuple(row.name for row in TABLE)


@dataclass(frozen=True)
class Survey:
    """What stands in live code.

    Attributes:
        first: (different,) the first id of each different hash, ascending.
        uses: (different, primitives) whether a live statement that depends on an input uses the primitive.
        ideas: for each idea the first id in whose live code it stands.
        reader: that numbered the ideas.
    """

    first: Ints
    uses: NDArray[np.bool_]
    ideas: dict[int, int]
    reader: LiveCode


def survey(run: RunReader, history: History) -> Survey:
    """Look at every different program of a run.

    Raises:
        RunError: a program is not as evosearch prints it.
    """
    place = {name: index for index, name in enumerate(PRIMITIVES)}
    reader, ideas = LiveCode(), dict[int, int]()
    first = np.sort(history.first_rows)
    uses = np.zeros((len(first), len(PRIMITIVES)), dtype=np.bool_)
    begin = row = 0
    for batch in run.iter_batches(["text"]):
        end = begin + len(batch)
        ids = first[np.searchsorted(first, begin) : np.searchsorted(first, end)]
        texts = batch.column(0).take(ids - begin).to_pylist() if len(ids) else []
        for id_, text in zip(ids.tolist(), texts, strict=True):
            for live in reader.of_text(text, f"{history.run}:{id_}"):
                uses[row, place[live.primitive]] = True
                ideas.setdefault(live.idea, id_)
            row += 1
        begin = end
    return Survey(first, uses, ideas, reader)
