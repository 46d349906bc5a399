"""The archive on a real YARN, with files that spark-submit ships there."""

import subprocess
import sys
from pathlib import Path

import pytest
from running import SPARK_HOME, Hadoop, Run
from test_archive import FILES, PLAIN, assert_block, assert_one_message

# Spark's jars are on every machine here, so that no job takes them there. PySpark is not.
ON_YARN = ["--master", "yarn", "--conf", f"spark.yarn.jars=local:{SPARK_HOME / 'jars'}/*"]
SMALL = ["--num-executors", "2", "--executor-cores", "1", "--executor-memory", "512m"]
CLUSTER_MODE = ["--deploy-mode", "cluster", "--conf", "spark.yarn.maxAppAttempts=1"]
CLUSTER_MODE += ["--conf", f"spark.yarn.appMasterEnv.PYSPARK_PYTHON={sys.executable}"]


@pytest.fixture
def on_yarn(spark_submit: Run, hadoop: Hadoop) -> Run:
    """Runs spark-submit with some words on YARN."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return spark_submit(*ON_YARN, *words, HADOOP_CONF_DIR=str(hadoop.conf))

    return run


def test_client_mode(archive: Path, on_yarn: Run) -> None:
    done = on_yarn(*SMALL, *FILES, archive, *PLAIN)
    assert done.returncode == 0, done.stderr
    assert_block(done.stdout)


def test_cluster_mode(archive: Path, on_yarn: Run, hadoop: Hadoop) -> None:
    done = on_yarn(*CLUSTER_MODE, *SMALL, *FILES, archive, *PLAIN)
    assert done.returncode == 0, done.stderr
    outputs = [path.read_text() for path in hadoop.work_dir.rglob("stdout")]
    assert_block(next(text for text in outputs if "# of classes" in text))


def test_failure_in_client_mode_is_one_message(archive: Path, on_yarn: Run) -> None:
    done = on_yarn(*SMALL, *FILES, archive, *PLAIN[:-1], "missing.txt")
    assert_one_message(done, 1, "missing.txt")
