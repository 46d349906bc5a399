"""What an evaluation leaves behind: the text block, metrics.json and CSV, as text and bytes.

The same results give the same bytes. Where the files go is not decided here.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from irisspark.metrics.eval_counts import SCORE_BINS
from irisspark.metrics.scores import Averages, ClassScores, Layout, Scores
from irisspark.report.text_block import average, text

__all__ = ["confusion_csv", "document", "files", "history_csv", "text", "to_json"]

VERSION = 4
"""Version of the layout of metrics.json; since 2 it says which ``task`` it is of, and since 3 that
may be ``labels``, and a regression says where its largest error is; since 4 it may be of several
``outputs``."""

History = Sequence[Mapping[str, object]]


def beginning(task: str, rows: int, bad_rows: Mapping[str, int]) -> dict[str, object]:
    """Return how each metrics.json begins.

    Args:
        task: ``classification``, ``regression``, ``labels`` or ``outputs``.
        rows: rows that were evaluated or predicted.
        bad_rows: skipped rows by reason.
    """
    return {
        "version": VERSION,
        "task": task,
        "rows": rows,
        "bad_rows": {"total": sum(bad_rows.values()), "by_reason": dict(sorted(bad_rows.items()))},
    }


def document(
    scores: Scores,
    *,
    bad_rows: Mapping[str, int],
    run: Mapping[str, object],
    layout: Layout = "0.9",
) -> dict[str, Any]:
    """Return what metrics.json holds: plain dicts, lists and numbers, None for what is missing.

    Args:
        scores: the metrics.
        bad_rows: skipped rows by reason.
        run: about the run itself: options, versions, seconds and the like.
        layout: the layout of the text block, whose three averages stand under ``dl4j``.
    """
    names = list(scores.class_names)
    named = list(zip(names, scores.per_class, strict=True))
    content: dict[str, Any] = {
        **beginning("classification", scores.rows, bad_rows),
        "nan_rows": scores.nan_rows,
        "num_classes": scores.num_classes,
        "class_names": names,
        "confusion_matrix": scores.confusion,
        "accuracy": scores.accuracy,
        "loss": scores.loss,
        "top_n": scores.top_n,
        "top_n_accuracy": scores.top_n_accuracy,
        "per_class": {name: _class(one) for name, one in named},
        "macro": _averages(scores.macro),
        "micro": _averages(scores.micro),
        "weighted": _averages(scores.weighted),
        "dl4j": _dl4j(scores, layout),
        "cohen_kappa": scores.cohen_kappa,
        "matthews_corrcoef": scores.matthews_corrcoef,
        "balanced_accuracy": scores.balanced_accuracy,
        "roc_auc": _ranking_metric(scores, names, "roc_auc"),
        "average_precision": _ranking_metric(scores, names, "average_precision"),
        "brier_score": scores.brier_score,
        "reliability": _reliability(scores),
        "run": run,
    }
    found: dict[str, Any] = plain(content)
    return found


def to_json(content: Mapping[str, object]) -> str:
    """Return JSON, indented by 2, with null for NaN and infinity, and one newline at its end."""
    return json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def confusion_csv(scores: Scores) -> str:
    """Return the confusion matrix: a row a true class, a column a predicted one, by name."""
    rows = (
        [name, *cells]
        for name, cells in zip(scores.class_names, scores.confusion.tolist(), strict=True)
    )
    return _csv([["true", *scores.class_names], *rows])


def history_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return one line an epoch; columns in the order they first occur; empty where missing."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    values = ([plain(row.get(column)) for column in columns] for row in rows)
    return _csv([columns, *values])


def files(
    scores: Scores,
    content: Mapping[str, object],
    *,
    layout: Layout = "0.9",
    history: Sequence[Mapping[str, object]] = (),
) -> dict[str, bytes]:
    """Return name and content of every file for ``-outputPath``, in UTF-8.

    Args:
        scores: the metrics.
        content: what ``document`` made of them.
        layout: layout of report.txt.
        history: one mapping an epoch; without any there is no history.csv.
    """
    contents = {
        "report.txt": text(scores, layout),
        "metrics.json": to_json(content),
        "confusion_matrix.csv": confusion_csv(scores),
    }
    return encoded(contents, history)


def encoded(contents: dict[str, str], history: History) -> dict[str, bytes]:
    """Return files in UTF-8, with history.csv where there was a training."""
    more = {"history.csv": history_csv(history)} if history else {}
    return {name: written.encode() for name, written in (contents | more).items()}


def _averages(averages: Averages) -> dict[str, float | None]:
    return {"precision": averages.precision, "recall": averages.recall, "f1": averages.f1}


def _class(one: ClassScores) -> dict[str, float]:
    return {
        "precision": one.precision,
        "recall": one.recall,
        "f1": one.f1,
        "support": one.support,
        "num_predicted": one.num_predicted,
    }


def _dl4j(scores: Scores, layout: Layout) -> dict[str, object]:
    block = average(scores, layout)
    return {
        "layout": block.layout,
        "averaging": block.averaging,
        **_averages(block.averages),
        "excluded_classes": {
            "precision": block.never_predicted,
            "recall": block.without_rows,
            "f1": block.left_out_of_f1,
        },
    }


def _ranking_metric(scores: Scores, names: Sequence[str], metric: str) -> dict[str, object]:
    """Return a metric of ``Ranking``: macro and per class, each with the bound on its error."""
    bound = f"{metric}_error_bound"
    named = list(zip(names, [one.ranking for one in scores.per_class], strict=True))
    return {
        "macro": getattr(scores, metric),
        "macro_error_bound": getattr(scores, bound),
        "per_class": {name: getattr(ranking, metric, None) for name, ranking in named},
        "per_class_error_bound": {name: getattr(ranking, bound, None) for name, ranking in named},
        "method": f"one class against the rest, from histograms of {SCORE_BINS} bins; "
        "no value is further than its error bound from that of the unbinned scores",
    }


def _reliability(scores: Scores) -> dict[str, object] | None:
    if scores.reliability is None:
        return None
    of = "class 1" if scores.num_classes == 2 else "predicted class"
    return {"probability_of": of, "bins": [vars(one) for one in scores.reliability]}


def _csv(rows: Sequence[Sequence[object]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue()


def plain(value: object) -> Any:
    """Turn numpy's and Python's values into JSON's; what JSON has no word for becomes text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Set):
        return sorted((plain(one) for one in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(one) for one in value]
    return str(value)
