"""The main jobs on other Sparks, each in an environment that is made as clusters.md says.

Plain runs take the oldest and the newest Spark, and ``tests/sparks`` each of them.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet
import pytest
from daemons import start_cluster
from documents import all_blocks
from running import ROOT, RUN_SECONDS, clean_environ
from test_archive import FILES, PLAIN, assert_block

from irisspark.submit.environment import lock

INSTALL_SECONDS = 600
# Whatever belongs to one Spark, and what is installed here by the words of the document.
NOT_SHARED = ("pyspark", "py4j", "elephas", "irisspark", "__pycache__")


@pytest.fixture(scope="module")
def environment(spark_version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a Spark, and with irisspark and what it requires beside."""
    folder = tmp_path_factory.mktemp(f"spark {spark_version}")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (shared,) = Path(sys.prefix).glob("lib/python*/site-packages")
    others = [path for path in shared.iterdir() if not path.name.startswith(NOT_SHARED)]
    for path in [*others, *fetch_pyspark(spark_version).glob("py*")]:
        (packages / path.name).symlink_to(path)
    (source := folder / "source").mkdir()
    for name in ("setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "irisspark", source / "irisspark")
    (block,) = [block for block in all_blocks() if "beside Spark 4.3" in "".join(block.before)]
    pip = folder / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m pip -q "$@"\n')
    pip.chmod(0o755)
    environ = clean_environ(PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(
        ["bash", "-euc", block.text], check=True, cwd=source, env=environ, timeout=INSTALL_SECONDS
    )
    return folder


def fetch_pyspark(version: str) -> Path:
    """Give a folder with a PySpark and what it requires; it is downloaded once."""
    sparks = ROOT / ".venv" / "sparks"
    folder, part = sparks / version, sparks / f".{version}.part"
    sparks.mkdir(exist_ok=True)
    with lock(sparks / "lock", INSTALL_SECONDS):
        if not folder.is_dir():
            shutil.rmtree(part, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile"]
            command += ["--target", str(part), f"pyspark=={version}"]
            subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
            part.rename(folder)
    return folder


def run(
    environment: Path, folder: Path, master: str, *words: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run spark-submit of an environment, with the Python of it."""
    spark_home = next(environment.glob("lib/python*/site-packages/pyspark"))
    python = str(environment / "bin" / "python")
    return subprocess.run(
        [spark_home / "bin" / "spark-submit", "--master", master, *words],
        cwd=folder,
        env=clean_environ(SPARK_HOME=str(spark_home), PYSPARK_PYTHON=python),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


def test_pip_leaves_the_spark_as_it_was(environment: Path, spark_version: str) -> None:
    command = [environment / "bin" / "python", "-m", "pip", "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    installed = {each["name"]: each["version"] for each in listed}
    assert installed["pyspark"] == spark_version
    assert {"elephas", "irisspark"} <= installed.keys()


def test_train_and_predict(
    environment: Path, spark_version: str, archive: Path, job_folder: Path
) -> None:
    words = ["-train", "true", "-epochs", "3", "-predictions", "true"]
    done = run(environment, job_folder, "local[2]", archive, *PLAIN[2:], *words, "-outputPath", "o")
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((job_folder / "o" / "metrics.json").read_text())
    assert metrics["run"]["versions"]["spark"] == spark_version
    assert len((job_folder / "o" / "history.csv").read_text().splitlines()) == 1 + 3
    predicted = pyarrow.parquet.read_table(job_folder / "o" / "predictions").to_pylist()
    right = sum(row["label"] == row["prediction"] for row in predicted)
    assert (len(predicted), right / 150) == (150, pytest.approx(metrics["accuracy"]))


PROGRAM = """
import json, sys
import keras
import numpy as np
from pyspark.sql import SparkSession
import irisspark

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
model = keras.models.load_model("my_model.h5", compile=False)
table = np.loadtxt("iris.txt", delimiter=",", dtype="float32")
predicted = model.predict(table[:, :4], verbose=0).argmax(axis=1)
flowers = spark.read.csv("iris.txt", inferSchema=True)
trained = irisspark.train(spark, "my_model.h5", flowers, label=4, epochs=2)
found = {
    "file": irisspark.evaluate(spark, "my_model.h5", "iris.txt", label=4).accuracy,
    "frame": irisspark.evaluate(spark, model, flowers, label="_c4").accuracy,
    "keras": float((predicted == table[:, 4]).mean()),
    "epochs": len(trained.history["loss"]),
}
scored = irisspark.predict(spark, model, flowers, keep=["_c4"]).collect()
found["predicted"] = [int(row.prediction) for row in scored] == predicted.tolist()
spark.stop()
json.dump(found, open(sys.argv[1], "w"))
"""


def test_programs_with_a_session(environment: Path, job_folder: Path) -> None:
    spark_home = next(environment.glob("lib/python*/site-packages/pyspark"))
    python = str(environment / "bin" / "python")
    done = subprocess.run(
        [python, "-c", PROGRAM, "found.json"],
        cwd=job_folder,
        env=clean_environ(SPARK_HOME=str(spark_home), PYSPARK_PYTHON=python),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((job_folder / "found.json").read_text())
    assert found.pop("epochs") == 2
    assert found.pop("predicted")
    assert found["file"] == found["frame"] == pytest.approx(found["keras"])


def test_evaluate_on_a_standalone_cluster(
    environment: Path, archive: Path, job_folder: Path, tmp_path: Path
) -> None:
    spark_home = next(environment.glob("lib/python*/site-packages/pyspark"))
    with ExitStack() as stack:
        cluster = start_cluster(stack, tmp_path, spark_home, num_workers=1)
        done = run(environment, job_folder, cluster.master, *FILES, archive, *PLAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_block(done.stdout)
    output = done.stdout + done.stderr
    assert "Exception" not in output
    assert "daemon" not in output  # Spark's own, which is slower
