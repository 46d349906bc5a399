"""The first lines of a file: their cells, and whether they are what they are taken for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from irisspark.data.cells import is_missing
from irisspark.data.columns import Columns
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.records import UTF8_BOM, find_records
from irisspark.errors import DataError

_DELIMITERS = {",": ",", ";": "';'", "\t": "tab", "|": "'|'"}
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLED_BYTES = 4096


def read_records(data: bytes, csv: CsvFormat, limit: int) -> list[tuple[str, ...]]:
    """Read the cells of the first records, at most ``limit``; a byte order mark is left out."""
    text = data.removeprefix(UTF8_BOM)
    found = find_records(text, csv.delimiter, multi_line=csv.multi_line)
    return [split_cells(found[index], csv.delimiter) for index in range(min(limit, len(found)))]


def split_cells(record: bytes, delimiter: str) -> tuple[str, ...]:
    """Take a record apart; what is not UTF-8 is shown as escapes."""
    cells = []
    for quoted, plain, end in _cell_pattern(delimiter).findall(record):
        inner = quoted[1:].removesuffix(b'"').replace(b'""', b'"') if quoted else b""
        cells.append((inner + plain).decode("utf-8", "backslashreplace"))
        if not end:
            break
    return tuple(cells)


@lru_cache
def _cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    d = re.escape(delimiter.encode())
    return re.compile(rb'("[^"]*(?:""[^"]*)*(?:"|\Z))?([^%s]*)(%s|\Z)' % (d, d))


def check_encoding(path: str, data: bytes) -> None:
    """Refuse a file in UTF-16, which would be split in the middle of its letters.

    Raises:
        DataError: It is one.
    """
    sample = data[:_SAMPLED_BYTES]
    if sample.startswith(_UTF16_BOMS) or sample.count(0) * 4 > len(sample) > 1:
        raise DataError(
            f"{path} is not UTF-8 but looks like UTF-16 or a binary file; save it as UTF-8 text "
            "(iconv -f UTF-16 -t UTF-8)"
        )


def delimiter_hint(cells: Sequence[str], delimiter: str) -> str | None:
    """Name the delimiter that would split the first line into more columns, None without one."""
    text = delimiter.join(cells)
    best = max((d for d in _DELIMITERS if d != delimiter), key=text.count)
    if text.count(best) <= text.count(delimiter):
        return None
    return (
        f"{delimiter!r}, but its first line holds {text.count(best)} of {best!r}: "
        f"pass -delimiter {_DELIMITERS[best]}"
    )


def looks_like_header(cells: Sequence[str], columns: Columns) -> bool:
    """Tell whether the first record reads like names: no feature in it is a number."""
    if len(cells) != columns.num_columns:
        return False
    return all(_is_name(cells[column]) for column in columns.features)


def _is_name(cell: str) -> bool:
    text = cell.strip()
    is_word = text[:1].isalpha() or text[:1] == "_"
    return is_word and not is_missing(text) and text.lower() not in ("nan", "inf", "infinity")
