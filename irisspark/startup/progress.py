"""Says of a job that makes no progress what it waits for, and says it again while that lasts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@contextlib.contextmanager
def watched(context: SparkContext) -> Iterator[None]:
    """Watch the jobs that run inside, from a thread."""
    has_ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(context, has_ended), daemon=True)
    watching.start()
    try:
        yield
    finally:
        has_ended.set()


def _watch(context: SparkContext, has_ended: threading.Event) -> None:
    seen: Progress | None = None
    since = said = time.monotonic()
    while not has_ended.wait(min(_POLL_SECONDS, QUIET_SECONDS / 4)):
        with contextlib.suppress(Exception):  # the job's own error is told where it runs
            now = look(context)
            if now != seen:
                seen, since = now, time.monotonic()
                said = since
            elif now is not None and time.monotonic() - said > QUIET_SECONDS:
                said = time.monotonic()
                say(describe(now, said - since))


def look(context: SparkContext) -> Progress | None:
    """Ask Spark where its jobs stand; None: none runs."""
    tracker = context.statusTracker()
    jobs = tracker.getActiveJobsIds()
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
