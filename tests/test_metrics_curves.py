"""The curves of binned scores, against scikit-learn's of the same scores."""

import numpy as np
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_curve

from irisspark.metrics.curves import MAX_POINTS, curves, curves_of
from irisspark.metrics.eval_counts import SCORE_BINS
from irisspark.metrics.tally import count


def drawn(num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, num_rows)
    cells = (rng.beta(2 + 2 * labels, 4 - labels) * SCORE_BINS).astype(int)
    return labels, cells


@pytest.mark.parametrize("num_rows", [40, 20_000])
def test_curves_are_those_of_scikit_learn(num_rows: int) -> None:
    labels, cells = drawn(num_rows)
    of_class = [np.bincount(cells[labels == one], minlength=SCORE_BINS) for one in (0, 1)]
    found = curves(of_class[0], of_class[1])
    assert len(found.precision) <= MAX_POINTS
    false, true, _ = roc_curve(labels, cells, drop_intermediate=False)
    area = auc(found.false_positive_rate, found.true_positive_rate)
    assert area == pytest.approx(auc(false, true), abs=1e-4)
    corners = set(zip(false.round(9), true.round(9), strict=True))
    mine = zip(found.false_positive_rate.round(9), found.true_positive_rate.round(9), strict=True)
    assert set(mine) <= corners
    precision, recall, _ = precision_recall_curve(labels, cells)
    points = set(zip(recall.round(9), precision.round(9), strict=True))
    mine = zip(found.true_positive_rate.round(9), found.precision.round(9), strict=True)
    assert set(mine) <= points


def test_class_without_rows_or_alone_has_no_curves() -> None:
    labels, scores = np.array([0, 0, 1]), np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0]])
    told = {"num_classes": 3, "top_n": 1, "probabilities": True, "partition": 0}
    assert sorted(curves_of(count(labels, labels, scores, None, **told).score_bins)) == [0, 1]
    assert curves_of(count(labels[:2], labels[:2], scores[:2], None, **told).score_bins) == {}
    assert curves_of(None) == {}
