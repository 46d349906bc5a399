"""Jobs whose packages go along, on workers with a Python that has none and cannot read ours."""

import os
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path

import pytest
from running import RUN_SECONDS, SPARK_HOME, Cluster, Hadoop, Run, clean_environ
from test_archive import FILES, PLAIN, assert_block
from test_hadoop import DEFAULTS, ON_YARN
from users_files import write_files

from irisspark.bundle import python_archive

# One executor, since each unpacks the archive for itself.
ONE = ["--conf", "spark.executor.cores=2", "--conf", "spark.cores.max=2"]
ONE += ["--conf", "spark.executor.instances=1"]

# The packages that the submitter has can be read by nobody else: Spark's own lie among them here.
GUARD = """
import sys
def refuse(event, args):
    if event in ("open", "import"):
        for path in args[:2]:
            if isinstance(path, str) and path.startswith({ours!r}) and {spark!r} not in path:
                raise PermissionError(f"{{path}} is on the submitter's machine")
sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without packages, to which those of the Python that runs the tests are closed."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (ours,) = Path(sys.prefix).resolve().glob("lib/python*/site-packages")
    guard = GUARD.format(ours=str(ours), spark=str(SPARK_HOME.resolve()))
    (packages / "sitecustomize.py").write_text(guard)
    python = str(folder / "bin" / "python")
    for path in ("", str(ours)):
        command = [python, "-c", "import tensorflow"]
        done = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True)
        assert "No module named 'tensorflow'" in done.stderr or "PermissionError" in done.stderr
    return python


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_archive.build(tmp_path_factory.mktemp("packed") / "irisspark-python.tar.gz")


@pytest.fixture
def packed_checkout(checkout: Path, packages: Path) -> Path:
    """A checkout in which the packages are packed already."""
    os.link(packages, checkout / packages.name)
    return checkout


def run_submit_sh(checkout: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "submit.sh", "--ship-python", *words],
        cwd=checkout,
        env=clean_environ(SPARK_HOME=str(SPARK_HOME), **environ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


def test_standalone_client_mode(
    packed_checkout: Path, sample_model: Path, archive: Path, cluster: Cluster, bare_python: str
) -> None:
    write_files(packed_checkout, sample_model, archive)
    environ = {"MASTER": cluster.master, "PYSPARK_PYTHON": bare_python}
    done = run_submit_sh(packed_checkout, *ONE, "--", *PLAIN, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "packing" not in done.stderr
    assert_block(done.stdout)
    told = [line for line in (done.stdout + done.stderr).splitlines() if "irisspark:" in line]
    # Of a machine that is slow, perhaps, and of nothing else, such as another numpy.
    assert [line for line in told if not line.endswith("; waiting on")] == []


@pytest.mark.every_mode
def test_standalone_cluster_mode(
    archive: Path, packages: Path, spark_submit: Run, cluster: Cluster, bare_python: str
) -> None:
    words = ["--master", cluster.master, "--deploy-mode", "cluster", *ONE, *FILES]
    words += ["--archives", f"{packages}#irisspark-python"]
    words += ["--conf", "spark.pyspark.python=./irisspark-python/bin/python"]
    words += ["--conf", f"spark.executorEnv.IRISSPARK_PYTHON={bare_python}"]
    words += ["--conf", "spark.standalone.submit.waitAppCompletion=true"]
    before = _driver_outputs(cluster, "stdout")
    done = spark_submit(*words, archive.with_suffix(".jar"), *PLAIN)
    assert done.returncode == 0, done.stderr
    (output,) = _driver_outputs(cluster, "stdout") - before
    assert_block(output.read_text())


def test_archive_that_a_standalone_driver_cannot_see_is_one_line(
    archive: Path, spark_submit: Run, cluster: Cluster, tmp_path: Path
) -> None:
    words = ["--master", cluster.master, "--deploy-mode", "cluster", *FILES]
    words += ["--archives", f"{(tmp_path / 'elsewhere.tar.gz').as_uri()}#irisspark-python"]
    words += ["--conf", "spark.pyspark.python=./irisspark-python/bin/python"]
    words += ["--conf", "spark.standalone.submit.waitAppCompletion=true"]
    before = _driver_outputs(cluster, "stderr")
    done = spark_submit(*words, archive.with_suffix(".jar"), *PLAIN)
    assert "FAILED" in done.stderr  # as Spark tells it, whose exit code is 0
    (output,) = _driver_outputs(cluster, "stderr") - before
    told = [line for line in output.read_text().splitlines() if line.startswith("irisspark: ")]
    assert len(told) == 1
    assert "elsewhere.tar.gz cannot be unpacked where the driver runs" in told[0]
    assert "\tat " not in output.read_text()


def _driver_outputs(cluster: Cluster, name: str) -> set[Path]:
    return {file for folder in cluster.work_dirs for file in folder.glob(f"driver-*/{name}")}


@pytest.mark.every_mode
def test_yarn_client_mode(
    archive: Path, packages: Path, spark_submit: Run, hadoop: Hadoop, bare_python: str
) -> None:
    words = [*ON_YARN, *ONE, *FILES, "--archives", f"{packages}#irisspark-python"]
    words += ["--conf", "spark.pyspark.python=./irisspark-python/bin/python"]
    words += ["--conf", f"spark.pyspark.driver.python={sys.executable}"]
    words += ["--conf", f"spark.executorEnv.IRISSPARK_PYTHON={bare_python}"]
    done = spark_submit(*words, archive, *PLAIN, HADOOP_CONF_DIR=str(hadoop.conf))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_block(done.stdout)


def test_yarn_cluster_mode(
    packed_checkout: Path,
    sample_model: Path,
    archive: Path,
    hadoop: Hadoop,
    bare_python: str,
    tmp_path: Path,
) -> None:
    write_files(packed_checkout, sample_model, archive)
    defaults = "".join(f"{key} {value}\n" for key, value in DEFAULTS.items())
    (tmp_path / "spark-defaults.conf").write_text(defaults)
    environ = {"MASTER": "yarn", "HADOOP_CONF_DIR": str(hadoop.conf)}
    environ |= {"SPARK_CONF_DIR": str(tmp_path), "PYSPARK_PYTHON": bare_python}
    before = Counter(hadoop.stdouts())
    done = run_submit_sh(packed_checkout, "--deploy-mode", "cluster", *ONE, "--", *PLAIN, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    new = Counter(hadoop.stdouts()) - before
    (block,) = (text for text in new.elements() if "# of classes" in text)
    assert_block(block)
