"""What a regression leaves behind: Deeplearning4j's table, and metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from irisspark.metrics.regression import BIN_RATIO, ColumnScores, RegressionScores
from irisspark.metrics.scores import Layout
from irisspark.report import documents

_NUMBER_WIDTH, _NAME_MARGIN = 15, 5
_TITLES: dict[Layout, tuple[str, ...]] = {
    "0.9": ("MSE", "MAE", "RMSE", "RSE", "R^2"),
    "1.0": ("MSE", "MAE", "RMSE", "RSE", "PC", "R^2"),
}


def document(
    scores: RegressionScores, *, bad_rows: Mapping[str, int], run: Mapping[str, object]
) -> dict[str, Any]:
    """Return what metrics.json holds: plain dicts, lists and numbers, None for what is missing.

    Args:
        scores: The metrics.
        bad_rows: Skipped rows by reason.
        run: About the run itself: options, versions, seconds and the like.
    """
    content = {
        **documents.beginning("regression", scores.rows, bad_rows),
        "nan_rows": scores.nan_rows,
        "loss": scores.loss,
        **_metrics(scores.overall, scores),
        "per_column": {
            name: _metrics(one, scores)
            for name, one in zip(scores.column_names, scores.per_column, strict=True)
        },
        "median_absolute_error_method": "from bins whose edges grow by "
        f"{BIN_RATIO - 1:.0%}: off by 1% of itself at most",
        "run": run,
    }
    plain: dict[str, Any] = documents.plain(content)
    return plain


def _metrics(column: ColumnScores, scores: RegressionScores) -> dict[str, object]:
    """Return a column's metrics by name; a row is named by its file and its place there."""
    found = dict(vars(column))
    place = found.pop("max_error_place")
    row = None
    if place is not None:
        row = {"file": scores.paths.get(place[0]), scores.position_name: place[1]}
    return found | {"max_error_row": row}


def text(scores: RegressionScores, layout: Layout) -> str:
    """Return the table of Deeplearning4j's ``RegressionEvaluation.stats()``, a line a column.

    In layout 0.9 what stands under ``R^2`` is Pearson's r, as it is there. A figure that does not
    exist is printed as NaN.
    """
    width = max(map(len, scores.column_names)) + _NAME_MARGIN
    lines = [_line("Column", _TITLES[layout], width)]
    for name, column in zip(scores.column_names, scores.per_column, strict=True):
        lines.append(_line(name, [_figure(value) for value in _figures(column, layout)], width))
    return "\n".join(["", *lines]) + "\n"


def _line(name: str, fields: tuple[str, ...] | list[str], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{field:<{_NUMBER_WIDTH}}" for field in fields)


def _figures(column: ColumnScores, layout: Layout) -> list[float | None]:
    shared = [
        column.mean_squared_error,
        column.mean_absolute_error,
        column.root_mean_squared_error,
        column.relative_squared_error,
    ]
    return [*shared, column.pearson_r, *([column.r2] if layout == "1.0" else [])]


def _figure(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "NaN"
    return "Infinity" if math.isinf(value) else f"{value:.5e}"


def files(
    scores: RegressionScores,
    content: Mapping[str, object],
    *,
    layout: Layout = "0.9",
    history: documents.History = (),
) -> dict[str, bytes]:
    """Return name and content of every file for ``-outputPath``, in UTF-8.

    Args:
        scores: The metrics.
        content: What ``document`` made of them.
        layout: Layout of report.txt.
        history: One mapping an epoch; without any there is no history.csv.
    """
    contents = {"report.txt": text(scores, layout), "metrics.json": documents.to_json(content)}
    return documents.encoded(contents, history)
