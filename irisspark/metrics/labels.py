"""Several labels of a row, each there or not: counts that add up, and the metrics made from them.

Names and conventions are scikit-learn's, with ``zero_division=0``. All counts are whole numbers:
what ``samples`` averages is counted by (labels in common, labels, labels predicted) of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.metrics.eval_counts import MAX_BINNED_CLASSES, SCORE_BINS, IntArray
from irisspark.metrics.ranking import Ranking, rank
from irisspark.metrics.row_ranking import rank_rows
from irisspark.metrics.scores import Averages
from irisspark.metrics.sparse_counts import SparseCounts

FloatArray = npt.NDArray[np.floating[Any]]

_TP, _FP, _FN, _TN = range(4)


@dataclass(frozen=True)
class LabelCounts:
    """What was counted about rows; ``+`` adds two of them up, in any order, to the same result.

    Attributes:
        cells: For each label the rows that are (true positive, false positive, false negative,
            true negative).
        overlaps: ((labels in common, labels, labels predicted), rows) pairs in order.
        nan_rows: Rows whose prediction is not finite; they are in none of the rest.
        score_bins: [labels, 2, SCORE_BINS], each label's scores on rows without it, then on rows
            with it; None above MAX_BINNED_CLASSES labels.
        losses: (partition, sum of the losses) pairs in order.
        row_rankings: (partition, (sum of the rows' ROC AUC, rows that have one, sum of the rows'
            average precision, rows that have one)) pairs in order; none above MAX_BINNED_CLASSES
            labels.
    """

    cells: tuple[tuple[int, int, int, int], ...]
    overlaps: tuple[tuple[tuple[int, int, int], int], ...] = ()
    nan_rows: int = 0
    score_bins: SparseCounts | None = None
    losses: tuple[tuple[int, float], ...] = ()
    row_rankings: tuple[tuple[int, tuple[float, int, float, int]], ...] = ()

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        return sum(self.cells[0])

    def __add__(self, other: LabelCounts) -> LabelCounts:
        """Return the counts of both sets of rows.

        Raises:
            ValueError: The two are of models with different outputs.
        """
        if len(self.cells) != len(other.cells):
            raise ValueError("counts of models with different outputs do not add up")
        overlaps = dict(self.overlaps)
        for key, rows in other.overlaps:
            overlaps[key] = overlaps.get(key, 0) + rows
        cells = np.array(self.cells, np.int64) + np.array(other.cells, np.int64)
        return LabelCounts(
            _tuples(cells),
            tuple(sorted(overlaps.items())),
            self.nan_rows + other.nan_rows,
            _added(self.score_bins, other.score_bins),
            tuple(sorted(self.losses + other.losses)),
            tuple(sorted(self.row_rankings + other.row_rankings)),
        )


def _tuples(cells: IntArray) -> tuple[tuple[int, int, int, int], ...]:
    return tuple((tp, fp, fn, tn) for tp, fp, fn, tn in cells.tolist())


def _added(one: SparseCounts | None, two: SparseCounts | None) -> SparseCounts | None:
    if one is None or two is None:
        return one or two
    dense = one.dense()
    two.add_to(dense)
    return SparseCounts.from_dense(dense)


def no_labels(num_labels: int) -> LabelCounts:
    """Return the counts of no rows, which add nothing."""
    return LabelTally(num_labels=num_labels, partition=0).counts


class LabelTally:
    """Counts the blocks of one partition in place; ``counts`` is the frozen result."""

    def __init__(self, *, num_labels: int, partition: int) -> None:
        """Begin with no rows.

        Args:
            num_labels: Columns of labels, L.
            partition: Index of the partition, the place of its sum of losses in the order of
                adding.
        """
        self._num_labels, self._partition = num_labels, partition
        self._cells = np.zeros((num_labels, 4), np.int64)
        self._overlaps: dict[tuple[int, int, int], int] = {}
        is_binned = num_labels <= MAX_BINNED_CLASSES
        self._bins = np.zeros((num_labels, 2 * SCORE_BINS), np.int64) if is_binned else None
        self._nan_rows, self._loss = 0, 0.0
        self._row_rankings = (0.0, 0, 0.0, 0)

    def add(
        self, y_true: IntArray, y_pred: IntArray, scores: FloatArray, losses: FloatArray | None
    ) -> None:
        """Count a block of rows.

        Args:
            y_true: int64 [rows, L], 1 where a row has a label.
            y_pred: int64 [rows, L], 1 where the model says so.
            scores: float [rows, L] in [0, 1]; a row that is not finite counts as NaN.
            losses: float [rows], the model's own loss of each row; None where it has none.
        """
        kept = np.isfinite(scores).all(axis=1)
        if not kept.all():
            self._nan_rows += int(len(kept) - kept.sum())
            y_true, y_pred, scores = y_true[kept], y_pred[kept], scores[kept]
            losses = None if losses is None else losses[kept]
        if not len(y_true):
            return
        both = y_true & y_pred
        self._count(both, y_true, y_pred)
        if self._bins is not None:
            self._count_bins(self._bins, y_true, scores)
            self._rank_rows(y_true, scores)
        with np.errstate(invalid="ignore"):  # infinite losses of both signs make NaN
            self._loss += math.nan if losses is None else float(losses.sum(dtype=np.float64))

    def _count(self, both: IntArray, y_true: IntArray, y_pred: IntArray) -> None:
        hits, positives, predicted = (array.sum(axis=0) for array in (both, y_true, y_pred))
        self._cells[:, _TP] += hits
        self._cells[:, _FP] += predicted - hits
        self._cells[:, _FN] += positives - hits
        self._cells[:, _TN] += len(y_true) - positives - predicted + hits
        of_rows = np.stack([array.sum(axis=1) for array in (both, y_true, y_pred)], axis=1)
        for (common, true, said), rows in zip(
            *(found.tolist() for found in np.unique(of_rows, axis=0, return_counts=True)),
            strict=True,
        ):
            key = (common, true, said)
            self._overlaps[key] = self._overlaps.get(key, 0) + rows

    def _rank_rows(self, y_true: IntArray, scores: FloatArray) -> None:
        areas, precisions = rank_rows(y_true, scores)
        area, num_areas, precision, num_precisions = self._row_rankings
        self._row_rankings = (
            area + float(areas.sum()),
            num_areas + len(areas),
            precision + float(precisions.sum()),
            num_precisions + len(precisions),
        )

    def _count_bins(self, bins: IntArray, y_true: IntArray, scores: FloatArray) -> None:
        cells = (scores.T * scores.dtype.type(SCORE_BINS)).astype(np.int64, order="C")
        np.minimum(cells, SCORE_BINS - 1, out=cells)
        cells += y_true.T * SCORE_BINS
        for label_bins, label_cells in zip(bins, cells, strict=True):
            label_bins += np.bincount(label_cells, minlength=2 * SCORE_BINS)

    @property
    def counts(self) -> LabelCounts:
        """The counts so far; no rows have no entry in ``losses``, nor in ``row_rankings``."""
        shape = (self._num_labels, 2, SCORE_BINS)
        bins = None if self._bins is None else SparseCounts.from_dense(self._bins.reshape(shape))
        return LabelCounts(
            _tuples(self._cells),
            tuple(sorted(self._overlaps.items())),
            self._nan_rows,
            bins,
            ((self._partition, self._loss),) if self._overlaps else (),
            ((self._partition, self._row_rankings),) if self._overlaps and bins else (),
        )


@dataclass(frozen=True)
class OneLabelScores:
    """Metrics of one label; 0 where a ratio is 0/0, as ``zero_division=0`` does.

    Attributes:
        accuracy: None without rows.
        support: Rows that have the label.
    """

    precision: float
    recall: float
    f1: float
    accuracy: float | None
    support: int
    num_predicted: int
    true_positives: int
    true_negatives: int
    false_positives: int
    false_negatives: int
    ranking: Ranking | None


@dataclass(frozen=True)
class LabelScores:
    """Every metric of one evaluation; None for what does not exist, as without rows.

    Attributes:
        label_names: Names of the columns of labels.
        rows: Rows that were evaluated.
        nan_rows: Rows without a finite prediction, in none of the metrics.
        loss: The model's own, a mean over rows.
        subset_accuracy: Share of the rows of which every label is right.
        hamming_loss: Share of all labels of all rows that is wrong.
        samples: Means over the rows of what is had of their labels.
        ranking: Means over the labels that some rows have, and for the ROC AUC some have not; no
            mean can be further than its bound from that of the unbinned scores.
        micro_ranking: Of all labels of all rows at once.
        weighted_ranking: As ``ranking``, weighted by the rows that have the label.
        samples_ranking: Means over the rows that have a label, and for the ROC AUC lack one, of how
            each ranks its labels; of the scores themselves.
    """

    label_names: tuple[str, ...]
    rows: int
    nan_rows: int
    loss: float | None
    subset_accuracy: float | None
    hamming_loss: float | None
    per_label: tuple[OneLabelScores, ...]
    macro: Averages
    micro: Averages
    weighted: Averages
    samples: Averages
    ranking: Ranking
    micro_ranking: Ranking
    weighted_ranking: Ranking
    samples_ranking: Ranking


def score_labels(counts: LabelCounts, label_names: Sequence[str]) -> LabelScores:
    """Make every metric from the counts of all rows.

    Args:
        counts: The sum of what all workers counted.
        label_names: A name for each label.
    """
    rows, num_labels = counts.rows, len(counts.cells)
    bins = None if counts.score_bins is None else counts.score_bins.dense()
    per_label = tuple(
        _score_label(cells, None if bins is None else rank(*bins[index]))
        for index, cells in enumerate(counts.cells)
    )
    exact = sum(n for (both, true, said), n in counts.overlaps if both == true == said)
    wrong = sum(one.false_positives + one.false_negatives for one in per_label)
    loss = _loss(counts)
    return LabelScores(
        label_names=tuple(label_names),
        rows=rows,
        nan_rows=counts.nan_rows,
        loss=loss / rows if loss is not None and rows else None,
        subset_accuracy=exact / rows if rows else None,
        hamming_loss=wrong / (rows * num_labels) if rows else None,
        per_label=per_label,
        macro=_average(per_label, [1] * num_labels, rows),
        micro=_micro(per_label, rows),
        weighted=_average(per_label, [one.support for one in per_label], rows),
        samples=_samples(counts, rows),
        ranking=_mean_ranking(per_label, [1] * num_labels),
        micro_ranking=_NO_RANKING if bins is None else rank(*bins.sum(axis=0)),
        weighted_ranking=_mean_ranking(per_label, [one.support for one in per_label]),
        samples_ranking=_samples_ranking(counts),
    )


def _loss(counts: LabelCounts) -> float | None:
    try:
        total = math.fsum(loss for _, loss in counts.losses)
    except (OverflowError, ValueError):
        return None
    return total if math.isfinite(total) else None


def _score_label(cells: tuple[int, int, int, int], ranking: Ranking | None) -> OneLabelScores:
    tp, fp, fn, tn = cells
    rows = sum(cells)
    precision, recall, f1 = _ratios(tp, tp + fn, tp + fp)
    return OneLabelScores(
        precision=precision,
        recall=recall,
        f1=f1,
        accuracy=(tp + tn) / rows if rows else None,
        support=tp + fn,
        num_predicted=tp + fp,
        true_positives=tp,
        true_negatives=tn,
        false_positives=fp,
        false_negatives=fn,
        ranking=ranking,
    )


def _ratios(common: int, true: int, predicted: int) -> tuple[float, float, float]:
    """Give precision, recall and F1, each 0 for 0/0."""
    return common / (predicted or 1), common / (true or 1), 2 * common / ((true + predicted) or 1)


def _average(per_label: Sequence[OneLabelScores], weights: Sequence[int], rows: int) -> Averages:
    if not rows:
        return Averages(None, None, None)
    total = sum(weights) or 1

    def mean(value: Callable[[OneLabelScores], float]) -> float:
        products = (value(one) * w for one, w in zip(per_label, weights, strict=True))
        return math.fsum(products) / total

    return Averages(
        mean(lambda one: one.precision), mean(lambda one: one.recall), mean(lambda one: one.f1)
    )


def _micro(per_label: Sequence[OneLabelScores], rows: int) -> Averages:
    if not rows:
        return Averages(None, None, None)
    common = sum(one.true_positives for one in per_label)
    true, predicted = (
        sum(one.support for one in per_label),
        sum(one.num_predicted for one in per_label),
    )
    return Averages(*_ratios(common, true, predicted))


def _samples(counts: LabelCounts, rows: int) -> Averages:
    if not rows:
        return Averages(None, None, None)
    products = [(_ratios(*overlap), n) for overlap, n in counts.overlaps]
    means = [math.fsum(of[index] * n for of, n in products) / rows for index in range(3)]
    return Averages(*means)


_NO_RANKING = Ranking(None, None, None, None)


def _samples_ranking(counts: LabelCounts) -> Ranking:
    columns = tuple(zip(*(sums for _, sums in counts.row_rankings), strict=True))
    areas, num_areas, precisions, num_precisions = map(math.fsum, columns or [()] * 4)
    return Ranking(
        areas / num_areas if num_areas else None,
        0.0 if num_areas else None,
        precisions / num_precisions if num_precisions else None,
        0.0 if num_precisions else None,
    )


def _mean_ranking(per_label: Sequence[OneLabelScores], weights: Sequence[int]) -> Ranking:
    rankings = [one.ranking or _NO_RANKING for one in per_label]

    def mean(values: Iterable[float | None]) -> float | None:
        pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and w]
        total = sum(weight for _, weight in pairs)
        return math.fsum(value * weight for value, weight in pairs) / total if total else None

    return Ranking(
        mean(one.roc_auc for one in rankings),
        mean(one.roc_auc_error_bound for one in rankings),
        mean(one.average_precision for one in rankings),
        mean(one.average_precision_error_bound for one in rankings),
    )
