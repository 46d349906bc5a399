"""Spark's Python daemon with TensorFlow imported once, before it forks workers.

Spark runs ``python -m irisspark.startup.worker_daemon`` on every executor when
``spark.python.daemon.module`` says so. The daemon imports what every worker needs, takes away
what each task would pay for again, and hands over to pyspark's own daemon, whose protocol it
leaves alone. A preparation that fails never stops a job: the daemon then serves as Spark's own
does, and :func:``state``, called in a worker, says why.

Nothing here may run a TensorFlow op: an op starts threads, and threads do not survive a fork.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from irisspark.startup import fork_server
from irisspark.startup.descriptors import leading
from irisspark.startup.import_system import keep_archives
from irisspark.startup.imports import (
    fast_imports,
    leave_no_files,
    prefer_unpacked_spark,
    settle_environment,
    settle_keras,
)
from irisspark.startup.own_code import code_digest, place, versions

# pyspark.worker comes first: the daemon of Spark 4.1 and later imports it after the fork only.
MODULES = (
    *("pyspark.worker", "numpy", "pyarrow.csv", "pyarrow.fs", "tensorflow", "keras"),
    "irisspark.evaluation.worker.counting",
    "irisspark.data.queries",
)
VERBOSE_VARIABLE = "IRISSPARK_VERBOSE"
PREPARE_SECONDS = 90.0  # more than a busy machine takes, and less than the driver waits
COLLECT_SHARE = 0.05  # of a worker's time, at most, goes into full garbage collections

Worker = Callable[..., Any]


@dataclass(frozen=True)
class DaemonState:
    """How a worker's daemon was prepared.

    Attributes:
        ready: whether everything in ``MODULES`` was imported before the fork.
        problem: what went wrong, for a person; empty when ready.
        threads: names of the daemon's threads right before it began to fork.
        prepare_seconds: time the preparation took.
    """

    ready: bool = False
    problem: str = "the worker was not started by irisspark's daemon"
    threads: tuple[str, ...] = ()
    prepare_seconds: float = 0.0


_state = DaemonState()


def state() -> DaemonState:
    """Return how the daemon that forked this worker was prepared."""
    return _state


@dataclass(frozen=True)
class WorkerState:
    """What a worker says of itself.

    Attributes:
        daemon: how its daemon was prepared.
        code: the digest of the irisspark that it runs.
        place: where that lies, and on which machine.
        versions: what it runs on, by name.
        has_hdfs: whether it has a client of HDFS.
    """

    daemon: DaemonState
    code: str
    place: str
    versions: dict[str, str]
    has_hdfs: bool


def report_state(_: Iterator[object]) -> Iterator[WorkerState]:
    """Yield the worker's state once, for ``mapPartitions``: the driver's first tiny job."""
    where = f"{place()} on {socket.gethostname()}"
    yield WorkerState(state(), code_digest(), where, versions(), _has_hdfs())


def report_hdfs(_: Iterator[object]) -> Iterator[bool]:
    """Yield whether the worker has a client of HDFS, for ``mapPartitions``."""
    yield _has_hdfs()


def _has_hdfs() -> bool:
    return importlib.util.find_spec("hdfs_native") is not None


def main() -> None:
    """Serve Spark until it closes standard input: a fork of the driver's, or this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the JVM, which ends this
    if not fork_server.hand_over():
        serve()


def serve() -> None:
    """Prepare this process, then serve Spark until it closes standard input."""
    global _state
    prefer_unpacked_spark()
    daemon: Any = importlib.import_module("pyspark.daemon")
    start = time.monotonic()
    try:
        if sys.platform != "linux":
            raise OSError(f"{sys.platform} does not fork what has imported TensorFlow")
        with _limited(PREPARE_SECONDS):
            _prepare(daemon)
        problem = ""
    except (Exception, SystemExit) as error:  # a job on Spark's own terms is better than none
        problem = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - start
    _state = DaemonState(not problem, problem, _thread_names(), seconds)
    daemon.manager()


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in what takes longer: a storage that does not answer, for example."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"the imports took over {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _prepare(daemon: Any) -> None:
    """Import ``MODULES`` and patch the pieces of ``pyspark.daemon`` that every task pays for."""
    settle_environment()
    try:
        with _one_blas_thread(), _quiet_imports(), fast_imports():
            for name in MODULES:
                importlib.import_module(name)
        settle_keras()
        leave_no_files()
    finally:
        gc.freeze()  # a collection before it would free nothing worth its 0.4 s
        keep_archives()
        daemon.gc = _with_collect(gc, Collector())
        daemon.worker = acknowledge_quickly(daemon.worker)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Keep OpenBLAS from starting threads when numpy is imported; Spark's setting comes back."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _quiet_imports() -> Iterator[None]:
    """Send what imports print to nowhere, or to standard error when verbose.

    Standard output is how the daemon tells Spark its port: one stray byte there would end it.
    TensorFlow writes to the file descriptor, whatever ``sys.stderr`` is.
    """
    verbose = bool(os.environ.get(VERBOSE_VARIABLE))
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with leading(1, 2, to=2 if verbose else None):
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


class Collector:
    """``gc.collect`` for the end of a task, skipped where it would take too much of the time.

    The next task on the worker waits for it. Objects from before the fork are frozen, so a
    collection costs as much as the worker itself has made: models, traced functions.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with a collection due at once; ``clock`` gives seconds."""
        self._clock = clock
        self._due = clock()

    def __call__(self, generation: int = 2) -> int:
        """Collect if due; return the number of unreachable objects found."""
        start = self._clock()
        if start < self._due:
            return 0
        found = gc.collect(generation)
        end = self._clock()
        self._due = end + (end - start) / COLLECT_SHARE
        return found


def _with_collect(module: ModuleType, collect: Callable[..., int]) -> ModuleType:
    """Make a module that is as another but for ``collect``: whatever Spark calls of it is there."""
    changed = ModuleType(module.__name__)
    changed.__dict__.update(module.__dict__)
    changed.__dict__["collect"] = collect
    return changed


def acknowledge_quickly(worker: Worker) -> Worker:
    """Wrap pyspark's ``worker(sock, authenticated)``, which its daemon calls for each task.

    The JVM writes a task in several small pieces. Under Nagle's algorithm each waits for the
    acknowledgement of the one before, which this side delays by 40 ms. Linux forgets
    ``TCP_QUICKACK`` once this side answers, hence anew for each task.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is None:
        return worker

    def quick_worker(sock: socket.socket, *args: Any) -> Any:
        if sock.family in (socket.AF_INET, socket.AF_INET6):  # Spark 4.1 knows AF_UNIX too
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, 1)
        return worker(sock, *args)

    return quick_worker


def _thread_names() -> tuple[str, ...]:
    """Return the names of this process's threads, sorted; empty where there is no ``/proc``."""
    with suppress(OSError):
        tasks = Path("/proc/self/task").iterdir()
        return tuple(sorted((task / "comm").read_text().strip() for task in tasks))
    return ()


if __name__ == "__main__":
    # Under its own name, so that a task that imports this module finds the state set here.
    importlib.import_module("irisspark.startup.worker_daemon").main()
