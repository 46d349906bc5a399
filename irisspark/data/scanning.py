"""Reads the splits of a task, batch by batch, and keeps account of what that took."""

from __future__ import annotations

import resource
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.data.bad_rows import BadRows
from irisspark.data.columns import Columns
from irisspark.data.gaps import FilledCells
from irisspark.data.holdout import Holdout
from irisspark.data.reader import Batch, Piece, Reader
from irisspark.data.splits import TaskSplits
from irisspark.data.timing import timed
from irisspark.storage.location import Location
from irisspark.storage.opening import Opener

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class OutputColumns:
    """What the columns of an output's predictions are called.

    Attributes:
        labels: Names of the labels' columns; none where there is no label.
        predictions: Names of the columns of predictions: one, or one for each label.
        scores: Names of the scores' columns, one for each of the scores that a row has.
        class_values: What label and prediction hold for each class: its number or its name; empty
            where they are numbers.
        probabilities: True where the scores are probabilities, False for the model's raw output.
    """

    labels: tuple[str, ...]
    predictions: tuple[str, ...]
    scores: tuple[str, ...]
    class_values: tuple[int, ...] | tuple[str, ...]
    probabilities: bool


@dataclass(frozen=True)
class PredictionPlan:
    """Where the predictions of a run go, and what their columns are called.

    Attributes:
        folder: Where attempts write, the same on every machine.
        kept: Names of the kept columns.
        outputs: Those of each output that the model has.
        position: Name of the column that says where in its file a row is.
        format: ``parquet`` or ``csv``, which is also what the names of the files end in.
    """

    folder: Location
    kept: tuple[str, ...]
    outputs: tuple[OutputColumns, ...]
    position: str = "offset"
    format: str = "parquet"


@dataclass(frozen=True)
class ScanPlan:
    """What a worker has to know beside the model and its splits.

    Attributes:
        reader: Reads the rows.
        columns: What each column is for.
        top_n: N of the top-N accuracy.
        num_threads: Threads that TensorFlow may use (``spark.task.cpus``).
        stop_at_bad_row: True where the first bad row ends the run, so no more need be read.
        block_bytes: How much is read at a time; None for what suits the data.
        predictions: Where a row of predictions goes for every good row; None for nowhere.
        holdout: Where it is given, only the rows that it holds out are read.
        sample_until: (file index, position) of the last row whose features and output are returned,
            for the driver to compare; None for no row.
    """

    reader: Reader
    columns: Columns
    top_n: int = 1
    num_threads: int = 1
    stop_at_bad_row: bool = True
    block_bytes: int | None = None
    predictions: PredictionPlan | None = None
    holdout: Holdout | None = None
    sample_until: tuple[int, int] | None = None

    def reading_only(self, block_bytes: int) -> ScanPlan:
        """Give the plan of reading the same rows in blocks of another size, and nothing more."""
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
    """The batches of a task's splits, with what reading them found out on the way.

    Attributes:
        bad: The bad rows so far.
        filled: The missing numbers so far that something stands in for.
        read_bytes: Bytes so far.
        read_seconds: What waiting for them took so far.
        parse_seconds: What parsing them took so far.
        place: (file index, position) up to which everything is read.
    """

    def __init__(self, task: TaskSplits, plan: ScanPlan, open_file: Opener) -> None:
        """Get ready; nothing is read before the first batch is asked for."""
        self._splits = task.splits
        self._plan = plan
        self._open_file = open_file
        self.bad = BadRows()
        self.filled = FilledCells()
        self.read_bytes = 0
        self.read_seconds = 0.0
        self.parse_seconds = 0.0
        self.place = (0, 0)

    def __iter__(self) -> Iterator[Batch]:
        """Read the batches, up to the first bad row where the plan is to stop there."""
        plan = self._plan
        for split in self._splits:
            self.place = (split.file_index, split.start)
            batches = plan.reader.read(split, plan.columns, self._open_file, plan.block_bytes)
            for batch, seconds in timed(batches):
                self._note(batch.piece, seconds)
                self.bad += batch.bad
                self.filled += batch.filled
                if self.bad.total and plan.stop_at_bad_row:
                    return
                yield self._select(batch)

    def _note(self, piece: Piece, seconds: float) -> None:
        self.read_bytes += piece.read_bytes
        self.read_seconds += piece.read_seconds
        self.parse_seconds += seconds - piece.read_seconds
        self.place = (piece.file_index, piece.end)

    def _select(self, batch: Batch) -> Batch:
        holdout = self._plan.holdout
        if holdout is None:
            return batch
        return batch.where(holdout.mask(batch.piece.file_index, batch.positions))


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
        """Get ready; ``until`` is ``ScanPlan.sample_until``."""
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
        file_index, position = self._until
        if batch.piece.file_index != file_index:
            return len(batch) if batch.piece.file_index < file_index else 0
        if batch.piece.start > position:
            return 0
        return int(np.searchsorted(batch.positions, position, side="right"))

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


class RowPlaces:
    """Finds the places of rows that were read, as long as they are counted.

    To find the positions of a batch takes time, so it is done for the rows that are asked for.
    """

    def __init__(self) -> None:
        """Begin before the first row."""
        self._batches: deque[Batch] = deque()
        self._num_passed = 0

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand batches on, and remember those of whose rows some were not passed by."""
        for batch in batches:
            if len(batch):
                self._batches.append(batch)
            yield batch

    def of(self, row: int) -> tuple[int, int]:
        """Give (file index, position) of a row, counted from the first that was not passed by."""
        row += self._num_passed
        for batch in self._batches:
            if row < len(batch):
                return batch.piece.file_index, int(batch.positions[row])
            row -= len(batch)
        raise IndexError("the row was not read yet")

    def pass_by(self, num_rows: int) -> None:
        """Forget the next rows."""
        self._num_passed += num_rows
        while self._batches and self._num_passed >= len(self._batches[0]):
            self._num_passed -= len(self._batches.popleft())


def peak_memory_bytes() -> int:
    """Give the largest resident set that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
