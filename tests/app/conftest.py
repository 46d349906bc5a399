"""The built archive, the sample model, spark-submit, checkouts to run and a real cluster."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from one_driver import OneDriver
from running import (
    HADOOP,
    ROOT,
    RUN_SECONDS,
    SPARK_CLASS,
    SPARK_HOME,
    START_SECONDS,
    Cluster,
    Hadoop,
    Run,
    clean_environ,
    free_port,
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
    folder = tmp_path_factory.mktemp("hadoop")
    jars = _fetch_hadoop(folder / "jars")
    command = ["java", "-Xmx700m", "--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    command += ["-cp", f"{jars}/*:{SPARK_HOME / 'jars'}/*"]
    command += ["org.codehaus.janino.SimpleCompiler", str(HADOOP / "Cluster.java"), "Cluster"]
    with ExitStack() as stack:
        words = [str(folder), "2", "2"]
        _start(stack, "Hadoop", [*command, *words], folder / "log", "\nready\n", folder)
        yield Hadoop(folder / "conf", folder / "irisspark")


def _fetch_hadoop(jars: Path) -> Path:
    """Let Maven copy the jars to a folder, from its own store or from Maven Central."""
    if shutil.which("mvn") is None:
        pytest.fail("the tests on Hadoop need Maven (mvn), as CONTRIBUTING.md says")
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
    command = ["mvn", "-q", "-B", "-f", HADOOP / "pom.xml", copy, f"-DoutputDirectory={jars}"]
    subprocess.run(command, check=True, timeout=RUN_SECONDS)
    return jars


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers, each a process of its own."""
    logs = tmp_path_factory.mktemp("cluster")
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    work_dirs = tuple(logs / f"work {number}" for number in (1, 2))
    at_master = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(free_port())]
    with ExitStack() as stack:
        master = [*SPARK_CLASS, "org.apache.spark.deploy.master.Master", *at_master]
        _start(stack, "Spark's master", master, logs / "master.log", "New state: ALIVE")
        for work_dir in work_dirs:
            words = ["--host", "127.0.0.1", "--webui-port", str(free_port())]
            words += ["--cores", "2", "--memory", "3g", "--work-dir", str(work_dir), url]
            log = logs / f"{work_dir.name}.log"
            worker = [*SPARK_CLASS, "org.apache.spark.deploy.worker.Worker", *words]
            _start(stack, "Spark's worker", worker, log, "Successfully registered")
        yield Cluster(url, work_dirs)


def _start(
    stack: ExitStack,
    name: str,
    command: Sequence[str],
    log: Path,
    ready: str,
    cwd: Path | None = None,
) -> None:
    """Start a daemon that the stack stops, and wait until its log says that it is ready."""
    environ = clean_environ(SPARK_HOME=str(SPARK_HOME))
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    stack.callback(_stop, process)
    deadline = time.monotonic() + START_SECONDS
    while ready not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{name} did not start:\n{log.read_text()}")
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # spark-class became Java, so this is Java's own process
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
