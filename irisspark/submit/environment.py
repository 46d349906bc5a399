"""What has to be there before a job: ``.venv`` with the requirements, and a Java that fits Spark.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from irisspark.bundle.packing import find_java
from irisspark.errors import IrissparkError

ROOT = Path(__file__).resolve().parents[2]

# A copy of the setup.py whose requirements .venv holds; submit.sh and tests/run compare it.
MARKER = "irisspark-setup.py"
TEST_MARKER = "irisspark-test-setup.py"

ANSWER_SECONDS = 60.0
INSTALL_SECONDS = 1800.0
_SAY_SECONDS = 2.0
_POLL_SECONDS = 0.05

# The Spark that the requirements bring, where there is no other to ask.
DEFAULT_SPARK_VERSION = (4, 0)


def make_venv(root: Path, *, for_tests: bool = False) -> None:
    """Make ``root/.venv``, or bring it up to date with ``root/setup.py``.

    Of two processes at once, one works and the other waits. The marker is written last, so an
    attempt that was interrupted is gone on with.

    Args:
        root: The checkout.
        for_tests: Install what the tests need too.

    Raises:
        IrissparkError: Python's venv module or a requirement is missing.
    """
    venv = root / ".venv"
    setup = (root / "setup.py").read_bytes()
    markers = [venv / MARKER, *([venv / TEST_MARKER] if for_tests else [])]
    with lock(root / ".cache" / "venv.lock", INSTALL_SECONDS):
        python = venv / "bin" / "python"
        if not _has_pip(python):
            _create_venv(venv)
        elif all(marker.is_file() and marker.read_bytes() == setup for marker in markers):
            return
        names = runpy.run_path(str(root / "setup.py"))
        more = names.get("TEST_REQUIREMENTS" if for_tests else "HDFS_REQUIREMENTS", [])
        requirements = names["REQUIREMENTS"] + more
        print(f"installing irisspark's requirements in {venv}: some minutes", file=sys.stderr)
        _install(python, requirements)
        for marker in markers:
            marker.write_bytes(setup)


@contextlib.contextmanager
def lock(path: Path, seconds: float) -> Iterator[None]:
    """Hold a file's lock; the system frees it when the process ends, however it ends.

    Args:
        path: The file.
        seconds: How long another process that holds it is waited for.

    Raises:
        TimeoutError: It still holds it.
    """
    path.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    said = False
    with path.open("w") as file:
        while not _is_locked(file):
            waited = time.monotonic() - began
            if waited > seconds:
                raise TimeoutError(f"another process has held {path} for over {seconds:.0f} s")
            if waited > _SAY_SECONDS and not said:
                said = True
                print(
                    f"irisspark: waiting for another process, which holds {path}", file=sys.stderr
                )
            time.sleep(_POLL_SECONDS)
        yield


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_pip(python: Path) -> bool:
    """Tell whether a virtual environment's Python runs, is of a version that fits, and has pip.

    Who installed pip is written down behind its files: where that is missing, so may files be.
    """
    check = (
        "import sys; from importlib.metadata import distribution as find; fits = "
        "(3, 11) <= sys.version_info[:2] <= (3, 12) and find('pip').read_text('INSTALLER'); "
        "sys.exit(not fits)"
    )
    try:
        return subprocess.run([python, "-I", "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def _create_venv(venv: Path) -> None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if importlib.util.find_spec("ensurepip") is None:
        raise IrissparkError(f"{name} has no venv: install it, for example with {name}-venv")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "venv", "--clear", str(venv)], capture_output=True, text=True
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise IrissparkError(f"cannot make {venv} with {name}: {output}")


def _install(python: Path, requirements: Sequence[str]) -> None:
    if not requirements:
        return
    command = [str(python), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, *requirements], stdout=sys.stderr).returncode != 0:
        raise IrissparkError("the requirements could not be installed: see pip's message above")


def read_spark_version(spark_home: Path) -> tuple[int, int]:
    """Give Spark's major and minor version by the name of its core JAR.

    Raises:
        IrissparkError: It is no Spark.
    """
    for jar in spark_home.glob("jars/spark-core_*.jar"):
        if match := re.fullmatch(r"spark-core_[\d.]+-(\d+)\.(\d+)\..*", jar.name):
            return int(match[1]), int(match[2])
    raise IrissparkError(f"no Spark in SPARK_HOME={spark_home}: there is no jars/spark-core_*.jar")


def check_java(spark_version: tuple[int, int], environ: Mapping[str, str]) -> int:
    """Make sure that spark-submit would find a Java that runs this Spark.

    Returns:
        Its major version.

    Raises:
        IrissparkError: There is none, or its version does not fit.
    """
    java = find_java(environ)
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=ANSWER_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise IrissparkError(
            f"{java} -version has not answered within {ANSWER_SECONDS:.0f} s"
        ) from None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr)  # "1.8.0_392" is Java 8
    lowest, highest, advice = _java_range(spark_version)
    if match is None:
        raise IrissparkError(f"no working Java in {java}: install {advice}")
    if not lowest <= int(match[1]) <= highest:
        spark = ".".join(map(str, spark_version))
        raise IrissparkError(
            f"Java {match[1]} in {java} does not run Spark {spark}: "
            f"install {advice}, and set JAVA_HOME to it"
        )
    return int(match[1])


def _java_range(spark_version: tuple[int, int]) -> tuple[int, int, str]:
    if spark_version < (4, 0):
        return 8, 17, "Java 17 (openjdk-17-jre-headless), 11 or 8"
    # Hadoop before 3.4.2 needs what Java 24 removed: Subject.getSubject.
    highest = 23 if spark_version == (4, 0) else sys.maxsize
    return 17, highest, "Java 17 (openjdk-17-jre-headless)"


def main(argv: Sequence[str] | None = None) -> int:
    """Make ``.venv`` in the checkout, and give the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m irisspark.submit.environment")
    parser.add_argument("--for-tests", action="store_true", help="with what the tests need")
    for_tests = parser.parse_args(argv).for_tests
    try:
        home = os.environ.get("SPARK_HOME")
        version = read_spark_version(Path(home)) if home else DEFAULT_SPARK_VERSION
        check_java(version, os.environ)
        make_venv(ROOT, for_tests=for_tests)
    except (IrissparkError, TimeoutError) as error:
        print(f"irisspark: {error}", file=sys.stderr)
        return IrissparkError.exit_code
    except OSError as error:
        advice = f".venv is made in {ROOT}, which must be a folder that you may write"
        print(f"irisspark: {error}; {advice}", file=sys.stderr)
        return IrissparkError.exit_code
    except KeyboardInterrupt:
        print("irisspark: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
