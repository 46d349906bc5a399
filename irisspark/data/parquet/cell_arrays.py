"""Arrow columns of a table -> numpy arrays, and which rows of them are bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from irisspark.data.bad_rows import (
    BAD_ENCODING,
    MAX_SAMPLED_ROWS,
    MISSING,
    NO_MARK,
    NOT_A_NUMBER,
    NOT_FINITE,
    NOT_ONE_HOT,
    REASONS,
    UNKNOWN_LABEL,
    BadRow,
    BadRows,
)
from irisspark.data.cells import decode, is_missing_label, parse_number, shorten
from irisspark.data.columns import Columns
from irisspark.data.gaps import FilledCells
from irisspark.data.numbers import not_representable
from irisspark.data.targets import Marks, Quantities, Targets, as_label_texts, is_text, plain_cells

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Cells = Mapping[int, pa.Array]

_TILE_ROWS = 8192
"""Rows whose columns are turned into rows at a time: what they need fits into a processor's cache.
"""

_INT64_DIGITS, _FLOAT64_DIGITS = 18, 15
"""So many decimal digits are exact."""


@dataclass(frozen=True)
class Rows:
    """The good rows of a batch, as ``Batch`` has them.

    Attributes:
        good: int64 [rows], which ones they are; None for all of them.
    """

    features: Array
    labels: Array | None
    kept: tuple[pa.Array, ...]
    good: Ints | None = None
    bad: BadRows = field(default_factory=BadRows)
    filled: FilledCells = field(default_factory=FilledCells)


def rows_of(cells: Cells, columns: Columns, file_index: int, position: int) -> Rows:
    """Make arrays of the cells of some rows that follow each other in a file.

    Args:
        cells: By column, each of the same length.
        columns: What each column is for.
        file_index: Place of the file in the input.
        position: Of the first of the rows.
    """
    counts: dict[int, int] = {}
    features = _features(cells, columns, counts)
    labels = None
    if columns.label is not None and columns.targets is not None:
        labels = _labels(cells, columns)
    is_good = features is not None and (labels is None) == (columns.targets is None)
    kept = _kept(cells, columns) if is_good else None
    if features is not None and kept is not None:
        return Rows(features, labels, kept, filled=FilledCells(counts))
    return _examined(cells, columns, file_index, position)


def _features(cells: Cells, columns: Columns, num_filled: dict[int, int]) -> Array | None:
    """Put the features side by side; None where a cell is none.

    What is filled is counted in ``num_filled``, by column.
    """
    dtype = np.dtype(columns.dtype)
    values = []
    for column in columns.numbers:
        of_column, is_missing, is_filled = _filled(column, cells[column], columns)
        if is_missing is not None:
            return None
        values.append(of_column)
        if is_filled is not None:
            num_filled[column] = int(is_filled.sum())
    if dtype.kind != "f" and any(_unfit(of_column, dtype).any() for of_column in values):
        return None
    for column, of_column in zip(columns.numbers, values, strict=True):
        if column in columns.own_dtypes and _unfit_own(column, of_column, columns).any():
            return None
    features = np.empty((len(next(iter(cells.values()))), len(values)), dtype=dtype)
    if not _lay_out(values, features):
        return None
    try:
        made: Array = columns.rows(features, [_texts(cells[c], columns) for c in columns.texts])
    except pa.ArrowInvalid:  # no UTF-8
        return None
    return made


def _lay_out(values: list[Array], features: Array) -> bool:
    """Turn columns into the rows of ``features``; tell whether all numbers are finite then."""
    for start in range(0, len(features), _TILE_ROWS):
        tile = features[start : start + _TILE_ROWS]
        with np.errstate(over="ignore"):
            for place, of_column in enumerate(values):
                tile[:, place] = of_column[start : start + _TILE_ROWS]
        if features.dtype.kind == "f" and not np.isfinite(tile).all():
            return False
    return True


def _texts(cells: pa.Array, columns: Columns) -> Array:
    """Give the bytes of a feature that goes to the model as text."""
    if not types.is_dictionary(cells.type):
        cells = cells.dictionary_encode()
    texts = cells.dictionary if is_text(cells.type) else as_label_texts(cells.dictionary)
    return columns.gaps.texts(pa.DictionaryArray.from_arrays(cells.indices, texts))


def _filled(
    column: int, cells: pa.Array, columns: Columns
) -> tuple[Array, Mask | None, Mask | None]:
    """Give (the numbers of a feature, which are missing, which were filled), as ``Gaps.fill``."""
    values, gaps = _values(cells, np.dtype(columns.dtype)), columns.gaps
    is_gap = _is_null(cells) if cells.null_count else None
    if column in gaps.fills and values.dtype.kind == "f" and gaps.is_nan_missing:
        is_nan = np.isnan(values)
        is_gap = is_nan if is_gap is None else is_gap | is_nan
    return gaps.fill(column, values, is_gap)


def _values(cells: pa.Array, dtype: np.dtype[Any]) -> Array:
    """Give the numbers of a column, as exact as they are in the file; 0 for nulls."""
    if types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if types.is_boolean(cells.type):
        cells = cells.cast(pa.uint8())
    elif types.is_null(cells.type):
        cells = cells.cast(pa.float64())
    elif types.is_decimal(cells.type):
        cells = _of_decimals(cells, dtype)
    if cells.null_count:
        cells = cells.fill_null(pa.scalar(0).cast(cells.type))
    values: Array = np.from_dlpack(cells)
    return values


def _of_decimals(cells: pa.Array, dtype: np.dtype[Any]) -> pa.Array:
    """Give decimals as the nearest float64, which Arrow's own cast misses by a digit.

    Where whole numbers are wanted they are exact.
    """
    type_ = cells.type
    if dtype.kind != "f" and type_.scale == 0 and type_.precision <= _INT64_DIGITS:
        return cells.cast(pa.int64())
    if not types.is_decimal128(type_) or type_.precision > _FLOAT64_DIGITS or type_.scale < 0:
        return cells.cast(pa.utf8()).cast(pa.float64())
    halves = np.frombuffer(cells.buffers()[1], dtype=np.int64)[2 * cells.offset :][::2]
    values = halves[: len(cells)] / 10.0**type_.scale
    return pa.array(values, mask=_is_null(cells) if cells.null_count else None)


def _unfit(values: Array, dtype: np.dtype[Any]) -> Mask:
    """Mark the numbers that the dtype of the model's input cannot hold."""
    if values.dtype.kind == "f" or dtype.kind == "b":
        return not_representable(values, dtype)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            infinite: Mask = ~np.isfinite(values.astype(dtype))
            return infinite
    wanted, have = np.iinfo(dtype), np.iinfo(values.dtype)
    unfit = np.zeros(len(values), dtype=bool)
    if wanted.min > have.min:
        unfit |= values < values.dtype.type(wanted.min)
    if wanted.max < have.max:
        unfit |= values > values.dtype.type(wanted.max)
    return unfit


def _unfit_own(column: int, values: Array, columns: Columns) -> Mask:
    """Mark the numbers that one of several inputs, or the block of all of them, cannot hold."""
    unfit = _unfit(values, columns.dtype_of(column))
    if values.dtype.kind in "iu" and columns.dtype_of(column).kind in "iu":
        unfit = unfit | not_representable(values, np.dtype(np.int64))
    return unfit


def _labels(cells: Cells, columns: Columns) -> Array | None:
    """Make the labels of rows of their columns; None where one is none."""
    assert columns.targets is not None
    found = [_targets(cells[column], columns.target_of(column)) for column in columns.labels]
    whole = [of_column for of_column in found if of_column is not None]
    if len(whole) < len(found):
        return None
    labels, is_bad = columns.targets.join(whole)
    return None if is_bad is not None and is_bad.any() else labels


def _targets(cells: pa.Array, targets: Targets) -> Array | None:
    """Give the targets of a column of labels; None where a cell is none."""
    if cells.null_count:
        return None
    try:
        return targets.convert(_label_cells(cells, targets.arrow_type))
    except pa.ArrowInvalid:  # no UTF-8
        return None


def _label_cells(cells: pa.Array, type_: pa.DataType) -> pa.Array:
    """Give labels as the targets take them; each distinct one is made a text once."""
    if not types.is_dictionary(type_):
        is_number = not is_text(cells.type)
        numbers = (
            pa.array(_values(cells, np.dtype(np.float64))) if is_number else plain_cells(cells)
        )
        return numbers.cast(type_)
    encoded = cells if types.is_dictionary(cells.type) else cells.dictionary_encode()
    texts = as_label_texts(encoded.dictionary)
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(type_.index_type), texts)


def _kept(cells: Cells, columns: Columns) -> tuple[pa.Array, ...] | None:
    """Give the kept columns, texts among them as UTF-8; None where a text is none."""
    try:
        return tuple(plain_cells(cells[column]) for column in columns.keep)
    except pa.ArrowInvalid:
        return None


def _examined(cells: Cells, columns: Columns, file_index: int, position: int) -> Rows:
    """Tell the good rows from the bad ones; a row's fault is the first one from the left."""
    num_rows = len(next(iter(cells.values())))
    faults = _Faults(num_rows)
    values: dict[int, Array] = {}
    for column in columns.used:
        if column in columns.number_set:
            values[column] = faults.in_feature(column, cells[column], columns)
        elif column in columns.labels and columns.targets is not None:
            values[column] = faults.in_label(column, cells[column], columns.target_of(column))
        else:
            faults.in_kept(column, cells[column])
    labels = faults.in_labels(values, columns)
    good = np.flatnonzero(faults.columns < 0)
    of_good = {column: array.take(pa.array(good)) for column, array in cells.items()}
    numbers = np.empty((len(good), len(columns.numbers)), dtype=columns.dtype)
    for place, column in enumerate(columns.numbers):
        numbers[:, place] = values[column][good]
    features = columns.rows(numbers, [_texts(of_good[c], columns) for c in columns.texts])
    return Rows(
        features,
        None if labels is None else labels[good],
        tuple(plain_cells(of_good[column]) for column in columns.keep),
        good,
        faults.bad_rows(cells, file_index, position),
        FilledCells({c: int(mask[good].sum()) for c, mask in faults.filled.items()}),
    )


class _Faults:
    """What is wrong with each of some rows, found column by column from the left.

    Attributes:
        columns: int64 [rows], the column at fault, -1 for a good row.
        filled: By feature, for which of its cells something stands in.
    """

    def __init__(self, num_rows: int) -> None:
        self.columns = np.full(num_rows, -1, dtype=np.int64)
        self._reasons = np.zeros(num_rows, dtype=np.int64)
        self.filled: dict[int, Mask] = {}

    def _note(self, column: int, reason: str, is_bad: Mask) -> None:
        first = is_bad & (self.columns < 0)
        self.columns[first], self._reasons[first] = column, REASONS.index(reason)

    def in_feature(self, column: int, cells: pa.Array, columns: Columns) -> Array:
        """Note the cells that are no numbers for the model; give the numbers."""
        dtype = columns.dtype_of(column)
        values, is_missing, is_filled = _filled(column, cells, columns)
        if is_missing is not None:
            self._note(column, MISSING, is_missing)
        if is_filled is not None:
            self.filled[column] = is_filled
        self._note(column, NOT_FINITE, ~np.isfinite(values))
        is_own = column in columns.own_dtypes
        unfit = _unfit_own(column, values, columns) if is_own else _unfit(values, dtype)
        self._note(column, NOT_FINITE if dtype.kind == "f" else NOT_A_NUMBER, unfit)
        return values

    def in_label(self, column: int, cells: pa.Array, targets: Targets) -> Array:
        """Note the labels that are no targets; give the targets."""
        encoded = _label_bytes(cells).dictionary_encode()
        found, is_bad = targets.convert_bytes(encoded.dictionary_decode())
        labels = encoded.dictionary.to_pylist()
        reasons = np.array([_reason_of_label(label, targets) for label in labels])
        for reason in set(reasons):
            is_such = (reasons == reason)[np.from_dlpack(encoded.indices)]
            self._note(column, str(reason), is_bad & is_such)
        return found

    def in_labels(self, values: dict[int, Array], columns: Columns) -> Array | None:
        """Note the labels whose columns only together are none; give the labels of rows."""
        if columns.targets is None or not columns.labels:
            return None
        labels, is_bad = columns.targets.join([values[column] for column in columns.labels])
        if is_bad is not None:
            self._note(columns.labels[0], NOT_ONE_HOT, is_bad)
        return labels

    def in_kept(self, column: int, cells: pa.Array) -> None:
        """Note the texts that are not UTF-8."""
        try:
            plain_cells(cells)
        except pa.ArrowInvalid:
            texts = cells.cast(pa.binary()).fill_null(b"").to_pylist()
            self._note(column, BAD_ENCODING, np.array([decode(text) is None for text in texts]))

    def bad_rows(self, cells: Cells, file_index: int, position: int) -> BadRows:
        """Count the bad rows and keep the first ten; ``position`` is that of the first row."""
        bad = np.flatnonzero(self.columns >= 0)
        counts = np.bincount(self._reasons[bad], minlength=len(REASONS)).tolist()
        first = []
        for row in bad[:MAX_SAMPLED_ROWS].tolist():
            column, reason = int(self.columns[row]), REASONS[self._reasons[row]]
            value = _shown(cells[column].slice(row, 1))
            first.append(BadRow(file_index, position + row, reason, column, value))
        return BadRows(
            {name: count for name, count in zip(REASONS, counts, strict=True) if count},
            tuple(first),
        )


def _is_null(cells: pa.Array) -> Mask:
    mask: Mask = cells.is_null().to_numpy(zero_copy_only=False)
    return mask


def _label_bytes(cells: pa.Array) -> pa.Array:
    """Give labels as raw bytes, none for a null."""
    if is_text(cells.type):
        return cells.cast(pa.binary()).fill_null(b"")
    return as_label_texts(cells).cast(pa.binary()).fill_null(b"")


def _reason_of_label(label: bytes, targets: Targets) -> str:
    """Say what is wrong with a label that is no target."""
    text = decode(label)
    if text is None:
        return BAD_ENCODING
    if not isinstance(targets, Quantities):
        return MISSING if is_missing_label(text) else UNKNOWN_LABEL
    if targets.gaps.is_missing(text, parse_number(text)):
        return MISSING
    is_finite = text.strip().lower().lstrip("+-") not in ("nan", "inf", "infinity")
    if is_finite and isinstance(targets, Marks) and parse_number(text) is not None:
        return NO_MARK
    return NOT_A_NUMBER if is_finite and parse_number(text) is None else NOT_FINITE


def _shown(cell: pa.Array) -> str:
    """Write the one cell of an array for a message."""
    value = (cell.cast(pa.binary()) if is_text(cell.type) else cell)[0].as_py()
    if isinstance(value, bytes):
        return shorten(value.decode("utf-8", "backslashreplace"))
    return "" if value is None else shorten(str(value))
