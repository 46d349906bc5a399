"""Evaluates a model on the cluster: sums what the workers counted, and judges it once."""

from __future__ import annotations

import functools
import operator
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from irisspark.data.bad_rows import BadRows
from irisspark.data.dataset import bad_row_error, check_labels, describe, describe_all
from irisspark.data.scanning import PredictionPlan, ScanPlan, WorkerStats
from irisspark.data.splits import TaskSplits
from irisspark.data.spreading import Run
from irisspark.errors import DataError, ModelError
from irisspark.evaluation.comparison import Comparison, Reference
from irisspark.evaluation.worker import counting
from irisspark.evaluation.worker.counting import Outcome
from irisspark.evaluation.worker.prediction_file import PredictionFile
from irisspark.evaluation.worker.problems import SeveralOutputs, problem_of
from irisspark.metrics.joint import JointScores, OneScores, joint_loss
from irisspark.metrics.regression import RegressionScores
from irisspark.model.shared_file import share_file
from irisspark.startup.meter import Work
from irisspark.storage.location import reason
from irisspark.storage.opening import Opener

if TYPE_CHECKING:
    import keras
    from pyspark import RDD

    from irisspark.data.dataset import Dataset
    from irisspark.model.spec import ModelSpec
    from irisspark.startup.session import Session

_MAX_COLLECTED_TASKS = 64
"""Above this many tasks their outcomes are added up on the cluster before they are fetched."""


class Evaluated(Protocol):
    """A model that is evaluated: loaded from a file, or trained."""

    @property
    def network(self) -> keras.Model:
        """On the driver; the workers' copies are compared with it."""

    @property
    def spec(self) -> ModelSpec:
        """What the workers build."""


@dataclass(frozen=True)
class EvaluateSettings:
    """How to evaluate; the defaults are the command line's.

    Attributes:
        model_name: What the user calls the model, for messages.
        data_name: What the user calls the data, for what Spark calls the job.
        top_n: N of the top-N accuracy.
        stop_at_bad_row: True where the first bad row ends the run.
    """

    model_name: str
    top_n: int = 1
    stop_at_bad_row: bool = True
    data_name: str = "the data"


@dataclass(frozen=True)
class ScanResult:
    """What a pass over all rows gave.

    Attributes:
        outcome: The sum of the tasks' outcomes, found free of errors.
        bad_examples: The first bad rows, described for a person.
        num_tasks: Tasks of the job.
        job_seconds: From the job's start to its end.
        comparison: Of the workers' predictions with the driver's.
    """

    outcome: Outcome
    bad_examples: tuple[str, ...]
    num_tasks: int
    job_seconds: float
    comparison: Comparison

    @property
    def bad(self) -> BadRows:
        """The rows that were left out."""
        return self.outcome.bad

    @property
    def stats(self) -> WorkerStats:
        """What the workers took."""
        return self.outcome.stats

    @property
    def prediction_files(self) -> tuple[PredictionFile, ...]:
        """The predictions that were written, in the order of the input."""
        return self.outcome.prediction_files


@dataclass(frozen=True)
class EvaluationResult(ScanResult):
    """What an evaluation found.

    Attributes:
        scores: Every metric.
    """

    scores: OneScores | JointScores

    @property
    def num_rows(self) -> int:
        """Rows that were evaluated."""
        return self.scores.rows


def evaluate(
    session: Session,
    model: Evaluated,
    dataset: Dataset,
    settings: EvaluateSettings,
    predictions: PredictionPlan | None = None,
) -> EvaluationResult:
    """Evaluate the model on all rows of the data.

    Args:
        session: The open session.
        model: The model.
        dataset: The rows.
        settings: How to evaluate.
        predictions: Where the prediction of each row goes, None for nowhere.

    Raises:
        DataError: A row is bad and ``-badRows`` is ``fail``, or no row is good.
        ModelError: The model's predictions are not numbers, or not those of the driver's model.
    """
    found = scan(session, model, dataset, settings, predictions)
    scores = _scores(model.spec, found.outcome, dataset, settings.top_n)
    return EvaluationResult(**vars(found), scores=scores)


def _scores(
    spec: ModelSpec, outcome: Outcome, dataset: Dataset, top_n: int
) -> OneScores | JointScores:
    """Make every metric of what was counted, once."""
    problem = problem_of(spec.output, top_n)
    assert outcome.counts is not None
    if not isinstance(problem, SeveralOutputs):
        return _located(problem.score(outcome.counts, dataset.target_names), dataset)
    names = [one.target_names for one in dataset.by_output()]
    by_output = problem.score_each(outcome.counts, names)
    found = {name: _located(scores, dataset) for name, scores in by_output.items()}
    weights = [weight for _, weight in spec.losses]
    loss = joint_loss(list(found.values()), weights, spec.regularization_loss)
    return JointScores(found, loss)


def _located(scores: OneScores, dataset: Dataset) -> OneScores:
    """Say of a regression in which file its largest error is."""
    if not isinstance(scores, RegressionScores):
        return scores
    files, position_name = dataset.files, dataset.reader.position_name
    return scores.located(lambda index: files[index].path, position_name)


def scan(
    session: Session,
    model: Evaluated,
    dataset: Dataset,
    settings: EvaluateSettings,
    predictions: PredictionPlan | None,
) -> ScanResult:
    """Predict all rows once, count where they have labels, and write where that is asked for.

    Raises:
        DataError: A row is bad and ``-badRows`` is ``fail``, or no row is good.
        ModelError: The model's predictions are not numbers, or not those of the driver's model.
    """
    tasks = dataset.tasks(session.parallelism)
    plan = ScanPlan(
        dataset.reader,
        dataset.columns,
        top_n=settings.top_n,
        num_threads=session.threads_per_task,
        stop_at_bad_row=settings.stop_at_bad_row,
        predictions=predictions,
        holdout=dataset.holdout,
    )
    spec = model.spec
    reference = Reference(model.network, spec, dataset, tasks, plan)
    plan = replace(plan, sample_until=reference.last_place)
    started = time.perf_counter()
    work = _work(settings, dataset, reference)
    outcome = _run(session, spec, tasks, plan, dataset, work)
    job_seconds = time.perf_counter() - started
    _check(session, spec, dataset, settings, outcome)
    comparison = reference.compare(outcome.samples, settings.model_name)
    examples = describe_all(session, dataset, outcome.bad.first)
    return ScanResult(outcome, examples, len(tasks), job_seconds, comparison)


def _run(
    session: Session,
    spec: ModelSpec,
    tasks: list[TaskSplits],
    plan: ScanPlan,
    dataset: Dataset,
    work: Work,
) -> Outcome:
    shared = share_file(session.context, spec.file)
    recipe = spec.without_file(shared)

    def run(shares: Iterator[TaskSplits], open_file: Opener) -> Iterator[Outcome]:
        return counting.evaluate(shares, recipe, plan, open_file)

    try:
        outcomes = _spread(session, tasks, dataset, run, plan.predictions)
        if len(tasks) > _MAX_COLLECTED_TASKS:
            merged: Outcome = session.run(lambda: outcomes.treeReduce(operator.add), work)
            return merged
        return functools.reduce(operator.add, session.run(outcomes.collect, work), Outcome())
    finally:
        shared.release()


def _spread(
    session: Session,
    tasks: list[TaskSplits],
    dataset: Dataset,
    run: Run[Outcome],
    predictions: PredictionPlan | None,
) -> RDD[Outcome]:
    """Run on workers, whose predictions Spark's executors write where workers cannot."""
    if predictions is None or predictions.folder.travels:
        return dataset.spread(session, tasks, run)
    from irisspark.storage.handed import hand_over, written
    from irisspark.storage.java_tasks import write_out

    folder = predictions.folder
    name = str(folder)

    def run_and_hand_over(shares: Iterator[TaskSplits], open_file: Opener) -> Iterator[bytes]:
        return hand_over(run(shares, open_file), folder)

    def failed(outcome: Outcome, error: OSError) -> Outcome:
        problem = f"cannot write predictions to {name} on {socket.gethostname()}: {reason(error)}"
        return outcome.without_predictions(problem)

    handed = dataset.spread(session, tasks, run_and_hand_over)
    answers = write_out(session, handed, folder.root)
    return answers.mapPartitions(lambda items: written(items, failed))


def _work(settings: EvaluateSettings, dataset: Dataset, reference: Reference) -> Work:
    verb = "predict with" if dataset.columns.label is None else "evaluate"
    what = f"{verb} {settings.model_name} on {settings.data_name}"
    is_rough = any(file.compressed for file in dataset.files) or dataset.holdout is not None
    rows = 0.0 if is_rough else reference.rows_in(dataset.num_bytes)
    return Work(what, dataset.num_bytes, rows)


def _check(
    session: Session,
    spec: ModelSpec,
    dataset: Dataset,
    settings: EvaluateSettings,
    outcome: Outcome,
) -> None:
    bad_place = [(row.file_index, row.position) for row in outcome.bad.first[:1]]
    is_fatal = bad_place and settings.stop_at_bad_row
    if outcome.failures and not (is_fatal and bad_place[0] < outcome.failures[0][:2]):
        raise DataError(outcome.failures[0][2])
    if is_fatal:
        raise bad_row_error(session, dataset, outcome.bad)
    check_labels(session, dataset, outcome.bad)
    if num_nan_rows := _num_nan_rows(outcome):
        raise ModelError(
            f"the model's prediction is not a number for {num_nan_rows} "
            f"row{'s' if num_nan_rows > 1 else ''}; its weights may hold NaN, "
            "or the data values that are too large for it"
        )
    if not _has_rows(outcome):
        if not outcome.bad.total:
            raise DataError(f"{dataset.files[0].path} holds no rows")
        first = describe(session, dataset, outcome.bad.first[0])
        raise DataError(f"every row is bad ({outcome.bad.total} of them); the first: {first}")


def _num_nan_rows(outcome: Outcome) -> int:
    if outcome.counts is not None:
        return outcome.counts.nan_rows
    return sum(part.num_nan_rows for part in outcome.prediction_files)


def _has_rows(outcome: Outcome) -> bool:
    if outcome.counts is not None:
        return outcome.counts.rows > 0
    return bool(outcome.prediction_files)
