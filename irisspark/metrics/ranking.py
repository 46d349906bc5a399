"""ROC AUC and average precision from a histogram of scores, each with a bound on its error.

Rows in one bin count as tied, which is what scikit-learn does with scores rounded to the bins. The
bounds hold for any order of the rows within their bins; scores of exactly 0 or 1 are no exception.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """How well a class's scores put its own rows first; None where that does not exist.

    The values cannot be further than the bounds from those of the scores before binning.
    """

    roc_auc: float | None
    roc_auc_error_bound: float | None
    average_precision: float | None
    average_precision_error_bound: float | None


def rank(negatives: IntArray, positives: IntArray) -> Ranking:
    """Rank one class against the rest.

    Args:
        negatives: int64 [bins], rows of other classes by score, lowest first.
        positives: int64 [bins], the class's own rows.
    """
    used = np.flatnonzero(negatives + positives)[::-1]
    # float64 holds counts up to 2**53 exactly, and does not overflow where they are multiplied.
    falls, hits = negatives[used].astype(np.float64), positives[used].astype(np.float64)
    num_negatives, num_positives = falls.sum(), hits.sum()
    if not num_positives:
        return Ranking(None, None, None, None)
    precision, precision_bound = _average_precision(falls, hits)
    if not num_negatives:
        return Ranking(None, None, precision, precision_bound)
    pairs = num_negatives * num_positives
    below = num_negatives - np.cumsum(falls)
    tied = float((hits * falls).sum() / pairs)
    area = float((hits * below).sum() / pairs)
    # A tied pair counts one half; in truth it counts 0, a half or 1.
    return Ranking(area + tied / 2, tied / 2, precision, precision_bound)


def _average_precision(falls: Float64Array, hits: Float64Array) -> tuple[float, float]:
    """Return the mean over positives of the precision at their score, and its error bound.

    The i-th positive of a bin has a precision of at most that at the last positive with no negative
    of the bin before it, and of at least g(TP + i) = (TP + i) / (TP + i + FP) with all of them
    before it, FP counting them. As g grows, the sum of all but the last is at least its integral.
    """
    num_positives = hits.sum()
    tp_after, fp_after = np.cumsum(hits), np.cumsum(falls)
    value = hits * tp_after / (tp_after + fp_after)
    upper = hits * tp_after / np.maximum(tp_after + fp_after - falls, 1)
    start = np.maximum(tp_after - hits + fp_after, 1)
    others = np.maximum(hits - 1, 0)
    all_but_last = others - fp_after * np.log1p(others / start)
    lower = np.where(hits > 0, all_but_last + tp_after / (tp_after + fp_after), 0)
    bound = max((upper - value).sum(), (value - lower).sum())
    return float(value.sum() / num_positives), float(bound / num_positives)
