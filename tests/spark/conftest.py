"""One Spark context for all tests that need one in this process."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from irisspark.imports import import_tensorflow
from irisspark.session import Session

ROOT = Path(__file__).parents[2]


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
    from irisspark.session import open_session

    with open_session() as session:
        yield session
