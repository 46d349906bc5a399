"""What the first rows of the data tell about its columns, before any of them is parsed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from irisspark.data.cells import is_missing, is_number, is_word, number_of, parse_number
from irisspark.data.columns import Columns, Head
from irisspark.data.targets import LabelCodes

Cells = Sequence[str]
_MIN_COUNTED = 4
_MIN_CERTAIN = 8
"""So many numbers in even steps, or twice as many in one direction, are no accident."""
_EVEN = 0.05
_MIN_ROWS = 2
_MAX_SHOWN = 20


def rows_of_width(head: Head, num_columns: int) -> list[tuple[str, ...]]:
    """Give the first rows that have as many columns as they should."""
    return [row for row in head.rows if len(row) == num_columns]


def text_features(head: Head, columns: Columns) -> list[int]:
    """List the features that hold text in all of the first rows, of which there are several.

    Where the data says what its columns hold it is those that hold no numbers.
    """
    if head.kinds is not None:
        return [c for c in columns.numbers if head.kinds[c]]
    rows = rows_of_width(head, columns.num_columns)
    if len(rows) < _MIN_ROWS:
        return []
    return [c for c in columns.numbers if _is_text([row[c] for row in rows])]


def _is_text(cells: Cells) -> bool:
    there = [cell for cell in cells if not is_missing(cell)]
    return len(there) >= _MIN_ROWS and all(is_word(cell) for cell in there)


def looks_like_names(
    first: Cells, others: Sequence[Cells], columns: Columns, num_classes: int
) -> bool:
    """Tell whether a first row reads like names or a title, and not like the rows below it.

    Args:
        first: Its cells, as many as there are columns.
        others: The rows below it, if there are any.
        columns: What each column is for.
        num_classes: How many classes the model has.
    """
    if len(first) != columns.num_columns:
        return False
    features = [first[c] for c in columns.features]
    words = sum(is_word(cell) for cell in features)
    below = (row[c] for row in others for c in columns.features)
    others_are_rows = not others or any(is_number(cell) for cell in below)
    if words and others_are_rows and all(is_word(c) or is_missing(c) for c in features):
        return 2 * words >= len(features)
    if words:
        return _names_among_numbers(first, others, columns)
    if columns.label is not None and is_word(first[columns.label]):
        is_series = _counts_columns(first, columns) or _is_series(first, others, columns)
        return is_series and _has_strange_label(first, others, columns)
    return may_be_names(first, others, columns) and _is_no_row(first, others, columns, num_classes)


def may_be_names(first: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether a first row of numbers may be names: those of columns, years, wavelengths."""
    if len(first) != columns.num_columns or not others:
        return False
    if columns.label is None:
        return _counts_columns(first, columns) or _is_series(first, others, columns)
    label = parse_number(first[columns.label])
    return label in (columns.label, columns.label + 1) and _counts_columns(first, columns)


def _names_among_numbers(first: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether a row of words and numbers is none where those below hold numbers alone."""
    if not all(is_number(row[c]) for row in others for c in columns.features):
        return False
    if columns.label is not None:
        return _has_strange_label(first, others, columns)
    features = [first[c] for c in columns.features]
    words = sum(is_word(cell) for cell in features)
    return 2 * words >= len(features) or _counts_columns(first, columns)


def _is_no_row(first: Cells, others: Sequence[Cells], columns: Columns, num_classes: int) -> bool:
    """Tell whether numbers that may be names are none of the rows below them."""
    if columns.label is not None and not _is_class(
        first[columns.label], others, columns, num_classes
    ):
        return True
    if len(columns.features) >= _MIN_CERTAIN and _is_series(first, others, columns):
        return True
    pointed = sum(
        "." not in first[c] and all("." in row[c] for row in others) for c in columns.features
    )
    return 2 * pointed > len(columns.features)


def _is_class(label: str, others: Sequence[Cells], columns: Columns, num_classes: int) -> bool:
    assert columns.label is not None
    if num_classes == 0:  # of a regression any number may be the label
        return is_number(label)
    if isinstance(columns.targets, LabelCodes):
        return columns.targets.encode(label) is not None
    below = [row[columns.label] for row in others]
    return parse_number(label) in range(num_classes) and not all(map(is_word, below))


def _has_strange_label(first: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether the label of a first row is of another kind than all those below it."""
    assert columns.label is not None
    label, below = first[columns.label], {row[columns.label].strip() for row in others}
    if is_word(label):
        return bool(below) and label.strip() not in below
    return parse_number(label) in (columns.label, columns.label + 1)


def _counts_columns(first: Cells, columns: Columns) -> bool:
    """Tell whether features are named 0, 1, 2, ... or 1, 2, 3, ..., as tables without names are.

    A word among them names the rows, or the label of another table.
    """
    places = [place for place in sorted(columns.features) if not is_word(first[place])]
    numbers = [parse_number(first[place]) for place in places]
    if len(numbers) < _MIN_COUNTED or numbers[0] not in (0, 1):
        return False
    counted = [numbers[0] + place for place in range(len(numbers))]
    return numbers in (counted, places, [place + 1 for place in places])


def _is_series(first: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether features rise or fall in even steps, as wavelengths do, and no row below does.

    Of many features it suffices that they rise or fall.
    """
    is_even = [_has_even_steps(_steps(row, columns)) for row in (first, *others)]
    if is_even[0] and not any(is_even[1:]):
        return True
    if len(columns.features) < 2 * _MIN_CERTAIN:
        return False
    is_sorted = [_has_one_direction(_steps(row, columns)) for row in (first, *others)]
    return is_sorted[0] and not any(is_sorted[1:])


def _steps(row: Cells, columns: Columns) -> list[float]:
    """Give what lies between neighbouring features; nothing where one is no number."""
    numbers = [parse_number(row[c]) for c in columns.features]
    pairs = itertools.pairwise(numbers)
    steps = [b - a for a, b in pairs if a is not None and b is not None]
    return steps if len(steps) + 1 == len(numbers) >= _MIN_COUNTED else []


def _has_one_direction(steps: list[float]) -> bool:
    return bool(steps) and (min(steps) > 0 or max(steps) < 0)


def _has_even_steps(steps: list[float]) -> bool:
    if not _has_one_direction(steps):
        return False
    smallest, largest = sorted(abs(step) for step in (min(steps), max(steps)))
    return largest - smallest <= _EVEN * largest


def looks_like_row(names: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether what is taken for the names of columns is a row of the data.

    Names differ from each other, and those that are numbers are whole ones, or rise or fall.
    """
    if not may_be_row(names, others, columns) or _is_series(names, others, columns):
        return False
    numbers = [parse_number(names[c]) for c in columns.features]
    is_whole = all(number is not None and number.is_integer() for number in numbers)
    return not is_whole or len(set(numbers)) < len(numbers)


def may_be_row(names: Cells, others: Sequence[Cells], columns: Columns) -> bool:
    """Tell whether names of columns may as well be a row of the data."""
    if not all(is_number(names[c]) for c in columns.features):
        return False
    if columns.label is None:
        return True
    label = names[columns.label].strip()
    return is_number(label) or label in {row[columns.label].strip() for row in others}


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
    kinds = ["text"] if head.kinds is None else sorted({head.kinds[c] for c in found})
    hint = f"{which}{more} {verb} {' and '.join(kinds)}: write numbers in {them}"
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
    if span is None or tuple(span) == columns.labels:
        return None
    return (
        f"columns {span[0]} to {span[-1]} look like a label in one-hot form, a 1 in the column of "
        f"its class: pass -labelIndex {span[0]}-{span[-1]}"
    )
