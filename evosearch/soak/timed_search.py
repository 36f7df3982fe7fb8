"""A search as `evosearch search` runs it, with fsync timed: python -m evosearch.soak.timed_search."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from evosearch.runtime import one_thread_each

if __name__ == "__main__":
    one_thread_each()  # before JAX is imported

from evosearch.records import files, journal
from evosearch.search.config import load_config
from evosearch.search.run import run_search


class TimedOs:
    """Like `os`; counts calls of fsync and adds up their seconds."""

    def __init__(self) -> None:
        self.calls = 0
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        """See `os.fsync`."""
        begin = time.perf_counter()
        os.fsync(descriptor)
        self.seconds += time.perf_counter() - begin
        self.calls += 1


def main() -> None:
    """Run a search; at its end write what fsync took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("spent", type=Path)
    args = parser.parse_args()
    timed = TimedOs()
    vars(files)["os"] = vars(journal)["os"] = timed
    run_search(load_config(args.config), args.folder)
    args.spent.write_text(json.dumps({"calls": timed.calls, "seconds": timed.seconds}), encoding="utf-8")


if __name__ == "__main__":
    main()
