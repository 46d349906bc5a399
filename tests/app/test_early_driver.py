"""A driver that was started early, and the Python that hands over to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import RUN_SECONDS, SPARK_HOME, clean_environ

from irisspark.startup import addresses, handover
from irisspark.submit.early import start_early

# Starts the driver as submit.sh does, tells where it is, and waits in the place of spark-submit.
START = """
import json, os, pathlib, sys
from irisspark.submit import early
added = early.start_early(pathlib.Path(sys.argv[1]), os.environ)
print(json.dumps(added), flush=True)
sys.stdin.read()
"""


def children(pid: int) -> list[int]:
    """List the processes that the threads of a process have started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@dataclass
class Early:
    """A driver that waits.

    Attributes:
        spark_submit: Stands in for spark-submit: the driver ends with it.
        path: Where the driver listens.
        archive: What both Pythons run.
        folder: Where the second one stands.
    """

    spark_submit: subprocess.Popen[str]
    path: str
    archive: Path
    folder: Path

    @property
    def pid(self) -> int:
        (driver,) = children(self.spark_submit.pid)
        return driver

    def start(self, *command: str | Path, **more: str) -> subprocess.Popen[str]:
        """Start a process that knows of the driver, as spark-submit starts its Python."""
        environ = {handover.EARLY_DRIVER: self.path, "PYSPARK_PYTHON": sys.executable}
        environ |= {"PYTHONHASHSEED": "0"} | more
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=clean_environ(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run the archive as spark-submit would, but without a JVM."""
        process = self.start(sys.executable, self.archive, *words)
        stdout, stderr = process.communicate(timeout=RUN_SECONDS)
        return process.returncode, stdout, stderr

    def submit(self, *words: str) -> subprocess.Popen[str]:
        """Submit an evaluation of iris."""
        spark = [SPARK_HOME / "bin" / "spark-submit", "--master", "local[1]", self.archive]
        return self.start(*spark, "-modelPath", "my_model.h5", "-dataPath", "iris.txt", *words)

    def wait_for_asking(self, submitted: subprocess.Popen[str]) -> int:
        """Wait until the Python that spark-submit has started has handed over; give its number."""
        while os.path.exists(self.path):
            assert submitted.poll() is None
            time.sleep(0.01)
        return next(
            child for child in children(submitted.pid) if str(self.archive) in command_line(child)
        )


@pytest.fixture
def early(archive: Path, job_folder: Path) -> Iterator[Early]:
    process = subprocess.Popen(
        [sys.executable, "-c", START, archive],
        env=clean_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        path = json.loads(process.stdout.readline())[handover.EARLY_DRIVER]
        yield Early(process, path, archive, job_folder)
    finally:
        process.kill()
        process.communicate()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


def test_run_takes_place_in_the_early_driver(early: Early) -> None:
    pid = early.pid
    submitted = early.submit("-outputPath", "out")
    stdout, stderr = submitted.communicate(timeout=RUN_SECONDS)
    assert submitted.returncode == 0, stderr
    assert "\nExamples labeled as 0 classified by model as 0: 50 times\n" in stdout
    assert (early.folder / "out" / "metrics.json").is_file()
    wait_until_gone(pid)
    assert not os.path.exists(os.path.dirname(early.path))
    early.spark_submit.kill()
    assert early.spark_submit.communicate() == ("", "")


def test_exit_code_and_messages_come_through(early: Early) -> None:
    code, stdout, stderr = early.run("-numClases", "3")
    assert (code, stdout) == (2, "")
    assert "-numClases" in stderr
    assert "Traceback" not in stderr


def test_asking_process_is_answered_in_the_middle_of_the_import(early: Early) -> None:
    """Its streams are taken once the import is over, which leads descriptor 2 away."""
    descriptor = Path(f"/proc/{early.pid}/fd/2")
    while os.readlink(descriptor) != os.devnull:
        time.sleep(0.01)
    submitted = early.submit()
    theirs = os.readlink(f"/proc/{early.wait_for_asking(submitted)}/fd/2")
    while os.readlink(descriptor) != theirs:
        assert submitted.poll() is None
        time.sleep(0.01)
    _, stderr = submitted.communicate(timeout=RUN_SECONDS)
    assert submitted.returncode == 0, stderr


def test_python_goes_on_itself_where_nobody_listens(early: Early) -> None:
    os.kill(early.pid, signal.SIGKILL)
    code, stdout, stderr = early.run("-version")
    assert code == 0, stderr
    assert stdout.startswith("irisspark ")


def test_python_goes_on_itself_where_the_early_one_is_another(early: Early, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    packages = next((other / "lib").glob("python*/site-packages"))
    (packages / "ours.pth").write_text(str(SPARK_HOME.parent))
    pid = early.pid
    process = early.start(other / "bin" / "python", early.archive, "-version")
    stdout, stderr = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, stderr
    assert stdout.startswith("irisspark ")
    wait_until_gone(pid)


def test_hashes_are_those_of_spark_submits_python(early: Early) -> None:
    environ = Path(f"/proc/{early.pid}/environ").read_bytes().split(b"\0")
    assert b"PYTHONHASHSEED=0" in environ


def test_python_goes_on_itself_where_the_early_one_began_otherwise(early: Early) -> None:
    pid = early.pid
    process = early.start(sys.executable, early.archive, "-version", PYTHONHASHSEED="7")
    stdout, stderr = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, stderr
    assert stdout.startswith("irisspark ")
    wait_until_gone(pid)
    assert not os.path.exists(os.path.dirname(early.path))


def test_python_goes_on_itself_where_the_early_one_is_silent(early: Early) -> None:
    pid = early.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        code, stdout, stderr = early.run("-version")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert code == 0, stderr
    assert stdout.startswith("irisspark ")
    wait_until_gone(pid)  # it comes back to find that nobody waits


def test_killed_driver_is_one_message(early: Early) -> None:
    submitted = early.submit()
    early.wait_for_asking(submitted)
    os.kill(early.pid, signal.SIGKILL)
    stdout, stderr = submitted.communicate(timeout=RUN_SECONDS)
    assert submitted.returncode == 1
    assert "irisspark: the driver's process was killed" in stdout + stderr
    assert "Traceback" not in stdout + stderr


def test_driver_ends_with_spark_submit(early: Early) -> None:
    pid = early.pid
    early.spark_submit.kill()
    wait_until_gone(pid)
    assert not os.path.exists(os.path.dirname(early.path))


def test_driver_ends_with_the_python_that_asked(early: Early) -> None:
    pid = early.pid
    submitted = early.submit("-outputPath", "out")
    asking = early.wait_for_asking(submitted)
    time.sleep(1)
    os.kill(asking, signal.SIGKILL)
    submitted.communicate(timeout=RUN_SECONDS)
    wait_until_gone(pid)
    assert sorted(path.name for path in early.folder.iterdir()) == ["iris.txt", "my_model.h5"]


def test_ctrl_c_is_nothing_to_the_driver_from_its_first_moment(tmp_path, monkeypatch):
    """Python itself would tell of it with traces, before any code of ours."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script, said = tmp_path / "driver.py", tmp_path / "said"
    script.write_text(
        "import os, signal\nwith open('said~', 'w') as file:\n"
        "    file.write(str(signal.getsignal(2)))\nos.rename('said~', 'said')"
    )
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    added = start_early(script, os.environ)
    deadline = time.monotonic() + RUN_SECONDS
    while not said.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert said.read_text() == str(signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is before
    addresses.remove(added[handover.EARLY_DRIVER])
