"""Evaluation by the built archive under a real spark-submit: what the person at it sees."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import Cluster, Run

JOB = ["-labelIndex", "4", "-modelPath", "my_model.h5", "-dataPath", "iris.txt"]
FILES = ["--files", "iris.txt,my_model.h5"]


def complaint(output: str) -> list[str]:
    """The lines that irisspark said, and none of Spark's."""
    assert "Traceback" not in output
    assert "\tat " not in output
    return [line for line in output.splitlines() if line.startswith("irisspark:")]


def test_spark_says_at_most_three_info_lines(archive: Path, spark_submit: Run) -> None:
    done = spark_submit("--master", "local[2]", archive, *JOB)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count(" INFO ") <= 3
    assert "tensorflow" not in (done.stdout + done.stderr).lower()
    assert "cuda" not in (done.stdout + done.stderr).lower()


def test_bad_row_on_a_cluster_is_one_line_without_a_retry(
    archive: Path, spark_submit: Run, cluster: Cluster, job_folder: Path
) -> None:
    data = job_folder / "iris.txt"
    lines = data.read_text().splitlines()
    lines[99] = "5.1,3.5,oops,0.2,0"
    data.write_text("\n".join(lines))
    words = ["--master", cluster.master, *FILES, archive, *JOB, "-outputPath", "out"]
    done = spark_submit(*words)
    said = complaint(done.stdout + done.stderr)
    assert done.returncode == 1
    assert len(said) == 1
    assert "iris.txt, line 100, column 2: 'oops' is not a number" in said[0]
    assert "Lost task" not in done.stderr
    assert not (job_folder / "out").exists()


def test_metrics_of_a_cluster_are_those_of_one_machine(
    archive: Path, spark_submit: Run, cluster: Cluster, job_folder: Path
) -> None:
    alone = spark_submit("--master", "local[1]", archive, *JOB, "-outputPath", "alone")
    spread = spark_submit(
        "--master", cluster.master, *FILES, archive, *JOB, "-outputPath", "spread"
    )
    assert (alone.returncode, spread.returncode) == (0, 0), alone.stderr + spread.stderr
    one, other = (
        json.loads((job_folder / name / "metrics.json").read_text()) for name in ("alone", "spread")
    )
    assert one["rows"] == other["rows"] == 150
    assert one["run"]["master"] != other["run"]["master"]
    for name in ("confusion_matrix", "per_class", "roc_auc"):
        assert one[name] == other[name]
    for name in ("loss", "brier_score"):
        assert one[name] == pytest.approx(other[name], rel=1e-9)


def test_data_that_the_workers_cannot_see_is_one_line(
    archive: Path, spark_submit: Run, cluster: Cluster, job_folder: Path
) -> None:
    done = spark_submit("--master", cluster.master, archive, *JOB[:4], "-dataPath", "nowhere.csv")
    said = complaint(done.stdout + done.stderr)
    assert done.returncode == 1
    assert len(said) == 1
    assert "nowhere.csv" in said[0]


def test_master_that_does_not_answer_is_one_line(archive: Path, spark_submit: Run) -> None:
    done = spark_submit("--master", "spark://127.0.0.1:1", archive, *JOB)
    said = complaint(done.stdout + done.stderr)
    assert done.returncode == 1
    assert len(said) == 1
    assert "spark://127.0.0.1:1 does not answer" in said[0]


def test_executors_of_a_local_cluster_evaluate(archive: Path, spark_submit: Run) -> None:
    spark = ["--master", "local-cluster[2,2,1024]", "--executor-memory", "1g"]
    done = spark_submit(*spark, *FILES, archive, *JOB)
    assert done.returncode == 0, done.stderr
    assert " Accuracy:        0.9733\n" in done.stdout
    assert complaint(done.stdout + done.stderr) == []


def test_model_is_shipped_once_and_not_with_every_task(
    archive: Path, spark_submit: Run, job_folder: Path
) -> None:
    import keras

    wide = [keras.layers.Dense(1500, "relu"), keras.layers.Dense(1500, "relu")]
    model = keras.Sequential([keras.Input((4,)), *wide, keras.layers.Dense(3, "softmax")])
    model.save(job_folder / "wide.keras")
    assert (job_folder / "wide.keras").stat().st_size > 8 << 20
    words = ["-modelPath", "wide.keras", "-dataPath", "iris.txt", "-verbose", "true"]
    info = ["--conf", "spark.log.level=INFO"]
    done = spark_submit("--master", "local[2]", *info, archive, *words)
    assert done.returncode == 0, done.stderr
    sizes = [int(size) for size in re.findall(r"Starting task .* (\d+) bytes", done.stderr)]
    assert sizes
    assert max(sizes) < 100_000
    assert "SparkUI" not in done.stderr  # as nobody has turned it on


# TensorFlow on the executors: a daemon of irisspark's ends with it, and Spark's own does not.
ENDS_THE_DAEMON = """
import os, sys
if any("worker_daemon" in word for word in sys.orig_argv):
    os._exit(9)
sys.path.remove(os.path.dirname(__file__))
del sys.modules["tensorflow"]
import tensorflow
"""


@pytest.mark.parametrize("is_cluster", [False, True])
def test_run_goes_on_with_sparks_own_daemon_where_ours_dies(
    archive: Path, spark_submit: Run, request: pytest.FixtureRequest, tmp_path: Path, is_cluster
) -> None:
    (tmp_path / "tensorflow.py").write_text(ENDS_THE_DAEMON)
    master = request.getfixturevalue("cluster").master if is_cluster else "local[2]"
    spark = ["--master", master, "--conf", f"spark.executorEnv.PYTHONPATH={tmp_path}"]
    long = tmp_path / ("long" * 25)  # for a socket: on one machine the driver would be forked
    long.mkdir()
    done = spark_submit(*spark, *FILES, archive, *JOB, TMPDIR=str(long))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " Accuracy:        0.9733\n" in done.stdout
    (said,) = complaint(done.stdout + done.stderr)
    assert "the workers start on Spark's own daemon, which is slower: EOFException" in said
    assert "\tat " not in done.stdout + done.stderr


def test_packages_that_the_drivers_python_lacks_are_one_line(
    archive: Path, spark_submit: Run, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = str(bare / "bin" / "python")
    done = spark_submit("--master", "local[1]", archive, *JOB, PYSPARK_DRIVER_PYTHON=python)
    said = complaint(done.stdout + done.stderr)
    assert done.returncode == 1
    assert len(said) == 1, done.stdout + done.stderr
    assert f"the Python that runs the driver, {python}, lacks what irisspark needs" in said[0]
    assert "Traceback" not in done.stdout + done.stderr
