"""The archive on a real YARN, with files that spark-submit ships there."""

import re
import subprocess
from pathlib import Path

import pytest
from documents import all_blocks
from running import SPARK_HOME, Hadoop, Run, free_port, write_hadoop_settings
from test_archive import FILES, PLAIN, assert_block, assert_one_message
from test_readme import run_in_bash
from users_files import write_files

# Spark's jars are on every machine here, so that no job takes them there. PySpark is not.
DEFAULTS = {"spark.yarn.jars": f"local:{SPARK_HOME / 'jars'}/*", "spark.executor.memory": "512m"}
ON_YARN = ["--master", "yarn", "--conf", f"spark.yarn.jars={DEFAULTS['spark.yarn.jars']}"]
SMALL = ["--num-executors", "1", "--executor-cores", "1", "--executor-memory", "512m"]


@pytest.fixture
def on_yarn(spark_submit: Run, hadoop: Hadoop) -> Run:
    """Runs spark-submit with some words on YARN."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return spark_submit(*ON_YARN, *words, HADOOP_CONF_DIR=str(hadoop.conf))

    return run


def test_training_in_client_mode_needs_no_setting_of_memory(archive: Path, on_yarn: Run) -> None:
    job = (*PLAIN[2:], "-train", "true", "-epochs", "3")
    done = on_yarn("--num-executors", "1", "--executor-cores", "2", *FILES, archive, *job)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^epoch (./3) ", done.stdout, re.MULTILINE) == ["1/3", "2/3", "3/3"]
    assert " # of classes:    3\n" in done.stdout


def test_memory_that_is_too_small_ends_in_one_message(archive: Path, on_yarn: Run) -> None:
    too_small = ["--conf", "spark.executor.memoryOverhead=100m"]
    too_small += ["--conf", "spark.executor.maxNumFailures=1"]  # the message is that of the first
    done = on_yarn(*SMALL, *too_small, *FILES, archive, *PLAIN)
    assert_one_message(done, 1, "exceeding physical memory limits")
    said = re.findall(r"^irisspark: (.*)", done.stdout, re.MULTILINE)
    ends = [line for line in said if not line.endswith(("; waiting on", "given up after 120 s"))]
    assert len(ends) == 1
    assert ends[0].endswith("--conf spark.executor.memoryOverhead=1408m")


def test_commands_of_the_documents(
    checkout: Path, sample_model: Path, archive: Path, hadoop: Hadoop, tmp_path: Path
) -> None:
    """What the page says word for word, with an administrator's defaults."""
    write_files(checkout, sample_model, archive)
    defaults = "".join(f"{key} {value}\n" for key, value in DEFAULTS.items())
    (tmp_path / "spark-defaults.conf").write_text(defaults)
    environ = {"HADOOP_CONF_DIR": str(hadoop.conf), "SPARK_CONF_DIR": str(tmp_path)}
    blocks = [block for block in all_blocks() if "on a real YARN" in "".join(block.before)]
    outputs = []
    for block in blocks:
        done = run_in_bash(block.text, checkout, **environ)
        assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"
        outputs.append(done.stdout)
    plain, by_submit_sh, in_cluster = outputs
    assert_block(plain)
    assert_block(by_submit_sh)
    assert in_cluster == ""
    assert_block(*(text for text in hadoop.stdouts() if "# of classes" in text))


def test_queue_without_room_ends_at_the_limit_and_holds_nothing(
    archive: Path, on_yarn: Run, hadoop: Hadoop
) -> None:
    done = on_yarn("--queue", "full", *FILES, archive, *PLAIN, "-waitFor", "20")
    said = re.search("YARN has (application_.*) in the queue root.full: (.*)", done.stdout)
    assert said is not None, done.stdout + done.stderr
    assert_one_message(done, 1, "Application is Activated, waiting for resources")
    machines = (
        "YARN has 2 nodes, with 8192 of 8192 MiB and 8 of 8 cores, 8192 of 8192 MiB and 8 of 8"
    )
    assert said[2].endswith(f"; {machines} cores free; ended by -waitFor 20")
    assert said[1] in hadoop.list_applications("KILLED")


def test_resource_manager_that_does_not_answer_is_told_and_waited_for_to_the_limit(
    archive: Path, spark_submit: Run, tmp_path: Path
) -> None:
    settings = {"yarn.resourcemanager.address": f"127.0.0.1:{free_port()}"}
    write_hadoop_settings(tmp_path / "yarn-site.xml", settings)
    words = (*ON_YARN, *FILES, archive, *PLAIN, "-waitFor", "35")
    done = spark_submit(*words, HADOOP_CONF_DIR=str(tmp_path))
    (address,) = settings.values()
    assert_one_message(done, 1, f"YARN's resource manager, {address}, does not answer")
    told = re.findall(r"Spark has not started after (\d+) s: .*", done.stdout + done.stderr)
    assert len(told) == 2
    assert 30 <= int(told[0]) < int(told[1])
