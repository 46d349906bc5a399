"""The order of the tests, the Sparks that some run on, and a server that some talk to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from s3_store import Store

# A machine that has other things to do is no fault of a test.
hypothesis.settings.register_profile("irisspark", deadline=None)
hypothesis.settings.load_profile("irisspark")

FORKS = {"test_startup_handover.py"}
SPARKS = ("3.5.9", "4.0.0", "4.1.4", "4.2.1", "4.3.0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-spark", action="store_true", help=f"all of {', '.join(SPARKS)}, not two of them"
    )
    parser.addoption(
        "--every-mode", action="store_true", help="ship packages in each deploy mode, not in two"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let what needs a version of Spark run on the oldest and the newest, or on each."""
    if "spark_version" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-spark")
        versions = SPARKS if every else (SPARKS[0], SPARKS[-1])
        metafunc.parametrize("spark_version", versions, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests that fork come first: threads of TensorFlow and Spark do not survive it."""
    items.sort(key=lambda item: item.path.name not in FORKS)
    if not config.getoption("--every-mode"):
        left_out = [item for item in items if item.get_closest_marker("every_mode")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def store() -> Iterator["Store"]:
    """An object store that checks keys and policies."""
    from s3_store import serve

    yield from serve()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server of MLflow."""
    from mlflow_server import serve

    yield from serve(tmp_path_factory.mktemp("mlflow"))
