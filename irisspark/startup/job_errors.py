"""What Spark says of a job that it could not run, in a line for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from irisspark.errors import MAX_LINE_CHARS, first_line

OVERHEAD_KEY = "spark.executor.memoryOverhead"
CORES_KEY = "spark.executor.cores"

_WORKER_MB = 1024
_TRACE_OF_A_WORKER = "Traceback (most recent call last)"
_MISMATCH = re.compile(r"different version:? \(?([\d., ]+?)\)? than that in driver:? ([\d.]+\d)")
_LACKING = re.compile(r"^(?:ModuleNotFoundError|ImportError): (.+)$", re.MULTILINE)
_CRASHED = ("exited unexpectedly", "Connection reset", "EOFException", "Broken pipe")
_KILLED = re.compile(
    r"\b(?:code|status)[: ]*(?:137|143)\b|exceeding (?:\w+ )?memory limits|OOMKilled",
    re.IGNORECASE,
)
_LOST = re.compile(r"ExecutorLostFailure|executor \S+ (?:exited|lost)", re.IGNORECASE)
_FROM_PYTHON = re.compile(r"Error from python worker:\n(.*?)\n *PYTHONPATH was:", re.DOTALL)
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:\s.*\n|\n)*(\S.*)")
_JAVA = re.compile(
    r"^(?:Caused by: |.*?Lost task [^:]*: )?[\w.$]+(?:Exception|Error): (\S.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Place:
    """Where a job ran.

    Attributes:
        master: The master.
        parallelism: How many tasks run at once.
        settings: The configuration, by key.
    """

    master: str
    parallelism: int
    settings: Mapping[str, str]


def is_crash(error: BaseException) -> bool:
    """Tell whether a worker's process died, so that the job may do when it is run again."""
    return _is_of_spark(error) and any(sign in str(error) for sign in _CRASHED)


def is_final(error: BaseException) -> bool:
    """Tell whether no daemon would do better: executors are killed, or run another Python."""
    text = str(error)
    signs = (_KILLED, _LOST, _MISMATCH)
    return _is_of_spark(error) and any(sign.search(text) for sign in signs)


def _is_of_spark(error: BaseException) -> bool:
    """Tell it from an error of the connection to the JVM itself."""
    return getattr(error, "java_exception", None) is not None


def job_problem(error: Exception, place: Place) -> str | None:
    """Say why Spark could not run a job; None where an error of irisspark's own code ended it."""
    from py4j.protocol import Py4JNetworkError

    if isinstance(error, Py4JNetworkError | ConnectionError):
        return f"Spark ended in the middle of the run ({first_line(error)}); look at its log"
    if not _is_of_spark(error):
        return None
    text = str(error)
    if (lacking := _LACKING.search(text)) is not None:
        return (
            f"the Python of the workers lacks what irisspark needs: {lacking[1]}; set "
            "PYSPARK_PYTHON to a Python in which its requirements are installed, on every machine"
        )
    if (mismatch := _MISMATCH.search(text)) is not None:
        return (
            f"the workers run Python {mismatch[1].replace(', ', '.')}, and the driver Python "
            f"{mismatch[2]}: set PYSPARK_PYTHON to a Python {mismatch[2]}, on every machine"
        )
    if (killed := _killed(error, place)) is not None:
        return killed
    if _TRACE_OF_A_WORKER in text:
        return None
    return f"Spark could not run the job: {cause(error)}"


def cause(error: BaseException) -> str:
    """Give the line of a failed job's message that says why; its first line where none does."""
    text = str(error)
    if found := _FROM_PYTHON.search(text):
        return found[1].strip().splitlines()[-1].strip()
    if found := _TRACEBACK.search(text):
        return found[1].strip()
    causes = _JAVA.findall(text)
    reasons = [line for line in causes if not line.startswith("Job aborted")]
    return reasons[-1].strip()[:MAX_LINE_CHARS] if reasons else first_line(error)


def overhead_mb(settings: Mapping[str, str]) -> int:
    """Give the memory in MB that an executor's Python workers need beside its JVM.

    Spark's default, a tenth of the JVM's memory, holds no TensorFlow; this adds 1 GB a core.
    """
    memory = _megabytes(settings.get("spark.executor.memory", "1g"))
    return max(384, memory // 10) + _WORKER_MB * int(settings.get(CORES_KEY, 1))


def _megabytes(text: str) -> int:
    """Read a size as Spark writes it, in MB where it has no unit."""
    match = re.fullmatch(r"\s*(\d+)\s*([kmgtp]?)b?\s*", text.lower())
    if match is None:
        return 1024
    power = {"k": -1, "": 0, "m": 0, "g": 1, "t": 2, "p": 3}[match[2]]
    return int(int(match[1]) * 1024.0**power)


def _killed(error: Exception, place: Place) -> str | None:
    """Say what to set where processes were killed; None: they were not."""
    text = str(error)
    killed = _KILLED.search(text)
    if killed or _LOST.search(text):
        sign = f" ({killed[0]})" if killed else ""
        what = f"an executor was lost{sign}, most likely for want of memory"
        return f"{what}: {_advise(place)}"
    if not is_crash(error):
        return None
    if place.master.startswith("local"):
        fewer = max(1, place.parallelism // 2)
        return (
            "a worker's process died, again and again, most likely as this machine has too little "
            f"memory: let fewer run at once, with --master local[{fewer}] in place of "
            f"{place.master}, or let them hold less, with a smaller -batchSizePerWorker"
        )
    return (
        "a worker's process died, again and again, most likely for want of memory: "
        f"{_advise(place)}"
    )


def _advise(place: Place) -> str:
    settings = place.settings
    cores = int(settings.get(CORES_KEY, 1))
    fewer = f"--conf {CORES_KEY}={max(1, cores // 2)}"
    if place.master.startswith(("yarn", "k8s")):
        now = settings.get(OVERHEAD_KEY)
        needed = overhead_mb(settings)
        more = max(2 * _megabytes(now), needed) if now else 2 * needed
        advice = f"give its Python workers more, with --conf {OVERHEAD_KEY}={more}m"
        return f"{advice}, or let fewer run at once, with {fewer}" if cores > 1 else advice
    return (
        f"let fewer Python workers run at once, with {fewer}, or less memory go to the JVM, "
        "with a smaller --executor-memory"
    )
