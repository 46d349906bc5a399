"""What the options say about columns, held against the first record of the data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from irisspark.data.csv.columns import Columns, LabelCodes
from irisspark.data.csv.examine import is_missing
from irisspark.data.csv.records import UTF8_BOM, find_records
from irisspark.errors import DataError

Selector = int | str | tuple[int, int]
_DELIMITERS = {",": ",", ";": "';'", "\t": "tab", "|": "'|'"}
_MAX_SHOWN_NAMES = 12
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLED_BYTES = 4096


@dataclass(frozen=True)
class Head:
    """The beginning of the data.

    Attributes:
        path: The first file that has any records.
        first: The cells of its first record: the header, or a row.
        row: The cells of the first row where there is a header, of the second where there is none;
            None where there is no such row.
    """

    path: str
    first: tuple[str, ...]
    row: tuple[str, ...] | None = None


def read_records(
    data: bytes, delimiter: str, limit: int, *, multi_line: bool
) -> list[tuple[str, ...]]:
    """Read the cells of the first records, at most ``limit``; a byte order mark is left out."""
    found = find_records(data.removeprefix(UTF8_BOM), delimiter, multi_line=multi_line)
    return [split_cells(found[index], delimiter) for index in range(min(limit, len(found)))]


def split_cells(record: bytes, delimiter: str) -> tuple[str, ...]:
    """Take a record apart; what is not UTF-8 is shown as escapes."""
    cells = []
    for quoted, plain, end in _cell_pattern(delimiter).findall(record):
        inner = quoted[1:].removesuffix(b'"').replace(b'""', b'"') if quoted else b""
        cells.append((inner + plain).decode("utf-8", "backslashreplace"))
        if not end:
            break
    return tuple(cells)


@lru_cache
def _cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    d = re.escape(delimiter.encode())
    return re.compile(rb'("[^"]*(?:""[^"]*)*(?:"|\Z))?([^%s]*)(%s|\Z)' % (d, d))


def check_encoding(path: str, data: bytes) -> None:
    """Refuse a file in UTF-16, which would be split in the middle of its letters.

    Raises:
        DataError: It is one.
    """
    sample = data[:_SAMPLED_BYTES]
    if sample.startswith(_UTF16_BOMS) or sample.count(0) * 4 > len(sample) > 1:
        raise DataError(
            f"{path} is not UTF-8 but looks like UTF-16 or a binary file; save it as UTF-8 text "
            "(iconv -f UTF-16 -t UTF-8)"
        )


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
    _check_roles(features, keep, label, names)
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
        header_path=head.path,
        delimiter=delimiter,
        header=header,
        multi_line=multi_line,
    )


def _check_roles(
    features: Sequence[int], keep: Sequence[int], label: int | None, names: Sequence[str] | None
) -> None:
    for column in sorted({*features, *keep}):
        roles = ["the label (-labelIndex)"] if column == label else []
        roles += ["a feature (-featureIndices)"] if column in features else []
        roles += ["kept (-keepColumns)"] if column in keep else []
        if len(roles) > 1:
            name = f'"{names[column]}" (column {column})' if names else f"column {column}"
            raise DataError(f"{name} is both {roles[0]} and {roles[1]}: a column has one role")


def _check_delimiter(head: Head, delimiter: str) -> None:
    if len(head.first) == 1 and (hint := delimiter_hint(head, delimiter)):
        raise DataError(f"{head.path} has one column where its rows are split at {hint}")


def delimiter_hint(head: Head, delimiter: str) -> str | None:
    """Name the delimiter that would split the first line into more columns, None without one."""
    text = delimiter.join(head.first)
    best = max((d for d in _DELIMITERS if d != delimiter), key=text.count)
    if text.count(best) <= text.count(delimiter):
        return None
    return (
        f"{delimiter!r}, but its first line holds {text.count(best)} of {best!r}: "
        f"pass -delimiter {_DELIMITERS[best]}"
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
    text = cell.strip()
    is_word = text[:1].isalpha() or text[:1] == "_"
    return is_word and not is_missing(text) and text.lower() not in ("nan", "inf", "infinity")


def numeric_class_names(num_classes: int) -> tuple[str, ...]:
    """Name the classes that integer labels stand for: ``0`` to ``num_classes - 1``."""
    return tuple(str(index) for index in range(num_classes))
