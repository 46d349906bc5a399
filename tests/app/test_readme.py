"""The README's commands, run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT, RUN_SECONDS, SPARK_HOME, clean_environ

BLOCKS = re.findall(r"^```\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
SUBMITS = [block for block in BLOCKS if block.startswith("spark-submit") and "..." not in block]


def printed_block() -> str:
    (block,) = [block for block in BLOCKS if "==Scores==" in block]
    return block


def run_in_bash(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(SPARK_HOME / "bin"), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=clean_environ(PATH=path, PYSPARK_PYTHON=sys.executable, **environ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


def test_readme_has_the_courses_command_and_the_plain_one() -> None:
    assert sum("--class KerasImportCSVSparkRunner" in block for block in SUBMITS) == 1
    assert sum("-modelPath" in block and "-train false" in block for block in SUBMITS) >= 1


@pytest.mark.parametrize("command", SUBMITS)
def test_spark_submit_commands_run(command: str, archive: Path, job_folder: Path) -> None:
    shutil.copy(archive, job_folder)
    done = run_in_bash(command, job_folder, MASTER="local[2]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "==Scores==" in done.stdout


def test_submit_sh_prints_what_the_readme_shows(checkout: Path) -> None:
    done = run_in_bash("./submit.sh", checkout, SPARK_HOME=str(SPARK_HOME))
    assert (done.returncode, done.stdout) == (0, printed_block()), done.stderr
