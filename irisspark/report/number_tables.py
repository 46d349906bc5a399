"""The tables of a regression's report.html: from what metrics.json holds to what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.report.page_tables import Table, Tile, shown

_MAX_COLUMN_ROWS = 1200
_METRICS = {
    "root_mean_squared_error": "RMSE",
    "mean_absolute_error": "MAE",
    "median_absolute_error": "median absolute error",
    "mean_squared_error": "MSE",
    "r2": "R²",
    "explained_variance": "explained variance",
    "relative_squared_error": "relative squared error",
    "pearson_r": "Pearson's r",
    "max_error": "largest error",
}
_ON_TOP = {
    "root_mean_squared_error": ("RMSE", "root of the mean squared error"),
    "mean_absolute_error": ("MAE", "mean absolute error"),
    "median_absolute_error": ("Half within", "median absolute error, to 1%"),
    "r2": ("R²", "1: perfect, 0: as the mean of the labels"),
    "max_error": ("Largest error", ""),
    "loss": ("Loss", "the model's own"),
}


def quantity(value: float | None) -> str:
    """Write a figure of any size with six digits, and a dash where there is none."""
    return "–" if value is None else f"{value:,.6g}"  # noqa: RUF001


def tiles(content: Mapping[str, Any]) -> list[Tile]:
    """Choose the scores of the first screen, those that exist."""
    several = len(content["per_column"]) > 1
    found = []
    for key, (name, note) in _ON_TOP.items():
        if key == "max_error":
            note = f"at {place(content['max_error_row'])}"
        elif several and key != "loss":
            note += ", mean of the columns"
        if content[key] is not None:
            found.append(Tile(name, quantity(content[key]), note))
    return found


def place(row: Mapping[str, Any] | None) -> str:
    """Say where a row is, by the end of its file's name, which tells it from others."""
    if row is None:
        return "–"  # noqa: RUF001
    where = ", ".join(f"{name} {value:,}" for name, value in row.items() if name != "file")
    file = str(row["file"] or "").rpartition("/")[2]
    return f"{shown(file)}, {where}"


def columns(content: Mapping[str, Any]) -> Table:
    """List the columns of labels, in the order of the model's outputs."""
    named = list(content["per_column"].items())
    rows = tuple(
        (shown(name), *(quantity(one[key]) for key in _METRICS), place(one["max_error_row"]))
        for name, one in named[:_MAX_COLUMN_ROWS]
    )
    return Table("columns", "Scores", ("column", *_METRICS.values(), "its row"), rows, len(named))
