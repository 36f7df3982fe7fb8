"""Who computes: pools of workers that take jobs and give back outcomes.

Reading order: `pool` (the interface, and what a failure looks like), `in_process` (the twin without Ray, for
tests and debugging), `worker` (what runs in a worker's process), `pace` (how many jobs make a message),
`ray_pool` (Ray actors; the only module that imports ray, which takes a second, so it is not imported here).
"""

from evosearch.workers.in_process import InProcessPool
from evosearch.workers.pool import EvaluatesJobs, HasWorkers, Pool, Staff

__all__ = ["EvaluatesJobs", "HasWorkers", "InProcessPool", "Pool", "Staff"]
