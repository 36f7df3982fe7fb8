import pytest
from recorded_runs import bred_run, written_run

from evosearch.evolution import Restarts
from evosearch.inspection import History, read_history
from evosearch.inspection.survey import Survey, survey
from evosearch.records import Row, RunReader
from evosearch.records.parts import rows_from


@pytest.fixture(scope="package")
def bred(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    """Two rounds of two runs each; parts of 250 rows."""
    restarts = Restarts(rounds=2, runs=2, programs=200)
    return bred_run(tmp_path_factory.mktemp("inspection") / "run", 800, restarts=restarts)


@pytest.fixture(scope="package")
def rows(bred: RunReader) -> list[Row]:
    return rows_from(bred.candidates())


@pytest.fixture(scope="package")
def history(bred: RunReader) -> History:
    return read_history(bred)


@pytest.fixture(scope="package")
def looked(bred: RunReader, history: History) -> Survey:
    return survey(bred, history)


@pytest.fixture(scope="package")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    """Programs drawn at random."""
    return bred_run(tmp_path_factory.mktemp("inspection") / "drawn", 60, method="random")


@pytest.fixture(scope="package")
def failed(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> RunReader:
    """A run in which nothing trains."""
    lost = [row for row in rows if row.parent == -1 and row.outcome != "OK"]
    return written_run(
        tmp_path_factory.mktemp("inspection") / "failed",
        [row._replace(id=id_) for id_, row in enumerate((lost * 12)[:12])],
    )
