"""The row groups of a split -> batches of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from irisspark.data.columns import Columns
from irisspark.data.parquet.cell_arrays import Rows, rows_of
from irisspark.data.parquet.fields import Field
from irisspark.data.parquet.parquet_file import opened
from irisspark.data.reader import Batch, Ints, Piece
from irisspark.data.splits import Split
from irisspark.data.targets import is_text
from irisspark.storage.opening import Opener

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_CELL_BYTES = 8
_BLOCK_BYTES = 16 << 20
_MIN_ROWS, _MAX_ROWS = 1 << 10, 1 << 16
_FIRST_ROWS = 32
STREAM_BYTES = 16 << 10
"""What is read of each column at a time where only the first rows are wanted."""


@dataclass(frozen=True)
class _Group:
    """A row group, or those of its rows that belong to a split.

    Attributes:
        index: Its place in the file.
        start: The number of its first row in the file.
        first: The number of the first row that is wanted.
        end: The number behind the last one.
        row_bytes: What a row takes that is read, after decompression.
    """

    index: int
    start: int
    first: int
    end: int
    row_bytes: float


def read_batches(
    split: Split,
    columns: Columns,
    fields: tuple[Field, ...],
    open_file: Opener,
    block_bytes: int | None,
) -> Iterator[Batch]:
    """Read the rows of a split whose numbers are ``start`` to ``end``, as far as they are used.

    Args:
        split: A range of rows.
        columns: What each column is for.
        fields: All columns.
        open_file: Opens the file on this machine.
        block_bytes: About how much to make arrays of at a time, where little is wanted; None for
            what suits whole row groups.

    Raises:
        DataError: The file cannot be read.
    """
    used = {column: fields[column] for column in columns.used}
    names = [field.name for field in used.values() if not field.is_key]
    with opened(split.file, open_file, **_settings(used, columns, block_bytes)) as file:
        num_rows = _num_rows(len(used), block_bytes)
        for group in _groups(file, split, set(names)):
            row = group.start
            batches = file.iter_batches(num_rows, [group.index], names, use_threads=False)
            for record_batch in batches:
                first, row = row, row + record_batch.num_rows
                if row <= group.first:
                    continue
                if first >= group.end:
                    break
                first, wanted = _wanted(record_batch, first, group)
                cells = dict(_cells(wanted, used, split))
                rows = rows_of(cells, columns, split.file_index, first)
                yield _batch(rows, _piece(split, first, wanted.num_rows, group.row_bytes))


def _settings(
    used: Mapping[int, Field], columns: Columns, block_bytes: int | None
) -> dict[str, Any]:
    """Say how a file is read: whole column chunks at once, or only their beginnings."""
    labels = [
        field
        for column, field in used.items()
        if column in columns.labels or column in columns.texts
    ]
    encoded = [field.name for field in labels if is_text(field.type) and not field.is_key]
    if block_bytes is None:
        return {"read_dictionary": encoded, "pre_buffer": True}
    return {"read_dictionary": encoded, "buffer_size": STREAM_BYTES}


def _num_rows(num_columns: int, block_bytes: int | None) -> int:
    if block_bytes is not None:
        return max(_FIRST_ROWS, block_bytes // (_CELL_BYTES * num_columns))
    affordable = _BLOCK_BYTES // (_CELL_BYTES * num_columns)
    return max(_MIN_ROWS, min(_MAX_ROWS, 1 << affordable.bit_length() - 1))


def _groups(file: pq.ParquetFile, split: Split, names: set[str]) -> Iterator[_Group]:
    """Find the row groups that rows of a split lie in."""
    start, metadata = 0, file.metadata
    used = [i for i, column in enumerate(metadata.schema) if column.path in names]
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        end = start + group.num_rows
        first, last = max(start, split.start), end if split.end is None else min(end, split.end)
        if first < last:
            num_bytes = sum(group.column(i).total_uncompressed_size for i in used)
            yield _Group(index, start, first, last, num_bytes / group.num_rows)
        start = end


def _wanted(batch: pa.RecordBatch, first: int, group: _Group) -> tuple[int, pa.RecordBatch]:
    """Leave out the rows of a batch before and behind a split's."""
    start = max(group.first - first, 0)
    end = min(group.end - first, batch.num_rows)
    return first + start, batch.slice(start, end - start)


def _cells(
    batch: pa.RecordBatch, used: Mapping[int, Field], split: Split
) -> Iterator[tuple[int, pa.Array]]:
    for column, field in used.items():
        if field.is_key:
            yield column, field.key_cells(split.file, batch.num_rows)
        else:
            cells = batch.column(field.name)
            yield column, cells.cast(field.type) if pa.types.is_null(cells.type) else cells


def _piece(split: Split, first: int, num_rows: int, row_bytes: float) -> Piece:
    return Piece(split.file_index, first, first + num_rows, round(num_rows * row_bytes))


def _batch(rows: Rows, piece: Piece) -> Batch:
    def find_positions() -> Ints:
        if rows.good is None:
            return np.arange(piece.start, piece.end, dtype=np.int64)
        return piece.start + rows.good

    return Batch(
        rows.features, rows.labels, rows.kept, piece, find_positions, rows.bad, rows.filled
    )
