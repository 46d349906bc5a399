r"""Quotes that are escaped by a backslash, ``"a \"b\" c"``, as Spark writes them."""

from __future__ import annotations

import re

from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.first_lines import cell_pattern, records_of, split_cells
from irisspark.data.csv.records import Records

_MARK = b'\\"'
_NUM_LOOKED_AT = 20
_ESCAPED = re.compile(rb'(?<!\\)((?:\\\\)*)\\"')


def with_doubled_quotes(data: bytes, num_columns: int, csv: CsvFormat) -> bytes:
    r"""Write ``\"`` as ``""`` in the records that make sense in no other way.

    Both are two bytes, so that every record stays where it is. What RFC 4180 makes of a record
    stands, where that is a row: a field may well end in a backslash.
    """
    if b'"' not in data or _MARK not in data or csv.multi_line:  # one byte is found faster
        return data
    records, pieces, done = records_of(data, csv), [], 0
    for index in range(len(records)):
        record = records[index]
        if _MARK in record and not _is_plain(record, num_columns, csv.delimiter):
            doubled = _ESCAPED.sub(rb'\1""', record)
            if len(split_cells(doubled, csv.delimiter)) == num_columns:
                pieces += [data[done : records.starts[index]], doubled]
                done = int(records.ends[index])
    return b"".join([*pieces, data[done:]])


def _is_plain(record: bytes, num_columns: int, delimiter: str) -> bool:
    """Tell whether a record is a row as it stands, without what only an escaped quote explains."""
    return not _is_escaped(record, delimiter) and len(split_cells(record, delimiter)) == num_columns


def _is_escaped(record: bytes, delimiter: str) -> bool:
    """Tell whether a quote behind a backslash cannot end its field, or one is left open."""
    cells = cell_pattern(delimiter).findall(record)
    return any(
        (quoted.endswith(_MARK) and plain) or quoted.count(b'"') % 2 for quoted, plain, _ in cells
    )


def likely_width(records: Records, csv: CsvFormat) -> int:
    """Give the number of cells that most of the first records have."""
    widths = []
    for index in range(min(len(records), _NUM_LOOKED_AT)):
        record = records[index]
        if _MARK in record and _is_escaped(record, csv.delimiter):
            record = _ESCAPED.sub(rb'\1""', record)
        widths.append(len(split_cells(record, csv.delimiter)))
    return max(set(widths), key=widths.count)
