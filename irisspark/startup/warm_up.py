"""The first job of a session, a tiny one: it starts the workers while the driver goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irisspark.errors import IrissparkError
from irisspark.startup import job_errors, worker_daemon
from irisspark.startup.notices import say
from irisspark.startup.spark_log import set_level

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

Run = Callable[[Callable[[], Any]], Any]

SAY_SECONDS = 20.0
GIVE_UP_SECONDS = 120.0

_MAX_TASKS = 64
_END_SECONDS = 5.0
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class WorkersStart:
    """How the workers of a session started.

    Attributes:
        problem: Why they are not forked from irisspark's daemon as it is meant; empty: they are.
        error: Why there are no workers at all, None where there are.
    """

    problem: str = ""
    error: Exception | None = None


class WarmUp:
    """A job whose tasks do nothing but say what their worker runs, and how its daemon was prepared.

    It runs in a thread of its own, since a daemon takes seconds to import TensorFlow, or to wait
    for a driver that does.
    """

    def __init__(
        self,
        context: SparkContext,
        log_level: str | None,
        run: Run,
        end_forks: Callable[[], None],
    ) -> None:
        """Start the job.

        Args:
            context: Nobody else runs a job on it before ``wait`` has returned.
            log_level: What Spark's log level is to be afterwards; None leaves it alone.
            run: Runs a job once.
            end_forks: Ends what serves in the place of daemons that are given up.
        """
        self._context = context
        self._log_level = log_level
        self._run_job = run
        self._end_forks = end_forks
        self.states: list[worker_daemon.WorkerState] = []
        self._error: Exception | None = None
        if log_level:
            context.setLogLevel("OFF")  # Spark would tell a daemon's failure with four stack traces
        try:
            self._start()
        except BaseException:
            self.restore_log()
            raise

    def _start(self) -> None:
        num_tasks = min(int(self._context.defaultParallelism), _MAX_TASKS)
        tasks = self._context.parallelize(range(num_tasks), num_tasks)
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

    def wait(self, look: Callable[[], None]) -> WorkersStart:
        """Wait for the end of the job, and not without end.

        Two minutes after tasks have begun there are no workers, whatever they are doing.

        Args:
            look: Called from time to time meanwhile; what it raises ends the waiting.
        """
        if not self._wait_for_end(look):
            problem = f"they have not started within {GIVE_UP_SECONDS:.0f} s"
            self._error = IrissparkError(f"Spark's Python workers do not start: {problem}")
        elif self._error is not None:
            problem = job_errors.cause(self._error.__cause__ or self._error)
        else:
            daemons = [state.daemon for state in self.states if hasattr(state, "daemon")]
            problem = next((daemon.problem for daemon in daemons if not daemon.ready), "")
        if self._error is not None:
            self.give_up()
        self.restore_log()
        return WorkersStart(problem, self._error)

    def _wait_for_end(self, look: Callable[[], None]) -> bool:
        began: float | None = None
        said = False
        while self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)
            look()
            began = began or (time.monotonic() if self._has_begun() else None)
            seconds = time.monotonic() - began if began else 0.0
            if seconds > GIVE_UP_SECONDS:
                return False
            if seconds > SAY_SECONDS and not said:
                said = True
                say(
                    f"the workers have not started after {SAY_SECONDS:.0f} s; "
                    f"they are given up after {GIVE_UP_SECONDS:.0f} s"
                )
        return True

    def _has_begun(self) -> bool:
        """Tell whether an executor works on the job, and does not wait to be there itself."""
        tracker = self._context.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        return any(stage is not None and stage.numActiveTasks for stage in stages)

    def give_up(self) -> None:
        """End the job, and the daemons that it waits for where they are on this machine.

        Spark's tasks, which read from such a daemon, would log long traces after the context's end.
        """
        with contextlib.suppress(Exception):  # Spark may have ended already
            self._end_forks()
            deadline = time.monotonic() + _END_SECONDS
            while True:  # the thread may only now submit the job, and a task start another daemon
                self._context.cancelAllJobs()
                _end_daemons(self._context)
                has_ended = not self._thread.is_alive() and not _count_tasks(self._context)
                if has_ended or time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
        self._thread.join(_END_SECONDS)

    def restore_log(self) -> None:
        """Give Spark's log its level back; the context may be stopped."""
        if self._log_level:
            set_level(self._log_level)


def _end_daemons(context: SparkContext) -> None:
    """End the daemons that this JVM has started; on other machines they end with the executors."""
    children = context._jvm.java.lang.ProcessHandle.current().descendants().iterator()
    while children.hasNext():
        child = children.next()
        if worker_daemon.__name__ in child.info().commandLine().orElse(""):
            child.destroyForcibly()


def _count_tasks(context: SparkContext) -> int:
    """Count the tasks that run in the driver's own JVM."""
    if not str(context.master).startswith("local["):
        return 0
    infos = context._jsc.sc().statusTracker().getExecutorInfos()
    return sum(info.numRunningTasks() for info in infos)
