"""How well each row's scores put the labels that it has first: exact, a row at a time.

Averaged over rows it is scikit-learn's ``average="samples"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]


def rank_rows(
    y_true: npt.NDArray[np.int64], scores: npt.NDArray[np.floating[Any]]
) -> tuple[Float64Array, Float64Array]:
    """Rank the labels of each row.

    Args:
        y_true: int64 [rows, labels], 1 where a row has a label.
        scores: float32 [rows, labels], finite and not below 0.

    Returns:
        The ROC AUC of the rows that have some labels and not all, and the average precision of
        those that have some, each float64 and in the order of the rows.
    """
    num_labels = scores.shape[1]
    is_hit, is_first, is_last = _best_first(y_true, scores)
    place = np.arange(num_labels, dtype=np.int32)
    hits = np.cumsum(is_hit, axis=1, dtype=np.int32)
    num_hits = hits[:, -1]
    num_misses = num_labels - num_hits
    # What is counted up to a score, and before it, of scores that tie is the same.
    most, none = np.int32(num_labels), np.int32(0)
    hits_through, through = (
        np.minimum.accumulate(np.where(is_last, counts, most)[:, ::-1], axis=1)[:, ::-1]
        for counts in (hits, place + 1)
    )
    misses_before = np.maximum.accumulate(np.where(is_first, place - hits + is_hit, none), axis=1)
    misses_through = through - hits_through
    # Of a hit and a miss that tie it cannot be told which comes first: half a pair in order.
    in_order = num_misses[:, None] - (misses_through + misses_before) / 2
    num_pairs = num_hits * num_misses
    has_both, has_some = num_pairs > 0, num_hits > 0
    pairs_in_order = (is_hit * in_order).sum(axis=1)
    precision = (is_hit * hits_through / through).sum(axis=1)
    return (
        pairs_in_order[has_both] / num_pairs[has_both],
        precision[has_some] / num_hits[has_some],
    )


def _best_first(
    y_true: npt.NDArray[np.int64], scores: npt.NDArray[np.floating[Any]]
) -> tuple[IntArray, BoolArray, BoolArray]:
    """Sort each row by its scores: (is a hit, is the first, is the last of those that tie).

    The bits of floats that are not negative are in the order of the floats.
    """
    bits = (np.asarray(scores, np.float32) + np.float32(0)).view(np.uint32)  # of two zeros one
    keys = ((~bits).astype(np.uint64) << np.uint64(1)) | y_true.astype(np.uint64)
    keys.sort(axis=1)
    differs = (keys[:, 1:] ^ keys[:, :-1]) > 1
    edge = np.ones((len(keys), 1), dtype=bool)
    is_hit = (keys & np.uint64(1)).astype(np.int32)
    return is_hit, np.hstack([edge, differs]), np.hstack([differs, edge])
