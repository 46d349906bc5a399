"""The rows that cannot be used: what is wrong with each, how many, and which came first.

A bad row is data, not an exception: workers count and return it, and the driver decides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from irisspark.batches.columns import Columns, parse_number
from irisspark.batches.records import is_closed

WRONG_COLUMNS = "wrong number of columns"
NOT_A_NUMBER = "not a number"
MISSING = "missing"
NOT_FINITE = "not finite"
UNKNOWN_LABEL = "unknown label"
BROKEN_QUOTES = "broken quotes"
BAD_ENCODING = "bad encoding"
REASONS = (
    WRONG_COLUMNS,
    NOT_A_NUMBER,
    MISSING,
    NOT_FINITE,
    UNKNOWN_LABEL,
    BROKEN_QUOTES,
    BAD_ENCODING,
)

MAX_SAMPLED_ROWS = 10
_MAX_SHOWN_CHARS = 60
WHOLE_LINE = -1

# What pandas reads as missing, without the spellings of NaN (those are "not finite").
_MISSING_TEXTS = frozenset(["", "na", "n/a", "#n/a", "#n/a n/a", "<na>", "null", "none", "#na"])
_NOT_FINITE_TEXT = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class BadRow:
    """A row that cannot be used. Rows order as they stand in the input.

    Attributes:
        file_index: Place of its file in the input.
        offset: Where its line starts in the file, in bytes.
        reason: One of ``REASONS``.
        column: Index of the offending column, -1 where the whole line is at fault.
        value: The offending text, shortened; the number of columns for ``WRONG_COLUMNS``.
    """

    file_index: int
    offset: int
    reason: str
    column: int
    value: str


@dataclass(frozen=True)
class BadRows:
    """Bad rows counted by reason, with the first ten of the input; ``+`` adds two of them up."""

    counts: dict[str, int] = field(default_factory=dict)
    first: tuple[BadRow, ...] = ()

    @property
    def total(self) -> int:
        """How many rows are bad."""
        return sum(self.counts.values())

    def __add__(self, other: "BadRows") -> "BadRows":
        """Add the bad rows of two parts of the input up."""
        counts = {
            reason: self.counts.get(reason, 0) + other.counts.get(reason, 0)
            for reason in sorted({*self.counts, *other.counts})
        }
        return BadRows(counts, tuple(sorted(self.first + other.first)[:MAX_SAMPLED_ROWS]))


def count_bad_rows(rows: Sequence[BadRow]) -> BadRows:
    """Count bad rows by reason and keep the first ten."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.reason] = counts.get(row.reason, 0) + 1
    return BadRows(dict(sorted(counts.items())), tuple(sorted(rows)[:MAX_SAMPLED_ROWS]))


@dataclass(frozen=True)
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
        labels: int64 [rows], or None without a label column.
        kept: The text of the kept columns, one Arrow array each.
        faults: From the index of a bad record to what is wrong with it.
    """

    good: npt.NDArray[np.int64]
    features: Array
    labels: npt.NDArray[np.int64] | None
    kept: tuple[pa.Array, ...]
    faults: dict[int, Fault]


def examine(records: Sequence[bytes], columns: Columns) -> Examined:
    """Read records column by column as text, and find out which are good.

    A record's fault is the first one from the left; a whole line at fault comes before that.
    """
    faults = {
        index: Fault(BROKEN_QUOTES, WHOLE_LINE, _shown(record))
        for index, record in enumerate(records)
        if not is_closed(record, columns.delimiter)
    }
    candidates = [i for i, record in enumerate(records) if record and i not in faults]
    table, rows = _read_text(records, candidates, columns, faults)
    converted: dict[int, Array | pa.Array] = {}
    for column in columns.used:
        converted[column], column_faults = _convert(table[_field(column)], column, columns)
        for row, fault in column_faults.items():
            faults.setdefault(int(rows[row]), fault)
    is_good = np.array([int(row) not in faults for row in rows], dtype=bool)
    return Examined(
        good=rows[is_good],
        features=_matrix([converted[c][is_good] for c in columns.features], columns, is_good),
        labels=None if columns.label is None else converted[columns.label][is_good],
        kept=tuple(_kept(table[_field(c)], is_good) for c in columns.keep),
        faults=faults,
    )


def _field(column: int) -> str:
    return f"f{column}"


def _read_text(
    records: Sequence[bytes],
    candidates: Sequence[int],
    columns: Columns,
    faults: dict[int, Fault],
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Parse the candidate records with every column as bytes; note those of a wrong width."""
    wrong: list[int] = []

    def note(row: pacsv.InvalidRow) -> str:
        index = candidates[row.number - 1]
        wrong.append(index)
        faults[index] = Fault(WRONG_COLUMNS, WHOLE_LINE, str(row.actual_columns))
        return "skip"

    names = [_field(c) for c in range(columns.num_columns)]
    used = [_field(c) for c in columns.used]
    data = b"\n".join(records[i] for i in candidates)
    if not data:
        empty = pa.table({name: pa.array([], pa.binary()) for name in used})
        return empty, np.array([], dtype=np.int64)
    table = pacsv.read_csv(
        pa.BufferReader(data),
        pacsv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        pacsv.ParseOptions(
            delimiter=columns.delimiter,
            newlines_in_values=columns.multi_line,
            ignore_empty_lines=False,
            invalid_row_handler=note,
        ),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(used, pa.binary()),
            include_columns=used,
            strings_can_be_null=False,
        ),
    )
    rows = np.setdiff1d(np.array(candidates, dtype=np.int64), np.array(wrong, dtype=np.int64))
    return table.combine_chunks(), rows


def _convert(
    texts: pa.ChunkedArray, column: int, columns: Columns
) -> tuple[Array, dict[int, Fault]]:
    if column == columns.label:
        return _convert_label(texts, column, columns)
    if column in columns.features:
        return _convert_feature(texts, column, np.dtype(columns.dtype))
    return np.zeros(len(texts), dtype=bool), _encoding_faults(texts, column)


def _encoding_faults(texts: pa.ChunkedArray, column: int) -> dict[int, Fault]:
    try:
        texts.cast(pa.utf8())
    except pa.ArrowInvalid:
        return {
            row: Fault(BAD_ENCODING, column, _shown(value))
            for row, value in enumerate(texts.to_pylist())
            if _decode(value) is None
        }
    return {}


def _convert_label(
    texts: pa.ChunkedArray, column: int, columns: Columns
) -> tuple[Array, dict[int, Fault]]:
    assert columns.labels is not None
    encoded = texts.combine_chunks().dictionary_encode()
    outcomes = [_label_outcome(v, column, columns) for v in encoded.dictionary.to_pylist()]
    codes = np.array([o if isinstance(o, int) else -1 for o in outcomes], dtype=np.int64)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    values = codes[indices] if len(codes) else np.array([], dtype=np.int64)
    faults = {}
    for row in np.flatnonzero(values < 0):
        outcome = outcomes[indices[row]]
        assert isinstance(outcome, Fault)
        faults[int(row)] = outcome
    return values, faults


def _label_outcome(value: bytes, column: int, columns: Columns) -> int | Fault:
    assert columns.labels is not None
    text = _decode(value)
    if text is None:
        return Fault(BAD_ENCODING, column, _shown(value))
    code = columns.labels.encode(text)
    if code is not None:
        return code
    return Fault(_reason(text, UNKNOWN_LABEL), column, _shown(value))


def _convert_feature(
    texts: pa.ChunkedArray, column: int, dtype: np.dtype[Any]
) -> tuple[Array, dict[int, Fault]]:
    """Convert a column of numbers, with the same conversion as the typed parser's."""
    arrow_type = arrow_number_type(dtype)
    faults: dict[int, Fault] = {}
    try:
        trimmed = pc.ascii_trim(texts.cast(pa.utf8()), characters=" \t")
        values = trimmed.cast(arrow_type).to_numpy()
    except pa.ArrowInvalid:
        cells = [_decode(value) for value in texts.to_pylist()]
        good = [cell if cell is not None and _is_number(cell) else None for cell in cells]
        for row, (cell, number) in enumerate(zip(cells, good, strict=True)):
            if number is None:
                faults[row] = _number_fault(cell, column, texts[row].as_py())
        numbers = pa.array([n.strip(" \t") if n is not None else "0" for n in good], pa.utf8())
        values = numbers.cast(arrow_type).to_numpy(zero_copy_only=False)
    wrong = not_representable(values, dtype)
    for row in np.flatnonzero(wrong):
        if int(row) not in faults:
            value = texts[int(row)].as_py()
            reason = NOT_FINITE if not np.isfinite(values[row]) else NOT_A_NUMBER
            faults[int(row)] = Fault(reason, column, _shown(value))
    return values, faults


def arrow_number_type(dtype: np.dtype[Any]) -> pa.DataType:
    """Give the Arrow type that a column is parsed as: float64 for integers, to check them."""
    narrow = dtype.kind == "f" and dtype.itemsize <= 4
    return pa.float32() if narrow else pa.float64()


def not_representable(values: Array, dtype: np.dtype[Any]) -> Mask:
    """Mark the parsed numbers that the dtype of the model's input cannot hold."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            fits: Mask = np.isfinite(values.astype(dtype, copy=False))
    elif dtype.kind == "b":
        fits = np.isin(values, (0, 1))
    else:
        info = np.iinfo(dtype)
        # float64 holds every integer up to 2**53; what is beyond may already have been rounded.
        low, high = max(info.min, -(2**53)), min(info.max, 2**53)
        fits = (values == np.floor(values)) & (values >= low) & (values <= high)
    return ~fits


def _is_number(text: str) -> bool:
    return parse_number(text) is not None or _NOT_FINITE_TEXT.fullmatch(text.strip()) is not None


def _number_fault(text: str | None, column: int, value: bytes) -> Fault:
    reason = BAD_ENCODING if text is None else _reason(text, NOT_A_NUMBER)
    return Fault(reason, column, _shown(value))


def _reason(text: str, otherwise: str) -> str:
    if "\0" in text:
        return BAD_ENCODING
    return MISSING if is_missing(text) else otherwise


def is_missing(text: str) -> bool:
    """Tell whether a cell's text stands for no value."""
    return text.strip().lower() in _MISSING_TEXTS


def _matrix(values: list[Array], columns: Columns, is_good: Mask) -> Array:
    if not values:
        return np.empty((int(is_good.sum()), 0), dtype=columns.dtype)
    return np.column_stack(values).astype(columns.dtype)


def _kept(texts: pa.ChunkedArray, is_good: Mask) -> pa.Array:
    return texts.filter(pa.array(is_good)).combine_chunks().cast(pa.utf8())


def _decode(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _shown(value: bytes) -> str:
    text = value.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 3] + "..."
