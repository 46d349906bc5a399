"""Puts the rows of the training data where they are trained on.

Rows are numbered as they stand in the input, so which worker a row goes to, and in which order
it lies there, never depends on how the files were cut or on when a block arrives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.data.bad_rows import BadRows
from irisspark.data.holdout import Holdout
from irisspark.data.reader import Batch
from irisspark.data.scanning import Scan, ScanPlan
from irisspark.data.splits import TaskSplits
from irisspark.errors import DataError
from irisspark.model.forward import parts_of
from irisspark.scattering import mix
from irisspark.storage.opening import Opener

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

BLOCK_BYTES = 64 << 20
"""Most that one block in Spark's storage holds of features, in bytes."""


@dataclass(frozen=True, eq=False)
class ReadBlock:
    """The good rows of one block of a file.

    Attributes:
        task: Index of the task that was read.
        file_index: Place of the file in the input.
        positions: int64 [rows]: the place of each row; None where nothing is held out.
        features: [rows, num_features] in the dtype of the model's input.
        labels: [rows], or [rows, columns] of several labels: int64 or float64.
    """

    task: int
    file_index: int
    positions: Ints | None
    features: Array
    labels: Array


@dataclass(frozen=True)
class ReadReport:
    """What reading a task found out.

    Attributes:
        task: Index of the task.
        num_rows: Good rows.
        num_held_out: Those of them that a hash holds out.
        bad: The other rows.
        failure: Why the data could not be read.
    """

    task: int
    num_rows: int
    num_held_out: int
    bad: BadRows = field(default_factory=BadRows)
    failure: str | None = None


@dataclass(frozen=True, eq=False)
class PlacedRows:
    """Rows of one worker, in the order of ``index``.

    Attributes:
        index: int64 [rows], the numbers of the rows.
        features: [rows, num_features].
        labels: [rows], or [rows, columns] of several labels: int64 or float64.
    """

    index: Ints
    features: Array
    labels: Array

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.index)


@dataclass(frozen=True)
class Placement:
    """Which rows are placed, and where.

    Attributes:
        starts: From a task's index to the number of its first row among the rows placed here.
        num_rows: All rows that are placed here.
        num_workers: Partitions to place them in.
        seed: Deals the rows out at random; None gives every worker its share in one piece.
        holdout: Tells the held-out rows from the others; None where there are none.
        held_out: Whether it is the held-out rows that are placed.
    """

    starts: Mapping[int, int]
    num_rows: int
    num_workers: int
    seed: int | None
    holdout: Holdout | None = None
    held_out: bool = False

    def worker_of(self, index: Ints) -> Ints:
        """Give int64 [rows], the worker of each row; no two differ by more than one row.

        Dealt rows go to the workers in turn, ``num_workers`` rows at a time, each turn beginning
        at a worker that a hash of (seed, turn) picks.
        """
        if self.seed is None:
            return index * self.num_workers // max(self.num_rows, 1)
        turns = (index // self.num_workers).astype(np.uint64)
        first = mix(mix(np.uint64(self.seed)) ^ turns) % np.uint64(self.num_workers)
        workers: Ints = (index + first.astype(np.int64)) % self.num_workers
        return workers


def read_rows(
    tasks: Iterable[TaskSplits],
    plan: ScanPlan,
    open_file: Opener,
    holdout: Holdout | None,
    *,
    with_positions: bool,
) -> Iterator[ReadBlock | ReadReport]:
    """Read tasks: their good rows, and a report behind the last block of each."""
    for task in tasks:
        scan = Scan(task, plan, open_file)
        num_rows = num_held_out = 0
        failure = None
        try:
            for batch in scan:
                if not len(batch):
                    continue
                block = _block(batch, task.index, with_positions=with_positions)
                num_rows += len(batch)
                if holdout is not None and block.positions is not None:
                    num_held_out += int(holdout.mask(block.file_index, block.positions).sum())
                yield block
        except DataError as error:
            failure = str(error)
        yield ReadReport(task.index, num_rows, num_held_out, scan.bad, failure)


def _block(batch: Batch, task: int, *, with_positions: bool) -> ReadBlock:
    assert batch.labels is not None
    positions = batch.positions if with_positions else None
    return ReadBlock(task, batch.piece.file_index, positions, batch.features, batch.labels)


def reports(blocks: Iterable[ReadBlock | ReadReport]) -> Iterator[ReadReport]:
    """Give the reports alone."""
    for block in blocks:
        if isinstance(block, ReadReport):
            yield block


def find_position(blocks: Iterable[ReadBlock | ReadReport], row: int) -> Iterator[tuple[int, int]]:
    """Find (file_index, position) of the ``row``-th good row of a task."""
    for block in blocks:
        if isinstance(block, ReadReport) or block.positions is None:
            continue
        if 0 <= row < len(block.positions):
            yield block.file_index, int(block.positions[row])
        row -= len(block.positions)


def route(
    blocks: Iterable[ReadBlock | ReadReport], placement: Placement
) -> Iterator[tuple[int, PlacedRows]]:
    """Take blocks apart by the worker that each row goes to.

    Raises:
        DataError: A task that Spark had lost and read again could not be read this time.
    """
    following = dict(placement.starts)
    for block in blocks:
        if isinstance(block, ReadReport):
            if block.failure is not None:
                raise DataError(block.failure)
            continue
        features, labels = block.features, block.labels
        if placement.holdout is not None and block.positions is not None:
            held = placement.holdout.mask(block.file_index, block.positions)
            taken = held if placement.held_out else ~held
            features, labels = features[taken], labels[taken]
        index = following[block.task] + np.arange(len(labels), dtype=np.int64)
        following[block.task] += len(labels)
        workers = placement.worker_of(index)
        for worker in np.unique(workers):
            mine = workers == worker
            yield int(worker), PlacedRows(index[mine], features[mine], labels[mine])


def assemble(pieces: Iterable[tuple[int, PlacedRows]]) -> Iterator[PlacedRows]:
    """Put the pieces of one worker in order, whatever the order in which they arrived."""
    rows = [piece for _, piece in pieces]
    if not rows:
        return
    joined = join(rows)
    order = np.argsort(joined.index)
    row_bytes = max(joined.features[:1].nbytes, 1)
    step = max(BLOCK_BYTES // row_bytes, 1)
    for start in range(0, len(order), step):
        taken = order[start : start + step]
        yield PlacedRows(joined.index[taken], joined.features[taken], joined.labels[taken])


def join(rows: list[PlacedRows]) -> PlacedRows:
    """Make one of several blocks of rows; there is at least one."""
    if len(rows) == 1:
        return rows[0]
    return PlacedRows(
        np.concatenate([block.index for block in rows]),
        np.concatenate([block.features for block in rows]),
        np.concatenate([block.labels for block in rows]),
    )


def digest(blocks: Iterable[PlacedRows]) -> Iterator[tuple[int, int]]:
    """Give (rows, a digest of their numbers, values and labels) of a partition.

    Digests add up modulo 2**64 to the same total, however the rows are placed.
    """
    num_rows, total = 0, np.uint64(0)
    for block in blocks:
        labels = np.ascontiguousarray(block.labels).view(np.uint64).reshape(len(block), -1)
        row = mix(block.index)
        for column in range(labels.shape[1]):
            row = row + mix(labels[:, column] ^ np.uint64((1 << 63) + column))
        for bits in _bits(block.features):
            row = mix(row ^ bits)
        num_rows += len(block)
        with np.errstate(over="ignore"):
            total += row.sum(dtype=np.uint64)
    yield num_rows, int(total)


def _bits(features: Array) -> Iterator[npt.NDArray[np.uint64]]:
    """Give what stands for each column of rows: the bits of numbers, a digest of texts."""
    numbers, *texts = parts_of(features)
    for column in numbers.T:
        values = np.ascontiguousarray(column)
        yield values.view(f"u{values.itemsize}").astype(np.uint64)
    for cells in texts[0].T if texts else ():
        of_text = {
            text: int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
            for text in set(cells.tolist())
        }
        yield np.array([of_text[text] for text in cells.tolist()], dtype=np.uint64)
