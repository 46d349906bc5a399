"""Counts and ratios against scikit-learn, and the laws by which counts add up."""

import math
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from irisspark.metrics import Tally, count, no_counts, total
from irisspark.metrics.eval_counts import SCORE_BINS
from irisspark.metrics.ranking import rank
from irisspark.metrics.scores import score
from irisspark.metrics.sparse_counts import SparseCounts


def make_rows(num_rows, num_classes, *, seed=0, true_weights=None, skill=1.0, dtype=np.float32):
    """Rows with a probability for each class, right more often than chance."""
    rng = np.random.default_rng(seed)
    y_true = rng.choice(num_classes, num_rows, p=true_weights)
    logits = rng.normal(size=(num_rows, num_classes))
    logits[np.arange(num_rows), y_true] += skill
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return y_true.astype(np.int64), scores.astype(dtype), rng.gamma(1.0, size=num_rows)


def count_rows(y_true, scores, losses, *, top_n=1, probabilities=True, partition=0, y_pred=None):
    return count(
        y_true,
        scores.argmax(axis=1) if y_pred is None else y_pred,
        scores,
        losses,
        num_classes=scores.shape[1],
        top_n=top_n,
        probabilities=probabilities,
        partition=partition,
    )


def count_labels(y_true, y_pred, num_classes):
    """Counts of given labels, with a score of 1 for the predicted class."""
    y_true, y_pred = np.asarray(y_true, np.int64), np.asarray(y_pred, np.int64)
    return count_rows(y_true, np.eye(num_classes)[y_pred], None, probabilities=False, y_pred=y_pred)


def bits(counts):
    return pickle.dumps(counts)


DATA = {
    "random": make_rows(500, 4),
    "imbalanced": make_rows(700, 3, seed=1, true_weights=[0.96, 0.03, 0.01]),
    "absent class": make_rows(200, 4, seed=2, true_weights=[0.5, 0, 0.3, 0.2]),
    "two classes": make_rows(300, 2, seed=3),
    "one row": make_rows(1, 3, seed=4),
    "doubles": make_rows(400, 3, seed=5, dtype=np.float64),
}


@pytest.fixture(params=DATA.values(), ids=DATA.keys())
def rows(request):
    return request.param


def assert_close(ours, reference):
    if reference is None or math.isnan(reference):
        assert ours is None
    else:
        assert ours == pytest.approx(reference, rel=1e-12, abs=1e-12)


def assert_label_metrics_agree(y_true, y_pred, num_classes):
    """Compare every metric that needs only labels with scikit-learn's."""
    scores = score(count_labels(y_true, y_pred, num_classes), None, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = list(range(num_classes))
        assert_close(scores.accuracy, sk.accuracy_score(y_true, y_pred))
        assert (scores.confusion == sk.confusion_matrix(y_true, y_pred, labels=labels)).all()
        reference = sk.precision_recall_fscore_support(
            y_true, y_pred, labels=labels, zero_division=0
        )
        for index, one in enumerate(scores.per_class):
            ours = (one.precision, one.recall, one.f1, one.support)
            for figure, expected in zip(ours, reference, strict=True):
                assert_close(figure, expected[index])
        for name in ("macro", "micro", "weighted"):
            ours = getattr(scores, name)
            expected = sk.precision_recall_fscore_support(
                y_true, y_pred, average=name, zero_division=0
            )
            for figure, value in zip(
                (ours.precision, ours.recall, ours.f1), expected, strict=False
            ):
                assert_close(figure, value)
        assert_close(scores.cohen_kappa, sk.cohen_kappa_score(y_true, y_pred))
        assert_close(scores.matthews_corrcoef, sk.matthews_corrcoef(y_true, y_pred))
        assert_close(scores.balanced_accuracy, sk.balanced_accuracy_score(y_true, y_pred))


def test_label_metrics_agree_with_scikit_learn(rows):
    y_true, scores, _ = rows
    assert_label_metrics_agree(y_true, scores.argmax(axis=1), scores.shape[1])


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(
                st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=40
            ),
        )
    )
)
def test_label_metrics_agree_with_scikit_learn_on_any_labels(case):
    num_classes, pairs = case
    assert_label_metrics_agree(*np.array(pairs).T, num_classes)


def test_class_that_is_never_predicted_has_precision_zero():
    scores = score(count_labels([0, 0, 1, 2], [0, 0, 1, 1], 3), None, 1)
    assert scores.per_class[2].precision == 0
    assert_label_metrics_agree([0, 0, 1, 2], [0, 0, 1, 1], 3)


def test_single_class_everywhere_has_no_kappa_and_no_auc():
    scores = score(count_labels([1, 1], [1, 1], 2), None, 1)
    assert scores.cohen_kappa is None
    assert scores.roc_auc is None
    assert scores.matthews_corrcoef == 0


def test_loss_is_the_mean_over_rows(rows):
    y_true, scores, losses = rows
    assert score(count_rows(y_true, scores, losses), None, 1).loss == pytest.approx(
        losses.mean(), rel=1e-12
    )


def test_loss_does_not_exist_without_losses(rows):
    y_true, scores, _ = rows
    assert score(count_rows(y_true, scores, None), None, 1).loss is None


def test_sums_of_partitions_are_exact():
    y_true, scores, _ = make_rows(1, 3)
    losses = [1e16, 1.0, 1.0]
    parts = [
        count_rows(y_true, scores, np.array([loss]), partition=partition)
        for partition, loss in enumerate(losses)
    ]
    assert total(parts).sum_vector()[0] == 1e16 + 2


def test_infinite_and_nan_losses_make_no_number():
    y_true, scores, losses = make_rows(4, 3)
    losses[1:3] = np.inf, -np.inf
    assert score(count_rows(y_true, scores, losses), None, 1).loss is None


@pytest.mark.parametrize("top_n", [1, 2, 3, 9])
def test_top_n_accuracy_agrees_with_scikit_learn(top_n):
    y_true, scores, losses = make_rows(300, 4)
    ours = score(count_rows(y_true, scores, losses, top_n=top_n), None, top_n).top_n_accuracy
    if top_n < 4:
        assert ours == sk.top_k_accuracy_score(y_true, scores, k=top_n)
    else:
        assert ours == 1


def test_tie_at_place_n_is_a_hit():
    scores = np.array([[0.4, 0.2, 0.2, 0.2], [0.4, 0.3, 0.2, 0.1]])
    counts = count_rows(np.array([3, 3]), scores, None, top_n=2)
    assert counts.top_n_hits == 1


def one_vs_rest(metric, y_true, scores, index):
    return metric(y_true == index, scores[:, index])


@pytest.mark.parametrize(
    ("name", "metric"),
    [("roc_auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)],
)
def test_ranking_metrics_agree_with_scikit_learn_within_their_bound(rows, name, metric):
    y_true, scores, losses = rows
    ours = score(count_rows(y_true, scores, losses), None, 1)
    references, bounds = [], []
    for index, one in enumerate(ours.per_class):
        value = getattr(one.ranking, name)
        if not one.support or (name == "roc_auc" and one.support == ours.rows):
            assert value is None
            continue
        bound = getattr(one.ranking, f"{name}_error_bound")
        references.append(one_vs_rest(metric, y_true, scores, index))
        bounds.append(bound)
        assert abs(value - references[-1]) <= bound + 1e-12
        assert bound < 0.01
    assert_close(getattr(ours, f"{name}_error_bound"), np.mean(bounds) if bounds else None)
    if references:
        error = abs(getattr(ours, name) - np.mean(references))
        assert error <= getattr(ours, f"{name}_error_bound") + 1e-12


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 7))
def test_ranking_metrics_agree_with_scikit_learn_on_binned_scores(seed, num_rows, num_bins):
    rng = np.random.default_rng(seed)
    positive, fine = rng.random(num_rows) < 0.5, rng.integers(0, 3 * num_bins, num_rows)
    binned = fine // 3
    positive[:2] = True, False
    histogram = [np.bincount(binned[positive == side], minlength=num_bins) for side in (0, 1)]
    ranking = rank(*histogram)
    assert_close(ranking.roc_auc, sk.roc_auc_score(positive, binned))
    assert_close(ranking.average_precision, sk.average_precision_score(positive, binned))
    for order in (fine, binned + 0.5 * positive, binned - 0.5 * positive):
        auc_error = abs(ranking.roc_auc - sk.roc_auc_score(positive, order))
        assert auc_error <= ranking.roc_auc_error_bound + 1e-12
        error = abs(ranking.average_precision - sk.average_precision_score(positive, order))
        assert error <= ranking.average_precision_error_bound + 1e-12


def test_roc_auc_bound_is_reached_by_the_worst_order():
    ranking = rank(np.array([0, 4, 0]), np.array([0, 2, 2]))
    assert ranking.roc_auc + ranking.roc_auc_error_bound == 1.0
    assert ranking.roc_auc - ranking.roc_auc_error_bound == 0.5


def test_scores_of_zero_and_one_fall_into_the_first_and_last_bin():
    counts = count_rows(np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]), None)
    assert (counts.score_bins.dense()[:, 1, SCORE_BINS - 1] == 1).all()
    assert (counts.score_bins.dense()[:, 0, 0] == 1).all()
    assert counts.score_bins.counts.sum() == 4


def test_more_than_256_classes_have_no_ranking():
    y_true, scores, losses = make_rows(20, 257)
    counts = count_rows(y_true, scores, losses)
    assert counts.score_bins is None
    assert score(counts + counts, None, 1).roc_auc is None


@pytest.mark.parametrize("name", ["random", "two classes", "doubles", "absent class"])
def test_brier_score_agrees_with_scikit_learn(name):
    y_true, scores, losses = DATA[name]
    doubles = scores.astype(np.float64)
    scores = doubles / doubles.sum(axis=1, keepdims=True)
    reference = sk.brier_score_loss(y_true, scores, labels=list(range(scores.shape[1])))
    assert score(count_rows(y_true, scores, losses), None, 1).brier_score == pytest.approx(
        reference, rel=1e-12
    )


@pytest.mark.parametrize("name", ["random", "two classes", "imbalanced"])
def test_reliability_agrees_with_scikit_learn(name):
    y_true, scores, losses = DATA[name]
    doubles = scores.astype(np.float64)
    if scores.shape[1] == 2:
        came_true, foretold = y_true == 1, doubles[:, 1]
    else:
        came_true, foretold = y_true == scores.argmax(axis=1), doubles.max(axis=1)
    observed, probability = calibration_curve(came_true, foretold, n_bins=10)
    bins = score(count_rows(y_true, scores, losses), None, 1).reliability
    used = [one for one in bins if one.count]
    assert [one.observed_frequency for one in used] == pytest.approx(observed)
    assert [one.mean_probability for one in used] == pytest.approx(probability)
    assert sum(one.count for one in bins) == len(y_true)


def test_probability_on_an_edge_belongs_to_the_bin_below():
    scores = np.array([[0.8, 0.2], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    counts = count_rows(np.array([0, 1, 1, 0]), scores, None)
    assert counts.reliability[0].tolist() == [1, 1, 0, 0, 1, 0, 0, 0, 0, 1]


def test_scores_that_are_no_probabilities_have_no_brier_score_and_no_reliability(rows):
    y_true, scores, losses = rows
    made = score(count_rows(y_true, scores, losses, probabilities=False), None, 1)
    assert made.brier_score is None
    assert made.reliability is None


def test_nan_rows_are_counted_and_nothing_else_of_them():
    y_true, scores, losses = make_rows(50, 3)
    broken = scores.copy()
    broken[[3, 7, 8]] = np.nan, np.inf, 0.5
    broken[8, 1] = np.nan
    kept = np.delete(np.arange(50), [3, 7, 8])
    y_pred = scores.argmax(axis=1)
    ours = count_rows(y_true, broken, losses, top_n=2, y_pred=y_pred)
    reference = count_rows(y_true[kept], scores[kept], losses[kept], top_n=2)
    assert ours.nan_rows == 3
    assert ours.confusion.sum() == 47
    assert (ours.confusion, ours.top_n_hits, ours.sums) == (
        pytest.approx(reference.confusion),
        reference.top_n_hits,
        reference.sums,
    )
    assert ours.score_bins == reference.score_bins


def split_counts(borders, num_classes=3, num_rows=120, losses_exist=True):
    y_true, scores, losses = make_rows(num_rows, num_classes, seed=9)
    pieces = np.split(np.arange(num_rows), borders)
    return [
        count_rows(
            y_true[rows],
            scores[rows],
            losses[rows] if losses_exist else None,
            top_n=2,
            partition=partition,
        )
        for partition, rows in enumerate(pieces)
    ]


@st.composite
def arrivals(draw):
    """Counts of some partitions, the order in which they arrive, and a tree by which they add."""
    borders = sorted(draw(st.lists(st.integers(0, 120), max_size=6)))
    parts = split_counts(borders, losses_exist=draw(st.booleans()))
    return parts, draw(st.permutations(parts)), draw(st.randoms(use_true_random=False))


@settings(deadline=None, max_examples=40)
@given(arrivals())
def test_any_order_and_any_tree_add_up_to_the_same_bits(case):
    parts, queue, random = case
    reference = total(parts)
    queue = [*queue, no_counts(3, probabilities=True)]
    while len(queue) > 1:
        right, left = (queue.pop(random.randrange(len(queue))) for _ in range(2))
        queue.append(left + right)
    assert queue[0] == reference
    assert bits(queue[0]) == bits(reference)
    ours, other = score(queue[0], None, 2), score(reference, None, 2)
    assert (ours.loss, ours.brier_score, ours.roc_auc) == (
        other.loss,
        other.brier_score,
        other.roc_auc,
    )


def test_same_partition_twice_adds_up_the_same_in_any_order():
    one, two, three = (count_rows(*make_rows(9, 3, seed=seed), partition=5) for seed in range(3))
    assert (one + two) + three == three + (two + one)


@pytest.mark.parametrize("num_partitions", [1, 2, 7, 200])
def test_any_partitioning_gives_the_same_counts(num_partitions):
    whole = split_counts([])[0]
    borders = np.linspace(0, 120, num_partitions + 1)[1:-1].astype(int)
    ours = total(split_counts(borders))
    assert (ours.confusion == whole.confusion).all()
    assert ours.score_bins == whole.score_bins
    assert ours.top_n_hits == whole.top_n_hits
    assert ours.sum_vector() == pytest.approx(whole.sum_vector(), rel=1e-12)


def test_empty_partition_adds_nothing():
    counts = split_counts([])[0]
    y_true, scores, losses = make_rows(0, 3)
    empty = count_rows(y_true, scores, losses, partition=4)
    assert bits(counts + empty) == bits(empty + counts) == bits(counts)
    assert bits(no_counts(3, probabilities=True) + counts) == bits(counts)


def test_adding_changes_neither_summand():
    one, two = split_counts([50])
    before = bits(one), bits(two)
    _ = one + two
    assert (bits(one), bits(two)) == before


def test_counts_of_different_models_do_not_add_up():
    with pytest.raises(ValueError, match="different outputs"):
        _ = no_counts(3, probabilities=True) + no_counts(4, probabilities=True)
    with pytest.raises(ValueError, match="different outputs"):
        _ = no_counts(3, probabilities=True) + no_counts(3, probabilities=False)
    with pytest.raises(ValueError, match="no counts"):
        total([])


def test_tally_of_blocks_counts_what_one_block_does():
    y_true, scores, losses = make_rows(1000, 3)
    tally = Tally(num_classes=3, top_n=2, probabilities=True, partition=0)
    for rows in np.array_split(np.arange(1000), 7):
        tally.add(y_true[rows], scores[rows].argmax(axis=1), scores[rows], losses[rows])
    whole = count_rows(y_true, scores, losses, top_n=2)
    assert (tally.counts.confusion == whole.confusion).all()
    assert tally.counts.score_bins == whole.score_bins
    assert tally.counts.sum_vector() == pytest.approx(whole.sum_vector(), rel=1e-12)


def test_counts_stay_as_they_are_while_the_tally_goes_on():
    tally = Tally(num_classes=3, top_n=1, probabilities=True, partition=0)
    y_true, scores, losses = make_rows(10, 3)
    tally.add(y_true, scores.argmax(axis=1), scores, losses)
    counts, before = tally.counts, bits(tally.counts)
    tally.add(y_true, scores.argmax(axis=1), scores, losses)
    assert bits(counts) == before


@pytest.mark.parametrize(
    ("num_rows", "num_classes", "limit"),
    [(0, 3, 1000), (75, 3, 2500), (75, 250, 60_000), (5, 1000, 9000)],
)
def test_counts_pickle_small_and_whole(num_rows, num_classes, limit):
    counts = count_rows(*make_rows(num_rows, num_classes))
    pickled = pickle.dumps(counts)
    assert len(pickled) < limit
    assert pickle.loads(pickled) == counts


def test_sparse_counts_keep_every_cell():
    array = np.zeros((3, 2, 70_000), np.int64)
    array[0, 0, 0], array[2, 1, 69_999], array[1, 0, 300] = 1, 2**40, 255
    sparse = pickle.loads(pickle.dumps(SparseCounts.from_dense(array)))
    assert (sparse.dense() == array).all()
    with pytest.raises(ValueError, match="do not fit"):
        sparse.add_to(np.zeros((3, 2), np.int64))


def test_no_rows_have_no_metrics():
    made = score(no_counts(3, probabilities=True), ["a", "b", "c"], 2)
    for name in ("accuracy", "loss", "top_n_accuracy", "cohen_kappa", "matthews_corrcoef"):
        assert getattr(made, name) is None
    for name in ("balanced_accuracy", "roc_auc", "average_precision", "brier_score"):
        assert getattr(made, name) is None
    assert made.macro.f1 is made.micro.f1 is made.weighted.f1 is None


def test_ten_billion_rows_do_not_overflow():
    small = count_labels([0] * 6 + [1] * 6, [0] * 5 + [1] + [0, 0] + [1] * 4, 2)
    large = count_labels([], [], 2)
    large.confusion[:] = small.confusion * 10**15
    ours, reference = score(large, None, 1), score(small, None, 1)
    assert ours.rows == 12 * 10**15
    assert ours.cohen_kappa == pytest.approx(reference.cohen_kappa, rel=1e-14)
    assert ours.matthews_corrcoef == pytest.approx(reference.matthews_corrcoef, rel=1e-14)
    ranking = rank(np.array([10**10, 10**10]), np.array([10**10, 3 * 10**10]))
    few = rank(np.array([1, 1]), np.array([1, 3]))
    assert ranking.roc_auc == pytest.approx(few.roc_auc)


def test_names_must_fit_the_classes():
    with pytest.raises(ValueError, match="cannot be named"):
        score(no_counts(3, probabilities=True), ["a", "b"], 1)
    with pytest.raises(ValueError, match="cannot be named"):
        score(no_counts(3, probabilities=True), ["a", "b", "b"], 1)


def test_confusion_of_many_classes_takes_the_memory_of_its_rows() -> None:
    num_classes, num_rows = 10_000, 500
    rng = np.random.default_rng(7)
    before = _resident_bytes()
    parts = []
    for partition in range(3):
        tally = Tally(num_classes=num_classes, top_n=1, probabilities=False, partition=partition)
        true, predicted = rng.integers(0, num_classes, (2, num_rows))
        tally.add(true, predicted, np.zeros((num_rows, 1)), None)
        parts.append((true, predicted, pickle.loads(pickle.dumps(tally.counts))))
    summed = total(counts for *_, counts in parts).confusion
    assert _resident_bytes() - before < 200e6  # of 800 MB for each of seven matrices
    true, predicted = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    assert summed.sum() == len(true)
    assert (summed[true, predicted] > 0).all()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
