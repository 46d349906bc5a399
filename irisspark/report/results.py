"""The report of an evaluation, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.metrics.regression import RegressionScores
from irisspark.metrics.scores import Layout, Scores
from irisspark.report import documents, regression_report, text_block


def document(
    scores: Scores | RegressionScores,
    *,
    bad_rows: Mapping[str, int],
    run: Mapping[str, object],
    layout: Layout = "0.9",
) -> dict[str, Any]:
    """Return what metrics.json holds; the arguments are those of ``documents.document``."""
    if isinstance(scores, RegressionScores):
        return regression_report.document(scores, bad_rows=bad_rows, run=run)
    return documents.document(scores, bad_rows=bad_rows, run=run, layout=layout)


def text(scores: Scores | RegressionScores, layout: Layout) -> str:
    """Return the text block, which ends in one newline."""
    if isinstance(scores, RegressionScores):
        return regression_report.text(scores, layout)
    return text_block.text(scores, layout)


def files(
    scores: Scores | RegressionScores,
    content: Mapping[str, object],
    *,
    layout: Layout = "0.9",
    history: documents.History = (),
) -> dict[str, bytes]:
    """Return name and content of every file; the arguments are those of ``documents.files``."""
    if isinstance(scores, RegressionScores):
        return regression_report.files(scores, content, layout=layout, history=history)
    return documents.files(scores, content, layout=layout, history=history)
