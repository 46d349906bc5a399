"""Where the records of a CSV end: at line ends, or at line ends outside quotes.

The rules are those of ``pyarrow.csv``, which are RFC 4180's for whatever that allows: a quote opens
a quoted field only at the field's start, two quotes inside stand for one, and what follows the
closing quote is plain text.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from irisspark.splits import end_of_last_line

UTF8_BOM = b"\xef\xbb\xbf"


@lru_cache
def _patterns(delimiter: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    d = re.escape(delimiter.encode())
    quoted = rb'"[^"]*(?:""[^"]*)*"(?!")[^%s\r\n]*' % d
    plain = rb'(?!")[^%s\r\n]*' % d
    record = rb"(?:%s|%s)(?:%s(?:%s|%s))*" % (quoted, plain, d, quoted, plain)
    return re.compile(record), re.compile(rb"(?:%s)(?:\r\n|\n|\r)" % record)


def is_closed(record: bytes, delimiter: str) -> bool:
    """Tell whether every quoted field of a record is closed again."""
    return b'"' not in record or _patterns(delimiter)[0].fullmatch(record) is not None


def split_records(data: bytes, delimiter: str, *, multi_line: bool) -> list[tuple[int, bytes]]:
    """Take the records of ``data`` apart: (offset of its first byte, bytes without the line end).

    With ``multi_line`` a line end inside quotes belongs to its record; what follows a quote that is
    never closed is one record.
    """
    if multi_line and b'"' in data:
        return _split_quoted(data, delimiter)
    records, offset = [], 0
    for line in data.splitlines(keepends=True):
        records.append((offset, line.rstrip(b"\r\n")))
        offset += len(line)
    return records


def _split_quoted(data: bytes, delimiter: str) -> list[tuple[int, bytes]]:
    match_record = _patterns(delimiter)[1].match
    records, offset = [], 0
    while offset < len(data):
        match = match_record(data, offset)
        if match is None:  # the last record, without a line end; or a quote that stays open
            records.append((offset, data[offset:]))
            break
        records.append((offset, match.group().rstrip(b"\r\n")))
        offset = match.end()
    return records


def quoted_record_end(delimiter: str) -> Callable[[bytes], int]:
    """Make the function that finds the end of the last whole record, quoted line ends and all."""
    match_record = _patterns(delimiter)[1].match

    def find_end(data: bytes) -> int:
        if b'"' not in data:
            return end_of_last_line(data)
        offset = len(UTF8_BOM) if data.startswith(UTF8_BOM) else 0
        # The last byte may be half of a CRLF, so a record has to end before it.
        limit = len(data) - 1 if data.endswith(b"\r") else len(data)
        while (match := match_record(data, offset, limit)) is not None:
            offset = match.end()
        return offset

    return find_end
