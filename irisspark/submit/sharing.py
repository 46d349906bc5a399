"""Spark's classes, parsed once and mapped into every later JVM (class-data sharing).

Two seconds of every start of Spark go into finding, reading and verifying its classes. A JVM of
Java 13 and later can leave them behind in a file when it ends, and the next ones map it.
The file lies in ``.venv``, is made anew when Java or Spark change, and whatever goes wrong with it
costs nothing but the seconds. Another, with the reason, then keeps runs from trying for a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from irisspark.submit.environment import ROOT, lock

FIRST_JAVA = 13
_QUIET = "-Xlog:cds=off,cds+dynamic=off"
_SECONDS = 120
_LOCK_SECONDS = 180.0
_OTHERS_KEPT = 2  # for who goes to and fro between Sparks
_RETRY_SECONDS = 24 * 3600.0

_LOCK = ROOT / ".cache" / "classes.lock"

# What an evaluation does with Spark: a context without SQL, a broadcast, jobs with Python workers.
_JOB = """
from pyspark import SparkContext
sc = SparkContext()
shared = sc.broadcast(b"weights")
for tasks in (1, 2):
    sc.parallelize(range(tasks), tasks).mapPartitions(lambda rows: [len(shared.value)]).collect()
sc.stop()
"""


def share_classes(
    spark_home: Path,
    java: Path,
    java_version: int,
    flags: Sequence[str],
    environ: Mapping[str, str],
    *,
    verbose: bool = False,
) -> list[str]:
    """Give the JVM's flags that map Spark's classes, none where there is no such file.

    Args:
        spark_home: The Spark.
        java: The Java that runs it.
        java_version: Its major version.
        flags: The other flags of a job's JVM.
        environ: What spark-submit is started with.
        verbose: Say why there is no such file.
    """
    if java_version < FIRST_JAVA or not os.access(ROOT / ".venv", os.W_OK):
        return []
    archive = ROOT / ".venv" / f"spark-classes-{_identify(spark_home, java)}.jsa"
    if not _is_settled(archive):
        with contextlib.suppress(OSError), lock(_LOCK, _LOCK_SECONDS):
            if not _is_settled(archive):
                _make(archive, spark_home, flags, environ)
    if _is_made(archive):
        return [_quote(f"-XX:SharedArchiveFile={archive}"), _QUIET]
    if verbose and (failed := _failed(archive)).exists():
        print(
            f"irisspark: Spark starts without shared classes: {failed.read_text()}; it is tried "
            f"again a day after that, or once {failed} is deleted",
            file=sys.stderr,
        )
    return []


def _is_made(archive: Path) -> bool:
    return archive.exists() and archive.stat().st_size > 0


def _failed(archive: Path) -> Path:
    return archive.with_suffix(".failed")


def _is_settled(archive: Path) -> bool:
    """Tell whether the file is there, or could not be made a short while ago."""
    failed = _failed(archive)
    is_recent = failed.exists() and abs(time.time() - failed.stat().st_mtime) < _RETRY_SECONDS
    return _is_made(archive) or is_recent


def _quote(flag: str) -> str:
    """Keep a flag with spaces in it whole, as Spark's launcher reads flags."""
    return f'"{flag}"' if " " in flag else flag


def _identify(spark_home: Path, java: Path) -> str:
    """Name a Spark and a Java: a file made with others is of no use to them."""
    jars = [(jar.name, jar.stat().st_size) for jar in sorted(spark_home.glob("jars/*.jar"))]
    real = java.resolve()
    what = (str(spark_home), str(real), real.stat().st_mtime_ns, jars)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _make(
    archive: Path, spark_home: Path, flags: Sequence[str], environ: Mapping[str, str]
) -> None:
    """Run a small job whose JVM leaves its classes behind; a file says why where it did not."""
    print("irisspark: preparing Spark's classes for faster starts, once", file=sys.stderr)
    _clear(archive)
    script, unfinished = archive.with_suffix(".py"), archive.with_suffix(".unfinished")
    script.write_text(_JOB)
    command = [str(spark_home / "bin" / "spark-submit"), "--master", "local[2]"]
    command += ["--conf", "spark.ui.enabled=false", "--conf", "spark.eventLog.enabled=false"]
    leave = [*flags, _quote(f"-XX:ArchiveClassesAtExit={unfinished}"), _QUIET]
    # The user's folder has no say in what the workers import.
    python = {"PYSPARK_PYTHON": sys.executable, "PYTHONSAFEPATH": "1"}
    command += ["--driver-java-options", " ".join(leave), str(script)]
    problem = _run(command, python | {**environ})
    script.unlink(missing_ok=True)
    if _is_made(unfinished):
        os.replace(unfinished, archive)
    else:
        unfinished.unlink(missing_ok=True)
        _failed(archive).write_text(problem or "Java left none behind")


def _clear(archive: Path) -> None:
    """Delete what is left of this one, and the others but for the last two that were made."""
    made = sorted(archive.parent.glob("spark-classes-*"), key=lambda file: file.stat().st_mtime)
    others = list(dict.fromkeys(file.stem for file in reversed(made) if file.stem != archive.stem))
    for file in made:
        if file.stem not in others[:_OTHERS_KEPT]:
            file.unlink(missing_ok=True)


def _run(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Run a command to its end or the limit, and give what went wrong in a line."""
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
    except OSError as error:
        return str(error)
    try:
        _, said = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it took over {_SECONDS} s"
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # Spark's Python too, which outlives its JVM
        process.wait()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines or [""])[-1] if process.returncode else ""
