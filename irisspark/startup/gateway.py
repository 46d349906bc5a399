"""The JVM that the driver talks to: that of spark-submit, or one of its own."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from irisspark.errors import IrissparkError, first_line
from irisspark.startup.nameless import has_name, java_options, user_name
from irisspark.startup.spark_log import set_level

PORT, _SECRET = "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"
_ARGS, _LAST_ARG = "PYSPARK_SUBMIT_ARGS", "pyspark-shell"
_SECONDS = 5.0


def has_jvm() -> bool:
    """Tell whether a JVM waits for this process; what names one that has ended is forgotten."""
    if PORT not in os.environ:
        return False
    try:
        address = ("127.0.0.1", int(os.environ[PORT]))
        with socket.create_connection(address, _SECONDS):
            return True
    except (OSError, ValueError, OverflowError):
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
        if _connects_to_ours():
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


def _connects_to_ours() -> bool:
    """Connect to the JVM that is named, unless it does not let this process in, or runs a Spark."""
    from pyspark import SparkContext

    try:
        SparkContext._ensure_initialized()
        is_ours = SparkContext._jvm.org.apache.spark.SparkEnv.get() is None
    except Exception:
        is_ours = False
    if not is_ours and SparkContext._gateway is not None:
        with contextlib.suppress(Exception):
            SparkContext._gateway.close()  # and not ``shutdown``, which would end it for others
        SparkContext._gateway = SparkContext._jvm = None
    return is_ours


def _forget() -> None:
    for name in (PORT, _SECRET):
        os.environ.pop(name, None)


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
        if not _connects_to_ours():
            return
        set_level("WARN")
