"""Spark's classes, parsed once and mapped into every later JVM (class-data sharing).

Two seconds of every start of Spark go into finding, reading and verifying its classes. A JVM of
Java 13 and later can leave them behind in a file when it ends, and the next ones map it.
The file lies in ``.venv``, is made anew when Java or Spark change, and whatever goes wrong with it
costs nothing but the seconds.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from irisspark.submit.environment import ROOT, lock

FIRST_JAVA = 13
_QUIET = "-Xlog:cds=off,cds+dynamic=off"
_SECONDS = 120

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
) -> list[str]:
    """Give the JVM's flags that map Spark's classes, none where there is no such file.

    Args:
        spark_home: The Spark.
        java: The Java that runs it.
        java_version: Its major version.
        flags: The other flags of a job's JVM.
        environ: What spark-submit is started with.
    """
    if java_version < FIRST_JAVA or not os.access(ROOT / ".venv", os.W_OK):
        return []
    archive = ROOT / ".venv" / f"spark-classes-{_identify(spark_home, java)}.jsa"
    if not archive.exists():
        with lock(ROOT / ".cache" / "classes.lock"):
            if not archive.exists():
                _make(archive, spark_home, flags, environ)
    return [_quote(f"-XX:SharedArchiveFile={archive}"), _QUIET] if archive.stat().st_size else []


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
    """Run a small job whose JVM leaves its classes behind; an empty file says that it did not."""
    print("irisspark: preparing Spark's classes for faster starts, once", file=sys.stderr)
    for old in archive.parent.glob("spark-classes-*"):
        old.unlink(missing_ok=True)
    script, unfinished = archive.with_suffix(".py"), archive.with_suffix(".unfinished")
    script.write_text(_JOB)
    command = [str(spark_home / "bin" / "spark-submit"), "--master", "local[2]"]
    command += ["--conf", "spark.ui.enabled=false", "--conf", "spark.eventLog.enabled=false"]
    leave = [*flags, _quote(f"-XX:ArchiveClassesAtExit={unfinished}"), _QUIET]
    python = {"PYSPARK_PYTHON": sys.executable}
    command += ["--driver-java-options", " ".join(leave), str(script)]
    try:
        subprocess.run(command, env=python | {**environ}, capture_output=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        unfinished.unlink(missing_ok=True)
    if not unfinished.exists():
        unfinished.touch()
    script.unlink(missing_ok=True)
    os.replace(unfinished, archive)
