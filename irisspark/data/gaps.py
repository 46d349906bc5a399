"""Which cells of a table hold no number, and what stands in for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irisspark.data.cells import MISSING_TEXTS, is_missing, is_missing_label, parse_number

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Gaps:
    """What the user says about missing numbers.

    Attributes:
        missing: Texts that mean one, blanks around them left out, and numbers, however they are
            written; None for the usual texts, in any case.
        fills: What stands in for a missing number, by column; in a column that is not there a
            missing number makes a bad row.
    """

    missing: frozenset[str] | None = None
    fills: Mapping[int, float] = field(default_factory=dict)

    @cached_property
    def _numbers(self) -> Array:
        """The numbers among ``missing``, float64."""
        numbers = (parse_number(text) for text in self.missing or ())
        return np.array(sorted({n for n in numbers if n is not None}), dtype=np.float64)

    @property
    def names_numbers(self) -> bool:
        """Tell whether a number may mean that there is none."""
        return len(self._numbers) > 0

    @cached_property
    def null_texts(self) -> list[str]:
        """What a parser of numbers may take for null; the empty text alone if nothing is filled.

        Other spellings are found text by text.
        """
        if not self.fills:
            return [""]
        if self.missing is not None:
            return sorted(self.missing)
        spelt = (spell(text) for text in MISSING_TEXTS for spell in (str, str.upper, str.title))
        return sorted({*spelt, "nan", "NaN", "NAN"})

    def is_missing(self, text: str, number: float | None = None) -> bool:
        """Tell whether a cell's text, or the ``number`` that it is, means a missing number."""
        if self.missing is None:
            return is_missing(text)
        return text.strip() in self.missing or (number is not None and number in self._numbers)

    def is_filled(self, text: str) -> bool:
        """Tell whether something may stand in for a text; not a number is missing then, too."""
        return is_missing_label(text) if self.missing is None else text.strip() in self.missing

    @property
    def is_nan_missing(self) -> bool:
        """Tell whether something may stand in for a NaN of a file that knows numbers."""
        return self.is_filled("nan") or self.is_filled("NaN")

    def texts(self, encoded: pa.DictionaryArray) -> Array:
        """Give the bytes of texts, [rows]; nothing for a null and what means a missing one.

        Raises:
            pyarrow.ArrowInvalid: A text is not UTF-8.
        """
        known = encoded.dictionary.cast(pa.binary()).cast(pa.utf8()).to_pylist()
        missing = self.missing or ()
        texts = [b"" if text.strip() in missing else text.encode() for text in known]
        codes = encoded.indices.fill_null(len(texts)) if encoded.null_count else encoded.indices
        made: Array = np.array([*texts, b""], dtype=object)
        taken: Array = made[codes.to_numpy(zero_copy_only=False)]
        return taken

    def named(self, values: Array) -> Mask | None:
        """Mark the numbers that mean a missing one; None where no number does."""
        if not self.names_numbers:
            return None
        if values.dtype.kind == "f":
            return np.isin(values, self._numbers.astype(values.dtype))
        return np.isin(values, [int(n) for n in self._numbers if n.is_integer()])

    def fill(
        self, column: int, values: Array, is_gap: Mask | None = None
    ) -> tuple[Array, Mask | None, Mask | None]:
        """Put in what stands for the missing numbers of a column.

        Args:
            column: The column.
            values: Its numbers; what stands in gaps does not matter.
            is_gap: Which cells are missing beside the numbers that mean it; None for no cell.

        Returns:
            (the numbers, which of them are missing still, which were put in), None for no cell.
        """
        named = self.named(values)
        if named is not None:
            is_gap = named if is_gap is None else named | is_gap
        if is_gap is None or not is_gap.any():
            return values, None, None
        stand_in = self.fills.get(column)
        if stand_in is None:
            return values, is_gap, None
        return _with(values, is_gap, stand_in), None, is_gap


def _with(values: Array, is_gap: Mask, number: float) -> Array:
    """Give the values with a number in the gaps; integers stay integers where they can."""
    if values.dtype.kind in "iu":
        least = np.min_scalar_type(int(number)) if number.is_integer() else np.dtype(np.float64)
        values = values.astype(np.result_type(values.dtype, least))
    filled: Array = np.where(is_gap, values.dtype.type(number), values)
    return filled


@dataclass(frozen=True)
class FilledCells:
    """How many missing numbers something stands in for, by column; ``+`` adds two parts up."""

    counts: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Of all columns."""
        return sum(self.counts.values())

    def __add__(self, other: FilledCells) -> FilledCells:
        """Add the cells of two parts of the input up."""
        columns = sorted({*self.counts, *other.counts})
        return FilledCells({c: self.counts.get(c, 0) + other.counts.get(c, 0) for c in columns})
