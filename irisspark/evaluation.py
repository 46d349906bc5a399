"""Evaluates a model on the cluster: sums what the workers counted, and judges it once."""

import functools
import operator
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irisspark import workers
from irisspark.batches.bad_rows import BadRows
from irisspark.dataset import bad_row_error, describe
from irisspark.errors import DataError, ModelError
from irisspark.metrics.scores import Scores, score
from irisspark.workers import Group, Outcome, ScanTask, WorkerStats

if TYPE_CHECKING:
    from irisspark.dataset import Dataset
    from irisspark.model_spec import ModelSpec
    from irisspark.options import Options
    from irisspark.session import Session

_MAX_COLLECTED_TASKS = 64
"""Above this many tasks their outcomes are added up on the cluster before they are fetched."""


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        scores: Every metric.
        bad: The rows that were left out.
        bad_examples: The first of them, described for a person.
        stats: What the workers took.
        num_tasks: Tasks of the job.
        job_seconds: From the job's start to its end.
    """

    scores: Scores
    bad: BadRows
    bad_examples: tuple[str, ...]
    stats: WorkerStats
    num_tasks: int
    job_seconds: float


def evaluate(
    session: "Session", spec: "ModelSpec", dataset: "Dataset", options: "Options"
) -> EvaluationResult:
    """Evaluate the model on all rows of the data.

    Raises:
        DataError: A row is bad and ``-badRows`` is ``fail``, or no row is good.
        ModelError: The model's predictions are not numbers.
    """
    groups = dataset.groups(session.parallelism)
    task = ScanTask(
        dataset.columns,
        top_n=options.top_n,
        num_threads=session.threads_per_task,
        stop_at_bad_row=options.bad_rows == "fail",
        holdout=dataset.holdout,
    )
    started = time.perf_counter()
    outcome = _run(session, spec, groups, task, dataset)
    job_seconds = time.perf_counter() - started
    _check(session, spec, dataset, options, outcome)
    assert outcome.counts is not None
    return EvaluationResult(
        scores=score(outcome.counts, dataset.class_names, options.top_n),
        bad=outcome.bad,
        bad_examples=tuple(describe(session, dataset, row) for row in outcome.bad.first),
        stats=outcome.stats,
        num_tasks=len(groups),
        job_seconds=job_seconds,
    )


def _run(
    session: "Session",
    spec: "ModelSpec",
    groups: list[Group],
    task: ScanTask,
    dataset: "Dataset",
) -> Outcome:
    shared, open_file = session.context.broadcast(spec), dataset.open_file

    def run(members: Iterator[Group]) -> Iterator[Outcome]:
        return workers.evaluate(members, shared.value, task, open_file)

    try:
        outcomes = session.spread(groups).mapPartitions(run)
        if len(groups) > _MAX_COLLECTED_TASKS:
            merged: Outcome = outcomes.treeReduce(operator.add)
            return merged
        return functools.reduce(operator.add, outcomes.collect(), Outcome())
    finally:
        shared.unpersist()


def _check(
    session: "Session",
    spec: "ModelSpec",
    dataset: "Dataset",
    options: "Options",
    outcome: Outcome,
) -> None:
    if outcome.failures:
        raise DataError(outcome.failures[0][1])
    if outcome.bad.total and options.bad_rows == "fail":
        raise bad_row_error(session, dataset, outcome.bad, spec.output.num_classes)
    counts = outcome.counts
    if counts is not None and counts.nan_rows:
        raise ModelError(
            f"the model's prediction is not a number for {counts.nan_rows} "
            f"row{'s' if counts.nan_rows > 1 else ''}; its weights may hold NaN, "
            "or the data values that are too large for it"
        )
    if counts is None or not counts.confusion.any():
        if not outcome.bad.total:
            raise DataError(f"{dataset.files[0].path} holds no rows")
        first = describe(session, dataset, outcome.bad.first[0])
        raise DataError(f"every row is bad ({outcome.bad.total} of them); the first: {first}")
