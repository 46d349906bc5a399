"""What each column of the input is for: what the user says, held against the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.data.gaps import Gaps
from irisspark.data.numbers import not_representable
from irisspark.data.targets import JointTargets, LabelCodes, Targets
from irisspark.errors import DataError
from irisspark.model.inputs import ModelInput

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
        label: Index of the label column, the first one of several; None where rows are only
            predicted.
        more_labels: Indices of the label columns behind it, in the order of the model's outputs.
        targets: What the text of a label becomes; None as ``label``.
        keep: Indices of the columns that are carried along as text.
        names: Of all columns, None for data without names.
        names_path: The file that they come from.
        gaps: What a missing number is, and what stands in for it.
        inputs: Name and columns of each of a model's inputs, where it has several.
        own_dtypes: numpy names of what the inputs take that is not ``dtype``, by column.
        texts: The features that go to the model as text, in the order of its inputs.
        outputs: Name and label columns of each output, where labels of several are named.
    """

    num_columns: int
    features: tuple[int, ...]
    dtype: str = "float32"
    label: int | None = None
    more_labels: tuple[int, ...] = ()
    targets: Targets | JointTargets | None = None
    keep: tuple[int, ...] = ()
    names: tuple[str, ...] | None = None
    names_path: str = ""
    gaps: Gaps = field(default_factory=Gaps)
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    own_dtypes: Mapping[int, str] = field(default_factory=dict)
    texts: tuple[int, ...] = ()
    outputs: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @cached_property
    def feature_set(self) -> frozenset[int]:
        """The feature columns, to look one up among many."""
        return frozenset(self.features)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The features that are numbers, in the order of the model's inputs."""
        return (
            tuple(c for c in self.features if c not in self.texts) if self.texts else self.features
        )

    @cached_property
    def number_set(self) -> frozenset[int]:
        """The same, to look one up among many."""
        return frozenset(self.numbers)

    def rows(self, numbers: npt.NDArray[Any], texts: Sequence[npt.NDArray[Any]]) -> Any:
        """Put the features of rows together.

        Args:
            numbers: [rows, numbers].
            texts: Bytes, [rows] for each of ``texts``.

        Returns:
            ``numbers``, or where there are texts [rows] with a field for either.
        """
        if not self.texts:
            return numbers
        fields = [("numbers", numbers.dtype, numbers.shape[1:]), ("texts", "O", (len(self.texts),))]
        made = np.empty(len(numbers), dtype=np.dtype(fields))
        made["numbers"] = numbers
        for place, cells in enumerate(texts):
            made["texts"][:, place] = cells
        return made

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
        return tuple(sorted({*self.features, *self.keep, *self.labels}))

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """All label columns, in the order of the model's outputs."""
        return () if self.label is None else (self.label, *self.more_labels)

    def target_of(self, column: int) -> Targets:
        """Give what the label in a column becomes."""
        assert self.targets is not None
        if isinstance(self.targets, JointTargets):
            return self.targets.of(self.labels.index(column))
        return self.targets

    def dtype_of(self, column: int) -> np.dtype[Any]:
        """Give the dtype of the input that takes a column."""
        return np.dtype(self.own_dtypes.get(column, self.dtype))

    def unfit(self, column: int, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        """Mark the numbers that the input cannot hold; None where a block of ``dtype`` shows it."""
        dtype = self.dtype_of(column)
        if dtype.kind == "f" and column not in self.own_dtypes:
            return None
        return not_representable(values, dtype)

    def taker(self, column: int) -> str:
        """Name what takes a column for a message: the model's input, by its name among several."""
        names = [name for name, columns in self.inputs if column in columns]
        return f"the model's input {names[0]!r}" if names else "the model's input"

    def name(self, column: int) -> str:
        """Name a column for a message: ``"petal width" (column 3)`` or ``column 3``."""
        return f'"{self.names[column]}" (column {column})' if self.names else f"column {column}"


@dataclass(frozen=True)
class ColumnChoice:
    """What the user says about the columns.

    Attributes:
        label: The label's column, or several in the order of the model's outputs; None: rows are
            only predicted.
        features: In the order of the model's input; None: all columns that are left.
        inputs: Name and columns of each input of a model with several; None: those of its name.
        keep: Columns that are carried along as text.
        class_names: The classes in the order of the model's outputs, None: from the data.
        missing: Texts and numbers that mean a missing number; None: the usual ones.
        outputs: Name and label columns of each of several outputs, in place of ``label``.
        fills: Pairs of a column, None for all features, and what stands in for its missing numbers.
    """

    label: int | str | tuple[Selector, ...] | None = -1
    features: Sequence[Selector] | None = None
    keep: Sequence[Selector] = ()
    class_names: tuple[str, ...] | None = None
    missing: frozenset[str] | None = None
    fills: tuple[tuple[Selector | None, float], ...] = ()
    inputs: tuple[tuple[str, tuple[Selector, ...]], ...] | None = None
    outputs: tuple[tuple[str, tuple[Selector, ...]], ...] = ()


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


def resolve(
    choice: ColumnChoice, head: Head, dtype: str, inputs: Sequence[ModelInput] = ()
) -> Columns:
    """Find the columns that the user means.

    Args:
        choice: What the user says.
        head: The beginning of the data.
        dtype: numpy name of the dtype of the model's input.
        inputs: Of a model that has several.

    Raises:
        DataError: The data has no such column, or one has two roles.
    """
    outputs = tuple(
        (name, _find_all(of_output, f"-labelIndex {name}", head))
        for name, of_output in choice.outputs
    )
    labels = tuple(c for _, of_output in outputs for c in of_output)
    labels = labels or _find_labels(choice.label, head)
    _check_distinct(labels)
    keep = _find_all(choice.keep, "-keepColumns", head)
    by_input = _find_inputs(choice, head, inputs)
    if inputs:
        features = tuple(column for _, columns in by_input for column in columns)
    elif choice.features is None:
        taken = {*labels, *keep}
        features = tuple(c for c in range(head.num_columns) if c not in taken)
    else:
        features = _find_all(choice.features, "-featureIndices", head)
    _check_roles(tuple(dict.fromkeys(features)), keep, labels, head.names)
    if not features:
        count = "one column" if head.num_columns == 1 else f"{head.num_columns} columns"
        is_text = all("\\x" not in cell for row in head.rows for cell in row)
        hint = "" if is_text else "; it is not UTF-8: save the file as UTF-8 text"
        raise DataError(f"{head.path} has {count}, and none is left for the features{hint}")
    columns = Columns(
        num_columns=head.num_columns,
        features=features,
        dtype=dtype,
        label=labels[0] if labels else None,
        more_labels=labels[1:],
        targets=None if choice.class_names is None else LabelCodes(choice.class_names),
        keep=keep,
        names=head.names,
        names_path=head.path,
        inputs=by_input,
        own_dtypes=_own_dtypes(by_input, inputs, dtype),
        texts=_texts(by_input, inputs),
        outputs=outputs,
    )
    return replace(columns, gaps=Gaps(choice.missing, _fills(choice, columns, head)))


def _find_labels(label: int | str | tuple[Selector, ...] | None, head: Head) -> tuple[int, ...]:
    if label is None:
        return ()
    if isinstance(label, tuple):
        return _find_all(label, "-labelIndex", head)
    return (_find(label, "-labelIndex", head),)


def _check_distinct(labels: Sequence[int]) -> None:
    """Refuse a column that holds the labels of two outputs, as a name and an index may tell.

    Raises:
        DataError: There is one.
    """
    if len(set(labels)) < len(labels):
        repeated = min(column for column, times in Counter(labels).items() if times > 1)
        raise DataError(f"-labelIndex names column {repeated} more than once")


def _find_inputs(
    choice: ColumnChoice, head: Head, inputs: Sequence[ModelInput]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Find the columns of each of several inputs: those that the user names, or of its name.

    Raises:
        DataError: An input has none, or another number than it takes, or there is no such input.
    """
    if not inputs:
        if choice.inputs is not None:
            raise DataError("-inputs: the model has one input; -featureIndices names its columns")
        return ()
    names = ", ".join(one.name for one in inputs)
    if choice.features is not None:
        raise DataError(
            f"-featureIndices: the columns of the model's inputs ({names}) are named with -inputs"
        )
    said = dict(choice.inputs or ())
    if strange := [name for name in said if name not in {one.name for one in inputs}]:
        raise DataError(f"-inputs {strange[0]}: the model has no such input, but {names}")
    if head.names is None and len(said) < len(inputs):
        missing = next(one.name for one in inputs if one.name not in said)
        raise DataError(
            f"the model takes {names}, and nothing says which columns {missing!r} takes: "
            f"pass -header true if line 1 of {head.path} names them, or "
            f"-inputs '{inputs[0].name}=0,...'"
        )
    return tuple((one.name, _find_input(one, said.get(one.name), head)) for one in inputs)


def _find_input(one: ModelInput, said: Sequence[Selector] | None, head: Head) -> tuple[int, ...]:
    if said is None and one.size == 1 and not _has_name(one.name, head):
        shown = _names_shown(head)
        raise DataError(
            f"the model's input {one.name!r} has no column of its name: {head.path} has {shown}; "
            f"pass -inputs '{one.name}=COLUMN'"
        )
    if said is None and one.size > 1:
        raise DataError(
            f"the model's input {one.name!r} takes {one.size} columns, {one.shape} a row: "
            f"name them with -inputs '{one.name}=FIRST-LAST'"
        )
    found = _find_all((one.name,) if said is None else said, f"-inputs {one.name}", head)
    if len(found) != one.size:
        number = "1 column" if one.size == 1 else f"{one.size} columns"
        raise DataError(
            f"-inputs {one.name}: the input takes {number}, {one.shape} a row, not {len(found)}"
        )
    return found


def _has_name(name: str, head: Head) -> bool:
    return name in head.with_name or name.strip() in head.with_stripped_name


def _texts(
    by_input: Sequence[tuple[str, Sequence[int]]], inputs: Sequence[ModelInput]
) -> tuple[int, ...]:
    """List the columns of the inputs of text.

    Raises:
        DataError: A column feeds an input of numbers, too.
    """
    found = [c for (_, of), one in zip(by_input, inputs, strict=True) if one.is_text for c in of]
    for (name, columns), one in zip(by_input, inputs, strict=True):
        both = [] if one.is_text else [c for c in columns if c in found]
        if both:
            raise DataError(
                f"-inputs: column {both[0]} feeds {name!r}, which takes numbers, and one of text"
            )
    return tuple(found)


def _own_dtypes(
    by_input: Sequence[tuple[str, Sequence[int]]], inputs: Sequence[ModelInput], dtype: str
) -> dict[int, str]:
    """Tell what columns must be that are not the block's dtype; integers where inputs differ."""
    found: dict[int, str] = {}
    for (_, columns), one in zip(by_input, inputs, strict=True):
        wanted = "float32" if one.dtype == "bfloat16" else one.dtype
        for column in columns if wanted not in (dtype, "string") else ():
            known = found.get(column, wanted)
            found[column] = known if np.dtype(known).kind != "f" else wanted
    return found


def _fills(choice: ColumnChoice, columns: Columns, head: Head) -> dict[int, float]:
    """Find the columns whose missing numbers something stands in for.

    Raises:
        DataError: One is no feature, is named twice, or the model's input cannot hold the number.
    """
    found: dict[int, float] = {}
    for selector, number in choice.fills:
        named = () if selector is None else _find_all([selector], "-fillMissing", head)
        for column in columns.numbers if selector is None else named:
            if column not in columns.number_set:
                raise DataError(f"-fillMissing: {columns.name(column)} is no feature of numbers")
            if column in found and selector is not None:
                raise DataError(f"-fillMissing names {columns.name(column)} more than once")
            dtype = columns.dtype_of(column)
            if not_representable(np.array([number]), dtype)[0]:
                where = f" for {columns.name(column)}" if columns.inputs else ""
                raise DataError(
                    f"-fillMissing {number:g}: {columns.taker(column)} ({dtype}) cannot hold it"
                    f"{where}"
                )
            found[column] = number
    return found


def _check_roles(
    features: Sequence[int],
    keep: Sequence[int],
    labels: Sequence[int],
    names: Sequence[str] | None,
) -> None:
    what = "the label (-labelIndex)" if len(labels) == 1 else "a label (-labelIndex)"
    roles = dict.fromkeys(labels, what)
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
    shown = _names_shown(head)
    is_utf8 = selector.isascii() or not any("\\x" in name for name in head.names)
    hint = "" if is_utf8 else "; it is not UTF-8: save the file as UTF-8, or give the index"
    raise DataError(f"{option} {selector}: the header of {head.path} has {shown}{hint}")


def _names_shown(head: Head) -> str:
    names = head.names or ()
    return ", ".join(names[:_MAX_SHOWN_NAMES]) + (", ..." if len(names) > _MAX_SHOWN_NAMES else "")


def _find_index(index: int, option: str, head: Head) -> int:
    num_columns = head.num_columns
    if not -num_columns <= index < num_columns:
        raise DataError(
            f"{option} {index}: {head.path} has {num_columns} columns, "
            f"0 to {num_columns - 1} (or -{num_columns} to -1 from the end)"
        )
    return index % num_columns
