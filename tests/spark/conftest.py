"""One Spark context for all tests that need one in this process."""

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from irisspark.startup.imports import import_tensorflow
from irisspark.startup.session import Session

ROOT = Path(__file__).parents[2]
TEST_SECONDS = 300


@pytest.fixture(autouse=True)
def _no_endless_wait(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the run where a test waits for Spark without end, and show where it stands."""

    def give_up(_: int, __: object) -> None:
        faulthandler.dump_traceback(sys.__stderr__)
        pytest.exit(f"{request.node.nodeid} took over {TEST_SECONDS} s", returncode=1)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def spark() -> Iterator[Session]:
    # The workers import the checkout, as they would import the archive.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        "--master local[2] --conf spark.ui.enabled=false "
        "--conf spark.sql.shuffle.partitions=2 pyspark-shell"
    )
    import_tensorflow()
    from irisspark.startup.session import open_session

    with open_session() as session:
        yield session
