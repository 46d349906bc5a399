"""What Spark says of a job that it could not run, in a line for a person."""

from __future__ import annotations

import re

from irisspark.errors import first_line

_TRACE_OF_A_WORKER = "Traceback (most recent call last)"
_LACKING = re.compile(r"^(?:ModuleNotFoundError|ImportError): (.+)$", re.MULTILINE)
_CAUSES = re.compile(
    r"(?:Caused by|most recent failure)[^\n]*?: ((?:[\w.$]+(?:Exception|Error)): [^\n]+)"
)
_LOST = ("exited unexpectedly", "ExecutorLostFailure", "Connection reset", "Broken pipe")


def job_problem(error: Exception) -> str | None:
    """Say why Spark could not run a job; None where an error of irisspark's own code ended it."""
    from py4j.protocol import Py4JJavaError, Py4JNetworkError

    if isinstance(error, Py4JNetworkError | ConnectionError):
        return f"Spark ended in the middle of the run ({first_line(error)}); look at its log"
    if not isinstance(error, Py4JJavaError):
        return None
    text = str(error)
    if (lacking := _LACKING.search(text)) is not None:
        return (
            f"the Python of the workers lacks what irisspark needs: {lacking[1]}; set "
            "PYSPARK_PYTHON to a Python in which its requirements are installed, on every machine"
        )
    if any(sign in text for sign in _LOST):
        return (
            "a worker's process was killed, or died, again and again: look at the memory of its "
            "machine (spark.executor.memoryOverhead) and at the log of its executor"
        )
    if _TRACE_OF_A_WORKER in text:
        return None
    return f"Spark could not run the job: {_cause(text) or first_line(error)}"


def _cause(text: str) -> str | None:
    """Find what Spark gives as the reason, behind the words that every failed job begins with."""
    causes = _CAUSES.findall(text)
    return str(causes[-1])[:300] if causes else None
