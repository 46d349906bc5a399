"""What to say about a bad row: what was found, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence

from irisspark.data import bad_rows
from irisspark.data.bad_rows import WHOLE_LINE, BadRow
from irisspark.data.cells import parse_number, shorten
from irisspark.data.columns import Columns

_MAX_SHOWN_LABELS = 20
_FAULTS = {
    bad_rows.MISSING: "the value is missing",
    bad_rows.NOT_A_NUMBER: "the value is not a number that the model's input holds",
    bad_rows.NOT_FINITE: "the value is not a finite number",
    bad_rows.BROKEN_QUOTES: "a quote is opened and never closed",
    bad_rows.BAD_ENCODING: "the value holds bytes that are not UTF-8 text",
    bad_rows.UNKNOWN_LABEL: "the label is none of the classes",
    bad_rows.NO_MARK: "the label is neither 0 nor 1",
    bad_rows.NOT_ONE_HOT: "the label columns, one a class, do not hold a single 1",
    bad_rows.REPEATED_HEADER: "the header stands here again, as where files were put together",
    bad_rows.COMMENT: "the line begins like a comment, behind the first row of the data",
}
"""What is wrong with a row, without the contents of its cells."""
_FAULTS_SHOWN = {
    bad_rows.NOT_FINITE: "'{}' is not a finite number",
    bad_rows.BROKEN_QUOTES: "a quote is opened and never closed in '{}'",
    bad_rows.BAD_ENCODING: "'{}' holds bytes that are not UTF-8 text",
    bad_rows.UNKNOWN_LABEL: "the label '{}' is none of the classes",
    bad_rows.NO_MARK: "the label '{}' is neither 0 nor 1",
    bad_rows.NOT_ONE_HOT: _FAULTS[bad_rows.NOT_ONE_HOT],
    bad_rows.REPEATED_HEADER: _FAULTS[bad_rows.REPEATED_HEADER],
    bad_rows.COMMENT: "'{}' begins like a comment, behind the first row of the data",
}
MAX_LABELS = 5000
"""So many labels are collected, or one for each class of a model that has more."""


def place(row: BadRow, path: str, line: int | None, columns: Columns) -> str:
    """Say where a bad row is, and at which column; without a line it is the row's number."""
    where = f"{path}, line {line}" if line is not None else f"{path}, row {row.position}"
    return where if row.column == WHOLE_LINE else f"{where}, {columns.name(row.column)}"


def fault(row: BadRow, columns: Columns, *, show_values: bool = True) -> str:
    """Say what is wrong with a bad row, and what its cell holds where that may be shown."""
    if row.reason == bad_rows.WRONG_COLUMNS:
        found = "1 column" if row.value == "1" else f"{row.value} columns"
        return f"{found} where the first line has {columns.num_columns}"
    if not show_values:
        return _FAULTS[row.reason]
    if row.reason == bad_rows.MISSING:
        return "the value is missing" + (f" ({row.value})" if row.value.strip() else "")
    if row.reason == bad_rows.NOT_A_NUMBER:
        dtype = columns.dtype_of(row.column)
        if row.column in columns.labels or dtype.kind not in "iub":
            return f"'{row.value}' is not a number"
        taker = columns.taker(row.column)
        return f"'{row.value}' is not a whole number that {taker} ({dtype}) holds"
    return _FAULTS_SHOWN[row.reason].format(row.value)


def unknown_labels(found: Sequence[str], num_classes: int, *, show_values: bool = True) -> str:
    """Say which labels the data has where they are not those of the model, and what to pass.

    Args:
        found: Every label of the data, distinct; of more than ``MAX_LABELS``, and than there are
            classes, the first ones and one more.
        num_classes: How many classes the model has.
        show_values: Whether the labels themselves may be said.
    """
    if not show_values:
        return (
            f"the data has {min(len(found), MAX_LABELS)} labels, which are not shown with "
            f"-showValues false; the model's classes are 0 to {num_classes - 1}: pass -classNames "
            f"with all {num_classes} names, in the order of the model's outputs"
        )
    numbers = [parse_number(text) for text in found]
    if all(number is not None for number in numbers):
        named = {_number_name(number): number for number in numbers if number is not None}
        labels = sorted(named, key=lambda name: named[name])
    else:
        labels = sorted(found)
    shown = ", ".join(map(shorten, labels[:_MAX_SHOWN_LABELS]))
    limit = max(MAX_LABELS, num_classes)
    count = f"more than {limit}" if len(found) > limit else str(len(labels))
    more = f", ... ({count} in all)" if len(labels) > _MAX_SHOWN_LABELS else ""
    message = f"the labels found are {shown}{more}; the model's classes are 0 to {num_classes - 1}"
    strange = [text for text in found if parse_number(text) is None]
    if (
        strange
        and all(n in range(num_classes) for n in numbers if n is not None)
        and any(number is not None for number in numbers)
    ):
        shown = ", ".join(f"'{shorten(text)}'" for text in sorted(strange)[:_MAX_SHOWN_LABELS])
        return f"{message}: mend the rows labelled {shown}, or pass -badRows skip to leave them out"
    if len(labels) == num_classes:
        return f"{message}: pass -classNames {','.join(labels)}"
    if len(labels) < num_classes:
        return (
            f"{message}: pass -classNames with all {num_classes} names, "
            "in the order of the model's outputs"
        )
    return (
        f"{message}: {count} labels do not fit {num_classes} classes; "
        "look at -labelIndex, which may name a column that is not the label"
    )


def label_order(text: str) -> tuple[bool, float, str]:
    """Order labels: numbers by value, then texts."""
    number = parse_number(text)
    if number is None or math.isnan(number):
        return True, 0.0, text
    return False, number, text


def _number_name(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
