"""Evaluates a model on the splits of a task."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from irisspark.data.bad_rows import BadRows
from irisspark.data.gaps import FilledCells
from irisspark.data.scanning import (
    RowPlaces,
    Sample,
    Sampler,
    Scan,
    ScanPlan,
    WorkerStats,
    peak_memory_bytes,
)
from irisspark.data.splits import TaskSplits
from irisspark.errors import DataError
from irisspark.evaluation.worker.prediction_file import PredictionFile, PredictionWriter
from irisspark.evaluation.worker.problems import Counts, problem_of
from irisspark.model.forward import fixed_blocks, predictor
from irisspark.model.output import Meaning
from irisspark.model.spec import ModelSpec
from irisspark.startup.imports import import_tensorflow
from irisspark.storage.opening import Opener


@dataclass(frozen=True)
class Outcome:
    """What a task gives back; ``+`` makes one outcome of two, the same in any order.

    Attributes:
        counts: The counts of the good rows; None for a task without rows.
        bad: The bad rows.
        failures: (file index, position, message) of tasks that could not read or write on. A
            failure is returned and not raised: a task that raises is run four times, and prints its
            trace.
        prediction_files: The predictions that were written.
        stats: What it took.
        samples: What the driver compares, in the order of the input.
        filled: The missing numbers of good rows that something stands in for.
    """

    counts: Counts | None = None
    bad: BadRows = field(default_factory=BadRows)
    failures: tuple[tuple[int, int, str], ...] = ()
    stats: WorkerStats = field(default_factory=WorkerStats)
    prediction_files: tuple[PredictionFile, ...] = ()
    samples: tuple[Sample, ...] = ()
    filled: FilledCells = field(default_factory=FilledCells)

    def __add__(self, other: Outcome) -> Outcome:
        """Merge two outcomes."""
        if self.counts is None or other.counts is None:
            counts = self.counts or other.counts
        else:
            counts = self.counts + other.counts  # type: ignore[operator]  # both of one model
        return Outcome(
            counts,
            self.bad + other.bad,
            tuple(sorted(self.failures + other.failures)),
            self.stats + other.stats,
            tuple(sorted(self.prediction_files + other.prediction_files)),
            tuple(sorted(self.samples + other.samples, key=lambda sample: sample.index)),
            self.filled + other.filled,
        )

    def without_predictions(self, problem: str) -> Outcome:
        """The outcome of the same task, but that its predictions could not be written."""
        failures = ((0, 0, problem), *self.failures)
        return replace(self, prediction_files=(), failures=failures)


def evaluate(
    tasks: Iterable[TaskSplits], spec: ModelSpec, plan: ScanPlan, open_file: Opener
) -> Iterator[Outcome]:
    """Evaluate the model on the rows of each task.

    Args:
        tasks: The tasks of this partition.
        spec: The model.
        plan: What to read, and how.
        open_file: Opens a file on this machine.

    Yields:
        One outcome a task that has splits.
    """
    import_tensorflow()
    for task in tasks:
        if task.splits:
            yield _evaluate_task(task, spec, plan, open_file)


def _evaluate_task(task: TaskSplits, spec: ModelSpec, plan: ScanPlan, open_file: Opener) -> Outcome:
    started = time.perf_counter()
    predict = predictor(spec, len(plan.columns.features), plan.num_threads)
    build_seconds = time.perf_counter() - started
    scan = Scan(task, plan, open_file)
    problem = problem_of(spec.output, plan.top_n)
    counter = None if plan.columns.label is None else problem.counter(task.index)
    writer = _writer(plan, task, spec.output)
    sampler = Sampler(plan.sample_until)
    predict_seconds = 0.0
    prediction_files: tuple[PredictionFile, ...] = ()
    failures: tuple[tuple[int, int, str], ...] = ()
    try:
        places = RowPlaces()
        batches = places.watch(sampler.watch(scan if writer is None else writer.watch(scan)))
        of_labels = spec.output.label_dtype, spec.output.label_shape
        for features, labels, num_rows in fixed_blocks(batches, spec.block_rows, *of_labels):
            started = time.perf_counter()
            output, losses = predict(features, labels)
            output = output[:num_rows]
            sampler.add(features, output)
            decoded = problem.decode(output)
            if counter is not None:
                of_rows = None if losses is None else losses[:num_rows]
                counter.add(labels[:num_rows], output, decoded, of_rows, places.of)
            if writer is not None:
                writer.add(output, decoded)
            places.pass_by(num_rows)
            predict_seconds += time.perf_counter() - started
        prediction_files = _close(writer, scan, plan)
    except DataError as error:
        if writer is not None:
            writer.discard()
        failures = ((*scan.place, str(error)),)
    stats = WorkerStats(
        scan.read_bytes,
        scan.read_seconds,
        scan.parse_seconds,
        predict_seconds,
        build_seconds,
        peak_memory_bytes(),
    )
    counts = None if counter is None else counter.counts
    samples = sampler.sample(task.index)
    return Outcome(counts, scan.bad, failures, stats, prediction_files, samples, scan.filled)


def _writer(plan: ScanPlan, task: TaskSplits, meaning: Meaning) -> PredictionWriter | None:
    if plan.predictions is None:
        return None
    return PredictionWriter(plan.predictions, task.index, task.splits, meaning)


def _close(
    writer: PredictionWriter | None, scan: Scan, plan: ScanPlan
) -> tuple[PredictionFile, ...]:
    if writer is None:
        return ()
    if scan.bad.total and plan.stop_at_bad_row:
        writer.discard()
        return ()
    part = writer.close()
    return () if part is None else (part,)
