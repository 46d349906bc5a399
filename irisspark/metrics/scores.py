"""The ratios: every metric of a run, made once, on the driver, from the counts of all rows.

Names and conventions are scikit-learn's; where something does not exist it is None. Integers are
Python's, which do not overflow at any number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from irisspark.metrics.eval_counts import RELIABILITY_BINS, EvalCounts, IntArray
from irisspark.metrics.ranking import Ranking, rank

Layout = Literal["0.9", "1.0"]


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 of all classes in one; None without rows."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassScores:
    """Metrics of one class against the rest; 0 where a ratio is 0/0, as zero_division=0 does."""

    precision: float
    recall: float
    f1: float
    support: int
    num_predicted: int
    ranking: Ranking | None


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of predicted probabilities, and how often their class was the true one."""

    lower: float
    upper: float
    count: int
    mean_probability: float | None
    observed_frequency: float | None


@dataclass(frozen=True)
class Scores:
    """Every metric of one evaluation.

    Attributes:
        class_names: names of the classes in the order of the model's outputs.
        confusion: int64 [C, C], rows by (true, predicted) class.
        rows: rows in the confusion matrix.
        nan_rows: rows without a finite prediction, in none of the metrics.
        per_class: metrics of each class.
        macro: mean over the classes that occur as a label or as a prediction, as scikit-learn's.
        micro: of all decisions at once; all three equal the accuracy.
        weighted: mean over the classes, weighted by their rows.
        roc_auc: mean over the classes that have rows and other classes' rows.
        average_precision: mean over the classes that have rows.
        roc_auc_error_bound: the mean cannot be further than this from that of the unbinned scores.
        average_precision_error_bound: the same.
        brier_score: scikit-learn's ``brier_score_loss``: the mean over rows of the squared errors
            summed over classes, in [0, 2]; half of it, in [0, 1], for two classes.
        reliability: RELIABILITY_BINS bins of the probability of class 1 where there are two
            classes, otherwise of the predicted class; None where scores are no probabilities.
    """

    class_names: tuple[str, ...]
    confusion: IntArray
    rows: int
    nan_rows: int
    accuracy: float | None
    loss: float | None
    top_n: int
    top_n_accuracy: float | None
    per_class: tuple[ClassScores, ...]
    macro: Averages
    micro: Averages
    weighted: Averages
    cohen_kappa: float | None
    matthews_corrcoef: float | None
    balanced_accuracy: float | None
    roc_auc: float | None
    roc_auc_error_bound: float | None
    average_precision: float | None
    average_precision_error_bound: float | None
    brier_score: float | None
    reliability: tuple[ReliabilityBin, ...] | None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.per_class)


def score(counts: EvalCounts, class_names: Sequence[str] | None, top_n: int) -> Scores:
    """Make every metric from the counts of all rows.

    Args:
        counts: the sum of what all workers counted.
        class_names: a name for each class; None names them 0, 1, 2 and so on.
        top_n: the N that the rows were counted with; for 1 the top-N accuracy is the accuracy.

    Raises:
        ValueError: the names are not as many as the classes, or not distinct.
    """
    names = tuple(class_names or map(str, range(counts.num_classes)))
    if len(set(names)) != counts.num_classes or len(names) != counts.num_classes:
        raise ValueError(f"{counts.num_classes} classes cannot be named {', '.join(names)}")
    confusion = counts.confusion
    rows, trace = int(confusion.sum()), int(confusion.trace())
    accuracy = _ratio(trace, rows)
    sums = counts.sum_vector()
    per_class = _score_classes(counts)
    rankings = [one.ranking for one in per_class if one.ranking is not None]
    return Scores(
        class_names=names,
        confusion=confusion,
        rows=rows,
        nan_rows=counts.nan_rows,
        accuracy=accuracy,
        loss=_ratio(float(sums[0]), rows),
        top_n=top_n,
        top_n_accuracy=accuracy if top_n <= 1 else _ratio(counts.top_n_hits, rows),
        per_class=per_class,
        macro=_average(per_class, [one.support + one.num_predicted > 0 for one in per_class]),
        micro=Averages(accuracy, accuracy, accuracy),
        weighted=_average(per_class, [one.support for one in per_class]),
        cohen_kappa=_cohen_kappa(confusion),
        matthews_corrcoef=_matthews_corrcoef(confusion),
        balanced_accuracy=_mean(one.recall for one in per_class if one.support),
        roc_auc=_mean(one.roc_auc for one in rankings),
        roc_auc_error_bound=_mean(one.roc_auc_error_bound for one in rankings),
        average_precision=_mean(one.average_precision for one in rankings),
        average_precision_error_bound=_mean(one.average_precision_error_bound for one in rankings),
        brier_score=_brier_score(counts, float(sums[1]), rows),
        reliability=_reliability(counts.reliability, sums[2:].tolist()),
    )


def _ratio(numerator: float, denominator: int) -> float | None:
    """Divide; None for 0/0 and where the numerator is not finite."""
    return numerator / denominator if denominator and math.isfinite(numerator) else None


def _mean(values: Iterable[float | None]) -> float | None:
    existing = [value for value in values if value is not None]
    return math.fsum(existing) / len(existing) if existing else None


def _score_classes(counts: EvalCounts) -> tuple[ClassScores, ...]:
    histograms = None if counts.score_bins is None else counts.score_bins.dense()
    supports = counts.confusion.sum(axis=1).tolist()
    num_predicted = counts.confusion.sum(axis=0).tolist()
    hits = counts.confusion.diagonal().tolist()
    return tuple(
        ClassScores(
            precision=hit / (predicted or 1),
            recall=hit / (support or 1),
            f1=2 * hit / ((support + predicted) or 1),
            support=support,
            num_predicted=predicted,
            ranking=None if histograms is None else rank(*histograms[index]),
        )
        for index, (support, predicted, hit) in enumerate(
            zip(supports, num_predicted, hits, strict=True)
        )
    )


def _average(per_class: Sequence[ClassScores], weights: Sequence[int]) -> Averages:
    total = sum(weights)

    def mean(values: Iterable[float]) -> float | None:
        products = (value * weight for value, weight in zip(values, weights, strict=True))
        return _ratio(math.fsum(products), total)

    return Averages(
        mean(one.precision for one in per_class),
        mean(one.recall for one in per_class),
        mean(one.f1 for one in per_class),
    )


def _margins(confusion: IntArray) -> tuple[int, int, list[int], list[int]]:
    true_counts, predicted_counts = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    return sum(true_counts), int(confusion.trace()), true_counts, predicted_counts


def _cohen_kappa(confusion: IntArray) -> float | None:
    """Agreement beyond chance (Cohen 1960); None where chance alone agrees on every row."""
    rows, trace, true_counts, predicted_counts = _margins(confusion)
    by_chance = sum(t * p for t, p in zip(true_counts, predicted_counts, strict=True))
    if rows * rows == by_chance:
        return None
    return 1 - (rows - trace) * rows / (rows * rows - by_chance)


def _matthews_corrcoef(confusion: IntArray) -> float | None:
    """Correlation of truth and prediction (Gorodkin 2004); 0 where either is constant."""
    rows, trace, true_counts, predicted_counts = _margins(confusion)
    if not rows:
        return None
    covariance = trace * rows - sum(
        t * p for t, p in zip(true_counts, predicted_counts, strict=True)
    )
    true_variance = rows * rows - sum(t * t for t in true_counts)
    predicted_variance = rows * rows - sum(p * p for p in predicted_counts)
    if not true_variance * predicted_variance:
        return 0.0
    return covariance / math.sqrt(true_variance * predicted_variance)


def _brier_score(counts: EvalCounts, squared_errors: float, rows: int) -> float | None:
    if counts.reliability is None:
        return None
    return _ratio(squared_errors / 2 if counts.num_classes == 2 else squared_errors, rows)


def _reliability(
    reliability: IntArray | None, probability_sums: list[float]
) -> tuple[ReliabilityBin, ...] | None:
    if reliability is None:
        return None
    edges = np.linspace(0.0, 1.0, RELIABILITY_BINS + 1).round(12).tolist()
    num_rows, num_true = reliability.tolist()
    return tuple(
        ReliabilityBin(
            lower=edges[index],
            upper=edges[index + 1],
            count=num_rows[index],
            mean_probability=_ratio(probability_sums[index], num_rows[index]),
            observed_frequency=_ratio(num_true[index], num_rows[index]),
        )
        for index in range(RELIABILITY_BINS)
    )
