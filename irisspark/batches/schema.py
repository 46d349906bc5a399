"""What the options say about columns, held against the first record of the data."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from irisspark.batches.columns import Columns, LabelCodes, parse_number
from irisspark.batches.records import split_records
from irisspark.errors import DataError

Selector = int | str | tuple[int, int]
_DELIMITERS = {",": ",", ";": "';'", "\t": "tab", "|": "'|'"}
_MAX_SHOWN_NAMES = 12


@dataclass(frozen=True)
class Head:
    """The beginning of the first file that has any rows.

    Attributes:
        path: The file.
        first: The cells of its first record: the header, or a row.
        second: The cells of the record behind, None where there is none.
    """

    path: str
    first: tuple[str, ...]
    second: tuple[str, ...] | None = None


def read_head(path: str, data: bytes, delimiter: str, *, multi_line: bool) -> Head | None:
    """Read the first records out of the first bytes of a file; None where there are none."""
    records = split_records(data, delimiter, multi_line=multi_line)
    cells = [_cells(record, delimiter) for _, record in records if record][:2]
    if not cells:
        return None
    return Head(path, cells[0], cells[1] if len(cells) > 1 else None)


def _cells(record: bytes, delimiter: str) -> tuple[str, ...]:
    text = record.decode("utf-8", "backslashreplace")
    return tuple(next(csv.reader([text], delimiter=delimiter), []))


def resolve(
    head: Head,
    *,
    label_index: int | str | None,
    feature_indices: Sequence[Selector] | None,
    keep_columns: Sequence[Selector],
    class_names: Sequence[str] | None,
    delimiter: str,
    header: bool,
    multi_line: bool,
    dtype: str,
) -> Columns:
    """Find the columns that the options mean.

    Raises:
        DataError: An option names a column that the data does not have.
    """
    num_columns = len(head.first)
    names = head.first if header else None
    _check_delimiter(head, delimiter)
    label = None if label_index is None else _find(label_index, "-labelIndex", head, names)
    keep = _find_all(keep_columns, "-keepColumns", head, names)
    if feature_indices is None:
        taken = {label, *keep}
        features = tuple(c for c in range(num_columns) if c not in taken)
    else:
        features = _find_all(feature_indices, "-featureIndices", head, names)
    if label is not None and label in features:
        raise DataError(f"column {label} is the label, and -featureIndices names it as a feature")
    if not features:
        raise DataError(f"{head.path} has {num_columns} columns, and none is left for the features")
    return Columns(
        num_columns=num_columns,
        features=features,
        dtype=dtype,
        label=label,
        labels=LabelCodes(tuple(class_names)) if class_names is not None else None,
        keep=keep,
        names=names,
        delimiter=delimiter,
        header=header,
        multi_line=multi_line,
    )


def _check_delimiter(head: Head, delimiter: str) -> None:
    if len(head.first) > 1:
        return
    text = head.first[0] if head.first else ""
    found = [d for d in _DELIMITERS if d != delimiter and d in text]
    if found:
        best = max(found, key=text.count)
        raise DataError(
            f"{head.path} has one column where its rows are split at {delimiter!r}, but its first "
            f"line holds {text.count(best)} of {best!r}: pass -delimiter {_DELIMITERS[best]}"
        )


def _find_all(
    selectors: Sequence[Selector], option: str, head: Head, names: tuple[str, ...] | None
) -> tuple[int, ...]:
    found: list[int] = []
    for selector in selectors:
        if isinstance(selector, tuple):
            first = _find(selector[0], option, head, names)
            found += range(first, _find(selector[1], option, head, names) + 1)
        else:
            found.append(_find(selector, option, head, names))
    repeated = sorted({column for column in found if found.count(column) > 1})
    if repeated:
        raise DataError(f"{option} names column {repeated[0]} more than once")
    return tuple(found)


def _find(selector: int | str, option: str, head: Head, names: tuple[str, ...] | None) -> int:
    num_columns = len(head.first)
    if isinstance(selector, int):
        index = selector + num_columns if selector < 0 else selector
        if not 0 <= index < num_columns:
            raise DataError(
                f"{option} {selector}: {head.path} has {num_columns} columns, "
                f"0 to {num_columns - 1} (or -{num_columns} to -1 from the end)"
            )
        return index
    matches = [i for i, name in enumerate(names or ()) if name == selector]
    if not matches:
        matches = [i for i, n in enumerate(names or ()) if n.strip() == selector.strip()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DataError(
            f"{option} {selector}: {len(matches)} columns of {head.path} have that name; "
            "give the index"
        )
    shown = ", ".join((names or ())[:_MAX_SHOWN_NAMES])
    more = ", ..." if len(names or ()) > _MAX_SHOWN_NAMES else ""
    raise DataError(f"{option} {selector}: the header of {head.path} has {shown}{more}")


def looks_like_header(head: Head, columns: Columns) -> bool:
    """Tell whether the first record reads like names: no feature in it is a number."""
    if columns.header or len(head.first) != columns.num_columns:
        return False
    return all(_is_name(head.first[column]) for column in columns.features)


def _is_name(cell: str) -> bool:
    return bool(cell.strip()) and parse_number(cell) is None and cell.strip()[0].isalpha()


def numeric_class_names(num_classes: int) -> tuple[str, ...]:
    """Name the classes that integer labels stand for: ``0`` to ``num_classes - 1``."""
    return tuple(str(index) for index in range(num_classes))
