"""What each column of the input is for: what the user says, held against the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from irisspark.data.gaps import Gaps
from irisspark.data.numbers import not_representable
from irisspark.data.targets import LabelCodes, Targets
from irisspark.errors import DataError

Selector = int | str | tuple[int, int]
"""A column: its index (negative from the end), its name, or an inclusive range of indices."""
_MAX_SHOWN_NAMES = 12


@dataclass(frozen=True)
class Columns:
    """What each column of the input is for, however it is written.

    Attributes:
        num_columns: Columns in every row.
        features: Indices of the feature columns, in the order of the model's input.
        dtype: numpy name of the dtype of the model's input.
        label: Index of the label column, None where rows are only predicted.
        targets: What a label's text becomes; None as ``label``.
        keep: Indices of the columns that are carried along as text.
        names: Of all columns, None for data without names.
        names_path: The file that they come from.
        gaps: What a missing number is, and what stands in for it.
    """

    num_columns: int
    features: tuple[int, ...]
    dtype: str = "float32"
    label: int | None = None
    targets: Targets | None = None
    keep: tuple[int, ...] = ()
    names: tuple[str, ...] | None = None
    names_path: str = ""
    gaps: Gaps = field(default_factory=Gaps)

    @cached_property
    def feature_set(self) -> frozenset[int]:
        """The feature columns, to look one up among many."""
        return frozenset(self.features)

    @cached_property
    def others(self) -> tuple[int, ...]:
        """The columns that are no features, in the order of the file."""
        return tuple(sorted(set(range(self.num_columns)) - self.feature_set))

    @cached_property
    def feature_index(self) -> slice | list[int]:
        """What takes the features out of all columns: a slice where they are neighbours."""
        first, last = self.features[0], self.features[-1]
        if self.features == tuple(range(first, last + 1)):
            return slice(first, last + 1)
        return list(self.features)

    @cached_property
    def used(self) -> tuple[int, ...]:
        """The columns that are read at all, each once, in the order of the file."""
        label = () if self.label is None else (self.label,)
        return tuple(sorted({*self.features, *self.keep, *label}))

    def name(self, column: int) -> str:
        """Name a column for a message: ``"petal width" (column 3)`` or ``column 3``."""
        return f'"{self.names[column]}" (column {column})' if self.names else f"column {column}"


@dataclass(frozen=True)
class ColumnChoice:
    """What the user says about the columns.

    Attributes:
        label: The label's column; None: rows are only predicted.
        features: In the order of the model's input; None: all columns that are left.
        keep: Columns that are carried along as text.
        class_names: The classes in the order of the model's outputs, None: from the data.
        missing: Texts and numbers that mean a missing number; None: the usual ones.
        fills: Pairs of a column, None for all features, and what stands in for its missing numbers.
    """

    label: int | str | None = -1
    features: Sequence[Selector] | None = None
    keep: Sequence[Selector] = ()
    class_names: tuple[str, ...] | None = None
    missing: frozenset[str] | None = None
    fills: tuple[tuple[Selector | None, float], ...] = ()


@dataclass(frozen=True)
class Head:
    """The beginning of the data, as text.

    Attributes:
        path: The first file that has any rows or names.
        num_columns: Columns of its first record.
        names: Names of the columns, None for data without.
        rows: The cells of the first rows; a row may be of another width.
        kinds: What each column holds that cannot be a feature, empty for the others; None where
            only its cells tell.
    """

    path: str
    num_columns: int
    names: tuple[str, ...] | None = None
    rows: tuple[tuple[str, ...], ...] = ()
    kinds: tuple[str, ...] | None = None

    @cached_property
    def with_name(self) -> dict[str, list[int]]:
        """The columns of each name."""
        return _places(self.names or ())

    @cached_property
    def with_stripped_name(self) -> dict[str, list[int]]:
        """The columns of each name, blanks around it left out."""
        return _places(name.strip() for name in self.names or ())


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places


def resolve(choice: ColumnChoice, head: Head, dtype: str) -> Columns:
    """Find the columns that the user means.

    Args:
        choice: What the user says.
        head: The beginning of the data.
        dtype: numpy name of the dtype of the model's input.

    Raises:
        DataError: The data has no such column, or one has two roles.
    """
    label = None if choice.label is None else _find(choice.label, "-labelIndex", head)
    keep = _find_all(choice.keep, "-keepColumns", head)
    if choice.features is None:
        taken = {label, *keep}
        features = tuple(c for c in range(head.num_columns) if c not in taken)
    else:
        features = _find_all(choice.features, "-featureIndices", head)
    _check_roles(features, keep, label, head.names)
    if not features:
        count = "one column" if head.num_columns == 1 else f"{head.num_columns} columns"
        is_text = all("\\x" not in cell for row in head.rows for cell in row)
        hint = "" if is_text else "; it is not UTF-8: save the file as UTF-8 text"
        raise DataError(f"{head.path} has {count}, and none is left for the features{hint}")
    return Columns(
        num_columns=head.num_columns,
        features=features,
        dtype=dtype,
        label=label,
        targets=None if choice.class_names is None else LabelCodes(choice.class_names),
        keep=keep,
        names=head.names,
        names_path=head.path,
        gaps=Gaps(choice.missing, _fills(choice, features, head, dtype)),
    )


def _fills(
    choice: ColumnChoice, features: Sequence[int], head: Head, dtype: str
) -> dict[int, float]:
    """Find the columns whose missing numbers something stands in for.

    Raises:
        DataError: One is no feature, is named twice, or the model's input cannot hold the number.
    """
    found: dict[int, float] = {}
    for selector, number in choice.fills:
        if not_representable(np.array([number]), np.dtype(dtype))[0]:
            raise DataError(f"-fillMissing {number:g}: the model's input ({dtype}) cannot hold it")
        if selector is None:
            found = dict.fromkeys(features, number)
            continue
        for column in _find_all([selector], "-fillMissing", head):
            name = f'"{head.names[column]}" (column {column})' if head.names else f"column {column}"
            if column not in features:
                raise DataError(f"-fillMissing: {name} is no feature")
            if column in found:
                raise DataError(f"-fillMissing names {name} more than once")
            found[column] = number
    return found


def _check_roles(
    features: Sequence[int], keep: Sequence[int], label: int | None, names: Sequence[str] | None
) -> None:
    roles: dict[int, str] = {} if label is None else {label: "the label (-labelIndex)"}
    for columns, role in (
        (features, "a feature (-featureIndices)"),
        (keep, "kept (-keepColumns)"),
    ):
        for column in columns:
            if column in roles:
                name = f'"{names[column]}" (column {column})' if names else f"column {column}"
                raise DataError(f"{name} is both {roles[column]} and {role}: a column has one role")
            roles[column] = role


def _find_all(selectors: Sequence[Selector], option: str, head: Head) -> tuple[int, ...]:
    found: list[int] = []
    for selector in selectors:
        if isinstance(selector, tuple):
            first = _find(selector[0], option, head)
            found += range(first, _find(selector[1], option, head) + 1)
        else:
            found.append(_find(selector, option, head))
    repeated = [column for column, times in Counter(found).items() if times > 1]
    if repeated:
        raise DataError(f"{option} names column {min(repeated)} more than once")
    return tuple(found)


def _find(selector: int | str, option: str, head: Head) -> int:
    if isinstance(selector, int):
        return _find_index(selector, option, head)
    matches = head.with_name.get(selector, ()) or head.with_stripped_name.get(selector.strip(), ())
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DataError(
            f"{option} {selector}: {len(matches)} columns of {head.path} have that name; "
            "give the index"
        )
    if head.names is None:
        raise DataError(
            f"{option} {selector}: {head.path} is read without a header; pass -header true"
        )
    names = head.names
    shown = ", ".join(names[:_MAX_SHOWN_NAMES]) + (", ..." if len(names) > _MAX_SHOWN_NAMES else "")
    is_utf8 = selector.isascii() or not any("\\x" in name for name in names)
    hint = "" if is_utf8 else "; it is not UTF-8: save the file as UTF-8, or give the index"
    raise DataError(f"{option} {selector}: the header of {head.path} has {shown}{hint}")


def _find_index(index: int, option: str, head: Head) -> int:
    num_columns = head.num_columns
    if not -num_columns <= index < num_columns:
        raise DataError(
            f"{option} {index}: {head.path} has {num_columns} columns, "
            f"0 to {num_columns - 1} (or -{num_columns} to -1 from the end)"
        )
    return index % num_columns
