"""What a run leaves behind that only predicts: text and metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irisspark.report import documents

if TYPE_CHECKING:
    from irisspark.evaluation.predictions import PredictionResult


def document(result: PredictionResult, *, run: Mapping[str, object]) -> dict[str, Any]:
    """Return what metrics.json holds where there is nothing to measure."""
    counts = result.bad.counts
    return {
        "version": documents.VERSION,
        "rows": result.num_rows,
        "bad_rows": {"total": result.bad.total, "by_reason": dict(sorted(counts.items()))},
        "num_classes": len(result.class_names),
        "class_names": list(result.class_names),
        "num_predicted": dict(zip(result.class_names, result.num_predicted, strict=True)),
        "run": dict(run),
    }


def text(result: PredictionResult) -> str:
    """Return report.txt: how many rows each class was given."""
    rows = "row" if result.num_rows == 1 else "rows"
    width = len(f"{max(result.num_predicted)}")
    lines = [
        f"  {count:>{width}} as {name}"
        for name, count in zip(result.class_names, result.num_predicted, strict=True)
        if count
    ]
    return "\n".join(["", f"{result.num_rows} {rows} predicted:", *lines]) + "\n"


def files(result: PredictionResult, content: Mapping[str, object]) -> dict[str, bytes]:
    """Return name and content of the files beside the predictions."""
    written = {"report.txt": text(result), "metrics.json": documents.to_json(content)}
    return {name: content.encode() for name, content in written.items()}
