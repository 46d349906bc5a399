"""How far Spark's own jobs are, and what is left of a run in the caller's session."""

import contextlib
import io
import threading
import time
from collections.abc import Iterator

import pytest

from irisspark.errors import IrissparkError
from irisspark.startup import meter, progress
from irisspark.startup.meter import Lines, Work
from irisspark.startup.session import Session


def test_share_is_that_of_the_tasks_that_are_done(
    spark: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        *((one, "SHOW_AFTER_SECONDS", 0.0) for one in (meter, progress)),
        (progress, "SHOW_EVERY_SECONDS", 0.1),
        (meter, "LINE_SECONDS", 0.0),
        (meter, "LINE_SHARE", 0.0),
    ):
        monkeypatch.setattr(module, name, value)
    stream = io.StringIO()
    session = Session.attach(spark.context)
    session.meter = Lines(stream)
    items = session.spread(list(range(16)))

    def linger(numbers: Iterator[int]) -> Iterator[int]:
        time.sleep(0.15)
        yield from numbers

    assert session.run(items.mapPartitions(linger).collect, Work("linger")) == list(range(16))
    shares = [
        int(line.split("linger: ")[1].split("%")[0]) for line in stream.getvalue().splitlines()
    ]
    assert len(shares) >= 3
    assert shares == sorted(shares)
    assert {round(share / 6.25) for share in shares} <= set(range(17))


def test_jobs_are_named_and_the_callers_names_stay(spark: Session) -> None:
    context, session = spark.context, Session.attach(spark.context)
    context.setJobGroup("mine", "my own job")
    seen: list[object] = []
    items = session.spread([1])

    def job() -> list[int]:
        seen.extend(context.getLocalProperty(name) for name in ("spark.jobGroup.id",))
        seen.append(context.getLocalProperty("spark.job.description"))
        found: list[int] = items.collect()
        return found

    assert session.run(job, "find the labels") == [1]
    assert seen == [session.group, "find the labels"]
    assert context.statusTracker().getJobIdsForGroup(session.group)
    assert context.getLocalProperty("spark.jobGroup.id") == "mine"
    assert context.getLocalProperty("spark.job.description") == "my own job"
    for name in ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"):
        context.setLocalProperty(name, None)


def test_interrupt_cancels_the_jobs_of_the_run_alone(spark: Session) -> None:
    context, session = spark.context, Session.attach(spark.context)
    others = Session.attach(context)
    found: list[int] = []
    slow = others.spread([1]).mapPartitions(lambda rows: (time.sleep(2), *rows)[1:])
    thread = threading.Thread(target=lambda: found.extend(others.run(slow.collect, "mine")))
    thread.start()
    running = session.spread([1]).mapPartitions(lambda rows: (time.sleep(30), *rows)[1:])

    def run_until_cancelled() -> None:
        with contextlib.suppress(IrissparkError):
            session.run(running.collect, "slow")

    def interrupted() -> None:
        threading.Thread(target=run_until_cancelled, daemon=True).start()
        tracker = context.statusTracker()
        while not tracker.getJobIdsForGroup(session.group):
            time.sleep(0.05)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run(interrupted, "wait")
    tracker = context.statusTracker()
    (job,) = tracker.getJobIdsForGroup(session.group)
    deadline = time.monotonic() + 10
    while tracker.getJobInfo(job).status != "FAILED" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert tracker.getJobInfo(job).status == "FAILED"
    thread.join()
    assert found == [1]
