"""What to say about a bad row: what was found, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from irisspark.data.csv import examine
from irisspark.data.csv.columns import Columns, parse_number, shorten
from irisspark.data.csv.examine import WHOLE_LINE, BadRow

_MAX_SHOWN_LABELS = 20


def place(row: BadRow, path: str, line: int | None, columns: Columns) -> str:
    """Say where a bad row is, and at which column."""
    where = f"{path}, line {line}" if line is not None else f"{path}, byte {row.offset}"
    return where if row.column == WHOLE_LINE else f"{where}, {columns.name(row.column)}"


def fault(row: BadRow, columns: Columns) -> str:
    """Say what is wrong with a bad row."""
    if row.reason == examine.WRONG_COLUMNS:
        found = "1 column" if row.value == "1" else f"{row.value} columns"
        return f"{found} where the first line has {columns.num_columns}"
    if row.reason == examine.MISSING:
        return "the value is missing" + (f" ({row.value})" if row.value.strip() else "")
    if row.reason == examine.NOT_A_NUMBER:
        if columns.dtype.startswith(("float", "bfloat")):
            return f"'{row.value}' is not a number"
        return f"'{row.value}' is not a whole number that the model's input ({columns.dtype}) holds"
    if row.reason == examine.NOT_FINITE:
        return f"'{row.value}' is not a finite number"
    if row.reason == examine.BROKEN_QUOTES:
        return f"a quote is opened and never closed in '{row.value}'"
    if row.reason == examine.BAD_ENCODING:
        return f"'{row.value}' holds bytes that are not UTF-8 text"
    return f"the label '{row.value}' is none of the classes"


def advice(row: BadRow, columns: Columns) -> str:
    """Say what to do about a bad row."""
    if row.reason == examine.BROKEN_QUOTES and not columns.multi_line:
        return "if quoted fields hold line breaks, pass -multiLine true"
    if row.reason == examine.NOT_A_NUMBER and (hint := _not_a_number_hint(row, columns)):
        return hint
    if row.reason == examine.BAD_ENCODING:
        return "save the file as UTF-8"
    return "mend the row, or pass -badRows skip to leave such rows out"


def _not_a_number_hint(row: BadRow, columns: Columns) -> str | None:
    if columns.delimiter != "," and parse_number(row.value.replace(",", ".")) is not None:
        return "numbers are written with a decimal point, not a comma"
    pieces = {d: row.value.split(d) for d in ";\t|," if d != columns.delimiter and d in row.value}
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
        f"{path} begins with another header than {columns.header_path}: column {at} is {here} "
        f"here and {there} there; with -header true every file begins with the same header"
    )


def unknown_labels(found: Sequence[str], num_classes: int) -> str:
    """Say which labels the data has where they are not those of the model, and what to pass.

    Args:
        found: Every label of the data, distinct.
        num_classes: How many classes the model has.
    """
    numbers = [parse_number(text) for text in found]
    if all(number is not None for number in numbers):
        named = {_number_name(number): number for number in numbers if number is not None}
        labels = sorted(named, key=lambda name: named[name])
    else:
        labels = sorted(found)
    shown = ", ".join(labels[:_MAX_SHOWN_LABELS])
    more = f", ... ({len(labels)} in all)" if len(labels) > _MAX_SHOWN_LABELS else ""
    message = f"the labels found are {shown}{more}; the model's classes are 0 to {num_classes - 1}"
    if len(labels) == num_classes:
        return f"{message}: pass -classNames {','.join(labels)}"
    if len(labels) < num_classes:
        return (
            f"{message}: pass -classNames with all {num_classes} names, "
            "in the order of the model's outputs"
        )
    return (
        f"{message}: {len(labels)} labels do not fit {num_classes} classes; "
        "look at -labelIndex, which may name a column that is not the label"
    )


def _number_name(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
