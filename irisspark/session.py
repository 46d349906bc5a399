"""Opens and stops the Spark context, and ships the archive to the workers."""

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from irisspark import prefork, worker_daemon
from irisspark.errors import IrissparkError
from irisspark.warm_up import NOT_FOUND, WarmUp

if TYPE_CHECKING:
    from pyspark import RDD, SparkConf, SparkContext

T = TypeVar("T")

_MASTER_TIMEOUT_SECONDS = 10.0
_DAEMON_KEY = "spark.python.daemon.module"
_GATEWAY_VARIABLE = "PYSPARK_GATEWAY_PORT"
_SPARKS_DAEMON = "pyspark.daemon"
_PYTHONPATH_KEY = "spark.executorEnv.PYTHONPATH"


class Session:
    """An open Spark context, and what the rest of the driver asks about it.

    Attributes:
        shipped: Names of the files that ``--files`` shipped.
    """

    def __init__(self, context: "SparkContext") -> None:
        """Take over a context."""
        self._context = context
        self._conf: SparkConf | None = None
        self._warm_up: WarmUp | None = None
        self.shipped = _shipped_names(context.getConf())

    @property
    def context(self) -> "SparkContext":
        """The context, once its workers are ready."""
        self.wait_for_workers()
        return self._context

    def warm_up(self, conf: "SparkConf") -> None:
        """Begin to start the workers from irisspark's daemon, which ``conf`` names."""
        self._conf = conf
        self._warm_up = WarmUp(self._context, conf.get("spark.log.level", None))

    def wait_for_workers(self) -> None:
        """Wait until the workers have imported what they need."""
        if self._warm_up is None or self._conf is None:
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
        return _is_on_one_machine(str(self.context.master))

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

    def spread(self, items: list[T]) -> "RDD[T]":
        """Make a partition of each item."""
        return self.context.parallelize(items, len(items))


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
    conf = _configure(use_local=use_local, verbose=verbose)
    master = str(conf.get("spark.master"))
    _check_master(master)
    uses_daemon = fast_workers and _turn_on_daemon(conf, verbose=verbose)
    shares = uses_daemon and importing is not None and _is_on_one_machine(master)
    nursery = prefork.reserve() if shares else None
    if nursery:
        conf.set(f"spark.executorEnv.{prefork.VARIABLE}", nursery.path)
    session = None
    try:
        session = Session(_start(conf))
        if uses_daemon:
            session.warm_up(conf)
        if importing:
            importing.join()
        if nursery:
            nursery.start(worker_daemon.serve)
        yield session
    finally:
        if nursery:
            nursery.stop()
        if session:
            session.stop()


def _open_gateway() -> None:
    """Connect to the JVM of spark-submit, or start one where this is a plain Python process."""
    from pyspark import SparkContext
    from pyspark.errors import PySparkException

    try:
        SparkContext._ensure_initialized()
    except PySparkException as error:  # spark-submit has said what is wrong
        raise IrissparkError(f"Spark did not start: {_first_line(error)}") from error


def quiet_log() -> None:
    """Keep the JVM of spark-submit from logging its end where no session has set a level."""
    if _GATEWAY_VARIABLE not in os.environ:
        return
    with contextlib.suppress(Exception):  # a line of log more is no reason to fail
        from pyspark import SparkContext

        SparkContext._ensure_initialized()
        log4j = SparkContext._jvm.org.apache.logging.log4j
        log4j.core.config.Configurator.setRootLevel(log4j.Level.WARN)


def _start(conf: "SparkConf") -> "SparkContext":
    from pyspark import SparkContext

    try:
        context = SparkContext(conf=conf)
    except Exception as error:
        raise IrissparkError(f"Spark did not start: {_first_line(error)}") from error
    archive = find_archive()
    if archive is not None:
        context.addPyFile(str(archive))
    return context


def _stop(context: "SparkContext") -> None:
    """Stop Spark without waiting for pyspark's accumulator server, which looks up once a second."""
    server = getattr(context, "_accumulatorServer", None)
    if server is not None:
        threading.Thread(target=server.shutdown, daemon=True).start()
        context._accumulatorServer = None
    context.stop()


def _turn_on_daemon(conf: "SparkConf", *, verbose: bool) -> bool:
    """Let executors fork their workers from ``worker_daemon``, unless the user has other plans."""
    if conf.contains(_DAEMON_KEY) or conf.get("spark.python.use.daemon", "true") == "false":
        return False
    archive = find_archive()
    if archive is not None:
        # The daemon has to find the archive on its own: an executor fetches it to its working
        # directory, where YARN calls it __app__.jar; a local one works in the driver's folder.
        places = [str(archive)]
        if not _is_local(conf):
            places = [archive.name, "__app__.jar", *places]
        theirs = conf.get(_PYTHONPATH_KEY, None)
        conf.set(_PYTHONPATH_KEY, os.pathsep.join([*places, theirs] if theirs else places))
    if verbose:
        conf.set(f"spark.executorEnv.{worker_daemon.VERBOSE_VARIABLE}", "1")
    conf.set(_DAEMON_KEY, worker_daemon.__name__)
    return True


def _without_daemon(context: "SparkContext", conf: "SparkConf") -> "SparkContext":
    """Go on with Spark's own daemon: executors read the setting when they start."""
    if _is_local(conf):
        environment = context._jvm.org.apache.spark.SparkEnv.get()
        environment.conf().set(_DAEMON_KEY, _SPARKS_DAEMON)
        return context
    _stop(context)
    # Set and not removed: the JVM's system properties, which a conf begins with, have ours too.
    return _start(conf.set(_DAEMON_KEY, _SPARKS_DAEMON))


def _is_local(conf: "SparkConf") -> bool:
    """Tell whether driver and executors are one JVM."""
    return str(conf.get("spark.master")).split("[")[0] == "local"


def _is_on_one_machine(master: str) -> bool:
    """Tell whether they are on one machine: ``local-cluster`` has a JVM for each executor."""
    return master.startswith("local")


def _configure(*, use_local: bool, verbose: bool) -> "SparkConf":
    from pyspark import SparkConf

    conf = SparkConf()
    if conf.get("spark.master", None) is None:
        if not use_local:
            raise IrissparkError(
                "no Spark master is named: start irisspark with spark-submit --master MASTER, "
                "or pass -useSparkLocal true to run on this machine"
            )
        conf.set("spark.master", "local[*]")
    if conf.get("spark.app.name", None) is None:
        conf.setAppName("irisspark")
    if not verbose:
        conf.setIfMissing("spark.log.level", "WARN")
    if _on_terminal():
        conf.setIfMissing("spark.ui.showConsoleProgress", "true")
    if _is_local(conf):
        # It takes most of a second to start, and is gone with the run.
        conf.setIfMissing("spark.ui.enabled", "false")
    is_near = _is_on_one_machine(str(conf.get("spark.master")))
    if is_near and not conf.contains("spark.pyspark.python"):
        # The driver's Python has what irisspark needs; a bare python3 on the PATH may not.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return conf


def _on_terminal() -> bool:
    """Tell whether the JVM, which draws the progress bar, has a terminal."""
    from pyspark import SparkContext

    console = SparkContext._jvm.java.lang.System.console()
    is_terminal = getattr(console, "isTerminal", None)  # Java 22 has a console without a terminal
    try:
        return console is not None and (is_terminal is None or bool(is_terminal()))
    except Exception:
        return console is not None


def _check_master(master: str) -> None:
    """Make sure that a standalone master answers; Spark itself would log for a minute first."""
    if not master.startswith("spark://"):
        return
    problems = []
    for address in master.removeprefix("spark://").split(","):
        parts = urlsplit(f"//{address}")
        try:
            host, port = parts.hostname or "", parts.port or 7077
            with socket.create_connection((host, port), _MASTER_TIMEOUT_SECONDS):
                return
        except (OSError, ValueError) as error:
            problems.append(f"{address}: {getattr(error, 'strerror', None) or error}")
    raise IrissparkError(
        f"the Spark master {master} does not answer ({'; '.join(problems)}); "
        "look at --master, and whether the master is running"
    )


def find_archive() -> Path | None:
    """Find the archive that this package was imported from; None in a checkout."""
    for folder in Path(__file__).parents:
        if folder.is_file():
            return folder.absolute()
    return None


def _shipped_names(conf: "SparkConf") -> tuple[str, ...]:
    """List the names that ``--files`` gave to files: the base name, or what follows a #."""
    uris = str(conf.get("spark.files", "") or "").split(",")
    return tuple(
        urlsplit(uri).fragment or os.path.basename(urlsplit(uri).path) for uri in uris if uri
    )


def _first_line(error: Any) -> str:
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage()) if java is not None else str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
