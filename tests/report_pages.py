"""Pages of report.html to look at, from counts of rows that are made up."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from irisspark.metrics import score
from irisspark.metrics.curves import curves_of
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
    """What metrics.json would hold, and the curves."""
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
    return content, curves_of(counts)


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
    content, curves = content_of(names, **more)
    return page.html(content, verdict=verdict or Verdict((), ()), curves=curves, history=history)


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
    return {
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
