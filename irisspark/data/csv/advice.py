"""What to do about a bad row or a strange header of a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from irisspark.data import bad_rows
from irisspark.data.bad_rows import BadRow
from irisspark.data.cells import is_word, parse_number, shorten
from irisspark.data.columns import Columns
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.records import UTF8_BOM

_FIRST_POSITIONS = (0, len(UTF8_BOM))
_OF_NAMES = (bad_rows.NOT_A_NUMBER, bad_rows.UNKNOWN_LABEL)


def advice(row: BadRow, columns: Columns, csv: CsvFormat) -> str | None:
    """Say what to do about a bad row; None for a label of which nothing more is known."""
    hint = None if row.reason == bad_rows.UNKNOWN_LABEL else _advice(row, columns, csv)
    is_first = not csv.header and row.position in _FIRST_POSITIONS
    if is_first and row.reason in _OF_NAMES and is_word(row.value):
        header = "if line 1 is a header, pass -header true"
        return header if hint is None else f"{header}; {hint}"
    return hint


def _advice(row: BadRow, columns: Columns, csv: CsvFormat) -> str:
    if row.reason == bad_rows.BROKEN_QUOTES and not csv.multi_line:
        return "if quoted fields hold line breaks, pass -multiLine true"
    if row.reason == bad_rows.NOT_A_NUMBER and (hint := _not_a_number_hint(row, columns, csv)):
        return hint
    if row.reason == bad_rows.BAD_ENCODING:
        return "save the file as UTF-8 (iconv -f LATIN1 -t UTF-8)"
    if row.reason in (bad_rows.REPEATED_HEADER, bad_rows.COMMENT):
        return "take it out, or pass -badRows skip to leave such lines out"
    return "mend the row, or pass -badRows skip to leave such rows out"


def _not_a_number_hint(row: BadRow, columns: Columns, csv: CsvFormat) -> str | None:
    if parse_number(csv.with_point(row.value).replace(",", ".")) is not None:
        if csv.decimal == ",":
            return "-decimal , is for numbers with a comma: leave it out"
        if csv.delimiter != ",":
            return "if numbers are written with a decimal comma, pass -decimal ,"
    pieces = {d: row.value.split(d) for d in ";\t|," if d != csv.delimiter and d in row.value}
    for delimiter, cells in pieces.items():
        if any(parse_number(cell) is not None for cell in cells):
            return f"if {delimiter!r} stands between the columns, pass -delimiter " + (
                "tab" if delimiter == "\t" else repr(delimiter)
            )
    if row.column == columns.num_columns - 1 or row.column == 0:
        return (
            "if the column is the label pass -labelIndex, if it is an id -keepColumns "
            f"{row.column}; -badRows skip leaves such rows out"
        )
    return None


def other_header(found: Sequence[str], path: str, columns: Columns) -> str:
    """Say that a file begins with another header than the first file."""
    names = columns.names or ()
    pairs = zip_longest(found, names)
    at = next(index for index, (one, other) in enumerate(pairs) if one != other)
    here, there = (
        f"'{shorten(row[at])}'" if at < len(row) else "nothing" for row in (found, names)
    )
    return (
        f"{path} begins with another header than {columns.names_path}: column {at} is {here} "
        f"here and {there} there; with -header true every file begins with the same header"
    )
