"""The curves of a class against the rest, from the histogram of its scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irisspark.metrics.eval_counts import IntArray
from irisspark.metrics.sparse_counts import SparseCounts

Float64Array = npt.NDArray[np.float64]

MAX_POINTS = 200
"""Points of a curve: no more can be seen, and a page of many curves stays small."""


@dataclass(frozen=True, eq=False)
class Curves:
    """A class's curves over falling thresholds, thinned out to ``MAX_POINTS``.

    Attributes:
        false_positive_rate: float64 [points], from 0 to 1.
        true_positive_rate: float64 [points], which is the recall too.
        precision: float64 [points], 1 at the first one, where nothing is found.
    """

    false_positive_rate: Float64Array
    true_positive_rate: Float64Array
    precision: Float64Array


def curves_of(score_bins: SparseCounts | None) -> dict[int, Curves]:
    """Give the curves of each class, or label, that some rows have and some have not.

    None exist above ``MAX_BINNED_CLASSES`` of them, where scores are not binned.
    """
    if score_bins is None:
        return {}
    histograms = score_bins.dense()
    return {
        index: curves(negatives, positives)
        for index, (negatives, positives) in enumerate(histograms)
        if negatives.any() and positives.any()
    }


def curves(negatives: IntArray, positives: IntArray) -> Curves:
    """Trace the curves of one class.

    Args:
        negatives: int64 [bins], rows of other classes by score, lowest first.
        positives: int64 [bins], the class's own rows.
    """
    used = np.flatnonzero(negatives + positives)[::-1]
    false = np.concatenate([[0.0], np.cumsum(negatives[used], dtype=np.float64)])
    true = np.concatenate([[0.0], np.cumsum(positives[used], dtype=np.float64)])
    precision = np.ones_like(true)
    precision[1:] = true[1:] / (true[1:] + false[1:])
    rates = false / false[-1], true / true[-1]
    kept = _thinned(*rates, precision)
    return Curves(rates[0][kept], rates[1][kept], precision[kept])


def _thinned(*values: Float64Array) -> IntArray:
    """Choose points that lie about equally far apart along the curves, the last one too."""
    if len(values[0]) <= MAX_POINTS:
        return np.arange(len(values[0]))
    steps = np.sum([np.abs(np.diff(one, prepend=one[0])) for one in values], axis=0)
    way = np.cumsum(steps)
    places = np.linspace(0.0, way[-1], MAX_POINTS)
    last = len(way) - 1
    kept: IntArray = np.unique(np.append(np.minimum(np.searchsorted(way, places), last), last))
    return kept
