"""The JVM that the driver talks to: that of spark-submit, or one of its own.

Whatever listens at the port that the environment names is asked over a socket of our own first:
py4j would wait without end for an answer. These are its messages, as py4j's ``protocol`` has them.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Callable

from irisspark.errors import IrissparkError, first_line
from irisspark.startup import ending
from irisspark.startup.nameless import has_name, java_options, user_name
from irisspark.startup.spark_log import set_level

PORT, _SECRET = "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"
_ARGS, _LAST_ARG = "PYSPARK_SUBMIT_ARGS", "pyspark-shell"
_ANSWER_SECONDS = 20.0  # a JVM that has just been started, on a machine that is busy
_MOMENT_SECONDS = 0.1
_MAX_ANSWER_BYTES = 1000
_DONE, _TRUE, _REFERENCE = b"!yv", b"!ybtrue", b"!yr"
# Not by SparkEnv: py4j looks through its methods, one of which names a class that Spark 4.3 does
# not bring.
_HAS_NO_SPARK = (
    b"r\nm\norg.apache.spark.SparkContext$\nMODULE$\ne\n",
    b"c\n%s\ngetActive\ne\n",
    b"c\n%s\nisEmpty\ne\n",
)


def has_jvm() -> bool:
    """Tell whether a JVM waits for this process; what names one that has ended is forgotten."""
    if PORT not in os.environ:
        return False
    if _ask() is not None:
        return True
    _forget()
    return False


def open_gateway(before_start: Callable[[], None]) -> None:
    """Connect to the JVM of spark-submit, or start one where this is a plain Python process.

    A notebook leaves what names its own JVM to the programs that it starts: a JVM that runs a Spark
    already is not for this one.

    Args:
        before_start: Called before a JVM is started in the place of one that was named.

    Raises:
        IrissparkError: There is none, and none can be started.
    """
    from pyspark import SparkContext
    from pyspark.errors import PySparkException

    if PORT in os.environ:
        if _is_ours() and _connects():
            ending.end_with_parent()
            return _settle_user()
        _forget()
        before_start()
    arguments = os.environ.get(_ARGS, _LAST_ARG)
    if _LAST_ARG not in arguments.split():
        os.environ[_ARGS] = f"{arguments} {_LAST_ARG}"
    os.environ.update(java_options(os.environ))
    try:
        SparkContext._ensure_initialized()
    except (PySparkException, OSError) as error:  # spark-submit has said what is wrong
        raise IrissparkError(f"Spark did not start: {first_line(error)}") from error
    _settle_user()


def _is_ours() -> bool:
    """Tell whether the JVM that is named lets this process in, and runs no Spark yet."""
    return _ask(*_HAS_NO_SPARK) == _TRUE


def _ask(*commands: bytes) -> bytes | None:
    """Give the last answer of the JVM that is named; None where it does not let this process in.

    Args:
        commands: What is asked for, one after the other; ``%s`` is the object that was answered.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    try:
        address = ("127.0.0.1", int(os.environ[PORT]))
        with socket.create_connection(address, _ANSWER_SECONDS) as connection:
            if _answer(connection, f"A\n{os.environ[_SECRET]}\n".encode(), deadline) != _DONE:
                return None
            answer = b""
            for command in commands:
                object_id = answer.removeprefix(_REFERENCE)
                answer = _answer(connection, command.replace(b"%s", object_id), deadline)
            return answer
    except (OSError, KeyError, ValueError, OverflowError):
        return None


def _answer(connection: socket.socket, command: bytes, deadline: float) -> bytes:
    """Send a command, and give the line that answers it."""
    connection.sendall(command)
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        part = connection.recv(_MAX_ANSWER_BYTES)
        if not part or len(line) > _MAX_ANSWER_BYTES:
            raise ConnectionError("no answer of py4j's")
        line += part
    return line[:-1]


def _connects() -> bool:
    from pyspark import SparkContext

    try:
        SparkContext._ensure_initialized()
    except Exception:  # it has ended since
        return False
    return True


def _forget() -> None:
    """Forget the JVM that is named; where it started this process and was killed, end."""
    if _nobody_reads():
        ending.end()
    for name in (PORT, _SECRET):
        os.environ.pop(name, None)


def _nobody_reads() -> bool:
    """Tell whether the reader of standard output has gone, as a JVM has that was killed."""
    time.sleep(_MOMENT_SECONDS)  # it closes one after another
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))  # errors and hang-ups, which need not be asked for
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        return False


def _settle_user() -> None:
    """Tell Hadoop who the user is where the system has no name for them: it would give up."""
    if has_name():
        return
    from pyspark import SparkContext

    user = SparkContext._jvm.org.apache.hadoop.security.UserGroupInformation
    user.setLoginUser(user.createRemoteUser(user_name(os.environ)))


def quiet_log() -> None:
    """Keep the JVM of spark-submit from logging its end where no session has set a level."""
    if not has_jvm():
        return
    with contextlib.suppress(Exception):  # a line of log more is no reason to fail
        if _is_ours() and _connects():
            set_level("WARN")
