"""The built archive, the sample model, spark-submit, checkouts to run and a real cluster."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from daemons import start_cluster, start_hadoop
from one_driver import OneDriver
from running import (
    ROOT,
    RUN_SECONDS,
    SPARK_HOME,
    Cluster,
    Hadoop,
    Run,
    clean_environ,
)

from irisspark.bundle import packing
from irisspark.submit.environment import MARKER


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.app)
            for name in {"cluster", "hadoop"}.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(name)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """irisspark.zip, with irisspark.jar beside it, in a folder with a space in its name."""
    return packing.build(tmp_path_factory.mktemp("built archive") / "irisspark.zip")[0]


@pytest.fixture(scope="session")
def sample_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """my_model.h5 of the sample script, which is run as a user runs it."""
    model = tmp_path_factory.mktemp("sample") / "my_model.h5"
    subprocess.run(
        [sys.executable, "-m", "irisspark.samples.train_model", str(model)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    return model


@pytest.fixture
def job_folder(tmp_path: Path, sample_model: Path) -> Path:
    """A folder of a user, who has iris.txt and my_model.h5 there."""
    folder = tmp_path / "my job"
    folder.mkdir()
    shutil.copy(sample_model, folder)
    shutil.copy(ROOT / "irisspark" / "samples" / "iris.txt", folder)
    return folder


@pytest.fixture
def spark_submit(job_folder: Path) -> Run:
    """Runs spark-submit with some words in the user's folder."""

    def run(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        python = {"PYSPARK_PYTHON": sys.executable}
        return subprocess.run(
            [SPARK_HOME / "bin" / "spark-submit", *words],
            cwd=job_folder,
            env=clean_environ(SPARK_HOME=str(SPARK_HOME), **python, **environ),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )

    return run


@pytest.fixture(scope="module")
def one_driver(archive: Path) -> Iterator[OneDriver]:
    """Runs command lines one after another on one Spark."""
    driver = OneDriver(archive)
    yield driver
    driver.close()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout whose .venv shares the packages of the Python that runs the tests."""
    copy = tmp_path / "a check out"
    copy.mkdir()
    for name in ("setup.py", "submit.sh"):
        shutil.copy2(ROOT / name, copy)
    for name in ("conf", "irisspark"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    venv = copy / ".venv"
    venv.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name in ("bin", "lib", "include", "pyvenv.cfg"):
            (venv / path.name).symlink_to(path)
    shutil.copy(ROOT / "setup.py", venv / MARKER)
    return copy


@pytest.fixture(scope="session")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hadoop]:
    """Two data nodes and two node managers, real ones in one process."""
    with ExitStack() as stack:
        yield start_hadoop(stack, tmp_path_factory.mktemp("hadoop"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers, each a process of its own."""
    with ExitStack() as stack:
        yield start_cluster(stack, tmp_path_factory.mktemp("cluster"), SPARK_HOME, num_workers=2)
