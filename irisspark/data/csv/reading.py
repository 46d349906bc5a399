"""Blocks of whole records -> batches of numpy arrays.

A block is parsed with fixed types in one go. Only where something in it is wrong is it read a
second time, record by record, to tell the good rows from the bad ones. Both ways give the same
values for the same row, so how a file is cut never changes a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from irisspark.data.csv import explain
from irisspark.data.csv.columns import Columns
from irisspark.data.csv.examine import BadRows, examine
from irisspark.data.csv.numbers import arrow_number_type, not_representable
from irisspark.data.csv.records import (
    UTF8_BOM,
    Records,
    find_records,
    open_quotes,
    quoted_record_end,
)
from irisspark.data.csv.schema import read_records
from irisspark.data.splits import Block, Cutter, Split, end_of_last_line, read_blocks
from irisspark.errors import DataError
from irisspark.storage.opening import Opener

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The good rows of one block.

    Attributes:
        features: [rows, num_features] in the dtype of the model's input.
        labels: int64 [rows]; None where the data has no label column.
        kept: The text of ``Columns.keep``, one Arrow array each.
        block: The bytes the rows come from.
        columns: Which column is what.
        good: int64 [rows], which records of the block they are; None for all of them.
        bad: The other rows of the block, counted.
        suspects: Where the next block may have bad cells, too; None for nothing known.
    """

    features: Array
    labels: Ints | None
    kept: tuple[pa.Array, ...]
    block: Block
    columns: Columns
    good: Ints | None = None
    bad: BadRows = field(default_factory=BadRows)
    suspects: frozenset[int] | None = None

    def __len__(self) -> int:
        """Count the good rows."""
        return len(self.features)

    @cached_property
    def offsets(self) -> Ints:
        """int64 [rows]: where each row starts in its file, in bytes. Found when asked for."""
        starts = _records(self.block, self.columns).starts
        return self.block.offset + (starts if self.good is None else starts[self.good])

    def where(self, mask: npt.NDArray[np.bool_]) -> Batch:
        """Give the good rows where ``mask``, bool [rows], is True; the bad ones stay counted."""
        good = np.arange(len(self), dtype=np.int64) if self.good is None else self.good
        return replace(
            self,
            features=self.features[mask],
            labels=None if self.labels is None else self.labels[mask],
            kept=tuple(cells.filter(pa.array(mask)) for cells in self.kept),
            good=good[mask],
        )


def read_batches(
    split: Split, columns: Columns, open_file: Opener, block_bytes: int
) -> Iterator[Batch]:
    """Read a split as batches, one a block of about ``block_bytes``.

    Raises:
        DataError: The file cannot be read on this machine, or its header is not that of the first.
    """
    blocks = read_blocks(split, open_file, block_bytes, record_end(columns))
    return parse_blocks(blocks, columns, split.file.path)


def parse_blocks(blocks: Iterable[Block], columns: Columns, path: str) -> Iterator[Batch]:
    """Parse the blocks of a split in their order, one batch a block.

    Raises:
        DataError: The header of the file at ``path`` is not that of the first file.
    """
    suspects: frozenset[int] | None = None
    for block in blocks:
        if block.offset == 0 and columns.header:
            _check_header(block.data, columns, path)
        batch = parse_block(block, columns, suspects)
        suspects = batch.suspects
        yield batch


def _check_header(data: bytes, columns: Columns, path: str) -> None:
    text = data.removeprefix(UTF8_BOM)
    for found in read_records(text, columns.delimiter, 1, multi_line=columns.multi_line):
        if found != columns.names:
            raise DataError(explain.other_header(found, path, columns))


def record_end(columns: Columns) -> Cutter:
    """Give the function that finds where the last whole record of some bytes ends."""
    return quoted_record_end(columns.delimiter) if columns.multi_line else end_of_last_line


def parse_block(block: Block, columns: Columns, suspects: frozenset[int] | None = None) -> Batch:
    """Parse one block of whole records; ``suspects`` is that of the block before."""
    block = _without_preamble(block, columns)
    batch = _parse_typed(block, columns) if suspects is None else None
    return batch or _parse_examined(block, columns, suspects)


def _without_preamble(block: Block, columns: Columns) -> Block:
    """Drop the byte order mark and the header, which only the start of a file has."""
    if block.offset > 0:
        return block
    start = len(UTF8_BOM) if block.data.startswith(UTF8_BOM) else 0
    if columns.header:
        start += _header_end(block.data[start:], columns)
    return Block(block.file_index, start, block.data[start:]) if start else block


def _header_end(data: bytes, columns: Columns) -> int:
    """Find the offset behind the first record of ``data`` that is not blank."""
    starts = find_records(data, columns.delimiter, multi_line=columns.multi_line).starts
    return int(starts[1]) if len(starts) > 1 else len(data)


def _parse_typed(block: Block, columns: Columns) -> Batch | None:
    """Parse a block with fixed types; None where anything in it needs a closer look."""
    try:
        table = pacsv.read_csv(
            pa.py_buffer(block.data), **_typed_options(columns, len(block.data))
        ).combine_chunks()
    except pa.ArrowInvalid:  # a cell that does not convert, a row of another width, no rows at all
        return None
    if b'"' in block.data and _may_hide_line_ends(block, table.num_rows, columns):
        return None
    labels = _typed_labels(table, columns)
    features = _typed_features(table, columns)
    if features is None or (labels is None and columns.label is not None):
        return None
    kept = tuple(_chunk(table, c) for c in columns.keep)
    return Batch(features, labels, kept, block, columns)


def _typed_options(columns: Columns, num_bytes: int) -> dict[str, Any]:
    number = arrow_number_type(np.dtype(columns.dtype))
    types: dict[str, pa.DataType] = {_field(c): number for c in columns.features}
    types |= {_field(c): pa.utf8() for c in columns.keep if c not in columns.features}
    if columns.label is not None:
        types[_field(columns.label)] = pa.dictionary(pa.int32(), pa.utf8())
    return {
        "read_options": pacsv.ReadOptions(
            column_names=[_field(c) for c in range(columns.num_columns)],
            use_threads=False,
            block_size=num_bytes + 1,
        ),
        "parse_options": pacsv.ParseOptions(
            delimiter=columns.delimiter, newlines_in_values=columns.multi_line
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=types,
            include_columns=[_field(c) for c in columns.used],
            null_values=[""],
            strings_can_be_null=False,
        ),
    }


def _field(column: int) -> str:
    return f"f{column}"


def _chunk(table: pa.Table, column: int) -> pa.Array:
    return table.column(_field(column)).chunk(0)


def as_numpy(numbers: pa.Array) -> Array:
    """View numbers without nulls as numpy; Arrow's own ``to_numpy`` would import pandas for it."""
    values: Array = np.from_dlpack(numbers)
    return values


def _may_hide_line_ends(block: Block, num_rows: int, columns: Columns) -> bool:
    """Tell whether a quote that stays open may have swallowed the lines behind it."""
    records = _records(block, columns)
    if len(records) != num_rows:
        return True
    last = records[len(records) - 1]
    return bool(open_quotes(last, columns.delimiter, multi_line=columns.multi_line))


def _typed_labels(table: pa.Table, columns: Columns) -> Ints | None:
    if columns.label is None or columns.labels is None:
        return None
    encoded = _chunk(table, columns.label)
    codes = [columns.labels.encode(text) for text in encoded.dictionary.to_pylist()]
    if None in codes:
        return None
    labels: Ints = np.array(codes, dtype=np.int64)[as_numpy(encoded.indices)]
    return labels


def _typed_features(table: pa.Table, columns: Columns) -> Array | None:
    features = np.empty((table.num_rows, len(columns.features)), dtype=columns.dtype)
    for position, column in enumerate(columns.features):
        cells = _chunk(table, column)
        if cells.null_count:
            return None
        values = as_numpy(cells)
        if features.dtype.kind != "f" and not_representable(values, features.dtype).any():
            return None
        with np.errstate(over="ignore"):  # float16: an infinity is found below
            features[:, position] = values
    if features.dtype.kind == "f" and not np.isfinite(features).all():
        return None
    return features


def _records(block: Block, columns: Columns) -> Records:
    return find_records(block.data, columns.delimiter, multi_line=columns.multi_line)


def _parse_examined(block: Block, columns: Columns, suspects: frozenset[int] | None) -> Batch:
    """Parse a block as text: the good rows, and what is wrong with the others."""
    records = _records(block, columns)
    examined = examine(records, columns, suspects)
    seen = examined.bad_columns | (suspects or frozenset())
    return Batch(
        examined.features,
        examined.labels,
        examined.kept,
        block,
        columns,
        examined.good,
        examined.bad_rows(block.file_index, block.offset + records.starts),
        seen if examined.faults else None,
    )
