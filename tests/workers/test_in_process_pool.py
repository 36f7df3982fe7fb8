"""The pool without workers."""

from pathlib import Path

import pytest
from worker_fakes import Fake, fake_plan, job, runs

from evosearch.c_library import NoCompilerError
from evosearch.errors import SearchError
from evosearch.evaluation import Status
from evosearch.workers import InProcessPool
from proxy_tasks import TaskError


def test_one_job_for_each_collect_in_order(tmp_path: Path) -> None:
    with InProcessPool(fake_plan(tmp_path), Fake) as pool:
        assert pool.size == 1
        assert pool.collect() == []
        pool.submit([job(3), job(1)])
        pool.submit([job(2)])
        collected = [pool.collect() for _ in range(4)]
    assert [[(id_, o.status, o.metrics) for id_, o in some] for some in collected] == [
        [(3, Status.OK, (((3.0,),),))],
        [(1, Status.OK, (((1.0,),),))],
        [(2, Status.OK, (((2.0,),),))],
        [],
    ]


def test_a_bug_is_told_with_its_cause(tmp_path: Path) -> None:
    pool = InProcessPool(fake_plan(tmp_path), Fake)
    pool.submit([job(7, "fail")])
    with pytest.raises(
        SearchError, match="the evaluation of job 7 raised ZeroDivisionError: oh dear"
    ) as told:
        pool.collect()
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_a_persons_mistake_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"^task 'fake': expected a text file, found none at 'nowhere'$"):
        InProcessPool(fake_plan(tmp_path, "no_data"), Fake)
    with pytest.raises(NoCompilerError, match=r"^the native interpreter needs a C compiler, found none$"):
        InProcessPool(fake_plan(tmp_path, "no_compiler"), Fake)


def test_a_bug_at_the_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="building the evaluator of a worker raised ZeroDivisionError"):
        InProcessPool(fake_plan(tmp_path, "fail"), Fake)


def test_close_forgets_what_is_queued(tmp_path: Path) -> None:
    with InProcessPool(fake_plan(tmp_path), Fake) as pool:
        pool.submit([job(1)])
    assert pool.collect() == []
    assert runs(tmp_path, 1) == 0
