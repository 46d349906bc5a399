"""What a label stands for: from its text to the number that the model's output is held against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from irisspark.data.cells import parse_number


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


def numeric_class_names(num_classes: int) -> tuple[str, ...]:
    """Name the classes that integer labels stand for: ``0`` to ``num_classes - 1``."""
    return tuple(str(index) for index in range(num_classes))
