"""``EvalCounts``, all that crosses machines about predictions, and how many of them add up.

Only counts and sums cross; ``scores`` makes every ratio from them, once, on the
driver. Integers add up exactly. Floats are kept one vector a partition and added up at the very
end, so that no order of arrival can show in the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irisspark.metrics.sparse_counts import SparseCounts

IntArray = npt.NDArray[np.int64]

SCORE_BINS = 10_000
"""Bins of the histogram of each class's scores, of equal width over [0, 1]."""

RELIABILITY_BINS = 10
"""Bins of the reliability table, of equal width over [0, 1]."""

MAX_BINNED_CLASSES = 256
"""Above this many classes no score histograms are kept: they would not pay for their memory."""

NUM_SUMS = 2 + RELIABILITY_BINS
"""Float sums of a partition: losses, squared errors, probabilities by reliability bin."""


@dataclass(frozen=True, eq=False)
class EvalCounts:
    """Everything that evaluating some rows leaves behind; ``+`` is associative and commutative.

    Attributes:
        confusion: int64 [C, C], rows by (true, predicted) class.
        top_n_hits: rows whose true class is among the N best scores; 0 where N is 1.
        nan_rows: rows whose prediction is not finite; they are in none of the other counts.
        score_bins: [C, 2, SCORE_BINS], each class's scores on rows of other classes, then on its
            own; None above MAX_BINNED_CLASSES classes.
        reliability: int64 [2, RELIABILITY_BINS], rows and those where the class was the one;
            None where scores are no probabilities. The class is class 1 where there are two
            classes, otherwise the predicted class.
        sums: (partition, vector) pairs in order. A vector is the bytes of float64
            [2 + RELIABILITY_BINS]: the sum of losses (NaN where the model has none), the sum of
            squared errors of the probabilities, the sum of the predicted probabilities by bin. As
            bytes they compare and pickle exactly.
    """

    confusion: IntArray
    top_n_hits: int
    nan_rows: int
    score_bins: SparseCounts | None
    reliability: IntArray | None
    sums: tuple[tuple[int, bytes], ...]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.confusion)

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        return int(self.confusion.sum())

    def __add__(self, other: EvalCounts) -> EvalCounts:
        """Return the counts of both sets of rows.

        Raises:
            ValueError: the two are of models with different outputs.
        """
        return total([self, other])

    def __eq__(self, other: object) -> bool:
        """Compare bit for bit."""
        if not isinstance(other, EvalCounts):
            return NotImplemented
        if self.reliability is None or other.reliability is None:
            same_reliability = self.reliability is other.reliability
        else:
            same_reliability = np.array_equal(self.reliability, other.reliability)
        return (
            same_reliability
            and np.array_equal(self.confusion, other.confusion)
            and (self.top_n_hits, self.nan_rows, self.sums, self.score_bins)
            == (other.top_n_hits, other.nan_rows, other.sums, other.score_bins)
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle small: the confusion matrix of a task of few rows is nearly all zeros."""
        packed = SparseCounts.from_dense(self.confusion)
        rest = (self.top_n_hits, self.nan_rows, self.score_bins, self.reliability, self.sums)
        return _unpack, (packed, *rest)

    def sum_vector(self) -> npt.NDArray[np.float64]:
        """Add the partitions' vectors up: float64 [2 + RELIABILITY_BINS], each correctly rounded.

        A sum that is infinite in both directions, or overflows, is NaN.
        """
        vectors = [np.frombuffer(vector, dtype="<f8") for _, vector in self.sums]
        if not vectors:
            return np.zeros(NUM_SUMS)
        return np.array([_exact_sum(column) for column in np.stack(vectors, axis=1)])


def _unpack(
    confusion: SparseCounts,
    top_n_hits: int,
    nan_rows: int,
    score_bins: SparseCounts | None,
    reliability: IntArray | None,
    sums: tuple[tuple[int, bytes], ...],
) -> EvalCounts:
    return EvalCounts(confusion.dense(), top_n_hits, nan_rows, score_bins, reliability, sums)


def _exact_sum(values: npt.NDArray[np.float64]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return math.nan


def no_counts(num_classes: int, *, probabilities: bool) -> EvalCounts:
    """Return the counts of no rows, which add nothing."""
    bins = np.zeros((num_classes, 2, SCORE_BINS), np.int64)
    return EvalCounts(
        confusion=np.zeros((num_classes, num_classes), np.int64),
        top_n_hits=0,
        nan_rows=0,
        score_bins=SparseCounts.from_dense(bins) if num_classes <= MAX_BINNED_CLASSES else None,
        reliability=np.zeros((2, RELIABILITY_BINS), np.int64) if probabilities else None,
        sums=(),
    )


def total(parts: Iterable[EvalCounts]) -> EvalCounts:
    """Add up many counts, holding one of them in memory at a time beside the sum.

    Raises:
        ValueError: there are none, or they are of models with different outputs.
    """
    remaining = iter(parts)
    first = next(remaining, None)
    if first is None:
        raise ValueError("no counts to add up")
    confusion = SparseCounts.from_dense(first.confusion).dense()
    bins = None if first.score_bins is None else first.score_bins.dense()
    reliability = None if first.reliability is None else first.reliability.copy()
    top_n_hits, nan_rows, sums = first.top_n_hits, first.nan_rows, list(first.sums)
    for part in remaining:
        if part.confusion.shape != confusion.shape or (part.reliability is None) != (
            reliability is None
        ):
            raise ValueError("counts of models with different outputs do not add up")
        SparseCounts.from_dense(part.confusion).add_to(confusion)
        if bins is not None and part.score_bins is not None:
            part.score_bins.add_to(bins)
        if reliability is not None and part.reliability is not None:
            reliability += part.reliability
        top_n_hits += part.top_n_hits
        nan_rows += part.nan_rows
        sums += part.sums
    packed = None if bins is None else SparseCounts.from_dense(bins)
    return EvalCounts(confusion, top_n_hits, nan_rows, packed, reliability, tuple(sorted(sums)))
