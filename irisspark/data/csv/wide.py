"""Blocks of hundreds of columns of numbers, parsed as if they were one long column.

A column costs ``pyarrow.csv`` as much as some thousand bytes of text, and turning columns into rows
as much again. With a line feed in the place of each delimiter the cells of a block are one column,
which is a matrix by rows when it is parsed. The conversion of a cell is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from irisspark.data.columns import Columns
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.records import UTF8_BOM
from irisspark.data.numbers import arrow_number_type

Array = npt.NDArray[Any]

MIN_COLUMNS = 256
MAX_OTHER_COLUMNS = 16


@dataclass(frozen=True)
class WideCells:
    """The cells of a block.

    Attributes:
        numbers: [rows, columns] as they are parsed; what stands in columns that are no features
            does not matter.
        texts: The cells of the other columns as text, by column.
    """

    numbers: Array
    texts: dict[int, pa.Array]


def is_wide(columns: Columns) -> bool:
    """Tell whether a table is read in this way: hardly any of its many columns is no feature."""
    num_others = columns.num_columns - len(columns.features)
    is_wide = columns.num_columns >= MIN_COLUMNS and num_others <= MAX_OTHER_COLUMNS
    return is_wide and not columns.texts


def parse_wide(data: bytes, columns: Columns, csv: CsvFormat) -> WideCells | None:
    """Parse a block; None where anything in it needs a closer look.

    Raises:
        pyarrow.ArrowInvalid: A feature is no number, or a text not UTF-8.
    """
    if b'"' in data or data.startswith(UTF8_BOM):
        return None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"\r" in data:
        return None
    text = bytearray(data if data.endswith(b"\n") else data + b"\n")
    texts = _take_texts(text, columns, csv)
    if texts is None:
        return None
    numbers = _as_one_column(text.translate(_to_line_feeds(csv)), columns, csv)
    if numbers.null_count:
        return None
    return WideCells(np.from_dlpack(numbers).reshape(-1, columns.num_columns), texts)


def _take_texts(text: bytearray, columns: Columns, csv: CsvFormat) -> dict[int, pa.Array] | None:
    """Take the cells out that are no features, and leave a number in the place of each.

    Returns:
        The cells by column; None where a line is of another width.
    """
    taken: dict[int, list[bytes]] = {column: [] for column in columns.others}
    delimiter, start = csv.delimiter.encode(), 0
    while start < len(text):
        end = text.index(b"\n", start)
        if text.count(delimiter, start, end) != columns.num_columns - 1:
            return None
        for column in columns.others:
            span = _cell(text, (start, end), column, columns.num_columns, delimiter)
            taken[column].append(bytes(text[span]))
            text[span] = b"0" * (span.stop - span.start)
        start = end + 1
    used = {*columns.keep, *columns.labels}
    return {c: pa.array(taken[c], pa.binary()).cast(pa.utf8()) for c in columns.others if c in used}


def _cell(
    text: bytearray, line: tuple[int, int], column: int, num_columns: int, delimiter: bytes
) -> slice:
    """Find a cell of a line, from the end of the line that is nearer to it."""
    start, end = line
    if column < num_columns // 2:
        for _ in range(column):
            start = text.index(delimiter, start) + 1
        stop = text.find(delimiter, start, end)
        return slice(start, stop if stop >= 0 else end)
    for _ in range(num_columns - 1 - column):
        end = text.rindex(delimiter, start, end)
    return slice(text.rfind(delimiter, start, end) + 1 or start, end)


def _to_line_feeds(csv: CsvFormat) -> bytes:
    return bytes.maketrans(csv.delimiter.encode(), b"\n")


def _as_one_column(text: bytearray, columns: Columns, csv: CsvFormat) -> pa.Array:
    number = arrow_number_type(np.dtype(columns.dtype))
    table = pacsv.read_csv(
        pa.py_buffer(text),
        pacsv.ReadOptions(column_names=["f"], use_threads=False, block_size=len(text) + 1),
        pacsv.ParseOptions(ignore_empty_lines=False),
        pacsv.ConvertOptions(
            column_types={"f": number},
            null_values=[""],
            strings_can_be_null=False,
            decimal_point=csv.decimal,
        ),
    )
    return table.column("f").combine_chunks()
