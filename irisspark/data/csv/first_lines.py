"""The first lines of a file: their cells, what is a comment, and which line is the header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from irisspark.data.cells import is_number
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.records import Records, find_records
from irisspark.errors import DataError

_DELIMITERS = {",": ",", ";": "';'", "\t": "tab", "|": "'|'", "\x01": r"'\001'"}
_COMMENT = re.compile(rb'[ \t]*"?[ \t]*(#|%|\||//)')
# Excel writes these for values, and so are they missing ones or bad numbers.
_EXCEL_VALUE = re.compile(rb'[ \t]*"?#(N/?A|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)', re.IGNORECASE)
_SEPARATOR = re.compile(rb'"?sep=(.?)"?', re.IGNORECASE | re.DOTALL)


def records_of(data: bytes, csv: CsvFormat) -> Records:
    """Find the records of some bytes, as they are written."""
    return find_records(data, csv.delimiter, multi_line=csv.multi_line)


def split_cells(record: bytes, delimiter: str) -> tuple[str, ...]:
    """Take a record apart; what is not UTF-8 is shown as escapes."""
    if b'"' not in record:
        return tuple(record.decode("utf-8", "backslashreplace").split(delimiter))
    cells = []
    for quoted, plain, end in cell_pattern(delimiter).findall(record):
        inner = quoted[1:].removesuffix(b'"').replace(b'""', b'"') if quoted else b""
        cells.append((inner + plain).decode("utf-8", "backslashreplace"))
        if not end:
            break
    return tuple(cells)


@lru_cache
def cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Match a cell: its quoted part, what stands behind that, and the delimiter."""
    d = re.escape(delimiter.encode())
    return re.compile(rb'("[^"]*(?:""[^"]*)*(?:"|\Z))?([^%s]*)(%s|\Z)' % (d, d))


def is_separator_line(record: bytes) -> bool:
    """Tell whether a record is the line with which Excel names the delimiter: ``sep=;``."""
    return _SEPARATOR.fullmatch(record) is not None


def check_separator(record: bytes, csv: CsvFormat, path: str) -> None:
    """Hold the delimiter that Excel's first line names against the one that is read with.

    Raises:
        DataError: They differ.
    """
    match = _SEPARATOR.fullmatch(record)
    named = match[1].decode("ascii", "replace") if match is not None else ""
    if named and named != csv.delimiter:
        shown = _DELIMITERS.get(named, repr(named))
        raise DataError(
            f"{path}: line 1 says that {named!r} parts the columns: pass -delimiter {shown}"
        )


def begins_like_comment(record: bytes, delimiter: str) -> bool:
    """Tell whether a record begins as comments do; whether it is one depends on the rest of it."""
    match = _COMMENT.match(record)
    if match is None or match[1] == delimiter.encode():
        return False
    return _EXCEL_VALUE.match(record) is None


def has_number(cells: Sequence[str]) -> bool:
    """Tell whether any of some cells is a number."""
    return any(is_number(cell) for cell in cells)


def leading(records: Records, csv: CsvFormat) -> tuple[int, int]:
    """Find what precedes the header or the rows at the beginning of a file.

    Returns:
        (index of the first record that is neither a comment nor Excel's ``sep=;``; of the record
        before it, a comment which may be the header, or the same index where there is none).
    """
    index = 0
    if len(records) and is_separator_line(records[0]):
        index = 1
    start = index
    while index < len(records) and begins_like_comment(records[index], csv.delimiter):
        index += 1
    return index, max(index - 1, start)


def find_header(records: Records, csv: CsvFormat) -> int:
    """Find the index of the header among the first records of a file.

    It is the first record that is no comment; but a comment right above rows, as wide as they are,
    is the header that numpy and others write, where it holds no number or they hold little else.
    """
    first, before = leading(records, csv)
    if before == first or first == len(records):
        return first
    cells, above = (split_cells(records[i], csv.delimiter) for i in (first, before))
    if not len(above) == len(cells) > 1 or not has_number(cells):
        return first
    return first if has_number(above) and not _are_numbers(cells) else before


def _are_numbers(cells: Sequence[str]) -> bool:
    """Tell whether cells are numbers, but for one, as a label may be."""
    return sum(not is_number(cell) for cell in cells) <= 1


def first_row(records: Records, csv: CsvFormat) -> int:
    """Find the index of the first row of a file without a header."""
    first, _ = leading(records, csv)
    if first == len(records):
        return first
    width = len(split_cells(records[first], csv.delimiter))
    for index in range(first):
        cells = split_cells(records[index], csv.delimiter)
        if len(cells) == width and has_number(cells) and not is_separator_line(records[index]):
            return index
    return first


def cells_from(
    records: Records, start: int, csv: CsvFormat, limit: int
) -> Iterator[tuple[str, ...]]:
    """Give the cells of records from an index on, at most ``limit``."""
    for index in range(start, min(start + limit, len(records))):
        yield split_cells(records[index], csv.delimiter)


def delimiter_hint(cells: Sequence[str], delimiter: str) -> str | None:
    """Name the delimiter that would split the first line into more columns, None without one."""
    text = delimiter.join(cells)
    best = max((d for d in _DELIMITERS if d != delimiter), key=text.count)
    if text.count(best) <= text.count(delimiter):
        return _blanks_hint(cells, delimiter)
    return (
        f"{delimiter!r}, but its first line holds {text.count(best)} of {best!r}: "
        f"pass -delimiter {_DELIMITERS[best]}"
    )


def _blanks_hint(cells: Sequence[str], delimiter: str) -> str | None:
    """Name blanks as the delimiter where they part nothing but numbers, and perhaps one text."""
    pieces = cells[0].split(" ") if len(cells) == 1 else []
    filled = [piece for piece in pieces if piece]
    if len(filled) < 2 or sum(not is_number(piece) for piece in filled) > 1:
        return None
    if "" in pieces:
        return (
            f"{delimiter!r}, but several blanks part its columns: replace them by one (tr -s ' ')"
        )
    return f"{delimiter!r}, but its first line holds {len(pieces) - 1} blanks: pass -delimiter ' '"
