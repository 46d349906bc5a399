"""What a run leaves behind that only predicts: text and metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irisspark.report import documents

if TYPE_CHECKING:
    from irisspark.evaluation.predictions import PredictionResult


def document(result: PredictionResult, *, run: Mapping[str, object]) -> dict[str, Any]:
    """Return what metrics.json holds where there is nothing to measure."""
    if not result.class_names:
        beginning = documents.beginning(result.task, result.num_rows, result.bad.counts)
        return {**beginning, "run": dict(run)}
    return {
        **documents.beginning("classification", result.num_rows, result.bad.counts),
        "num_classes": len(result.class_names),
        "class_names": list(result.class_names),
        "num_predicted": dict(zip(result.class_names, result.num_predicted, strict=True)),
        "run": dict(run),
    }


def text(result: PredictionResult) -> str:
    """Return report.txt: how many rows each class was given."""
    rows = "row" if result.num_rows == 1 else "rows"
    width = len(f"{max(result.num_predicted, default=0)}")
    lines = [
        f"  {count:>{width}} as {name}"
        for name, count in zip(result.class_names, result.num_predicted, strict=True)
        if count
    ]
    end = ":" if lines else ""
    return "\n".join(["", f"{result.num_rows} {rows} predicted{end}", *lines]) + "\n"


def files(result: PredictionResult, content: Mapping[str, object]) -> dict[str, bytes]:
    """Return name and content of the files beside the predictions."""
    written = {"report.txt": text(result), "metrics.json": documents.to_json(content)}
    return {name: content.encode() for name, content in written.items()}
