"""An evaluator that trains nothing: outcomes follow from the program alone."""

import os
import time
from hashlib import blake2b
from pathlib import Path

import ray

from evosearch.evaluation import Job, Outcome, Plan, Status, Tuned
from evosearch.language.program import program_text

NODES = "EVOSEARCH_TEST_NODES"
"""The variable that names a folder; it gets a file for each Ray node that has a worker."""


class Waits:
    def __init__(self, plan: Plan) -> None:
        if ray.is_initialized():
            (Path(os.environ[NODES]) / ray.get_runtime_context().get_node_id()).touch()

    def evaluate(self, job: Job) -> Outcome:
        assert not isinstance(job.candidate, Tuned)
        # For as long as the score says, so that outcomes come in another order than jobs went out.
        luck = blake2b(program_text(job.candidate).encode(), digest_size=1).digest()[0] / 256
        time.sleep(0.002 * luck)
        if luck < 0.05 and job.id >= 0:
            return Outcome(Status.DIVERGED, (), tuple(() for _ in job.seeds), 7)
        metrics = tuple(tuple((0.9 + luck + 0.01 * seed,) for seed in seeds) for seeds in job.seeds)
        hurdles = tuple(tuple(() for _ in seeds) for seeds in job.seeds)
        return Outcome(Status.OK, metrics, hurdles, 10 * sum(map(len, job.seeds)), 0.001)
