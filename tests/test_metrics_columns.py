"""Metrics of several columns, of numbers and of labels, beside scikit-learn, however cut."""

import functools
import itertools
import operator
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from irisspark.metrics.labels import LabelTally, no_labels, score_labels
from irisspark.metrics.point_sample import PointSampler, added, opened
from irisspark.metrics.regression import RegressionCounts, RegressionTally, score_regression
from irisspark.metrics.row_ranking import rank_rows

NUM_ROWS = 500
CUTS = [(), (250,), (0, 1, 1, 499), tuple(range(NUM_ROWS))]
AVERAGES = ("macro", "micro", "weighted", "samples")


def parts(cuts):
    """Give the spans between cuts, empty ones too."""
    return list(itertools.pairwise((0, *cuts, NUM_ROWS)))


def summed(counts):
    """Add counts up in an order that is none."""
    counts = list(counts)
    random.Random(3).shuffle(counts)
    return functools.reduce(operator.add, counts)


@pytest.fixture(scope="module")
def numbers():
    """A column about 0, and one about 10**9, with deviations of 1."""
    rng = np.random.default_rng(1)
    y_true = rng.normal([0, 1e9], 1, (NUM_ROWS, 2))
    return y_true, y_true + rng.normal([0.1, -0.2], [0.5, 2], (NUM_ROWS, 2))


def count_numbers(y_true, y_pred, cuts):
    def count(partition, start, end):
        tally = RegressionTally(num_columns=2, partition=partition)
        for first in range(start, end, 64):
            rows = slice(first, min(first + 64, end))
            places = range(rows.start, rows.stop)
            tally.add(y_true[rows], y_pred[rows], None, lambda row, places=places: (0, places[row]))
        return tally.counts

    return summed(count(index, *span) for index, span in enumerate(parts(cuts)))


@pytest.mark.parametrize("cuts", CUTS, ids=len)
def test_numbers_are_judged_as_by_scikit_learn_whatever_their_mean(numbers, cuts):
    y_true, y_pred = numbers
    scores = score_regression(count_numbers(y_true, y_pred, cuts), ["a", "b"])
    for name, metric in {
        "mean_squared_error": metrics.mean_squared_error,
        "mean_absolute_error": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
        "explained_variance": metrics.explained_variance_score,
    }.items():
        wanted = metric(y_true, y_pred, multioutput="raw_values")
        found = [getattr(column, name) for column in scores.per_column]
        assert found == pytest.approx(wanted, rel=1e-9), name
    for place, column in enumerate(scores.per_column):
        of_true, of_pred = y_true[:, place], y_pred[:, place]
        pivot = of_true[0]  # numpy's own loses digits at 10**9
        r = np.corrcoef(of_true - pivot, of_pred - pivot)[0, 1]
        assert column.pearson_r == pytest.approx(r, rel=1e-9)
        errors = np.abs(of_pred - of_true)
        assert column.median_absolute_error == pytest.approx(np.median(errors), rel=0.01)
        assert (column.max_error, column.max_error_place) == (errors.max(), (0, errors.argmax()))


def test_points_to_draw_are_the_same_however_cut():
    rng = np.random.default_rng(5)
    y_true = rng.integers(0, 40, (NUM_ROWS, 2)).astype(float)  # many points are equal
    y_pred = y_true + rng.integers(0, 30, y_true.shape)
    found = {count_numbers(y_true, y_pred, cuts).points for cuts in CUTS}
    assert len(found) == 1
    for place, sample in enumerate(found.pop()):
        points = opened(sample)
        drawn = Counter({(p["label"], p["prediction"]): p["rows"] for p in points})
        assert drawn == Counter(zip(y_true[:, place], y_pred[:, place], strict=True))


def test_few_of_many_points_are_kept_with_all_their_rows():
    rng = np.random.default_rng(6)
    y_true = rng.integers(0, 4000, 20_000).astype(float)
    found = set()
    for cut in (1, 7, 40):
        tallies = [PointSampler(100) for _ in range(cut)]
        for tally, rows in zip(tallies, np.array_split(y_true, cut), strict=True):
            for few in np.array_split(rows, 9):
                tally.add(few, few)
        parts = [(tally.points,) for tally in reversed(tallies)]
        found.add(functools.reduce(lambda one, two: added(one, two, 100), parts))
    points = opened(found.pop()[0])
    assert not found
    assert len(points) == 100
    rows = Counter(y_true)
    assert [point["rows"] for point in points] == [rows[point["label"]] for point in points]
    assert 1500 < points["label"].mean() < 2500


def test_the_last_point_that_is_kept_has_all_its_rows():
    sampler = PointSampler(1)
    for _ in range(3):
        sampler.add(np.array([5.0]), np.array([6.0]))
    assert opened(sampler.points)["rows"].tolist() == [3]


def test_the_first_of_equal_errors_is_the_largest(numbers):
    y_true = numbers[0]
    for cuts in CUTS:
        scores = score_regression(count_numbers(y_true, y_true + 0.0, cuts), ["a", "b"])
        assert scores.overall.max_error_place == (0, 0)


def test_rows_that_are_no_numbers_move_no_place(numbers):
    y_true, y_pred = numbers[0], numbers[1].copy()
    y_pred[:3, 1] = np.nan
    y_pred[7, 0] += 100
    scores = score_regression(count_numbers(y_true, y_pred, ()), ["a", "b"])
    assert (scores.nan_rows, scores.per_column[0].max_error_place) == (3, (0, 7))


def test_no_rows_have_no_metrics():
    assert score_regression(RegressionCounts(2), ["a", "b"]).overall.max_error is None
    scores = score_labels(no_labels(2), ["a", "b"])
    assert (scores.subset_accuracy, scores.macro.f1, scores.ranking.roc_auc) == (None, None, None)


@pytest.fixture(scope="module")
def labels():
    """Four labels: two that are found more or less, one that no row has, one that all have."""
    rng = np.random.default_rng(2)
    y_true = rng.integers(0, 2, (NUM_ROWS, 4))
    y_true[:, 2:] = [0, 1]
    noise = rng.random((NUM_ROWS, 4)) * [1, 0.4, 1, 1]
    scores = np.clip(0.4 * y_true + 0.6 * noise, 0, 1).astype("float32")
    return y_true, scores


@pytest.mark.parametrize("cuts", CUTS, ids=len)
def test_labels_are_judged_as_by_scikit_learn(labels, cuts):
    y_true, scores = labels
    y_pred = (scores > 0.5).astype(int)

    def count(partition, start, end):
        tally = LabelTally(num_labels=4, partition=partition)
        tally.add(y_true[start:end], y_pred[start:end], scores[start:end], scores[start:end, 0])
        return tally.counts

    found = score_labels(
        summed(count(index, *span) for index, span in enumerate(parts(cuts))), "abcd"
    )
    assert found.loss == pytest.approx(scores[:, 0].mean(dtype="float64"), rel=1e-6)
    assert found.subset_accuracy == pytest.approx(metrics.accuracy_score(y_true, y_pred))
    assert found.hamming_loss == pytest.approx(metrics.hamming_loss(y_true, y_pred))
    for average in (*AVERAGES, None):
        wanted = metrics.precision_recall_fscore_support(
            y_true, y_pred, average=average, zero_division=0
        )
        of = [getattr(found, average)] if average else found.per_label
        ours = [[getattr(one, name) for one in of] for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(np.squeeze(ours), wanted[:3], rtol=1e-12)
    # Here each row has a label and lacks one; scikit-learn has no value of others.
    for name, metric in {
        "roc_auc": metrics.roc_auc_score,
        "average_precision": metrics.average_precision_score,
    }.items():
        of_rows = metric(y_true, scores, average="samples")
        assert getattr(found.samples_ranking, name) == pytest.approx(of_rows, rel=1e-12)
    for label in (0, 1):
        ranking = found.per_label[label].ranking
        auc = metrics.roc_auc_score(y_true[:, label], scores[:, label])
        assert abs(ranking.roc_auc - auc) <= ranking.roc_auc_error_bound + 1e-12
    assert found.per_label[2].ranking.roc_auc is None
    assert found.per_label[3].ranking.roc_auc is None


@given(st.data(), st.integers(1, 7), st.integers(1, 6))
def test_each_row_ranks_its_labels_as_scikit_learn_says(data, num_rows, num_labels):
    shape = (num_rows, num_labels)
    y_true = data.draw(arrays(np.int64, shape, elements=st.integers(0, 1)))
    scores = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5, 1])))
    areas, precisions = rank_rows(y_true, scores)
    rows = list(zip(y_true, scores, strict=True))
    wanted = [metrics.roc_auc_score(*row) for row in rows if 0 < row[0].sum() < num_labels]
    assert areas == pytest.approx(wanted, rel=1e-12)
    wanted = [metrics.average_precision_score(*row) for row in rows if row[0].any()]
    assert precisions == pytest.approx(wanted, rel=1e-12)
