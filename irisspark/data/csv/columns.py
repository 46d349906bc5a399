"""Which column of the input is what, and what the text of a label stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(NUMBER_PATTERN)
_MAX_SHOWN_CHARS = 60


def parse_number(text: str) -> float | None:
    """Read a decimal number as ``pyarrow.csv`` would; None for anything else, nan and inf too."""
    stripped = text.strip(" \t")
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def shorten(text: str) -> str:
    """Cut a text to what a message can show."""
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 3] + "..."


@dataclass(frozen=True)
class LabelCodes:
    """From the text of a label to the index of its class.

    A text stands for the class of that name, or for the class whose name is the same number:
    ``2``, ``2.0``, ``" 2 "`` and ``2e0`` all mean the class ``2``.

    Attributes:
        class_names: The classes in the order of the model's outputs.
    """

    class_names: tuple[str, ...]

    @cached_property
    def _by_text(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.class_names)}

    @cached_property
    def _by_number(self) -> dict[float, int]:
        numbers = ((parse_number(name), index) for index, name in enumerate(self.class_names))
        return {number: index for number, index in numbers if number is not None}

    def encode(self, text: str) -> int | None:
        """Give the class index of a label's text, None where no class has that name."""
        index = self._by_text.get(text)
        if index is None:
            index = self._by_text.get(text.strip())
        if index is None and self._by_number:
            number = parse_number(text)
            index = None if number is None else self._by_number.get(number)
        return index


@dataclass(frozen=True)
class Columns:
    """Which column of the input is what.

    Attributes:
        num_columns: Columns in every row.
        features: Indices of the feature columns, in the order of the model's input.
        dtype: numpy name of the dtype of the model's input.
        label: Index of the label column, None where rows are only predicted.
        labels: How a label's text becomes a class index; None as ``label``.
        keep: Indices of the columns that are carried along as text.
        names: The header's names, None for a file without one.
        header_path: The file that they come from.
        delimiter: One ASCII character.
        header: True where the first line of each file is a header.
        multi_line: True where quoted fields may hold line breaks.
    """

    num_columns: int
    features: tuple[int, ...]
    dtype: str = "float32"
    label: int | None = None
    labels: LabelCodes | None = None
    keep: tuple[int, ...] = ()
    names: tuple[str, ...] | None = None
    header_path: str = ""
    delimiter: str = ","
    header: bool = False
    multi_line: bool = False

    @property
    def used(self) -> tuple[int, ...]:
        """The columns that are read at all, each once, in the order of the file."""
        label = () if self.label is None else (self.label,)
        return tuple(sorted({*self.features, *self.keep, *label}))

    def name(self, column: int) -> str:
        """Name a column for a message: ``"petal width" (column 3)`` or ``column 3``."""
        return f'"{self.names[column]}" (column {column})' if self.names else f"column {column}"
