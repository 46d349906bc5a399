"""What is counted about predictions on a worker, block by block.

The result is an ``EvalCounts``; ``scores`` makes every ratio from the sum of them, once, on
the driver.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.metrics.eval_counts import (
    MAX_BINNED_CLASSES,
    NUM_SUMS,
    RELIABILITY_BINS,
    SCORE_BINS,
    EvalCounts,
    IntArray,
)
from irisspark.metrics.sparse_counts import SparseCounts

FloatArray = npt.NDArray[np.floating[Any]]

# An inner edge belongs to the bin below it, as in scikit-learn's calibration_curve.
_INNER_EDGES = np.linspace(0.0, 1.0, RELIABILITY_BINS + 1)[1:-1]


class Tally:
    """Counts the blocks of one partition in place; ``counts`` is the frozen result."""

    def __init__(
        self, *, num_classes: int, top_n: int, probabilities: bool, partition: int
    ) -> None:
        """Begin with no rows.

        Args:
            num_classes: number of classes, C.
            top_n: a row is a hit where fewer than this many classes score higher than the true one.
            probabilities: whether the scores are probabilities.
            partition: index of the partition, the place of its float sums in the order of adding.
        """
        self._num_classes = num_classes
        self._top_n = top_n
        self._partition = partition
        self._confusion = np.zeros(num_classes**2, dtype=np.int64)
        self._top_n_hits = 0
        self._nan_rows = 0
        binned = num_classes <= MAX_BINNED_CLASSES
        self._bins = np.zeros((num_classes, 2 * SCORE_BINS), np.int64) if binned else None
        self._reliability = np.zeros((2, RELIABILITY_BINS), np.int64) if probabilities else None
        self._sums = np.zeros(NUM_SUMS)

    def add(
        self,
        y_true: IntArray,
        y_pred: IntArray,
        scores: FloatArray,
        losses: FloatArray | None,
    ) -> None:
        """Count a block of rows.

        Args:
            y_true: int64 [rows], true classes, 0 to C - 1.
            y_pred: int64 [rows], predicted classes.
            scores: float [rows, C] in [0, 1]; a row that is not finite counts as NaN.
            losses: float [rows], the model's own loss of each row; None where it has none.
        """
        # One sum tells whether any score is NaN; only then is it worth looking for the rows.
        if not np.isfinite(scores.sum(dtype=np.float64)):
            kept = np.isfinite(scores).all(axis=1)
            self._nan_rows += int(len(kept) - kept.sum())
            y_true, y_pred, scores = y_true[kept], y_pred[kept], scores[kept]
            losses = None if losses is None else losses[kept]
        if not len(y_true):
            return
        cells = y_true * self._num_classes + y_pred
        np.add.at(self._confusion, cells, 1)  # touches few pages of what may be gigabytes
        if self._top_n > 1:
            self._top_n_hits += _top_n_hits(y_true, scores, self._top_n)
        if self._bins is not None:
            self._count_bins(self._bins, y_true, scores)
        with np.errstate(invalid="ignore"):  # infinite losses of both signs make NaN
            self._sums[0] += math.nan if losses is None else losses.sum(dtype=np.float64)
        if self._reliability is not None:
            self._count_probabilities(self._reliability, y_true, y_pred, scores)

    def _count_bins(self, bins: IntArray, y_true: IntArray, scores: FloatArray) -> None:
        # Rounding in float32 moves a score by a bin at most and keeps the order of scores, which is
        # all that the ranking metrics need. A class at a time stays in the processor's cache.
        cells = (scores.T * scores.dtype.type(SCORE_BINS)).astype(np.int64, order="C")
        np.minimum(cells, SCORE_BINS - 1, out=cells)
        cells.reshape(-1)[y_true * len(y_true) + np.arange(len(y_true))] += SCORE_BINS
        for class_bins, class_cells in zip(bins, cells, strict=True):
            class_bins += np.bincount(class_cells, minlength=2 * SCORE_BINS)

    def _count_probabilities(
        self, reliability: IntArray, y_true: IntArray, y_pred: IntArray, scores: FloatArray
    ) -> None:
        errors = scores.astype(np.float64, order="C")
        flat, row_starts = errors.reshape(-1), np.arange(len(y_true)) * self._num_classes
        if self._num_classes == 2:
            predicted, observed = errors[:, 1].copy(), y_true == 1
        else:
            predicted, observed = flat[row_starts + y_pred], y_true == y_pred
        flat[row_starts + y_true] -= 1.0
        self._sums[1] += np.einsum("i,i->", flat, flat)  # the same sum whatever the threads
        bins = np.zeros(len(y_true), dtype=np.uint8)
        for edge in _INNER_EDGES:  # a third of the time of np.searchsorted
            bins += predicted > edge
        reliability[0] += np.bincount(bins, minlength=RELIABILITY_BINS)
        reliability[1] += np.bincount(bins[observed], minlength=RELIABILITY_BINS)
        self._sums[2:] += np.bincount(bins, weights=predicted, minlength=RELIABILITY_BINS)

    @property
    def counts(self) -> EvalCounts:
        """The counts so far; no rows have no entry in ``sums``."""
        confusion = self._confusion.reshape(self._num_classes, -1)
        shape = (self._num_classes, 2, SCORE_BINS)
        bins = None if self._bins is None else SparseCounts.from_dense(self._bins.reshape(shape))
        vector = self._sums.astype("<f8").tobytes()
        return EvalCounts(
            confusion=SparseCounts.from_dense(confusion).dense(),
            top_n_hits=self._top_n_hits,
            nan_rows=self._nan_rows,
            score_bins=bins,
            reliability=None if self._reliability is None else self._reliability.copy(),
            sums=((self._partition, vector),) if self._confusion.any() else (),
        )


def _top_n_hits(y_true: IntArray, scores: FloatArray, top_n: int) -> int:
    of_true = np.take_along_axis(scores, y_true[:, np.newaxis], axis=1)
    # A product is ten times as fast as a sum over short rows, and exact up to 2**24 classes.
    higher = (scores > of_true).astype(np.float32) @ np.ones(scores.shape[1], np.float32)
    return int((higher < top_n).sum())


def count(
    y_true: IntArray,
    y_pred: IntArray,
    scores: FloatArray,
    losses: FloatArray | None,
    *,
    num_classes: int,
    top_n: int,
    probabilities: bool,
    partition: int,
) -> EvalCounts:
    """Count one block of rows; the arguments are those of ``Tally`` and ``Tally.add``."""
    tally = Tally(
        num_classes=num_classes, top_n=top_n, probabilities=probabilities, partition=partition
    )
    tally.add(y_true, y_pred, scores, losses)
    return tally.counts
