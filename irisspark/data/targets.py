"""What a row is judged by: from the text of a label to what the model's output is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from irisspark.data.cells import decode, parse_number, with_point
from irisspark.data.gaps import Gaps
from irisspark.data.numbers import convert_numbers

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class Targets(Protocol):
    """Makes the array of targets of a column of labels.

    Attributes:
        of_classes: True where the text of a label names a class, False where it is a number.
    """

    of_classes: ClassVar[bool]

    @property
    def arrow_type(self) -> pa.DataType:
        """What a reader parses the column as, if it can, before it gives it to ``convert``."""

    def convert(self, cells: pa.Array) -> Array | None:
        """Give [rows] targets of cells of ``arrow_type``; None where a cell is none."""

    def convert_bytes(self, cells: pa.Array) -> tuple[Array, Mask]:
        """Give ([rows] targets, bool [rows] that marks the cells that are none), of raw bytes."""

    def join(self, columns: Sequence[Array]) -> tuple[Array, Mask | None]:
        """Make the labels of rows of the targets in each of their columns.

        Returns:
            ([rows] or [rows, columns], bool [rows] that marks what only together is no label, or
            None for none).
        """


@dataclass(frozen=True)
class LabelCodes:
    """From the text of a label to the index of its class.

    A text stands for the class of that name, or for the class whose name is the same number:
    ``2``, ``2.0``, ``" 2 "`` and ``2e0`` all mean the class ``2``.

    Attributes:
        class_names: The classes in the order of the model's outputs.
        decimal: What stands before the digits of a fraction in a label.
    """

    of_classes: ClassVar[bool] = True
    class_names: tuple[str, ...]
    decimal: str = "."

    @cached_property
    def _by_text(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.class_names)}

    @cached_property
    def _by_number(self) -> dict[float, int]:
        numbers = ((parse_number(name), index) for index, name in enumerate(self.class_names))
        return {number: index for number, index in numbers if number is not None}

    @property
    def arrow_type(self) -> pa.DataType:
        """Each distinct text is looked up once."""
        return pa.dictionary(pa.int32(), pa.utf8())

    def convert(self, cells: pa.Array) -> Array | None:
        """Give int64 [rows], the classes of dictionary-encoded texts; None if one has no class."""
        codes = [self.encode(text) for text in cells.dictionary.to_pylist()]
        if None in codes:
            return None
        classes: Array = np.array(codes, dtype=np.int64)[np.from_dlpack(cells.indices)]
        return classes

    def convert_bytes(self, cells: pa.Array) -> tuple[Array, Mask]:
        """Give (int64 [rows], the classes, -1 for none; bool [rows], whether there is none)."""
        encoded = cells.dictionary_encode()
        codes = [self._encode_bytes(cell) for cell in encoded.dictionary.to_pylist()]
        classes = np.array(codes, dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
        return classes, classes < 0

    def join(self, columns: Sequence[Array]) -> tuple[Array, None]:
        """Give the classes of the one column."""
        (labels,) = columns
        return labels, None

    def _encode_bytes(self, cell: bytes) -> int:
        text = decode(cell)
        index = None if text is None else self.encode(text)
        return -1 if index is None else index

    def encode(self, text: str) -> int | None:
        """Give the class index of a label's text, None where no class has that name."""
        index = self._by_text.get(text)
        if index is None:
            index = self._by_text.get(text.strip())
        if index is None and self._by_number:
            number = parse_number(with_point(text, self.decimal))
            index = None if number is None else self._by_number.get(number)
        return index


@dataclass(frozen=True)
class Quantities:
    """Labels that are numbers, float64, and not classes.

    Attributes:
        gaps: Which numbers mean that there is none.
    """

    of_classes: ClassVar[bool] = False
    gaps: Gaps = field(default_factory=Gaps)

    @property
    def arrow_type(self) -> pa.DataType:
        """A number."""
        return pa.float64()

    def convert(self, cells: pa.Array) -> Array | None:
        """Give float64 [rows]; None if one is missing, or not finite."""
        if cells.null_count:
            return None
        values: Array = np.from_dlpack(cells)
        named = self.gaps.named(values)
        is_whole = np.isfinite(values).all() and (named is None or not named.any())
        return values if is_whole else None

    def convert_bytes(self, cells: pa.Array) -> tuple[Array, Mask]:
        """Give (float64 [rows], 0 for none; bool [rows], whether there is none)."""
        values, is_bad, _ = convert_numbers(cells, np.dtype(np.float64))
        named = self.gaps.named(values)
        return values, is_bad if named is None else is_bad | named

    def join(self, columns: Sequence[Array]) -> tuple[Array, Mask | None]:
        """Put the columns side by side; one alone is [rows]."""
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1), None


@dataclass(frozen=True)
class Marks(Quantities):
    """Labels of 0 and 1, a column each: int64 [rows, columns]."""

    def convert(self, cells: pa.Array) -> Array | None:
        """Give float64 [rows] of 0 and 1; None if there is anything else."""
        values = super().convert(cells)
        return None if values is None or _are_no_marks(values).any() else values

    def convert_bytes(self, cells: pa.Array) -> tuple[Array, Mask]:
        """Give (float64 [rows], bool [rows], whether a cell is neither 0 nor 1)."""
        values, is_bad = super().convert_bytes(cells)
        return values, is_bad | _are_no_marks(values)

    def join(self, columns: Sequence[Array]) -> tuple[Array, Mask | None]:
        """Put the columns side by side."""
        with np.errstate(invalid="ignore"):  # of what is bad
            return np.stack(columns, axis=1).astype(np.int64), None


class OneHot(Marks):
    """Classes, a column of 0 and 1 each: int64 [rows], the column that holds the 1."""

    def join(self, columns: Sequence[Array]) -> tuple[Array, Mask | None]:
        """Give the classes, and the rows that have none, or several."""
        marks, _ = super().join(columns)
        return marks.argmax(axis=1), marks.sum(axis=1) != 1


@dataclass(frozen=True)
class JointTargets:
    """What the labels of several outputs become: float64 [rows, numbers], side by side.

    Attributes:
        parts: For each output what its labels become, and of how many columns.
    """

    of_classes: ClassVar[bool] = False
    parts: tuple[tuple[Targets, int], ...]

    def of(self, place: int) -> Targets:
        """Give what the label column of a place, among all of them, becomes."""
        return next(
            targets for (targets, _), end in zip(self.parts, self._ends, strict=True) if place < end
        )

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return tuple(accumulate(number for _, number in self.parts))

    def join(self, columns: Sequence[Array]) -> tuple[Array, Mask | None]:
        """Put the labels of the outputs side by side; a row is bad that is bad for one of them."""
        joined, is_bad = [], None
        for (targets, number), end in zip(self.parts, self._ends, strict=True):
            labels, unfit = targets.join(columns[end - number : end])
            joined.append(labels.reshape(len(labels), -1).astype(np.float64))
            if unfit is not None:
                is_bad = unfit if is_bad is None else is_bad | unfit
        return np.concatenate(joined, axis=1), is_bad


def _are_no_marks(values: Array) -> Mask:
    are_none: Mask = (values != 0) & (values != 1)
    return are_none


def numeric_class_names(num_classes: int) -> tuple[str, ...]:
    """Name the classes that integer labels stand for: ``0`` to ``num_classes - 1``."""
    return tuple(str(index) for index in range(num_classes))


def is_text(type_: pa.DataType) -> bool:
    """Tell whether cells hold text, or bytes that nothing is said about."""
    if types.is_dictionary(type_):
        return is_text(type_.value_type)
    of_text = (types.is_string, types.is_large_string, types.is_string_view)
    of_bytes = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(is_such(type_) for is_such in (*of_text, *of_bytes))


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Give the type that cells are kept as: text is ``utf8``, and nothing is a dictionary."""
    if is_text(type_):
        return pa.utf8()
    return type_.value_type if types.is_dictionary(type_) else type_


def plain_cells(cells: pa.Array) -> pa.Array:
    """Give cells as ``plain_type``.

    Raises:
        pyarrow.ArrowInvalid: A text is not UTF-8.
    """
    if is_text(cells.type):
        cells = cells.cast(pa.binary())  # the texts of a file are not checked on their way here
    return cells.cast(plain_type(cells.type))


def as_label_texts(cells: pa.Array) -> pa.Array:
    """Write cells of any type as the texts of labels: booleans as 1 and 0.

    Raises:
        pyarrow.ArrowInvalid: A text is not UTF-8.
    """
    cells = plain_cells(cells)
    return cells.cast(pa.uint8() if types.is_boolean(cells.type) else cells.type).cast(pa.utf8())
