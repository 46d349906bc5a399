"""What the first rows of the data tell about its columns, before any of them is parsed."""

from __future__ import annotations

from collections.abc import Sequence

from irisspark.data.cells import is_missing, is_number, is_word, number_of, parse_number
from irisspark.data.columns import Columns, Head

Cells = Sequence[str]
_MIN_COUNTED = 4
_MIN_ROWS = 2
_MAX_SHOWN = 20


def rows_of_width(head: Head, num_columns: int) -> list[tuple[str, ...]]:
    """Give the first rows that have as many columns as they should."""
    return [row for row in head.rows if len(row) == num_columns]


def text_features(head: Head, columns: Columns) -> list[int]:
    """List the features that hold text in all of the first rows, of which there are several."""
    rows = rows_of_width(head, columns.num_columns)
    if len(rows) < _MIN_ROWS:
        return []
    return [c for c in columns.features if _is_text([row[c] for row in rows])]


def _is_text(cells: Cells) -> bool:
    there = [cell for cell in cells if not is_missing(cell)]
    return len(there) >= _MIN_ROWS and all(is_word(cell) for cell in there)


def looks_like_names(first: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether a first row reads like names or a title, and not like the rows below it.

    Args:
        first: Its cells, as many as there are columns.
        others: The rows below it, if there are any.
        columns: What each column is for.
    """
    if len(first) != columns.num_columns:
        return False
    features = [first[c] for c in columns.features]
    words = sum(is_word(cell) for cell in features)
    below = (row[c] for row in others for c in columns.features)
    others_are_rows = not others or any(is_number(cell) for cell in below)
    if words and others_are_rows and all(is_word(c) or is_missing(c) for c in features):
        return 2 * words >= len(features)
    if not _has_strange_label(first, others, columns):
        return False
    others_are_numbers = all(is_number(row[c]) for row in others for c in columns.features)
    return (words > 0 and others_are_numbers) or _counts_columns(first, columns)


def _has_strange_label(first: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether the label of a first row is of another kind than all those below it."""
    if columns.label is None:
        return True
    label, below = first[columns.label], {row[columns.label].strip() for row in others}
    if is_word(label):
        return bool(below) and label.strip() not in below
    return parse_number(label) in (columns.label, columns.label + 1)


def _counts_columns(first: Cells, columns: Columns) -> bool:
    """Tell whether features are named 0, 1, 2, ... or 1, 2, 3, ..., as tables without names are."""
    numbers = [parse_number(first[c]) for c in sorted(columns.features)]
    start = numbers[0]
    if len(numbers) < _MIN_COUNTED or start not in (0, 1):
        return False
    places = sorted(columns.features)
    return numbers in (list(range(len(numbers))), places, [place + 1 for place in places])


def looks_like_row(names: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether what is taken for the names of columns is a row of the data."""
    features = [parse_number(names[c]) for c in columns.features]
    if None in features or all(number is None or number.is_integer() for number in features):
        return False
    if columns.label is None:
        return True
    label = names[columns.label].strip()
    return parse_number(label) is not None or label in {r[columns.label].strip() for r in others}


def one_hot_columns(head: Head, columns: Columns, num_classes: int) -> range | None:
    """Find neighbouring columns, one a class, of which one holds 1 and the others 0 in each row.

    Only the first and the last columns, and those around the label, are looked at.

    Returns:
        The columns; None where there are none, or too few rows to tell.
    """
    rows = rows_of_width(head, columns.num_columns)
    if len(rows) < _MIN_ROWS:
        return None
    label = columns.label if columns.label is not None else 0
    starts = {0, columns.num_columns - num_classes, *range(label - num_classes + 1, label + 1)}
    for first in sorted(start for start in starts if start >= 0):
        end = first + num_classes
        if end <= columns.num_columns and all(_is_one_hot(row[first:end]) for row in rows):
            return range(first, end)
    return None


def _is_one_hot(cells: Cells) -> bool:
    numbers = [number_of(cell) for cell in cells]
    return numbers.count(1) == 1 and numbers.count(0) == len(numbers) - 1


def describe_text(head: Head, columns: Columns) -> str | None:
    """Name the features that hold text, and those to pass instead."""
    found = text_features(head, columns)
    if not found:
        return None
    texts = frozenset(found)
    others = [c for c in columns.features if c not in texts]
    which = "all features" if not others else ", ".join(map(columns.name, found[:_MAX_SHOWN]))
    more = f" and {len(found) - _MAX_SHOWN} more" if others and len(found) > _MAX_SHOWN else ""
    verb, them = ("holds", "it") if len(found) == 1 and others else ("hold", "them")
    hint = f"{which}{more} {verb} text: write numbers in {them}"
    if others and len(ranges := _ranges(others)) <= _MAX_SHOWN:
        hint += f", or leave {them} out with -featureIndices {','.join(ranges)}"
    return hint


def _ranges(columns: Sequence[int]) -> list[str]:
    """Write columns as ``-featureIndices`` takes them: ``0-3``, ``7``."""
    spans: list[list[int]] = []
    for column in columns:
        if spans and spans[-1][1] == column - 1:
            spans[-1][1] = column
        else:
            spans.append([column, column])
    return [str(first) if first == last else f"{first}-{last}" for first, last in spans]


def describe_counter(head: Head, columns: Columns) -> str | None:
    """Name a first column that counts the rows, as pandas writes it, and is taken for a feature."""
    rows = rows_of_width(head, columns.num_columns)
    numbers = [parse_number(row[0]) for row in rows]
    if 0 not in columns.feature_set or len(rows) <= _MIN_ROWS or numbers[0] not in (0, 1):
        return None
    if numbers != [numbers[0] + place for place in range(len(numbers))]:
        return None
    return f"{columns.name(0)} counts the rows: leave it out with -keepColumns 0"


def describe_one_hot(head: Head, columns: Columns, num_classes: int) -> str | None:
    """Name the columns that together look like the label."""
    span = one_hot_columns(head, columns, num_classes)
    if span is None:
        return None
    return (
        f"columns {span[0]} to {span[-1]} look like a label in one-hot form, a 1 in the column of "
        "its class, which is not available yet: write one column with the number of the class"
    )
