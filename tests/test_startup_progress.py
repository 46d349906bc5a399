"""What is said of a job that stands still."""

import time
from types import SimpleNamespace

import pytest

from irisspark.startup import progress
from irisspark.startup.progress import Progress, describe, look


class Tracker:
    """Answers as Spark's, of a job whose tasks stand as told."""

    def __init__(self, *stages: tuple[int, int, int]) -> None:
        self.stages = stages

    def statusTracker(self) -> "Tracker":  # noqa: N802
        return self

    def getActiveJobsIds(self) -> list[int]:  # noqa: N802
        return [3, 7] if self.stages else []

    def getJobIdsForGroup(self, group: str) -> list[int]:  # noqa: N802
        return [7] if group == "ours" else []

    def getJobInfo(self, job: int) -> SimpleNamespace:  # noqa: N802
        assert job == 7
        return SimpleNamespace(stageIds=range(len(self.stages)))

    def getStageInfo(self, stage: int) -> SimpleNamespace:  # noqa: N802
        done, tasks, running = self.stages[stage]
        return SimpleNamespace(numCompletedTasks=done, numTasks=tasks, numActiveTasks=running)


def test_stages_of_the_last_job_are_added_up():
    assert look(Tracker((4, 4, 0), (1, 8, 2))) == Progress(7, 5, 12, 2)
    assert look(Tracker((1, 2, 0)), "ours") == Progress(7, 1, 2, 0)
    assert look(Tracker((1, 2, 0)), "theirs") is None
    assert look(Tracker()) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Progress(7, 5, 12, 2), ["for 6 min", "5 of 12 tasks of Spark's job 7", "2 run since"]),
        (Progress(0, 0, 8, 0), ["0 of 8 tasks", "none runs", "waits for executors"]),
    ],
)
def test_line_says_which_job_waits_for_what(state, words):
    line = describe(state, 361.0)
    assert all(word in line for word in words), line
    assert "\n" not in line


def test_it_is_said_of_a_job_that_stands_still_and_of_no_other(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.2)
    moving = Tracker((0, 99, 1))
    with progress.watched(moving):
        for done in range(10):
            moving.stages = ((done, 99, 1),)
            time.sleep(0.1)
    assert capsys.readouterr().err == ""
    with progress.watched(Tracker((1, 2, 1))):
        time.sleep(0.7)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) in (1, 2, 3)
    assert all("1 of 2 tasks of Spark's job 7" in line for line in lines)
