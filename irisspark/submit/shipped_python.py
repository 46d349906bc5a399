"""``--ship-python``: the packages of ``.venv`` go along with a job to machines that have none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from irisspark.bundle import python_archive
from irisspark.submit.environment import ROOT, lock
from irisspark.submit.spark_options import (
    ARCHIVE_KEYS,
    DRIVER_PYTHON_KEY,
    IS_PYTHON_KEY,
    WORKER_PYTHON_KEYS,
    Configuration,
)

SWITCH = "--ship-python"
ARCHIVE = ROOT / f"{python_archive.NAME}.tar.gz"
_LOCK = ROOT / ".cache" / "python.lock"
_LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Packages:
    """What a job needs for its packages to go along.

    Attributes:
        words: Options of spark-submit.
        additions: What to add to its environment.
    """

    words: list[str]
    additions: dict[str, str]


def ship_packages(
    configuration: Configuration, environ: Mapping[str, str], master: str, *, on_cluster: bool
) -> Packages:
    """Pack the packages where that was not done yet, and tell Spark of them.

    Whatever the user calls the workers' Python is the one of their machines that runs them.

    Args:
        configuration: What the user has configured.
        environ: The environment of spark-submit.
        master: Not a local one, for which nothing has to be shipped.
        on_cluster: The driver runs on the cluster, too.

    Raises:
        IrissparkError: They cannot be packed.
        TimeoutError: Another process has been packing them for long.
    """
    _pack()
    theirs = [value for key in ARCHIVE_KEYS if (value := configuration.get(key))]
    words = ["--archives", ",".join([*theirs, f"{ARCHIVE.as_uri()}#{python_archive.NAME}"])]
    conf = {"spark.pyspark.python": python_archive.PYTHON}
    additions: dict[str, str] = {}
    if (machines := _find_python(configuration, environ)) is not None:
        for side in ("executorEnv", *(["yarn.appMasterEnv"] if on_cluster else [])):
            conf[f"spark.{side}.{python_archive.PYTHON_VARIABLE}"] = machines
    if on_cluster:
        conf[DRIVER_PYTHON_KEY] = python_archive.PYTHON
        if master.startswith("yarn"):
            conf[IS_PYTHON_KEY] = "true"  # PySpark is not among the packages
    elif not configuration.get(DRIVER_PYTHON_KEY):
        conf[DRIVER_PYTHON_KEY] = additions["PYSPARK_DRIVER_PYTHON"] = sys.executable
    words += [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
    return Packages(words, additions)


def _find_python(configuration: Configuration, environ: Mapping[str, str]) -> str | None:
    """Find what the user calls the workers' Python, None: nothing."""
    named = (configuration.get(key) for key in WORKER_PYTHON_KEYS)
    found = next((python for python in named if python), environ.get("PYSPARK_PYTHON"))
    return None if found == python_archive.PYTHON else found


def _pack() -> None:
    with lock(_LOCK, _LOCK_SECONDS):
        if not python_archive.is_current(ARCHIVE):
            print(
                f"irisspark: packing the Python packages in {ARCHIVE}, once: a minute",
                file=sys.stderr,
            )
            python_archive.build(ARCHIVE)
