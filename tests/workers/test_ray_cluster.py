"""A real Ray cluster of several nodes, on loopback: the same search as without Ray."""

import time
from collections.abc import Iterator
from pathlib import Path

import cluster_fakes
import pyarrow as pa
import pytest
import ray
from cluster_fakes import Waits
from ray.cluster_utils import Cluster

from evosearch.evaluation import Plan
from evosearch.records import RunReader
from evosearch.search.config import Config, load_config
from evosearch.search.run import run_search
from evosearch.workers import InProcessPool, Pool
from evosearch.workers.ray_pool import OBJECT_STORE_BYTES, RayPool, local_only

NODES = 2

SEARCH = """\
name: tiny
tasks:
  - {name: quadratic, steps: 5, seeds: 3}
search:
  population: 30
  lag: 120
  budget: {programs: 1500}
  fingerprint: false
evaluation:
  seeds: {policy: accumulating, penalty: 0.1}
  hurdles: null
report: {references: false, seeds: 3}
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A cluster of nodes with one CPU each."""
    (tmp_path / "nodes").mkdir()
    with pytest.MonkeyPatch.context() as patch, local_only():
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for cluster_fakes
        patch.setenv(cluster_fakes.NODES, str(tmp_path / "nodes"))
        cluster = Cluster()
        try:
            for _ in range(NODES):
                cluster.add_node(
                    num_cpus=1,
                    node_ip_address="127.0.0.1",
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                )
            yield cluster.address
        finally:
            ray.shutdown()
            cluster.shutdown()


def history(folder: Path) -> pa.Table:
    return RunReader(folder).candidates().drop_columns(["seconds"])


def test_a_search_on_several_nodes_is_the_search_in_this_process(address: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SEARCH)
    config = load_config(tmp_path / "tiny.yaml")
    here = run_search(config, tmp_path / "here", workers=lambda _, plan: InProcessPool(plan, Waits))
    assert not list((tmp_path / "nodes").iterdir())

    def on_all_nodes(_: Config, plan: Plan) -> Pool:
        pool = RayPool(plan, NODES, address, evaluator=Waits)  # is there as soon as one worker is
        end = time.monotonic() + 60
        while len(list((tmp_path / "nodes").iterdir())) < NODES:
            assert time.monotonic() < end
            time.sleep(0.05)
        return pool

    there = run_search(config, tmp_path / "there", workers=on_all_nodes)
    assert there.evaluated == here.evaluated > 300
    assert there.best_text == here.best_text
    assert history(tmp_path / "there").equals(history(tmp_path / "here"))
