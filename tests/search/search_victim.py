"""A search in a process of its own, made to be killed: python search_victim.py CONFIG RUN."""

import sys
from pathlib import Path

from evosearch.runtime import one_thread_each

one_thread_each()

from search_fakes import Pretend  # noqa: E402

from evosearch.search import run  # noqa: E402
from evosearch.search.config import load_config  # noqa: E402
from evosearch.workers import InProcessPool  # noqa: E402

if __name__ == "__main__":
    Pretend.delay = 0.003
    run.SYNC_SECONDS = 0.01
    run.FLUSH_SECONDS = 0.1
    run.make_pool = lambda config, plan: InProcessPool(plan, Pretend)
    folder = Path(sys.argv[2])
    run.run_search(load_config(Path(sys.argv[1])), folder, resume=(folder / "config.yaml").exists())
