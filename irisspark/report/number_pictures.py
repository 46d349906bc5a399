"""The pictures of a regression's report.html: what was predicted, what is left, how large it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.metrics.point_sample import Points, opened
from irisspark.metrics.regression import RegressionCounts, error_shares
from irisspark.report.number_tables import quantity
from irisspark.report.page_tables import shown
from irisspark.report.pictures import INK, SERIES, Picture, drawn, evenly

MAX_COLUMNS = 4
"""Columns of labels that are drawn; of more, those that are predicted worst."""

_LAYERS = 8
_FIRST_SHARE = 0.005  # what lies below is as good as no error, and would fill the axis
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
FloatArray = npt.NDArray[np.float64]


def of_numbers(content: Mapping[str, Any], counts: RegressionCounts) -> list[Picture]:
    """Draw the columns of labels, three pictures each.

    Single labels and predictions are contents of cells: without ``-showValues`` only how large
    errors are is drawn.
    """
    if not content["rows"]:
        return []
    may_show = content["run"]["options"].get("showValues", True)
    found = []
    for place in _worst(list(content["per_column"].values())):
        name, column = list(content["per_column"].items())[place]
        name = shown(name)
        if may_show:
            points = opened(counts.points[place])
            found.append(_predicted(place, name, column, points, content["rows"]))
            found.append(_left(place, name, column, points))
        found.append(_sizes(place, name, counts.error_bins[place]))
    return found


def _worst(columns: Sequence[Mapping[str, Any]]) -> list[int]:
    """Choose the columns to draw: all where there are few, else those with the smallest R²."""
    scores = [-math.inf if one["r2"] is None else one["r2"] for one in columns]
    worst = sorted(range(len(columns)), key=lambda place: scores[place])
    return sorted(worst[:MAX_COLUMNS])


def _predicted(
    place: int, name: str, column: Mapping[str, Any], points: Points, rows: int
) -> Picture:
    if points["rows"].sum() == rows:
        what = "A dot for each row"
    else:
        what = f"Dots for {len(points):,} of the {rows:,} rows, chosen by chance and not by value"
    ordered = np.sort(points, order=["label", "prediction"]).tolist()
    picture = Picture(
        key=f"predicted-{place}",
        title=f"How near predictions of {name} come: R² {_short(column['r2'])}",
        description=(
            f"{what}: what was predicted against the label. On the dotted diagonal they are equal; "
            "above it too much was predicted."
        ),
        lines=(),
        head=("label", "prediction", "rows of both"),
        rows=tuple(
            (quantity(label), quantity(prediction), f"{num_rows:,}")
            for _, label, prediction, num_rows in evenly(ordered)
        ),
    )

    def draw(axes: Any) -> None:
        labels, predictions = points["label"], points["prediction"]
        _draw_points(axes, labels, predictions)
        ends = [max(labels.min(), predictions.min()), min(labels.max(), predictions.max())]
        if ends[0] < ends[1]:
            axes.plot(ends, ends, color=INK, linewidth=1.2, linestyle=":")
        axes.set_xlabel("label (in its own unit)")
        axes.set_ylabel("prediction (same unit)")

    return drawn(picture, draw)


def _left(place: int, name: str, column: Mapping[str, Any], points: Points) -> Picture:
    lean = (column["mean_prediction"] or 0.0) - (column["mean_label"] or 0.0)
    with np.errstate(over="ignore"):  # what overflows is drawn nowhere
        residuals = points["prediction"] - points["label"]
    order = np.lexsort([residuals, points["prediction"]]).tolist()
    picture = Picture(
        key=f"residuals-{place}",
        title=f"What predictions of {name} miss by: {lean:+,.3g} on average",
        description=(
            "The same dots: prediction minus label against the prediction. A good model leaves a "
            "band without a slope, a bend or a fan around the dotted 0."
        ),
        lines=(),
        head=("prediction", "prediction - label", "rows of both"),
        rows=tuple(
            (quantity(points["prediction"][at]), quantity(residuals[at]), f"{points['rows'][at]:,}")
            for at in evenly(order)
        ),
    )

    def draw(axes: Any) -> None:
        axes.axhline(0, color=INK, linewidth=1.2, linestyle=":")
        _draw_points(axes, points["prediction"], residuals)
        axes.set_xlabel("prediction (in the label's unit)")
        axes.set_ylabel("prediction - label")

    return drawn(picture, draw)


def _sizes(place: int, name: str, bins: Sequence[tuple[int, int]]) -> Picture:
    sizes, shares = error_shares(bins)
    within = {share: float(sizes[np.searchsorted(shares, share - 1e-12)]) for share in _SHARES}
    picture = Picture(
        key=f"errors-{place}",
        title=(
            f"How large errors of {name} are: half of the rows within {within[0.5]:,.3g}, "
            f"nine of ten within {within[0.9]:,.3g}"
        ),
        description="The share of all rows whose absolute error is at most that large, to 2%.",
        lines=(),
        head=("share of the rows", "absolute error at most"),
        rows=tuple((f"{share:.0%}", f"{size:,.3g}") for share, size in within.items()),
    )

    def draw(axes: Any) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        is_some = (sizes > 0) & (shares >= _FIRST_SHARE)
        axes.plot(sizes[is_some], shares[is_some], color=SERIES[0], drawstyle="steps-post")
        if np.count_nonzero(is_some) > 1:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("absolute error (in the label's unit)")
        axes.set_ylabel("share of the rows within it")

    return drawn(picture, draw, height=3.0)


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"  # noqa: RUF001


def _draw_points(axes: Any, x: FloatArray, y: FloatArray) -> None:
    """Draw dots as lines of no length with round ends: a few bytes each, where a marker takes 120.

    In layers, so that it is darker where many are.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for first in range(min(_LAYERS, len(x))):
        dots = np.column_stack([x[first::_LAYERS], y[first::_LAYERS]])
        path = Path(np.repeat(dots, 2, axis=0), [Path.MOVETO, Path.LINETO] * len(dots))
        path.should_simplify = False
        look = {"edgecolor": SERIES[0], "linewidth": 4.5, "capstyle": "round", "alpha": 0.55}
        axes.add_patch(PathPatch(path, fill=False, **look))
    axes.autoscale_view()
