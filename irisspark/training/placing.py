"""Reads the rows once and puts them where they are trained on: the jobs before the first epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from irisspark.data.bad_rows import BadRows
from irisspark.data.dataset import bad_row_error, describe
from irisspark.data.holdout import HashedRows, Holdout, LastRows
from irisspark.data.scanning import ScanPlan
from irisspark.data.splits import TaskSplits
from irisspark.errors import DataError, TrainingError
from irisspark.scattering import mix
from irisspark.startup.meter import Work
from irisspark.storage.opening import Opener
from irisspark.training.worker.rows import (
    Placement,
    ReadReport,
    assemble,
    digest,
    find_position,
    read_rows,
    reports,
    route,
)

if TYPE_CHECKING:
    from pyspark import RDD

    from irisspark.data.dataset import Dataset
    from irisspark.startup.session import Session
    from irisspark.training.train_settings import TrainSettings

MIN_BATCHES = 8
"""Batches that a worker should have an epoch: with fewer, another worker costs accuracy."""


@dataclass(frozen=True)
class Placed:
    """The rows, cached in Spark where they are trained on.

    Attributes:
        rows: RDD of ``PlacedRows``, a partition a worker.
        worker_rows: Rows of each worker.
        held_out: RDD of the held-out rows over the same number of partitions; None without any.
        num_held_out: How many there are.
        holdout: Tells the held-out rows from the others; None without any.
        digest: Of all rows, their order, and which are held out: equal for equal data.
    """

    rows: RDD[Any]
    worker_rows: tuple[int, ...]
    held_out: RDD[Any] | None
    num_held_out: int
    holdout: Holdout | None
    digest: str

    @property
    def num_rows(self) -> int:
        """Rows that are trained on."""
        return sum(self.worker_rows)

    def release(self) -> None:
        """Free what Spark holds of the rows."""
        self.rows.unpersist()
        if self.held_out is not None:
            self.held_out.unpersist()


def place(session: Session, dataset: Dataset, settings: TrainSettings) -> Placed:
    """Read the rows and place them on their workers.

    Raises:
        DataError: A row is bad and ``-badRows`` is ``fail``, or no row is good.
        TrainingError: ``-validationSplit`` leaves no rows on one side.
    """
    blocks = _read(session, dataset, settings)
    try:
        reading = Work("read the rows of the training", dataset.num_bytes)
        found: list[ReadReport] = session.run(blocks.mapPartitions(reports).collect, reading)
        _check(session, dataset, settings, found)
        holdout, held = _hold_out(session, blocks, settings, found)
        counts = [report.num_rows - num for report, num in zip(found, held, strict=True)]
        _check_split(settings, sum(counts), sum(held))
        workers = choose_workers(sum(counts), settings, session.parallelism)
        seed = settings.seed if settings.shuffle else None
        plan = Placement(_starts(found, counts), sum(counts), workers, seed, holdout)
        rows, digests = _place(session, blocks, plan)
        total, held_out = sum(value for _, value in digests), None
        if holdout is not None:
            starts = _starts(found, held)
            plan = Placement(starts, sum(held), workers, None, holdout, held_out=True)
            held_out, held_digests = _place(session, blocks, plan)
            # Scattered, for rows that change sides would leave the plain sum as it was.
            total += int(mix(sum(value for _, value in held_digests) % 2**64))
    finally:
        blocks.unpersist()
    worker_rows = tuple(num_rows for num_rows, _ in digests)
    return Placed(rows, worker_rows, held_out, sum(held), holdout, f"{total % 2**64:016x}")


def _read(session: Session, dataset: Dataset, settings: TrainSettings) -> RDD[Any]:
    from pyspark import StorageLevel

    split = settings.validation_split
    holdout = HashedRows(settings.seed, split) if split and settings.shuffle else None
    with_positions = bool(split)
    plan = ScanPlan(
        dataset.reader, replace(dataset.columns, keep=()), stop_at_bad_row=settings.stop_at_bad_row
    )

    def read(shares: Iterator[TaskSplits], open_file: Opener) -> Iterator[Any]:
        return read_rows(shares, plan, open_file, holdout, with_positions=with_positions)

    tasks = dataset.tasks(session.parallelism)
    return dataset.spread(session, tasks, read).persist(StorageLevel.MEMORY_AND_DISK)


def _check(
    session: Session, dataset: Dataset, settings: TrainSettings, found: list[ReadReport]
) -> None:
    failures = [report.failure for report in found if report.failure is not None]
    if failures:
        raise DataError(failures[0])
    bad = sum((report.bad for report in found), BadRows())
    if bad.total and settings.stop_at_bad_row:
        raise bad_row_error(session, dataset, bad)
    if any(report.num_rows for report in found):
        return
    if not bad.total:
        raise DataError(f"{dataset.files[0].path} holds no rows")
    first = describe(session, dataset, bad.first[0])
    raise DataError(f"every row is bad ({bad.total} of them); the first: {first}")


def _hold_out(
    session: Session, blocks: RDD[Any], settings: TrainSettings, found: list[ReadReport]
) -> tuple[Holdout | None, list[int]]:
    """Decide which rows are held out, and count them in each task."""
    if not settings.validation_split:
        return None, [0] * len(found)
    if settings.shuffle:
        holdout = HashedRows(settings.seed, settings.validation_split)
        return holdout, [report.num_held_out for report in found]
    num_rows = [report.num_rows for report in found]
    # As Keras has it: floor(rows * (1 - fraction)) rows are trained on, the others measured.
    num_trained = int(sum(num_rows) * (1.0 - settings.validation_split))
    ends = list(accumulate(num_rows))
    task = next((i for i, end in enumerate(ends) if end > num_trained), None)
    if task is None:
        return None, [0] * len(found)
    row = num_trained - (ends[task] - num_rows[task])
    context = session.context
    places = session.run(
        lambda: context.runJob(blocks, lambda rows: find_position(rows, row), [task]),
        "find where the held-out rows begin",
    )
    held = [min(max(end - num_trained, 0), rows) for end, rows in zip(ends, num_rows, strict=True)]
    return LastRows(*places[0]), held


def _check_split(settings: TrainSettings, num_rows: int, num_held_out: int) -> None:
    if settings.validation_split and not (num_rows and num_held_out):
        raise TrainingError(
            f"-validationSplit {settings.validation_split} holds out {num_held_out} of "
            f"{num_rows + num_held_out} rows; both sides need at least one"
        )


def choose_workers(num_rows: int, settings: TrainSettings, parallelism: int) -> int:
    """Choose the number of replicas: what the user says, else what the rows are enough for."""
    if settings.workers is not None:
        return settings.workers
    enough_for = num_rows // (MIN_BATCHES * settings.batch_size_per_worker)
    return max(1, min(parallelism, enough_for))


def _starts(found: list[ReadReport], counts: list[int]) -> dict[int, int]:
    starts = accumulate(counts, initial=0)
    return {report.task: start for report, start in zip(found, starts, strict=False)}


def _place(
    session: Session, blocks: RDD[Any], plan: Placement
) -> tuple[RDD[Any], list[tuple[int, int]]]:
    from pyspark import StorageLevel

    routed = blocks.mapPartitions(lambda rows: route(rows, plan))
    gathered = routed.partitionBy(plan.num_workers, int)
    placed = gathered.mapPartitions(assemble).persist(StorageLevel.MEMORY_AND_DISK)
    which = "held-out rows" if plan.held_out else "rows"
    work = Work(f"place the {which} on their workers", 0, plan.num_rows, rows_are_estimated=False)
    return placed, session.run(placed.mapPartitions(digest).collect, work)
