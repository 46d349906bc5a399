"""Opens and stops the Spark context, and ships the archive to the workers."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from irisspark.errors import IrissparkError, first_line
from irisspark.startup import fork_server, worker_daemon
from irisspark.startup.spark_conf import (
    DAEMON_KEY,
    check_master,
    configure,
    find_archive,
    forget_aliases,
    is_local,
    is_on_one_machine,
    shipped_names,
    turn_on_daemon,
)
from irisspark.startup.warm_up import NOT_FOUND, WarmUp

if TYPE_CHECKING:
    from pyspark import RDD, SparkConf, SparkContext

T = TypeVar("T")

_GATEWAY_VARIABLE = "PYSPARK_GATEWAY_PORT"
_LOG_LEVEL = "spark.log.level"
_SPARKS_DAEMON = "pyspark.daemon"
_CRASHED = ("exited unexpectedly", "Connection reset", "EOFException", "Broken pipe")
_ATTEMPTS = 4


class Session:
    """A Spark context, and what the rest of the driver asks about it.

    Attributes:
        shipped: What ``--files`` and ``--archives`` shipped: ``spark_conf.shipped_names``.
    """

    def __init__(self, context: SparkContext) -> None:
        """Go on as ``attach`` says."""
        self._context = context
        self.shipped = shipped_names(context.getConf())

    @classmethod
    def attach(cls, context: SparkContext) -> Session:
        """Use a context of somebody else's, who stops it; nothing of it is changed.

        Its workers must be able to import irisspark, and use Spark's daemon or what it names.
        """
        return cls(context)

    @property
    def context(self) -> SparkContext:
        """The context, once its workers are ready."""
        self.wait_for_workers()
        return self._context

    def wait_for_workers(self) -> None:
        """Wait until the workers have imported what they need, where that can be known."""

    def run(self, job: Callable[[], T], *, survives_crashes: bool = False) -> T:
        """Run a job: the one place through which all jobs go.

        Args:
            job: Starts it, and waits for what it gives.
            survives_crashes: Start it again where a worker's process dies, as Spark itself does but
                for a local master. It gives the same each time, so nothing is lost but time.
        """
        attempts_left = _ATTEMPTS if survives_crashes else 1
        while True:
            try:
                return job()
            except Exception as error:
                attempts_left -= 1
                if not attempts_left or not any(sign in str(error) for sign in _CRASHED):
                    raise

    @property
    def parallelism(self) -> int:
        """How many tasks Spark means to run at once."""
        return int(self.context.defaultParallelism)

    @property
    def threads_per_task(self) -> int:
        """How many threads a task may use: ``spark.task.cpus``."""
        return int(self.context.getConf().get("spark.task.cpus", "1") or 1)

    @property
    def is_local(self) -> bool:
        """True where driver and workers are on this machine."""
        return is_on_one_machine(str(self.context.master))

    @property
    def spark_version(self) -> str:
        """The version of the Spark that runs."""
        return str(self.context.version)

    @property
    def resolve(self) -> Callable[[str], str]:
        """From the name of a shipped file to its path, on the machine that calls it."""
        from pyspark import SparkFiles

        resolve: Callable[[str], str] = SparkFiles.get
        return resolve

    def spread(self, items: list[T]) -> RDD[T]:
        """Make a partition of each item."""
        return self.context.parallelize(items, len(items))


class OwnSession(Session):
    """A session whose context was opened here, with workers on the way and an end of its own."""

    def __init__(self, context: SparkContext, conf: SparkConf, shipped: dict[str, str]) -> None:
        """Take the context that was opened with ``conf``, and what was shipped before it was."""
        super().__init__(context)
        self.shipped = shipped
        self._conf = conf
        self._warm_up: WarmUp | None = None

    def warm_up(self) -> None:
        """Begin to start the workers from irisspark's daemon, which the conf names."""
        level = self._conf.get(_LOG_LEVEL, None)
        self._warm_up = WarmUp(self._context, level, self.run)

    def wait_for_workers(self) -> None:
        """Wait until the workers have imported what they need."""
        if self._warm_up is None:
            return
        warm_up, self._warm_up = self._warm_up, None
        problem = warm_up.wait()
        if problem == NOT_FOUND:
            self._context = _without_daemon(self._context, self._conf)
        if problem is not None:
            print(
                f"irisspark: the workers start on Spark's own daemon, which is slower: {problem}",
                file=sys.stderr,
                flush=True,
            )

    def stop(self) -> None:
        """Stop Spark."""
        _stop(self._context)


@contextlib.contextmanager
def open_session(
    *,
    use_local: bool = False,
    verbose: bool = False,
    fast_workers: bool = True,
    importing: threading.Thread | None = None,
) -> Iterator[Session]:
    """Open the Spark context that spark-submit's options describe, and stop it at the end.

    The workers start while the caller goes on: ``Session.context`` waits for them.

    Args:
        use_local: Run on ``local[*]`` where no master is named.
        verbose: Leave Spark's log as it is; otherwise it is set to WARN where the user has not.
        fast_workers: Fork the workers from a daemon that has imported TensorFlow.
        importing: Imports TensorFlow in this process; started here, and at its end once the session
            is open.

    Raises:
        IrissparkError: Spark does not start, or its master does not answer.
    """
    import pyspark  # noqa: F401  # first, for it takes less than what is imported meanwhile

    has_jvm = _GATEWAY_VARIABLE in os.environ
    if importing and has_jvm:
        importing.start()
    if not verbose:  # py4j would log the trace of every failed call, of which cli tells in a line
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
    # The JVM of spark-submit knows the master; a conf made before the gateway is open does not.
    _open_gateway()
    if importing and not has_jvm:  # only now: the import leads away what a JVM of ours inherits
        importing.start()
    conf = configure(use_local=use_local, verbose=verbose)
    master = str(conf.get("spark.master"))
    check_master(master)
    shipped = shipped_names(conf)
    forget_aliases(conf)
    uses_daemon = fast_workers and turn_on_daemon(conf, verbose=verbose)
    shares = uses_daemon and importing is not None and is_on_one_machine(master)
    server = fork_server.reserve() if shares else None
    if server:
        conf.set(f"spark.executorEnv.{fork_server.VARIABLE}", server.path)
    session = None
    try:
        session = OwnSession(_start(conf), conf, shipped)
        if uses_daemon:
            session.warm_up()
        if importing:
            importing.join()
        if server:
            server.start(worker_daemon.serve)
        yield session
    finally:
        if server:
            server.stop()
        if session:
            session.stop()


def _open_gateway() -> None:
    """Connect to the JVM of spark-submit, or start one where this is a plain Python process."""
    from pyspark import SparkContext
    from pyspark.errors import PySparkException

    try:
        SparkContext._ensure_initialized()
    except PySparkException as error:  # spark-submit has said what is wrong
        raise IrissparkError(f"Spark did not start: {first_line(error)}") from error


def quiet_log() -> None:
    """Keep the JVM of spark-submit from logging its end where no session has set a level."""
    if _GATEWAY_VARIABLE not in os.environ:
        return
    with contextlib.suppress(Exception):  # a line of log more is no reason to fail
        from pyspark import SparkContext

        SparkContext._ensure_initialized()
        log4j = SparkContext._jvm.org.apache.logging.log4j
        log4j.core.config.Configurator.setRootLevel(log4j.Level.WARN)


def _start(conf: SparkConf) -> SparkContext:
    from pyspark import SparkContext

    level = conf.get(_LOG_LEVEL, None)
    try:
        if level:  # Spark would log the trace of an error that is told in a line
            conf.set(_LOG_LEVEL, "OFF")
        context = SparkContext(conf=conf)
    except Exception as error:
        raise IrissparkError(f"Spark did not start: {first_line(error)}") from error
    finally:
        if level:
            conf.set(_LOG_LEVEL, level)
    if level:
        context.setLogLevel(level)
    archive = find_archive()
    if archive is not None:
        context.addPyFile(str(archive))
    return context


def _stop(context: SparkContext) -> None:
    """Stop Spark without waiting for pyspark's accumulator server, which looks up once a second."""
    server = getattr(context, "_accumulatorServer", None)
    if server is not None:
        threading.Thread(target=server.shutdown, daemon=True).start()
        context._accumulatorServer = None
    context.stop()


def _without_daemon(context: SparkContext, conf: SparkConf) -> SparkContext:
    """Go on with Spark's own daemon: executors read the setting when they start."""
    if is_local(conf):
        environment = context._jvm.org.apache.spark.SparkEnv.get()
        environment.conf().set(DAEMON_KEY, _SPARKS_DAEMON)
        return context
    _stop(context)
    # Set and not removed: the JVM's system properties, which a conf begins with, have ours too.
    return _start(conf.set(DAEMON_KEY, _SPARKS_DAEMON))
