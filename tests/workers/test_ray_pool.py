"""Ray actors, for real: they are killed, hang, crash and raise.

Ray is started once here, as a user would have done; what needs a Ray of the pool's own is in
`test_ray_pool_processes.py`.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray
from worker_fakes import Fake, fake_plan, job, processes, runs

from evosearch.errors import ConfigError, SearchError
from evosearch.evaluation import Job, Outcome, Plan, Status, TaskPlan, Tuned
from evosearch.language import builtin, builtin_names
from evosearch.workers import InProcessPool, Pool, Staff, ray_pool
from evosearch.workers.ray_pool import RayPool
from proxy_tasks import TaskError


@pytest.fixture(scope="module", autouse=True)
def ray_of_the_user() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for worker_fakes
        ray.init("local", num_cpus=16, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fake")


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[RayPool]:
    """A pool that tests share, so its workers have been through a lot."""
    with RayPool(fake_plan(folder), 2, timeout=2.0, evaluator=Fake, compile_seconds=0.0) as pool:
        yield pool


def all_of(pool: Pool, jobs: list[Job], more: tuple[int, ...] = ()) -> dict[int, Outcome]:
    """The outcomes of these jobs, and of those that were submitted before."""
    pool.submit(jobs)
    found: list[tuple[int, Outcome]] = []
    while some := pool.collect(300):
        found += some
    assert sorted(id_ for id_, _ in found) == sorted([*more, *(j.id for j in jobs)])
    return dict(found)


def wait_until(condition: object, seconds: float = 60.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


# ---------------------------------------------------------------- work


def test_500_jobs_all_come_back_once(pool: RayPool, folder: Path) -> None:
    rng = random.Random(0)
    jobs = [job(1000 + i, "sleep", rng.choice([0.0, 0.0, 0.001, 0.02])) for i in range(500)]
    outcomes = all_of(pool, jobs)
    assert all(o.status is Status.OK and o.metrics == (((id_,),),) for id_, o in outcomes.items())
    assert {runs(folder, j.id) for j in jobs} == {1}
    assert len({processes(folder, j.id)[0] for j in jobs}) == 2


def test_workers_have_one_thread_each(pool: RayPool) -> None:
    assert all_of(pool, [job(1, "one_thread")])[1].ok


def test_nothing_under_way_returns_at_once(pool: RayPool) -> None:
    assert pool.size == 2
    assert pool.collect() == []
    pool.submit([])
    assert pool.collect(None) == []


def test_collect_gives_up_at_its_timeout_and_the_job_goes_on(pool: RayPool) -> None:
    pool.submit([job(2, "sleep", 0.5)])
    assert pool.collect(0.0) == []
    assert pool.collect(0.05) == []
    assert [id_ for id_, _ in pool.collect()] == [2]


def test_submit_while_others_work(pool: RayPool, folder: Path) -> None:
    pool.submit([job(10, "until_told")])
    found = []
    for id_ in range(11, 30):
        pool.submit([job(id_)])
        found += [i for i, _ in pool.collect()]
    assert found == list(range(11, 30))  # no quick job waits for the slow one
    (folder / "told").touch()
    assert [i for i, _ in pool.collect()] == [10]


def test_while_more_jobs_are_expected_idle_workers_get_whole_messages_or_none(folder: Path) -> None:
    def sent(pool: RayPool) -> list[int]:
        return [sum(len(batch.work) for batch in member.sent) for member in pool._members]

    with RayPool(fake_plan(folder), 2, evaluator=Fake) as pool:
        assert wait_until(lambda: pool.collect(0.0) == [] and pool.workers.ready == 2)
        all_of(pool, [job(700 + i, "sleep", 0.05) for i in range(40)])
        wanted = pool._pace.wanted
        assert 2 <= wanted <= 5
        pool.submit([job(800 + i, "sleep", 0.5) for i in range(2 * wanted - 1)])
        assert pool.collect(0.0) == []
        assert sent(pool) == [0, 0]
        pool.submit([job(900, "sleep", 0.5)])
        assert sent(pool) == [wanted, wanted]
        all_of(pool, [], more=(*range(800, 800 + 2 * wanted - 1), 900))
        pool.submit([job(901, "sleep", 0.5)])
        pool.collect(0.01)  # nothing more is expected
        assert sum(sent(pool)) == 1
        assert [id_ for id_, _ in pool.collect()] == [901]


# ---------------------------------------------------------------- faults


def test_a_killed_worker_is_replaced_and_its_job_gets_its_real_outcome(pool: RayPool, folder: Path) -> None:
    pool.submit([job(40, "sleep", 0.6), *[job(id_, "sleep", 0.01) for id_ in range(41, 60)]])
    outcomes: dict[int, Outcome] = {}

    def begun() -> bool:
        outcomes.update(pool.collect(0.01))
        return bool(processes(folder, 40))

    assert wait_until(begun)
    psutil.Process(processes(folder, 40)[0]).kill()
    while some := pool.collect(300):
        outcomes.update(some)
    assert sorted(outcomes) == list(range(40, 60))
    assert all(o.ok for o in outcomes.values())
    assert runs(folder, 40) == 2


def test_a_job_that_takes_its_worker_down_is_lost_alone(pool: RayPool, folder: Path) -> None:
    jobs = [job(id_, "crash" if id_ == 113 else "well") for id_ in range(100, 140)]
    outcomes = all_of(pool, jobs)
    assert {id_ for id_, o in outcomes.items() if not o.ok} == {113}
    assert outcomes[113] == Outcome(Status.WORKER_LOST)
    assert runs(folder, 113) == 3


def test_a_job_that_hangs_is_timed_out_alone(pool: RayPool, folder: Path) -> None:
    jobs = [job(id_, "hang" if id_ == 307 else "well") for id_ in range(300, 330)]
    outcomes = all_of(pool, jobs)
    assert {id_ for id_, o in outcomes.items() if not o.ok} == {307}
    assert outcomes[307].status is Status.TIMED_OUT
    pids = processes(folder, 307)
    assert pids
    assert wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_without_retries_no_innocent_job_is_lost(folder: Path) -> None:
    with RayPool(fake_plan(folder), 1, retries=0, evaluator=Fake) as pool:
        all_of(pool, [job(id_) for id_ in range(400, 420)])  # until batches are large
        jobs = [job(id_, "exit" if id_ == 425 else "well") for id_ in range(420, 440)]
        outcomes = all_of(pool, jobs)
    assert {id_ for id_, o in outcomes.items() if not o.ok} == {425}


def test_a_bug_is_told_with_the_workers_traceback(folder: Path) -> None:
    with RayPool(fake_plan(folder), 1, evaluator=Fake) as pool:
        pool.submit([job(500, "fail")])
        with pytest.raises(
            SearchError, match="the evaluation of job 500 raised ZeroDivisionError: oh dear"
        ) as e:
            pool.collect()
    assert "worker_fakes.py" in str(e.value.__cause__)
    assert runs(folder, 500) == 1
    with pytest.raises(RuntimeError, match="this pool is closed"):
        pool.collect()


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ("no_data", TaskError, "^task 'fake': expected a text file, found none at 'nowhere'$"),
        ("no_compiler", TaskError, "^the native interpreter needs a C compiler, found none$"),
        ("fail", SearchError, "building the evaluator of a worker raised ZeroDivisionError: oh dear"),
        ("exit", SearchError, "workers die while they start, 2 in a row: .* because its worker"),
    ],
)
def test_workers_that_do_not_start_are_told(
    folder: Path, start: str, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "FIRST_STARTS", 2)
    with pytest.raises(error, match=message):
        RayPool(fake_plan(folder, start), 1, evaluator=Fake)


def test_workers_that_are_killed_while_they_start_end_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm = tmp_path / "storm"
    with RayPool(fake_plan(tmp_path, "exit_in_storm"), 2, evaluator=Fake) as pool:
        assert all_of(pool, [job(1)])[1].ok
        monkeypatch.setattr(ray_pool, "FIRST_STARTS", 1)  # no worker may fail before the first is ready
        storm.touch()
        pool.submit([job(2, "exit_in_storm"), job(3, "exit_in_storm")])

        def died() -> list[int]:
            pool.collect(0.05)
            return [member.failed for member in pool._members]

        assert wait_until(lambda: sum(died()) > 1)
        assert pool.workers == Staff(ready=0, asked=2)
        storm.unlink()
        assert {id_: o.ok for id_, o in all_of(pool, [job(4)], more=(2, 3)).items()} == {
            2: True,
            3: True,
            4: True,
        }

        assert wait_until(lambda: died() and pool.workers.ready == 2)
        monkeypatch.setattr(ray_pool, "LATER_STARTS", 1)
        storm.touch()
        pool.submit([job(5, "exit_in_storm")])
        with pytest.raises(SearchError, match="workers die while they start, 1 in a row"):
            all_of(pool, [])


def test_a_count_below_one_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"workers\.count: expected auto, or a number from 1, found 0"):
        RayPool(fake_plan(folder), 0, evaluator=Fake)


def test_close_ends_the_workers_and_leaves_the_users_ray(folder: Path) -> None:
    pool = RayPool(fake_plan(folder), 2, evaluator=Fake)
    pool.submit([job(id_, "hang") for id_ in (600, 601)])
    assert wait_until(lambda: pool.collect(0.01) or all(runs(folder, id_) for id_ in (600, 601)))
    pool.close()
    pool.close()
    pids = processes(folder, 600) + processes(folder, 601)
    assert wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert ray.is_initialized()


# ---------------------------------------------------------------- the same outcomes everywhere


def test_outcomes_do_not_depend_on_who_computes_them() -> None:
    plan = Plan((TaskPlan("char_mlp", (("steps", 20),)),), factors=(1.0, 3.0), hurdles=(0.5,))
    candidates = [builtin(name).statements for name in builtin_names()] + [
        Tuned("lion", (0.01, 0.1, 0.1, 0.1))
    ]
    jobs = [Job(i, candidate, ((0, 1),)) for i, candidate in enumerate(candidates)]

    def outcomes(pool: Pool) -> dict[int, Outcome]:
        with pool:
            return {id_: replace(o, seconds=0.0) for id_, o in all_of(pool, jobs).items()}

    expected = outcomes(InProcessPool(plan))
    assert sum(o.ok for o in expected.values()) > len(jobs) // 2
    assert outcomes(RayPool(plan, 2)) == expected
    assert outcomes(RayPool(plan, 1)) == expected
