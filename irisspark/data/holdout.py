"""Which rows are held out for validation: a question about a row's place, not about its value.

The answer for a row never depends on how the files are cut or on which worker reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from irisspark.scattering import mix

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Holdout(Protocol):
    """Tells the rows that are held out from the others."""

    @property
    def first_place(self) -> tuple[int, int]:
        """(file index, position) before which no row is held out."""

    def mask(self, file_index: int, positions: Ints) -> Mask:
        """Give bool [rows], True where the row at that position of the file is held out."""


@dataclass(frozen=True)
class HashedRows:
    """Holds a fraction of the rows out, each by a hash of (seed, file, position)."""

    seed: int
    fraction: float

    @property
    def first_place(self) -> tuple[int, int]:
        """The first row may be held out."""
        return (0, 0)

    def mask(self, file_index: int, positions: Ints) -> Mask:
        """Give bool [rows], True where the row at that position of the file is held out."""
        mixed = mix(mix(np.uint64(self.seed)) + np.uint64(file_index))
        uniform = (mix(mixed + positions.astype(np.uint64)) >> np.uint64(11)).astype(np.float64)
        held: Mask = uniform * 2.0**-53 < self.fraction
        return held


@dataclass(frozen=True)
class LastRows:
    """Holds out the row at (file_index, position) and all rows behind it."""

    file_index: int
    position: int

    @property
    def first_place(self) -> tuple[int, int]:
        """The first row that is held out."""
        return (self.file_index, self.position)

    def mask(self, file_index: int, positions: Ints) -> Mask:
        """Give bool [rows], True where the row at that position of the file is held out."""
        if file_index == self.file_index:
            held: Mask = positions >= self.position
            return held
        return np.full(len(positions), file_index > self.file_index)
