"""One Spark context for all tests that need one in this process."""

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from irisspark.startup import worker_daemon
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
    import_tensorflow()
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setMaster("local[2]").setAppName("tests").set("spark.log.level", "WARN")
    conf.set("spark.ui.enabled", "false").set("spark.python.daemon.module", worker_daemon.__name__)
    conf.set("spark.sql.shuffle.partitions", "2")
    with SparkContext(conf=conf) as context:
        yield Session.attach(context)
