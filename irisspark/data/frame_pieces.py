"""The rows of a Spark DataFrame as pieces, each a small Parquet file that Spark keeps.

A DataFrame may give other rows each time it is computed, so it is computed once; should Spark lose
a piece and compute it again, its digest tells whether it is still the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, cast

import numpy as np
import pyarrow as pa

from irisspark.errors import DataError
from irisspark.storage.opening import DataFile, Opener

_PIECE_BYTES = 16 << 20
CHANGED = (
    "the DataFrame gave other rows when Spark computed a part of it again, which was lost: "
    "write it as Parquet (data.write.parquet) and pass that path"
)
"""What the driver says where a piece is not what it was."""
SCHEMA = "num_rows long, piece binary"
"""What ``pack`` gives, as Spark writes it."""


@dataclass(frozen=True)
class PackedColumn:
    """A column of a DataFrame.

    Attributes:
        name: Its name.
        width: Numbers in each of its cells, which hold arrays; None where they hold single values.
    """

    name: str
    width: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What it becomes: itself, or a column for each place of an array."""
        if self.width is None:
            return (self.name,)
        return tuple(f"{self.name}[{place}]" for place in range(self.width))


@dataclass(frozen=True)
class PieceReport:
    """What the driver knows of a piece.

    Attributes:
        partition: The partition of the DataFrame that it is of.
        num_rows: Its rows.
        num_bytes: Its size.
        digest: SHA-256 of its bytes.
    """

    partition: int
    num_rows: int
    num_bytes: int
    digest: str


def pack(
    batches: Iterator[pa.RecordBatch], columns: Sequence[PackedColumn]
) -> Iterator[pa.RecordBatch]:
    """Write the rows of a partition as pieces, whose arrays are columns of single numbers."""
    held: list[pa.RecordBatch] = []
    num_bytes = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        held.append(_laid_out(batch, columns))
        num_bytes += batch.nbytes
        if num_bytes >= _PIECE_BYTES:
            yield _piece(held)
            held, num_bytes = [], 0
    if held:
        yield _piece(held)


def _piece(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow.parquet as pq

    table, sink = pa.Table.from_batches(batches), pa.BufferOutputStream()
    pq.write_table(
        table, sink, row_group_size=table.num_rows, compression="lz4", use_dictionary=False
    )
    content = pa.array([sink.getvalue().to_pybytes()], pa.binary())
    return pa.RecordBatch.from_arrays(
        [pa.array([table.num_rows], pa.int64()), content], ["num_rows", "piece"]
    )


def _laid_out(batch: pa.RecordBatch, columns: Sequence[PackedColumn]) -> pa.RecordBatch:
    arrays: list[pa.Array] = []
    for column in columns:
        cells = batch.column(column.name)
        arrays += [cells] if column.width is None else _places(cells, column.width)
    names = [name for column in columns for name in column.names]
    return pa.RecordBatch.from_arrays(arrays, names)


def _places(cells: pa.Array, width: int) -> Iterator[pa.Array]:
    """Give the numbers at each place of arrays; nulls for arrays that are of another length."""
    import pyarrow.compute as pc

    is_whole = pc.fill_null(pc.equal(pc.list_value_length(cells), width), False)
    values = cells.filter(is_whole).flatten()
    mask = is_whole.to_numpy(zero_copy_only=False)
    starts = (np.cumsum(mask) - 1) * width
    for place in range(width):
        yield values.take(pa.array(starts + place, mask=~mask))


def report(partition: int, pieces: Iterator[tuple[int, bytes]]) -> Iterator[PieceReport]:
    """Say what the pieces of a partition are."""
    for num_rows, content in pieces:
        yield PieceReport(partition, num_rows, len(content), digest(content))


def digest(content: bytes) -> str:
    """Give the SHA-256 of a piece."""
    return hashlib.sha256(content).hexdigest()


class PieceReader:
    """Opens the pieces of a partition as Spark hands them to a worker: once, and in their order."""

    def __init__(
        self, pieces: Iterator[tuple[int, bytes]], expected: Sequence[tuple[DataFile, str]]
    ) -> None:
        """Take the pieces, and what they were when they were first computed: names and digests."""
        self._pieces, self._coming = pieces, list(reversed(expected))

    @property
    def opener(self) -> Opener:
        """What opens a piece by its file."""
        return self._open

    def _open(self, file: DataFile, end: int | None = None) -> IO[bytes]:
        while self._coming:
            known, known_digest = self._coming.pop()
            _, content = next(self._pieces, (0, b""))
            if known == file:
                return opened_piece(content, known_digest)
        raise AssertionError(f"{file.path} is read out of turn")

    def end(self) -> None:
        """Read on to the end, so that Spark can use the worker again.

        Raises:
            DataError: There are more pieces than there were.
        """
        num_left = sum(1 for _ in self._pieces)
        if num_left and not self._coming:
            raise DataError(CHANGED)


def opened_piece(content: bytes, known_digest: str) -> IO[bytes]:
    """Open a piece.

    Raises:
        DataError: It is not what it was.
    """
    if digest(content) != known_digest:
        raise DataError(CHANGED)
    return cast(IO[bytes], pa.BufferReader(content))
