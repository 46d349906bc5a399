"""Pages of report.html to look at, from counts of rows that are made up."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from irisspark.metrics import score
from irisspark.metrics.labels import LabelCounts, LabelTally, score_labels
from irisspark.metrics.regression import RegressionCounts, RegressionTally, score_regression
from irisspark.metrics.tally import count
from irisspark.report import document, page
from irisspark.report.page import Verdict

NASTY = "</script><img src=x onerror=alert(1)>"
IRIS = ("setosa", "versicolor", "virginica")


def run_of(**changes: Any) -> dict[str, Any]:
    """What metrics.json would say about a run."""
    options = {"modelPath": "my_model.h5", "dataPath": "iris.txt", "train": False, "labelIndex": 4}
    return {
        "options": options,
        "model": {"path": "my_model.h5", "sha256": "0f" * 32, "keras_version": "2.1.6"},
        "data": {"files": 1, "bytes": 2700},
        "bad_row_examples": [],
        "versions": {"irisspark": "0.1.0", "spark": "4.0.0", "keras": "3.15.1", "elephas": None},
        "master": "local[*]",
        "started": "2026-11-25T12:00:00+00:00",
        "seconds": {"session": 1.25, "evaluate": 0.5},
        "tasks": 1,
        "rows_per_second": 300.0,
        **changes,
    }


def rows_of(num_classes: int, num_rows: int, sharpness: float) -> tuple[Any, Any]:
    """Labels and probabilities of a model that is right more often the sharper it is."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, num_classes, num_rows)
    logits = rng.normal(size=(num_rows, num_classes))
    logits[np.arange(num_rows), labels] += sharpness
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def content_of(
    names: Sequence[str], num_rows: int = 150, sharpness: float = 4.0, **run: Any
) -> tuple[dict[str, Any], Any]:
    """What metrics.json would hold, and the counts."""
    labels, scores = rows_of(len(names), num_rows, sharpness)
    counts = count(
        labels,
        scores.argmax(axis=1),
        scores,
        -np.log(scores[np.arange(num_rows), labels]),
        num_classes=len(names),
        top_n=1,
        probabilities=True,
        partition=0,
    )
    content = document(score(counts, names, 1), bad_rows=run.pop("bad_rows", {}), run=run_of(**run))
    return content, counts


def history_of(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "loss": 1 / (epoch + 1),
            "accuracy": 1 - 0.6 / epoch,
            "val_loss": 1 / (epoch + 1) + 0.001 * epoch**1.5,
            "val_accuracy": 1 - 0.7 / epoch,
            "learning_rate": 0.002 * min(epoch, 3) / 3,
            "seconds": 0.9 if epoch == 1 else 0.2,
        }
        for epoch in range(1, epochs + 1)
    ]


def page_of(names: Sequence[str], *, verdict: Verdict | None = None, **more: Any) -> str:
    history = more.pop("history", ())
    content, counts = content_of(names, **more)
    return page.html(content, verdict=verdict or Verdict((), ()), counts=counts, history=history)


def numbers_of(
    num_columns: int, num_rows: int = 5000, **run: Any
) -> tuple[dict[str, Any], RegressionCounts]:
    """Content and counts of a regression: the first column is read well, later ones ever worse."""
    rng = np.random.default_rng(8)
    y_true = rng.gamma(3, 20, (num_rows, num_columns))
    y_pred = 20 + 0.7 * y_true + rng.normal(0, 4 + 3 * np.arange(num_columns), y_true.shape)
    tally = RegressionTally(num_columns=num_columns, partition=0)
    tally.add(y_true, y_pred, ((y_true - y_pred) ** 2).mean(axis=1), lambda row: (0, 9 * row))
    names = [NASTY, *(f"column {n}" for n in range(1, num_columns))]
    scores = score_regression(tally.counts, names).located(lambda index: "hdfs:/d/t.csv", "offset")
    return document(scores, bad_rows={}, run=run_of(**run)), tally.counts


def labels_of(num_labels: int, num_rows: int = 2000) -> tuple[dict[str, Any], LabelCounts]:
    """Content and counts of several labels."""
    rng = np.random.default_rng(9)
    y_true = (rng.random((num_rows, num_labels)) < np.linspace(0.1, 0.6, num_labels)).astype(int)
    scores = np.clip(0.3 * y_true + 0.7 * rng.random(y_true.shape), 0, 1).astype("float32")
    tally = LabelTally(num_labels=num_labels, partition=0)
    tally.add(y_true, (scores > 0.5).astype(int), scores, scores[:, 0])
    names = [NASTY, *(f"label {n}" for n in range(1, num_labels))]
    return document(score_labels(tally.counts, names), bad_rows={}, run=run_of()), tally.counts


def page_about(found: tuple[dict[str, Any], Any], **more: Any) -> str:
    """The page of a task's content and counts."""
    return page.html(found[0], verdict=Verdict((), ()), counts=found[1], **more)


@functools.cache
def pages() -> dict[str, str]:
    """A page of each kind."""
    training = {
        "workers": 2,
        "note": "training on 120 rows with 2 workers",
        "rows": 120,
        "held_out_rows": 30,
        "epochs": 20,
        "learning_rate_scale": 2.0,
        "best_epoch": 14,
    }
    examples = ["iris.txt, line 3, column 1: 'oops' is not a number", f"iris.txt, line 9: {NASTY}"]
    of_numbers = [
        {name.replace("accuracy", "mae"): value for name, value in row.items()}
        for row in history_of(20)
    ]
    return {
        "numbers": page_about(
            numbers_of(6, training=training),
            history=of_numbers,
        ),
        "number": page_about(numbers_of(1, 400)),
        "labels": page_about(labels_of(5)),
        "many labels": page_about(labels_of(1000)),
        "iris": page_of(IRIS, verdict=Verdict(("accuracy >= 0.9",), ())),
        "failed": page_of(
            IRIS,
            sharpness=1.0,
            verdict=Verdict(
                ("accuracy >= 0.9", "f1 >= 0.8"),
                ("accuracy is 0.6267, required >= 0.9", "f1 is 0.6272, required >= 0.8"),
            ),
        ),
        "training": page_of(IRIS, num_rows=30, history=history_of(20), training=training),
        "thousand": page_of([f"class {n}" for n in range(1000)], num_rows=20_000, sharpness=5.0),
        "nasty": page_of(
            [NASTY, "$x^2$", "名前"],
            bad_rows={"not a number": 1, "wrong number of columns": 11},
            bad_row_examples=examples,
        ),
    }
