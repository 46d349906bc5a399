"""Reads the splits of a task, batch by batch, and keeps account of what that took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from irisspark.data.csv.columns import Columns
from irisspark.data.csv.examine import BadRows
from irisspark.data.csv.reading import Batch, parse_blocks, record_end
from irisspark.data.holdout import Holdout
from irisspark.data.splits import BLOCK_BYTES, Block, Split, TaskSplits, read_ahead, read_blocks
from irisspark.storage.location import Location
from irisspark.storage.opening import Opener

Array = npt.NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class PredictionTask:
    """Where the predictions of a run go, and what their columns are called.

    Attributes:
        folder: Where attempts write, the same on every machine.
        kept: Names of the kept columns.
        label: Name of the label's column, None where there is no label.
        scores: Names of the scores' columns, one for each of the scores that a row has.
        class_values: What label and prediction hold for each class: its number or its name.
        probabilities: True where the scores are probabilities, False for the model's raw output.
    """

    folder: Location
    kept: tuple[str, ...]
    label: str | None
    scores: tuple[str, ...]
    class_values: tuple[int, ...] | tuple[str, ...]
    probabilities: bool


@dataclass(frozen=True)
class ScanTask:
    """What a worker has to know beside the model and its splits.

    Attributes:
        columns: Which column is what.
        top_n: N of the top-N accuracy.
        num_threads: Threads that TensorFlow may use (``spark.task.cpus``).
        stop_at_bad_row: True where the first bad row ends the run, so no more need be read.
        block_bytes: How much is read at a time.
        predictions: Where a row of predictions goes for every good row; None for nowhere.
        holdout: Where it is given, only the rows that it holds out are read.
        sample_until: (file index, offset) of the last row whose features and output are returned,
            for the driver to compare; None for no row.
    """

    columns: Columns
    top_n: int = 1
    num_threads: int = 1
    stop_at_bad_row: bool = True
    block_bytes: int = BLOCK_BYTES
    predictions: PredictionTask | None = None
    holdout: Holdout | None = None
    sample_until: tuple[int, int] | None = None

    def reading_only(self, block_bytes: int) -> ScanTask:
        """Give the task of reading the same rows in blocks of another size, and nothing more."""
        return replace(self, block_bytes=block_bytes, predictions=None, sample_until=None)


@dataclass(frozen=True)
class WorkerStats:
    """What a task took; ``+`` adds seconds and bytes up and keeps the larger peak of memory.

    Attributes:
        read_bytes: What was read, after decompression.
        read_seconds: Waiting for bytes; what is read while the worker is busy costs nothing here.
        parse_seconds: From bytes to numbers.
        predict_seconds: From numbers to counts.
        build_seconds: Building the model and its compiled function.
        peak_memory_bytes: The largest resident set of the worker's process.
    """

    read_bytes: int = 0
    read_seconds: float = 0.0
    parse_seconds: float = 0.0
    predict_seconds: float = 0.0
    build_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, other: WorkerStats) -> WorkerStats:
        """Add two tasks' stats up."""
        return WorkerStats(
            self.read_bytes + other.read_bytes,
            self.read_seconds + other.read_seconds,
            self.parse_seconds + other.parse_seconds,
            self.predict_seconds + other.predict_seconds,
            self.build_seconds + other.build_seconds,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


class Scan:
    """The batches of a group of splits, with what reading them found out on the way.

    Attributes:
        bad: The bad rows so far.
        read_bytes: Bytes so far.
        read_seconds: What waiting for them took so far.
        parse_seconds: What parsing them took so far.
        place: (file index, offset) up to which everything is read.
    """

    def __init__(self, group: TaskSplits, task: ScanTask, open_file: Opener) -> None:
        """Get ready; nothing is read before the first batch is asked for."""
        self._group = group
        self._task = task
        self._open_file = open_file
        self.bad = BadRows()
        self.read_bytes = 0
        self.read_seconds = 0.0
        self.parse_seconds = 0.0
        self.place = (0, 0)

    def __iter__(self) -> Iterator[Batch]:
        """Read the batches, up to the first bad row where the task stops there."""
        for split in self._group.splits:
            self.place = (split.file_index, split.start)
            batches = parse_blocks(self._read(split), self._task.columns, split.file.path)
            for batch, seconds in timed(batches):
                self.parse_seconds += seconds
                self.read_bytes += len(batch.block.data)
                self.place = (split.file_index, batch.block.offset + len(batch.block.data))
                self.bad += batch.bad
                if self.bad.total and self._task.stop_at_bad_row:
                    return
                yield self._select(batch)

    def _read(self, split: Split) -> Iterator[Block]:
        end = record_end(self._task.columns)
        blocks = read_blocks(split, self._open_file, self._task.block_bytes, end)
        for block, seconds in timed(read_ahead(blocks)):
            self.read_seconds += seconds
            self.parse_seconds -= seconds  # which waits for this as a part of parsing
            yield block

    def _select(self, batch: Batch) -> Batch:
        holdout = self._task.holdout
        if holdout is None:
            return batch
        return batch.where(holdout.mask(batch.block.file_index, batch.offsets))


@dataclass(frozen=True, eq=False)
class Sample:
    """What a task read and predicted of the first good rows of the input.

    Attributes:
        index: The task, in the order of the input.
        features: [rows, num_features], as the model took them.
        output: float32 [rows, units], as the model put them out.
    """

    index: int
    features: Array
    output: Array


class Sampler:
    """Keeps the features and outputs of a task's rows up to a place in the input."""

    def __init__(self, until: tuple[int, int] | None) -> None:
        """Get ready; ``until`` is ``ScanTask.sample_until``."""
        self._until = until
        self._num_wanted = 0
        self._num_taken = 0
        self._features: list[Array] = []
        self._outputs: list[Array] = []

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand batches on, and count the rows up to the place: the first ones of the task."""
        looking = self._until is not None
        for batch in batches:
            if looking and len(batch):
                wanted = self._count(batch)
                self._num_wanted += wanted
                looking = wanted == len(batch)
            yield batch

    def _count(self, batch: Batch) -> int:
        assert self._until is not None
        file_index, offset = self._until
        if batch.block.file_index != file_index:
            return len(batch) if batch.block.file_index < file_index else 0
        if batch.block.offset > offset:
            return 0
        return int(np.searchsorted(batch.offsets, offset, side="right"))

    def add(self, features: Array, output: Array) -> None:
        """Take the next rows, with what the model put out for them."""
        taken = min(self._num_wanted - self._num_taken, len(output))
        if taken > 0:
            self._features.append(features[:taken].copy())
            self._outputs.append(output[:taken].copy())
            self._num_taken += taken

    def sample(self, index: int) -> tuple[Sample, ...]:
        """Give the rows of the task of that index, if it has any of them."""
        if not self._features:
            return ()
        return (Sample(index, np.concatenate(self._features), np.concatenate(self._outputs)),)


def timed(items: Iterable[T]) -> Iterator[tuple[T, float]]:
    """Yield items with the seconds that each took to come."""
    started = time.perf_counter()
    for item in items:
        yield item, time.perf_counter() - started
        started = time.perf_counter()


def peak_memory_bytes() -> int:
    """Give the largest resident set that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
