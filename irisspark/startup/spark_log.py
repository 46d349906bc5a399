"""What Spark's log says on a user's terminal: a line an event, without the traces of Java."""

from __future__ import annotations

import contextlib
from typing import Any

_SPARKS_OWN = "org/apache/spark/log4j2-defaults.properties"
# As conf/log4j2.properties has it for submit.sh.
_PATTERN = "%d{yy/MM/dd HH:mm:ss} %p %c{1}: %replace{%m}{(?s)\\n.*}{}%n%ex{0}"
# Says only that tasks end later than a context that is stopped.
_LATE = "org.apache.spark.rpc.netty.Inbox"


def shorten_log() -> None:
    """Let the log of the JVM show an event in a line, where nobody has configured it.

    A task that is retried is worth that line, and not the thirty of its trace; where a job fails
    its cause is in the run's own message.
    """
    with contextlib.suppress(Exception):  # a longer log is no reason to fail
        jvm = _jvm()
        log4j = jvm.org.apache.logging.log4j
        context = log4j.LogManager.getContext(False)
        configuration = context.getConfiguration()
        if _SPARKS_OWN not in str(configuration.getConfigurationSource().getLocation()):
            return
        core = log4j.core
        layout = core.layout.PatternLayout.newBuilder().withPattern(_PATTERN).build()
        appender = core.appender.ConsoleAppender.newBuilder()
        appender = appender.setTarget(core.appender.ConsoleAppender.Target.SYSTEM_ERR)
        appender = appender.setName("irisspark").setLayout(layout).build()
        appender.start()
        root = configuration.getRootLogger()
        for name in list(root.getAppenders().keySet()):
            root.removeAppender(name)
        root.addAppender(appender, None, None)
        context.updateLoggers()
        core.config.Configurator.setLevel(_LATE, log4j.Level.OFF)


def set_level(name: str) -> None:
    """Set the level of Spark's log; a context may be there or not.

    Args:
        name: As Log4j has it, such as ``WARN``.
    """
    with contextlib.suppress(Exception):
        log4j = _jvm().org.apache.logging.log4j
        log4j.core.config.Configurator.setRootLevel(log4j.Level.toLevel(name))


def _jvm() -> Any:
    from pyspark import SparkContext

    return SparkContext._jvm
