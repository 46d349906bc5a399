"""What a model takes: one input of numbers, or inputs that are told by their names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_SINGLE = frozenset(["float16", "bfloat16", "float32"])


@dataclass(frozen=True)
class ModelInput:
    """An input that is told by its name: one of several, or of text.

    Attributes:
        name: As Keras and the user call it.
        shape: Of a row.
        dtype: Name of its dtype.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def is_text(self) -> bool:
        """Tell whether it takes text."""
        return self.dtype == "string"

    @property
    def size(self) -> int:
        """How many columns a row of it is made of."""
        return math.prod(self.shape)


def block_dtype(inputs: Sequence[ModelInput]) -> str:
    """Choose the dtype of a block that holds the columns of several inputs.

    A float32 does not hold whole numbers above 2**24, a float64 those up to 2**53.
    """
    numbers = [one for one in inputs if not one.is_text]
    return "float32" if all(one.dtype in _SINGLE for one in numbers) else "float64"
