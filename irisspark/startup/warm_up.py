"""The first job of a session, a tiny one: it starts the workers while the driver goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from irisspark.startup import worker_daemon

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

Run = Callable[[Callable[[], Any]], Any]

NOT_FOUND = f"{worker_daemon.__name__} cannot be imported there"

_MAX_TASKS = 64
_LOOK_SECONDS = 0.5


class WarmUp:
    """A job whose tasks do nothing but say what their worker runs, and how its daemon was prepared.

    It runs in a thread of its own, since a daemon takes seconds to import TensorFlow, or to wait
    for a driver that does.
    """

    def __init__(self, context: SparkContext, log_level: str | None, run: Run) -> None:
        """Start the job.

        Args:
            context: Nobody else runs a job on it before ``wait`` has returned.
            log_level: What Spark's log level is to be afterwards; None leaves it alone.
            run: Runs a job.
        """
        self._context = context
        self._log_level = log_level
        self._run_job = run
        self.states: list[worker_daemon.WorkerState] = []
        self._error: Exception | None = None
        if log_level:
            context.setLogLevel("OFF")  # Spark would tell a daemon's failure with four stack traces
        num_tasks = min(int(context.defaultParallelism), _MAX_TASKS)
        tasks = context.parallelize(range(num_tasks), num_tasks)
        states = tasks.mapPartitions(worker_daemon.report_state)
        # Python's part of the job is done here: this process may fork while the thread runs, and a
        # fork must not meet it in the middle of an import.
        states.getNumPartitions()
        self._thread = threading.Thread(target=self._run, args=(states,), daemon=True)
        self._thread.start()

    def _run(self, states: RDD[worker_daemon.WorkerState]) -> None:
        try:
            self.states = self._run_job(states.collect)
        except Exception as error:
            self._error = error

    def wait(self, look: Callable[[], None]) -> str | None:
        """Wait for the end of the job.

        Args:
            look: Called from time to time meanwhile; what it raises ends the waiting.

        Returns:
            Why workers cannot be forked from the daemon as it is meant, None where they can. With
            ``NOT_FOUND`` there are no workers at all.
        """
        while self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)
            look()
        if self._log_level:
            self._context.setLogLevel(self._log_level)
        if self._error is None:
            daemons = [state.daemon for state in self.states if hasattr(state, "daemon")]
            return next((daemon.problem for daemon in daemons if not daemon.ready), None)
        if worker_daemon.__name__ in str(self._error.__cause__ or self._error):
            return NOT_FOUND
        raise self._error
