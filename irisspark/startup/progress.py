"""Says of a job that makes no progress what it waits for, and says it again while that lasts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irisspark.startup.meter import SHOW_AFTER_SECONDS, SHOW_EVERY_SECONDS, Meter
from irisspark.startup.notices import say

if TYPE_CHECKING:
    from pyspark import SparkContext

QUIET_SECONDS = 180.0

_POLL_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """Where Spark's jobs stand.

    Attributes:
        job: The last active job's number.
        num_done: Tasks of its stages that are done.
        num_tasks: Tasks of its stages.
        num_running: Tasks that run.
    """

    job: int
    num_done: int
    num_tasks: int
    num_running: int

    @property
    def share(self) -> float:
        """Share of the tasks that are done."""
        return self.num_done / self.num_tasks if self.num_tasks else 0.0


@contextlib.contextmanager
def watched(
    context: SparkContext, group: str | None = None, meter: Meter | None = None
) -> Iterator[None]:
    """Watch the jobs that run inside, from a thread.

    Args:
        context: Runs them.
        group: Theirs; None where the context runs no others.
        meter: Shows how far they are.
    """
    has_ended = threading.Event()
    arguments = (lambda: look(context, group), has_ended, meter)
    threading.Thread(target=_watch, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        has_ended.set()


def _watch(
    find: Callable[[], Progress | None], has_ended: threading.Event, meter: Meter | None
) -> None:
    seen: Progress | None = None
    since = said = time.monotonic()
    wait = SHOW_AFTER_SECONDS if meter else min(_POLL_SECONDS, QUIET_SECONDS / 4)
    while not has_ended.wait(wait):
        wait = SHOW_EVERY_SECONDS if meter else wait
        with contextlib.suppress(Exception):  # the job's own error is told where it runs
            now = find()
            if meter is not None and now is not None and not has_ended.is_set():
                meter.show(now.share)
            if now != seen:
                seen, since = now, time.monotonic()
                said = since
            elif now is not None and time.monotonic() - said > QUIET_SECONDS:
                said = time.monotonic()
                if meter is not None:
                    meter.clear()
                say(describe(now, said - since))


def look(context: SparkContext, group: str | None = None) -> Progress | None:
    """Ask Spark where its jobs, or those of a group, stand; None: none runs."""
    tracker = context.statusTracker()
    jobs = tracker.getActiveJobsIds()
    if group is not None:
        jobs = set(jobs).intersection(tracker.getJobIdsForGroup(group))
    if not jobs:
        return None
    job = max(jobs)
    info = tracker.getJobInfo(job)
    stages = [tracker.getStageInfo(stage) for stage in (info.stageIds if info else ())]
    known = [stage for stage in stages if stage is not None]
    return Progress(
        job=job,
        num_done=sum(stage.numCompletedTasks for stage in known),
        num_tasks=sum(stage.numTasks for stage in known),
        num_running=sum(stage.numActiveTasks for stage in known),
    )


def describe(progress: Progress, seconds: float) -> str:
    """Say in a line what a job waits for.

    Args:
        progress: Where it stands.
        seconds: For how long it has stood there.
    """
    minutes = round(seconds / 60)
    where = f"{progress.num_done} of {progress.num_tasks} tasks of Spark's job {progress.job}"
    began = f"no progress for {minutes} min: {where} are done, "
    if progress.num_running:
        verb = "runs" if progress.num_running == 1 else "run"
        return (
            f"{began}and {progress.num_running} {verb} since; Spark's page of the executors "
            "shows where"
        )
    return (
        f"{began}and none runs: Spark waits for executors; look at what the cluster has free, "
        "and at --executor-memory and --executor-cores"
    )
