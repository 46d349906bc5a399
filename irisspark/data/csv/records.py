"""Where the records of a CSV begin and end: at line ends, or at line ends outside quotes.

The rules are those of ``pyarrow.csv``, which are RFC 4180's for whatever that allows: a quote opens
a quoted field only at the field's start, two quotes inside stand for one, and what follows the
closing quote is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from irisspark.data.csv.blocks import end_of_last_line

UTF8_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Records:
    """The records of some bytes that are not blank.

    Attributes:
        data: The bytes.
        starts: int64 [records], where each begins.
        ends: int64 [records], where each ends, without its line end.
    """

    data: bytes
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        """Count the records."""
        return len(self.starts)

    def __getitem__(self, index: int) -> bytes:
        """Give the bytes of a record, without its line end."""
        return self.data[self.starts[index] : self.ends[index]]

    def index_at(self, positions: Ints) -> Ints:
        """Give the index of the record in which each position lies."""
        return np.searchsorted(self.starts, positions, side="right") - 1


def as_inner_lines(data: bytes) -> bytes:
    """Keep ``pyarrow.csv`` from taking a byte order mark in the middle of a file for its own."""
    return b"\n" + data if data.startswith(UTF8_BOM) else data


def find_records(data: bytes, delimiter: str, *, multi_line: bool) -> Records:
    """Find the records of ``data``.

    With ``multi_line`` a line end inside quotes belongs to its record; what follows a quote that is
    never closed is one record.
    """
    ends = _line_ends(data)
    if multi_line and b'"' in data:
        ends = ends[~_is_quoted(ends, data, delimiter)]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])
    ends = np.append(ends, len(data))
    filled = ends > starts
    return Records(data, starts[filled], ends[filled])


def _line_ends(data: bytes) -> Ints:
    """Find the line feeds and carriage returns; between those of a CRLF lies a blank record."""
    array = np.frombuffer(data, dtype=np.uint8)
    is_end = array == _LF
    if b"\r" in data:
        is_end |= array == _CR
    return np.flatnonzero(is_end)


@lru_cache
def _quoted(delimiter: str, *, multi_line: bool) -> re.Pattern[bytes]:
    """Match a quoted field; its group is empty where the quote is never closed."""
    line_ends = b"" if multi_line else rb"\r\n"
    inside = rb'[^"%s]*' % line_ends
    start = rb"(?<![^%s\r\n])" % re.escape(delimiter.encode())
    return re.compile(rb'%s"%s(?:""%s)*("?)' % (start, inside, inside))


def _is_quoted(positions: Ints, data: bytes, delimiter: str) -> npt.NDArray[np.bool_]:
    """Tell which positions of ``data`` lie within quotes, whatever lines they span."""
    pattern = _quoted(delimiter, multi_line=True)
    spans = np.array([m.span() for m in pattern.finditer(data)], dtype=np.int64).reshape(-1, 2)
    if not len(spans):
        return np.zeros(len(positions), dtype=bool)
    before = np.searchsorted(spans[:, 0], positions, side="right") - 1
    inside: npt.NDArray[np.bool_] = (before >= 0) & (positions < spans[before, 1])
    return inside


def open_quotes(data: bytes, delimiter: str, *, multi_line: bool) -> list[int]:
    """Find the quotes that open a field which is not closed within its record."""
    if b'"' not in data:
        return []
    pattern = _quoted(delimiter, multi_line=multi_line)
    return [match.start() for match in pattern.finditer(data) if not match.group(1)]


def quoted_record_end(delimiter: str) -> Callable[[bytes], int]:
    """Make the function that finds the end of the last whole record, quoted line ends and all."""

    def find_end(data: bytes) -> int:
        if b'"' not in data:
            return end_of_last_line(data)
        start = len(UTF8_BOM) if data.startswith(UTF8_BOM) else 0
        text = data[start:]
        ends = _line_ends(text)
        if text.endswith(b"\r"):  # it may be half of a CRLF
            ends = ends[:-1]
        ends = ends[~_is_quoted(ends, text, delimiter)]
        return int(ends[-1]) + 1 + start if len(ends) else 0

    return find_end
