"""Ray actors that take whole batches, one for each GPU; the GPUs are Ray's word for it, there are none."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from batch_fakes import Together
from worker_fakes import fake_plan, job, runs

from evosearch.errors import ConfigError, SearchError
from evosearch.evaluation import Status
from evosearch.workers.ray_pool import RayPool


@pytest.fixture(scope="module", autouse=True)
def ray_with_gpus() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for the fakes
        ray.init(
            "local",
            num_cpus=8,
            num_gpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield
        ray.shutdown()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[RayPool]:
    plan = replace(fake_plan(tmp_path), interpreter="batched", batch=4)
    with RayPool(plan, timeout=2.0, retries=0, evaluator=Together, compile_seconds=0.0) as pool:
        yield pool


def collected(pool: RayPool) -> dict[int, tuple[Status, float | None]]:
    """Status, and how many jobs there were in the call."""
    found: dict[int, tuple[Status, float | None]] = {}
    while some := pool.collect(300):
        found |= {id_: (o.status, o.metrics[0][0][0] if o.metrics else None) for id_, o in some}
    return found


def test_calls_are_full_batches_but_for_the_last(pool: RayPool) -> None:
    assert pool.size == 8  # two GPUs, four at once
    pool.submit([job(i) for i in range(3)])
    assert pool.collect(0.0) == []
    pool.submit([job(i) for i in range(3, 14)])
    found = collected(pool)
    assert sorted(found) == list(range(14))
    sizes = Counter(size for _, size in found.values())
    assert sizes[4.0] == 12
    assert sizes[4.0] + sizes[2.0] + sizes[1.0] == 14


def test_who_takes_a_batch_down_is_found(pool: RayPool, tmp_path: Path) -> None:
    pool.submit([job(0), job(1, "exit"), job(2), job(3)])
    found = collected(pool)
    assert found.pop(1) == (Status.WORKER_LOST, None)
    assert found == dict.fromkeys((0, 2, 3), (Status.OK, 1.0))
    assert runs(tmp_path, 1) == 2


def test_a_bug_names_the_jobs_of_the_call(pool: RayPool) -> None:
    pool.submit([job(0), job(1, "fail"), job(2), job(3)])
    with pytest.raises(
        SearchError, match="the evaluation of jobs 0, 1, 2, 3 raised ZeroDivisionError: oh dear"
    ):
        collected(pool)


def test_more_workers_than_gpus_are_refused(tmp_path: Path) -> None:
    plan = replace(fake_plan(tmp_path), interpreter="batched")
    with pytest.raises(ConfigError, match=r"workers.count: expected auto, or at most 2, .* found 3"):
        RayPool(plan, 3, evaluator=Together)


def test_others_need_no_gpu(tmp_path: Path) -> None:
    with RayPool(replace(fake_plan(tmp_path), interpreter="xla"), 3, evaluator=Together) as pool:
        assert pool.size == 3
        assert ray.available_resources()["GPU"] == 2
