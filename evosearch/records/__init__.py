"""Records: the folder that a search leaves behind, safe to open, and to go on from after any crash.

A search is a pure function of its YAML and of the outcomes of its evaluations. So a run keeps two things:
outcomes, which can't be computed again for free, and the history that follows from them, for readers. To go
on, the search replays from the beginning and asks the run for the outcomes that it already has; history
that is already on disk is not written again.

    RUN/
    ├── config.yaml                        the search, resolved; written once, and last: it makes a run
    ├── schema.json                        {"schema": 1}, so that an older evosearch says "too new" and stops
    ├── candidates/part-000000000.parquet  a row for each program generated; never rewritten
    ├── evaluations/part-000000000.parquet the outcomes of the same ids; never rewritten
    ├── journal                            outcomes not yet in evaluations/: a line each, with its CRC32
    ├── best.py, summary.json              replaced as a whole
    └── lock                               held (flock) by the one writer

Every file but the journal and the lock is written under another name, synced, renamed, and its folder synced.
A flush writes the evaluations part, then the candidates part of the same name, then a shorter journal. What
a crash between these steps leaves is mended by the next resume: the candidates part decides. An evaluations
part without it is removed, since the journal still has its outcomes; with it, the journal's outcomes of
those ids are dropped.

Reading order: `files` (durable files and the lock), `layout` (names in the folder), `row` (a row of history
and an evaluation, as values), `columns` (many rows at once), `journal`, `parts` (values to Parquet and back),
`gathered` (rows that wait for their part), `outcomes`, `writer`, `reader`. Only `parts`, `gathered` and
`reader` see pyarrow. Nothing here executes or unpickles what it reads.
"""

from evosearch.records.outcomes import OutcomeReader
from evosearch.records.reader import RunReader
from evosearch.records.row import Evaluation, Row
from evosearch.records.writer import RunWriter

__all__ = ["Evaluation", "OutcomeReader", "Row", "RunReader", "RunWriter"]
