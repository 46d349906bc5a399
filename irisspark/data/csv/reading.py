"""Blocks of whole records -> batches of numpy arrays.

A block is parsed with fixed types in one go. Only where something in it is wrong is it read a
second time, record by record, to tell the good rows from the bad ones. Both ways give the same
values for the same row, so how a file is cut never changes a result.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from irisspark.data.bad_rows import BadRows
from irisspark.data.columns import Columns
from irisspark.data.csv import advice
from irisspark.data.csv.backslashes import record_end, with_doubled_quotes
from irisspark.data.csv.blocks import Block, read_ahead, read_blocks
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.examine import examine, is_comment
from irisspark.data.csv.first_lines import (
    begins_like_comment,
    is_separator_line,
    records_of,
    split_cells,
)
from irisspark.data.csv.kinds import check_text
from irisspark.data.csv.records import (
    UTF8_BOM,
    Records,
    as_inner_lines,
    find_records,
    open_quotes,
)
from irisspark.data.csv.wide import is_wide, parse_wide
from irisspark.data.gaps import FilledCells
from irisspark.data.numbers import arrow_number_type, not_representable
from irisspark.data.reader import Batch, Piece
from irisspark.data.splits import Split
from irisspark.data.timing import timed
from irisspark.errors import DataError
from irisspark.storage.opening import Opener

_FIRST_LINE = re.compile(rb"[\r\n]*[^\r\n]+")

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parsed:
    """The good rows of one block, as ``Batch`` has them.

    Attributes:
        good: int64 [rows], which records of the block they are; None for all of them.
        suspects: Where the next block may have bad cells, too; None for nothing known.
    """

    features: Array
    labels: Array | None
    kept: tuple[pa.Array, ...]
    good: Ints | None = None
    bad: BadRows = field(default_factory=BadRows)
    suspects: frozenset[int] | None = None
    filled: FilledCells = field(default_factory=FilledCells)


def read_batches(
    split: Split, columns: Columns, csv: CsvFormat, open_file: Opener, block_bytes: int
) -> Iterator[Batch]:
    """Read a split as batches, one a block of about ``block_bytes``, the next one read meanwhile.

    Raises:
        DataError: The file cannot be read on this machine, or its header is not that of the first.
    """
    blocks = read_blocks(split, open_file, block_bytes, record_end(csv, columns.num_columns))
    awaits_header = csv.header and split.start == 0
    awaits_row = split.start == 0
    suspects: frozenset[int] | None = None
    for block, seconds in timed(read_ahead(blocks)):
        whole = block
        if block.offset == 0:
            check_text(split.file.path, block.data)
            block = _after(block, len(UTF8_BOM) if block.data.startswith(UTF8_BOM) else 0)
        if awaits_header:
            header_end = _header_end(block.data, columns, csv, split.file.path)
            awaits_header = header_end is None
            block = _after(block, len(block.data) if header_end is None else header_end)
        if awaits_row and not awaits_header:
            comments_end = _comments_end(block.data, columns, csv)
            awaits_row = comments_end == len(block.data)
            block = _after(block, comments_end)
        parsed = parse_block(block, columns, csv, suspects)
        suspects = parsed.suspects
        yield _batch(parsed, block, columns, csv, _piece(whole, seconds))


def _after(block: Block, num_bytes: int) -> Block:
    if not num_bytes:
        return block
    return Block(block.file_index, block.offset + num_bytes, block.data[num_bytes:])


def _header_end(data: bytes, columns: Columns, csv: CsvFormat, path: str) -> int | None:
    """Find the offset behind the header, None where there are comments alone.

    Raises:
        DataError: It is another header than that of the first file.
    """
    records = records_of(with_doubled_quotes(data, columns.num_columns, csv), csv)
    for index in range(len(records)):
        cells = split_cells(records[index], csv.delimiter)
        if cells == columns.names:
            return int(records.starts[index + 1]) if index + 1 < len(records) else len(data)
        is_comment = begins_like_comment(records[index], csv.delimiter)
        if not is_comment and not is_separator_line(records[index]):
            raise DataError(advice.other_header(cells, path, columns))
    return None


def _comments_end(data: bytes, columns: Columns, csv: CsvFormat) -> int:
    """Find the offset of the first record that is no comment, behind ``data`` where none is."""
    first_line = _FIRST_LINE.match(data)
    if first_line is not None and not is_comment(first_line[0].lstrip(b"\r\n"), columns, csv):
        return 0  # a plain file, whose lines need not be found
    records = records_of(data, csv)
    for index in range(len(records)):
        if not is_comment(records[index], columns, csv):
            return int(records.starts[index])
    return len(data)


def _piece(block: Block, seconds: float) -> Piece:
    end = block.offset + len(block.data)
    return Piece(block.file_index, block.offset, end, len(block.data), seconds)


def _batch(parsed: Parsed, block: Block, columns: Columns, csv: CsvFormat, piece: Piece) -> Batch:
    find_positions = functools.partial(_positions, block, columns.num_columns, csv, parsed.good)
    return Batch(
        parsed.features,
        parsed.labels,
        parsed.kept,
        piece,
        find_positions,
        parsed.bad,
        parsed.filled,
    )


def parse_block(
    block: Block, columns: Columns, csv: CsvFormat, suspects: frozenset[int] | None = None
) -> Parsed:
    """Parse one block of whole records, the header not among them.

    Args:
        block: The block.
        columns: What each column is for.
        csv: How they are written.
        suspects: Where bad cells are likely, as the block before has it.
    """
    block = replace(block, data=with_doubled_quotes(block.data, columns.num_columns, csv))
    parsed = _parse_typed(block, columns, csv) if suspects is None else None
    return parsed or _parse_examined(block, columns, csv, suspects)


def _positions(block: Block, num_columns: int, csv: CsvFormat, good: Ints | None) -> Ints:
    """Find where the good records of a block start in their file, in bytes."""
    starts = records_of(with_doubled_quotes(block.data, num_columns, csv), csv).starts
    return block.offset + (starts if good is None else starts[good])


def _parse_typed(block: Block, columns: Columns, csv: CsvFormat) -> Parsed | None:
    """Parse a block with fixed types; None where anything in it needs a closer look."""
    with contextlib.suppress(pa.ArrowInvalid):  # a cell that does not convert, another width
        if is_wide(columns) and (cells := parse_wide(block.data, columns, csv)) is not None:
            features = _fitting(cells.numbers, columns)
            return None if features is None else _typed(columns, features, cells.texts)
        table = pacsv.read_csv(
            pa.py_buffer(as_inner_lines(block.data)),
            **_typed_options(columns, csv, len(block.data)),
        ).combine_chunks()
        if b'"' in block.data and _may_hide_line_ends(block, table.num_rows, csv):
            return None
        others = {c: _chunk(table, c) for c in columns.used if c not in columns.feature_set}
        counts: dict[int, int] = {}
        features = _typed_features(table, columns, counts)
        parsed = None if features is None else _typed(columns, features, others)
        return parsed and replace(parsed, filled=FilledCells(counts))
    return None


def _typed(columns: Columns, features: Array, others: dict[int, pa.Array]) -> Parsed | None:
    """Put features, labels and kept columns together; None where a label is not as it should.

    Raises:
        pyarrow.ArrowInvalid: A text is not UTF-8.
    """
    kept = tuple(others[column].cast(pa.utf8()) for column in columns.keep)
    if columns.label is None or columns.targets is None:
        return Parsed(features, None, kept)
    labels = _labels(others, columns)
    return None if labels is None else Parsed(features, labels, kept)


def _labels(others: dict[int, pa.Array], columns: Columns) -> Array | None:
    """Make the labels of rows; None where one is not as it should."""
    assert columns.targets is not None
    found = []
    for column in columns.labels:
        targets = columns.target_of(column)
        of_column = targets.convert(others[column].cast(targets.arrow_type))
        if of_column is None:
            return None
        found.append(of_column)
    labels, is_bad = columns.targets.join(found)
    return None if is_bad is not None and is_bad.any() else labels


def _typed_options(columns: Columns, csv: CsvFormat, num_bytes: int) -> dict[str, Any]:
    number = arrow_number_type(np.dtype(columns.dtype))
    types: dict[str, pa.DataType] = {_field(c): number for c in columns.numbers}
    types |= {_field(c): pa.dictionary(pa.int32(), pa.utf8()) for c in columns.texts}
    types |= {_field(c): pa.utf8() for c in columns.keep if c not in columns.features}
    if columns.targets is not None:
        types |= {_field(c): columns.target_of(c).arrow_type for c in columns.labels}
    return {
        "read_options": pacsv.ReadOptions(
            column_names=[_field(c) for c in range(columns.num_columns)],
            use_threads=False,
            block_size=num_bytes + 2,
        ),
        "parse_options": pacsv.ParseOptions(
            delimiter=csv.delimiter, newlines_in_values=csv.multi_line
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=types,
            include_columns=[_field(c) for c in columns.used],
            null_values=columns.gaps.null_texts,
            strings_can_be_null=False,
            decimal_point=csv.decimal,
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


def _may_hide_line_ends(block: Block, num_rows: int, csv: CsvFormat) -> bool:
    """Tell whether a quote that stays open may have swallowed the lines behind it."""
    records = _records(block, csv)
    if len(records) != num_rows:
        return True
    last = records[len(records) - 1]
    return bool(open_quotes(last, csv.delimiter, multi_line=csv.multi_line))


def _typed_features(table: pa.Table, columns: Columns, num_filled: dict[int, int]) -> Array | None:
    """Put the features side by side; None where a cell needs a closer look.

    What is filled is counted in ``num_filled``, by column.
    """
    features = np.empty((table.num_rows, len(columns.numbers)), dtype=columns.dtype)
    for position, column in enumerate(columns.numbers):
        cells = _chunk(table, column)
        is_gap = None
        if cells.null_count:
            is_gap, cells = cells.is_null().to_numpy(zero_copy_only=False), cells.fill_null(0)
        values, is_missing, is_filled = columns.gaps.fill(column, as_numpy(cells), is_gap)
        if is_missing is not None:
            return None
        if is_filled is not None:
            num_filled[column] = int(is_filled.sum())
        if (unfit := columns.unfit(column, values)) is not None and unfit.any():
            return None
        with np.errstate(over="ignore"):  # float16: an infinity is found below
            features[:, position] = values
    if _if_finite(features) is None:
        return None
    texts = [columns.gaps.texts(_chunk(table, column)) for column in columns.texts]
    made: Array = columns.rows(features, texts)
    return made


def _fitting(cells: Array, columns: Columns) -> Array | None:
    """Take the features out of parsed cells, [rows, columns]; None where one does not fit."""
    values = cells[:, columns.feature_index]
    if (named := columns.gaps.named(values)) is not None and named.any():
        return None
    dtype = np.dtype(columns.dtype)
    if dtype.kind != "f" and not_representable(values, dtype).any():
        return None
    for place, column in enumerate(columns.features if columns.own_dtypes else ()):
        if (unfit := columns.unfit(column, values[:, place])) is not None and unfit.any():
            return None
    with np.errstate(over="ignore"):
        return _if_finite(np.ascontiguousarray(values, dtype=dtype))


def _if_finite(features: Array) -> Array | None:
    is_fine = features.dtype.kind != "f" or np.isfinite(features).all()
    return features if is_fine else None


def _records(block: Block, csv: CsvFormat) -> Records:
    return find_records(block.data, csv.delimiter, multi_line=csv.multi_line)


def _parse_examined(
    block: Block, columns: Columns, csv: CsvFormat, suspects: frozenset[int] | None
) -> Parsed:
    """Parse a block as text: the good rows, and what is wrong with the others."""
    records = _records(block, csv)
    examined = examine(records, columns, csv, suspects)
    seen = examined.boolean_columns
    if examined.faults:
        seen |= examined.bad_columns | (suspects or frozenset())
    return Parsed(
        examined.features,
        examined.labels,
        examined.kept,
        examined.good,
        examined.bad_rows(block.file_index, block.offset + records.starts),
        seen if examined.faults or seen else None,
        examined.filled,
    )
