r"""Quotes that are escaped by a backslash, ``"a \"b\" c"``, as Spark writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, takewhile

from irisspark.data.csv.blocks import Cutter, end_of_last_line
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.first_lines import cell_pattern, records_of, split_cells
from irisspark.data.csv.records import UTF8_BOM, quoted_record_end

_MARK = b'\\"'
_NUM_LOOKED_AT = 20
_PAIR = re.compile(rb"\\.", re.DOTALL)
_ESCAPED = re.compile(rb'(?<!\\)((?:\\\\)*)\\"')


def with_doubled_quotes(data: bytes, num_columns: int | None, csv: CsvFormat) -> bytes:
    r"""Write ``\"`` as ``""`` in the records that make sense in no other way.

    Both are two bytes, so that every record stays where it is. What RFC 4180 makes of a record
    stands, where that is a row: a field may well end in a backslash.

    Args:
        data: Whole records.
        num_columns: Columns of a row; None where that is not known yet.
        csv: How they are written.
    """
    if b'"' not in data or _MARK not in data:  # one byte is found faster
        return data
    if csv.multi_line:
        spans = _spans(data, num_columns, csv.delimiter, is_whole=True)
        escaped = [(span.start, span.end) for span in spans if span.is_escaped]
        doubled = [(start, end, _doubled(data[start:end])) for start, end in escaped]
    else:
        assert num_columns is not None
        doubled = [*_doubled_lines(data, num_columns, csv)]
    pieces, done = [], 0
    for start, end, record in doubled:
        pieces += [data[done:start], record]
        done = end
    return b"".join([*pieces, data[done:]])


def _doubled_lines(
    data: bytes, num_columns: int, csv: CsvFormat
) -> Iterator[tuple[int, int, bytes]]:
    records = records_of(data, csv)
    for index in range(len(records)):
        record = records[index]
        if _MARK in record and not _is_plain(record, num_columns, csv.delimiter):
            doubled = _doubled(record)
            if len(split_cells(doubled, csv.delimiter)) == num_columns:
                yield int(records.starts[index]), int(records.ends[index]), doubled


def _doubled(record: bytes) -> bytes:
    return _ESCAPED.sub(rb'\1""', record)


@dataclass(frozen=True)
class _Span:
    """A record that may span lines.

    Attributes:
        start: Offset of its first byte.
        end: Offset behind its last one, line ends in quotes included.
        next: Offset behind its line end; as ``end`` where the data ends without one.
        num_cells: Cells in it; 0 where nobody asks.
        is_escaped: True where quotes in it are escaped by a backslash.
        is_open: True where a quote in it is not closed before the data ends.
    """

    start: int
    end: int
    next: int
    num_cells: int = 0
    is_escaped: bool = False
    is_open: bool = False


def _spans(
    data: bytes, num_columns: int | None, delimiter: str, *, is_whole: bool
) -> Iterator[_Span]:
    """Find the records that may span lines, one after another; lines without quotes at once.

    Unless ``data`` is whole, its last record may go on behind it.
    """
    start = len(UTF8_BOM) if data.startswith(UTF8_BOM) else 0
    while start < len(data):
        line_end = data.find(b"\n", start)
        if line_end >= 0 and data.find(b'"', start, line_end) < 0:
            yield _Span(start, line_end, line_end + 1)
            start = line_end + 1
            continue
        span, is_strange = _span(data, start, delimiter, escaped=False)
        is_row = num_columns in (None, span.num_cells) and not is_strange
        if _MARK in data[start : span.end]:
            escaped, _ = _span(data, start, delimiter, escaped=True)
            fits = num_columns in (None, escaped.num_cells) and not escaped.is_open
            may_fit = _may_go_on(escaped, data) and not is_whole
            # What is a row either way is the shorter one, as no row swallows others.
            if escaped.end < span.end if is_row and fits else not is_row and (fits or may_fit):
                span = escaped
        yield span
        start = span.next


def _span(data: bytes, start: int, delimiter: str, *, escaped: bool) -> tuple[_Span, bool]:
    """Find the record that starts at an offset, and whether only an escaped quote explains it."""
    cell, position, num_cells = _cell_over_lines(delimiter, escaped=escaped), start, 0
    is_strange = is_open = False
    while (match := cell.match(data, position)) is not None:
        quoted, plain, end = match.groups()
        num_cells, position = num_cells + 1, match.end()
        is_open = quoted is not None and not _is_closed(quoted, escaped=escaped)
        is_strange |= is_open or bool(quoted and plain)
        if end != delimiter.encode():
            break
    assert match is not None  # an empty cell matches everywhere
    return _Span(start, match.start(3), match.end(), num_cells, escaped, is_open), is_strange


def _may_go_on(span: _Span, data: bytes) -> bool:
    """Tell whether a record is not at its end; a carriage return may be half of a CRLF."""
    return span.is_open or (span.next == len(data) and not data.endswith(b"\n"))


def _is_closed(quoted: bytes, *, escaped: bool) -> bool:
    quoted = _PAIR.sub(b"", quoted) if escaped else quoted
    return quoted.count(b'"') % 2 == 0


@lru_cache
def _cell_over_lines(delimiter: str, *, escaped: bool) -> re.Pattern[bytes]:
    """Match a cell: its quoted part, what stands behind that, and the delimiter or line end."""
    inside = rb'(?:[^"\\]++|\\.|\\\Z|"")*+' if escaped else rb'(?:[^"]++|"")*+'
    d = re.escape(delimiter.encode())
    return re.compile(rb'("%s(?:"|\Z))?([^%s\r\n]*)(%s|\r\n|\r|\n|\Z)' % (inside, d, d), re.DOTALL)


def record_end(csv: CsvFormat, num_columns: int | None = None) -> Cutter:
    """Give the function that finds where the last whole record of some bytes ends."""
    if not csv.multi_line:
        return end_of_last_line
    find_end = quoted_record_end(csv.delimiter)

    def find_escaped_end(data: bytes) -> int:
        if b'"' not in data or _MARK not in data:
            return find_end(data)
        last = 0
        for span in _spans(data, num_columns, csv.delimiter, is_whole=False):
            if _may_go_on(span, data):
                break
            last = span.next
        return last

    return find_escaped_end


def _is_plain(record: bytes, num_columns: int, delimiter: str) -> bool:
    """Tell whether a record is a row as it stands, without what only an escaped quote explains."""
    return not _is_escaped(record, delimiter) and len(split_cells(record, delimiter)) == num_columns


def _is_escaped(record: bytes, delimiter: str) -> bool:
    """Tell whether a quote behind a backslash cannot end its field, or one is left open."""
    cells = cell_pattern(delimiter).findall(record)
    return any(
        (quoted.endswith(_MARK) and plain) or quoted.count(b'"') % 2 for quoted, plain, _ in cells
    )


def likely_width(data: bytes, csv: CsvFormat) -> int | None:
    """Give the number of cells that most of the first records have, None for no records.

    Where records may span lines, they are those before the first quote that may be escaped.
    """
    if csv.multi_line:
        spans = islice(_spans(data, None, csv.delimiter, is_whole=True), _NUM_LOOKED_AT)
        records = [record for span in spans if (record := data[span.start : span.end])]
        certain = [*takewhile(lambda record: _MARK not in record, records)]
        records = certain or records[:1]
    else:
        found = records_of(data, csv)
        records = [found[index] for index in range(min(len(found), _NUM_LOOKED_AT))]
    widths = [len(split_cells(_unescaped(record, csv), csv.delimiter)) for record in records]
    return max(set(widths), key=widths.count) if widths else None


def _unescaped(record: bytes, csv: CsvFormat) -> bytes:
    is_escaped = _MARK in record and _is_escaped(record, csv.delimiter)
    return _doubled(record) if is_escaped else record
