"""The report of an evaluation, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from irisspark.metrics.regression import RegressionScores
from irisspark.metrics.scores import Layout, Scores
from irisspark.report import documents, regression_report, text_block

if TYPE_CHECKING:
    from irisspark.metrics.labels import LabelScores

AnyScores: TypeAlias = "Scores | RegressionScores | LabelScores"


def document(
    scores: AnyScores,
    *,
    bad_rows: Mapping[str, int],
    run: Mapping[str, object],
    layout: Layout = "0.9",
) -> dict[str, Any]:
    """Return what metrics.json holds; the arguments are those of ``documents.document``."""
    if isinstance(scores, RegressionScores):
        return regression_report.document(scores, bad_rows=bad_rows, run=run)
    if isinstance(scores, Scores):
        return documents.document(scores, bad_rows=bad_rows, run=run, layout=layout)
    from irisspark.report import labels_report

    return labels_report.document(scores, bad_rows=bad_rows, run=run)


def text(scores: AnyScores, layout: Layout) -> str:
    """Return the text block, which ends in one newline."""
    if isinstance(scores, RegressionScores):
        return regression_report.text(scores, layout)
    if isinstance(scores, Scores):
        return text_block.text(scores, layout)
    from irisspark.report import labels_report

    return labels_report.text(scores)


def files(
    scores: AnyScores,
    content: Mapping[str, object],
    *,
    layout: Layout = "0.9",
    history: documents.History = (),
) -> dict[str, bytes]:
    """Return name and content of every file; the arguments are those of ``documents.files``."""
    if isinstance(scores, RegressionScores):
        return regression_report.files(scores, content, layout=layout, history=history)
    if isinstance(scores, Scores):
        return documents.files(scores, content, layout=layout, history=history)
    from irisspark.report import labels_report

    return labels_report.files(scores, content, history=history)
