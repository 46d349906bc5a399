"""Arrays of counts that are mostly zeros, held and shipped as the cells that are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
AnyIntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class SparseCounts:
    """The cells of an array of counts that are not zero.

    Attributes:
        shape: shape of the array.
        cells: int64 [cells], ascending positions in the flattened array.
        counts: int64 [cells], what stands there.
    """

    shape: tuple[int, ...]
    cells: IntArray
    counts: IntArray

    @classmethod
    def from_dense(cls, array: IntArray) -> SparseCounts:
        """Take the cells of an int64 array."""
        flat = array.reshape(-1)
        cells = np.flatnonzero(flat)
        return cls(array.shape, cells, flat[cells])

    def dense(self) -> IntArray:
        """Return the whole array: int64 of ``shape``."""
        array = np.zeros(self.shape, dtype=np.int64)
        self.add_to(array)
        return array

    def add_to(self, array: IntArray) -> None:
        """Add the counts to a contiguous int64 array of ``shape``, in place.

        Raises:
            ValueError: the shapes differ.
        """
        if array.shape != self.shape:
            raise ValueError(f"counts of shape {self.shape} do not fit {array.shape}")
        array.reshape(-1)[self.cells] += self.counts

    def __eq__(self, other: object) -> bool:
        """Compare cell by cell."""
        if not isinstance(other, SparseCounts):
            return NotImplemented
        return (
            self.shape == other.shape
            and np.array_equal(self.cells, other.cells)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as distances between cells and their counts, in the smallest integers that do."""
        gaps = np.diff(self.cells, prepend=0)
        return _unpack, (self.shape, _narrow(gaps), _narrow(self.counts))


def _narrow(values: IntArray) -> AnyIntArray:
    largest = int(values.max(initial=0))
    return values.astype(np.min_scalar_type(largest))


def _unpack(shape: tuple[int, ...], gaps: AnyIntArray, counts: AnyIntArray) -> SparseCounts:
    return SparseCounts(shape, np.cumsum(gaps, dtype=np.int64), counts.astype(np.int64))
