"""What an evaluation of several labels leaves behind: Deeplearning4j's table, and metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from irisspark.metrics.eval_counts import SCORE_BINS
from irisspark.metrics.labels import LabelScores, OneLabelScores
from irisspark.report import documents

_MIN_NAME_WIDTH, _NAME_MARGIN = 15, 5
_RATIO_WIDTH, _TOTAL_WIDTH, _COUNT_WIDTH = 12, 8, 7
_RATIOS = ("Accuracy", "F1", "Precision", "Recall")
_COUNTS = ("TP", "TN", "FP", "FN")


def document(
    scores: LabelScores, *, bad_rows: Mapping[str, int], run: Mapping[str, object]
) -> dict[str, Any]:
    """Return what metrics.json holds: plain dicts, lists and numbers, None for what is missing.

    Args:
        scores: The metrics.
        bad_rows: Skipped rows by reason.
        run: About the run itself: options, versions, seconds and the like.
    """
    named = list(zip(scores.label_names, scores.per_label, strict=True))
    averages = ("macro", "micro", "weighted", "samples")
    content = {
        **documents.beginning("labels", scores.rows, bad_rows),
        "nan_rows": scores.nan_rows,
        "label_names": list(scores.label_names),
        "loss": scores.loss,
        "subset_accuracy": scores.subset_accuracy,
        "hamming_loss": scores.hamming_loss,
        "per_label": {
            name: {key: value for key, value in vars(one).items() if key != "ranking"}
            for name, one in named
        },
        **{name: vars(getattr(scores, name)) for name in averages},
        "roc_auc": _ranking_metric(scores, "roc_auc"),
        "average_precision": _ranking_metric(scores, "average_precision"),
        "run": run,
    }
    plain: dict[str, Any] = documents.plain(content)
    return plain


def _ranking_metric(scores: LabelScores, metric: str) -> dict[str, object]:
    """Return a metric of ``Ranking``: averaged and per label, each with the bound on its error."""
    bound = f"{metric}_error_bound"
    named = [
        (name, one.ranking) for name, one in zip(scores.label_names, scores.per_label, strict=True)
    ]
    averages = {
        "macro": scores.ranking,
        "micro": scores.micro_ranking,
        "weighted": scores.weighted_ranking,
        "samples": scores.samples_ranking,
    }
    return {
        **{name: getattr(ranking, metric) for name, ranking in averages.items()},
        **{f"{name}_error_bound": getattr(ranking, bound) for name, ranking in averages.items()},
        "per_label": {name: getattr(ranking, metric, None) for name, ranking in named},
        "per_label_error_bound": {name: getattr(ranking, bound, None) for name, ranking in named},
        "method": f"from histograms of {SCORE_BINS} bins; "
        "no value is further than its error bound from that of the unbinned scores",
    }


def text(scores: LabelScores) -> str:
    """Return the table of Deeplearning4j's ``EvaluationBinary.stats()``, a line a label.

    A ratio that does not exist is printed as NaN.
    """
    width = max(_MIN_NAME_WIDTH, *map(len, scores.label_names)) + _NAME_MARGIN
    lines = [_line("Label", _RATIOS, "Total", _COUNTS, width)]
    for name, one in zip(scores.label_names, scores.per_label, strict=True):
        counts = (
            one.true_positives,
            one.true_negatives,
            one.false_positives,
            one.false_negatives,
        )
        ratios = [f"{ratio:.4f}" if math.isfinite(ratio) else "NaN" for ratio in _ratios(one)]
        lines.append(_line(name, ratios, str(scores.rows), [str(count) for count in counts], width))
    return "\n".join(["", *lines]) + "\n"


def _line(
    name: str,
    ratios: tuple[str, ...] | list[str],
    total: str,
    counts: tuple[str, ...] | list[str],
    width: int,
) -> str:
    return (
        f"{name:<{width}}"
        + "".join(f"{ratio:<{_RATIO_WIDTH}}" for ratio in ratios)
        + f"{total:<{_TOTAL_WIDTH}}"
        + "".join(f"{count:<{_COUNT_WIDTH}}" for count in counts)
    )


def _ratios(one: OneLabelScores) -> tuple[float, float, float, float]:
    """Give what the table shows, where 0/0 is NaN, and the F1 with one of the two 0 is 0."""
    precision = one.precision if one.num_predicted else math.nan
    recall = one.recall if one.support else math.nan
    is_nan = math.isnan(precision + recall) and 0 not in (precision, recall)
    accuracy = math.nan if one.accuracy is None else one.accuracy
    return accuracy, math.nan if is_nan else one.f1, precision, recall


def files(
    scores: LabelScores, content: Mapping[str, object], *, history: documents.History = ()
) -> dict[str, bytes]:
    """Return name and content of every file for ``-outputPath``, in UTF-8.

    Args:
        scores: The metrics.
        content: What ``document`` made of them.
        history: One mapping an epoch; without any there is no history.csv.
    """
    contents = {"report.txt": text(scores), "metrics.json": documents.to_json(content)}
    return documents.encoded(contents, history)
