"""Tells the good records of a block from the bad ones, and says what is wrong with each."""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from irisspark.data.bad_rows import (
    BAD_ENCODING,
    BROKEN_QUOTES,
    COMMENT,
    MAX_SAMPLED_ROWS,
    MISSING,
    NO_MARK,
    NOT_A_NUMBER,
    NOT_FINITE,
    NOT_ONE_HOT,
    REPEATED_HEADER,
    UNKNOWN_LABEL,
    WHOLE_LINE,
    WRONG_COLUMNS,
    BadRow,
    BadRows,
)
from irisspark.data.cells import (
    decode,
    is_missing_label,
    is_utf8,
    parse_number,
    shorten,
)
from irisspark.data.columns import Columns
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.first_lines import (
    begins_like_comment,
    has_number,
    is_separator_line,
    split_cells,
)
from irisspark.data.csv.records import UTF8_BOM, Records, as_inner_lines, open_quotes
from irisspark.data.gaps import FilledCells
from irisspark.data.numbers import arrow_number_type, convert_numbers, not_representable
from irisspark.data.targets import Marks

_FIRST_HIGH_BYTE = 0x80
_NOT_FINITE_TEXT = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong with one record: see ``BadRow``."""

    reason: str
    column: int
    value: str


@dataclass(frozen=True)
class Examined:
    """Records told apart into good ones and bad ones.

    Attributes:
        good: int64 [rows], the indices of the good records.
        features: [rows, num_features] in the dtype of the model's input.
        labels: [rows], or None without a label column.
        kept: The text of the kept columns, one Arrow array each.
        faults: From the index of a bad record to what is wrong with it.
        boolean_columns: The features that hold booleans, which cost less where they are expected.
        filled: The missing numbers of the good records that something stands in for.
    """

    good: npt.NDArray[np.int64]
    features: Array
    labels: Array | None
    kept: tuple[pa.Array, ...]
    faults: dict[int, Fault]
    boolean_columns: frozenset[int] = frozenset()
    filled: FilledCells = field(default_factory=FilledCells)

    @property
    def bad_columns(self) -> frozenset[int]:
        """The columns that have bad cells."""
        return frozenset(fault.column for fault in self.faults.values()) - {WHOLE_LINE}

    def bad_rows(self, file_index: int, positions: Ints) -> BadRows:
        """Count the bad records and keep the first ten; ``positions`` are those of all records."""
        counts = Counter(fault.reason for fault in self.faults.values())
        first = tuple(
            BadRow(file_index, int(positions[index]), fault.reason, fault.column, fault.value)
            for index, fault in sorted(self.faults.items())[:MAX_SAMPLED_ROWS]
        )
        return BadRows(dict(sorted(counts.items())), first)


def examine(
    records: Records,
    columns: Columns,
    csv: CsvFormat,
    suspects: frozenset[int] | None = None,
) -> Examined:
    """Find out which records are good.

    A record's fault is the first one from the left; a whole line at fault comes before that.

    Args:
        records: What to read.
        columns: What each column is for.
        csv: How it is written.
        suspects: The features that are likely to hold bad cells, None for all. Only
            these are read as text, which costs more, as long as all others turn out to be good.
    """
    everything = columns.number_set
    examined = None
    if suspects is not None:
        with contextlib.suppress(pa.ArrowInvalid):  # it is another column this time
            examined = _examine(records, columns, csv, everything & suspects)
    examined = examined or _examine(records, columns, csv, everything)
    return replace(examined, faults=dict(_faults_of_rows(examined.faults, records, columns, csv)))


def _faults_of_rows(
    faults: dict[int, Fault], records: Records, columns: Columns, csv: CsvFormat
) -> Iterator[tuple[int, Fault]]:
    """Name comments, and the header where it stands again."""
    for index, fault in faults.items():
        record = records[index]
        if is_comment(record, columns, csv):
            yield index, Fault(COMMENT, WHOLE_LINE, _shown(record))
        elif csv.header and _cells_of_header(record, csv) == columns.names:
            yield index, Fault(REPEATED_HEADER, WHOLE_LINE, _shown(record))
        else:
            yield index, fault


def _cells_of_header(record: bytes, csv: CsvFormat) -> tuple[str, ...]:
    """Give the cells of a header, which brings its byte order mark along from its own file."""
    return split_cells(record.removeprefix(UTF8_BOM), csv.delimiter)


def is_comment(record: bytes, columns: Columns, csv: CsvFormat) -> bool:
    """Tell whether a record that is no good row begins like a comment, and cannot be a row.

    Before the data it is one; behind the first row it may be a row that was cut off.
    """
    if is_separator_line(record):
        return True
    if not begins_like_comment(record, csv.delimiter):
        return False
    cells = split_cells(record, csv.delimiter)
    if len(cells) != columns.num_columns:
        return True
    numbers = [csv.with_point(cells[c]) for c in columns.numbers]
    return bool(numbers) and not has_number(numbers)


def _examine(
    records: Records, columns: Columns, csv: CsvFormat, suspects: frozenset[int]
) -> Examined:
    cells, rows, faults = _read_text(records, columns, csv, suspects)
    values: dict[int, Array] = {}
    boolean_columns: set[int] = set()
    filled: dict[int, Mask] = {}
    fault_columns = np.full(len(rows), WHOLE_LINE, dtype=np.int64)
    kept = frozenset(columns.keep + columns.texts)
    is_known = len(suspects) < len(columns.numbers)
    for column in columns.used:
        if column in suspects:
            feature = _convert_feature(cells[column], column, columns, csv, likely_bad=is_known)
            values[column], is_bad = feature.values, feature.is_bad
            boolean_columns |= {column} if feature.has_booleans else set()
            if feature.is_filled is not None:
                filled[column] = feature.is_filled
        else:
            values[column], is_bad = _convert(
                cells[column], column, columns, csv, is_kept=column in kept
            )
        fault_columns[is_bad & (fault_columns == WHOLE_LINE)] = column
    labels, unfit = _labels(values, columns)
    if unfit is not None:
        for row in np.flatnonzero(unfit & (fault_columns == WHOLE_LINE)).tolist():
            shown = b",".join(cells[column][row].as_py() for column in columns.labels)
            faults[int(rows[row])] = Fault(NOT_ONE_HOT, columns.labels[0], _shown(shown))
    is_good = fault_columns == WHOLE_LINE
    for row in np.flatnonzero(~is_good).tolist():
        column = int(fault_columns[row])
        cell = cells[column][row].as_py()
        faults[int(rows[row])] = Fault(_reason(cell, column, columns, csv), column, _shown(cell))
    if unfit is not None:
        is_good &= ~unfit
    return Examined(
        good=rows[is_good],
        features=columns.rows(
            _matrix([values[c] for c in columns.numbers], len(rows), columns)[is_good],
            [_texts(cells[column], is_good, columns) for column in columns.texts],
        ),
        labels=None if labels is None else labels[is_good],
        kept=tuple(_kept(cells[c], is_good) for c in columns.keep),
        faults=faults,
        boolean_columns=frozenset(boolean_columns),
        filled=FilledCells({c: int(mask[is_good].sum()) for c, mask in filled.items()}),
    )


def _labels(values: dict[int, Array], columns: Columns) -> tuple[Array | None, Mask | None]:
    """Make the labels of rows, and mark those whose columns only together are none."""
    if columns.targets is None or not columns.labels:
        return None, None
    return columns.targets.join([values[column] for column in columns.labels])


def _field(column: int) -> str:
    return f"f{column}"


def _read_text(
    records: Records, columns: Columns, csv: CsvFormat, suspects: frozenset[int]
) -> tuple[dict[int, pa.Array], Ints, dict[int, Fault]]:
    """Parse records with every column as bytes but the features that are not suspect.

    Returns:
        (cells of each column, indices of their records, what is wrong with the other records).
    """
    faults = {
        int(index): Fault(BROKEN_QUOTES, WHOLE_LINE, _shown(records[index]))
        for index in records.index_at(_open_quotes(records.data, csv))
    }
    faults |= dict(_of_wrong_width(records, columns, csv))
    candidates = np.setdiff1d(np.arange(len(records)), np.array(list(faults), dtype=np.int64))
    wrong: list[int] = []

    def note(row: pacsv.InvalidRow) -> str:
        index = int(candidates[row.number - 1])  # blank lines are not numbered
        wrong.append(index)
        faults[index] = Fault(WRONG_COLUMNS, WHOLE_LINE, str(row.actual_columns))
        return "skip"

    data = b"\n".join(records[i] for i in candidates) if faults else records.data
    names = [_field(c) for c in columns.used]
    number = arrow_number_type(np.dtype(columns.dtype))
    if not len(candidates):
        return {c: pa.array([], pa.binary()) for c in columns.used}, candidates, faults
    table = pacsv.read_csv(
        pa.BufferReader(as_inner_lines(data)),
        pacsv.ReadOptions(
            column_names=[_field(c) for c in range(columns.num_columns)],
            use_threads=False,
            block_size=len(data) + 2,
        ),
        pacsv.ParseOptions(
            delimiter=csv.delimiter,
            newlines_in_values=csv.multi_line,
            invalid_row_handler=note,
        ),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.binary())
            | {_field(c): number for c in columns.numbers if c not in suspects},
            include_columns=names,
            null_values=[""],
            strings_can_be_null=False,
            decimal_point=csv.decimal,
        ),
    )
    cells = {c: table.column(_field(c)).combine_chunks() for c in columns.used}
    return cells, np.setdiff1d(candidates, np.array(wrong, dtype=np.int64)), faults


def _of_wrong_width(
    records: Records, columns: Columns, csv: CsvFormat
) -> Iterator[tuple[int, Fault]]:
    """Find the records of another width that ``pyarrow.csv`` cannot tell of: not UTF-8."""
    if is_utf8(records.data):
        return
    high = np.flatnonzero(np.frombuffer(records.data, dtype=np.uint8) >= _FIRST_HIGH_BYTE)
    for index in np.unique(records.index_at(high)).tolist():
        width = len(split_cells(records[index], csv.delimiter))
        if width != columns.num_columns and not is_utf8(records[index]):
            yield index, Fault(WRONG_COLUMNS, WHOLE_LINE, str(width))


def _open_quotes(data: bytes, csv: CsvFormat) -> Ints:
    found = open_quotes(data, csv.delimiter, multi_line=csv.multi_line)
    return np.array(found, dtype=np.int64)


@dataclass(frozen=True)
class _Feature:
    """The cells of a feature.

    Attributes:
        values: As they are parsed, or what stands in for them.
        is_bad: Which of them cannot be used.
        has_booleans: Whether there were any.
        is_filled: For which of them something stands in; None for none.
    """

    values: Array
    is_bad: Mask
    has_booleans: bool
    is_filled: Mask | None


def _convert_feature(
    cells: pa.Array, column: int, columns: Columns, csv: CsvFormat, *, likely_bad: bool
) -> _Feature:
    """Convert the cells of a feature, and fill those that are missing."""
    dtype, gaps = np.dtype(columns.dtype), columns.gaps
    values, is_bad, has_booleans = convert_numbers(
        _with_points(cells, csv), dtype, likely_bad=likely_bad
    )
    if column in columns.own_dtypes:
        is_bad = is_bad | not_representable(values, columns.dtype_of(column))
    if column not in gaps.fills and not gaps.names_numbers:
        return _Feature(values, is_bad, has_booleans, None)
    if is_bad.any():  # what stands in their place is no number that means a missing one
        values = np.where(is_bad, values.dtype.type(np.nan), values)
    is_gap = _of_texts(cells, is_bad, gaps.is_filled) if column in gaps.fills else None
    values, is_missing, is_filled = gaps.fill(column, values, is_gap)
    if is_missing is not None:
        is_bad = is_bad | is_missing
    if is_filled is not None:
        is_bad = is_bad & ~is_filled
    return _Feature(values, is_bad, has_booleans, is_filled)


def _of_texts(cells: pa.Array, mask: Mask, holds: Callable[[str], bool]) -> Mask:
    """Mark those of the marked cells whose text ``holds`` is true of; each is looked at once."""
    found = np.zeros(len(cells), dtype=bool)
    places = np.flatnonzero(mask)
    encoded = cells.take(pa.array(places)).dictionary_encode()
    texts = [decode(cell) for cell in encoded.dictionary.to_pylist()]
    known = np.array([text is not None and holds(text) for text in texts], dtype=bool)
    found[places] = known[encoded.indices.to_numpy(zero_copy_only=False)]
    return found


def _with_points(cells: pa.Array, csv: CsvFormat) -> pa.Array:
    """Write the numbers among some cells, which have no nulls, with a decimal point."""
    if csv.decimal == ".":
        return cells
    _, offsets, texts = cells.buffers()
    pointed = pa.py_buffer(csv.with_points(texts.to_pybytes() if texts else b""))
    return pa.Array.from_buffers(
        cells.type, len(cells), [None, offsets, pointed], offset=cells.offset
    )


def _convert(
    cells: pa.Array, column: int, columns: Columns, csv: CsvFormat, *, is_kept: bool
) -> tuple[Array, Mask]:
    """Give the values of a column's cells (none of a kept one's), and which of them are bad.

    Raises:
        pyarrow.ArrowInvalid: A feature has bad cells, so it is to be read as text.
    """
    if column in columns.labels:
        target = columns.target_of(column)
        of_classes = target.of_classes
        return target.convert_bytes(cells if of_classes else _with_points(cells, csv))
    if is_kept:
        return np.empty(0), _not_utf8(cells)
    values = cells.to_numpy(zero_copy_only=False)
    is_bad = not_representable(values, columns.dtype_of(column))
    named = columns.gaps.named(values)
    if is_bad.any() or (
        named is not None and named.any()
    ):  # an empty cell is null, which is NaN here
        raise pa.ArrowInvalid("a feature that was not suspect has a bad cell")
    return values, is_bad


def _not_utf8(cells: pa.Array) -> Mask:
    try:
        cells.cast(pa.utf8())
    except pa.ArrowInvalid:
        return np.array([decode(cell) is None for cell in cells.to_pylist()], dtype=bool)
    return np.zeros(len(cells), dtype=bool)


def _reason(cell: bytes, column: int, columns: Columns, csv: CsvFormat) -> str:
    """Say what is wrong with a bad cell; its text alone decides, whatever stands around it."""
    text = decode(cell)
    if text is None or "\0" in text:
        return BAD_ENCODING
    is_label = column in columns.labels
    target = columns.target_of(column) if is_label and columns.targets is not None else None
    if target is not None and target.of_classes:
        return MISSING if is_missing_label(text) else UNKNOWN_LABEL
    number = parse_number(csv.with_point(text))
    if columns.gaps.is_missing(text, number):
        return MISSING
    if number is None:
        is_named = _NOT_FINITE_TEXT.fullmatch(text.strip(" \t")) is not None
        return NOT_FINITE if is_named else NOT_A_NUMBER
    if isinstance(target, Marks) and math.isfinite(number):
        return NO_MARK
    return NOT_FINITE if is_label or columns.dtype_of(column).kind == "f" else NOT_A_NUMBER


def _matrix(values: list[Array], num_rows: int, columns: Columns) -> Array:
    """Put columns side by side; what stands in bad rows does not matter."""
    matrix = np.empty((num_rows, len(values)), dtype=columns.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for position, column in enumerate(values):
            matrix[:, position] = column
    return matrix


def _texts(cells: pa.Array, is_good: Mask, columns: Columns) -> Array:
    return columns.gaps.texts(cells.filter(pa.array(is_good)).dictionary_encode())


def _kept(cells: pa.Array, is_good: Mask) -> pa.Array:
    return cells.filter(pa.array(is_good)).cast(pa.utf8())


def _shown(value: bytes) -> str:
    return shorten(value.decode("utf-8", "backslashreplace"))
