"""The pictures of report.html: curves as SVG, each with the words and the numbers that it shows.

Colours are variables of the page, which has them for light and dark. Words of the user's, such as
names of classes, stand in the page and not in the SVG.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from irisspark.metrics.curves import Curves

MAX_LINES = 8
"""Lines in a picture: more cannot be told apart."""

_MAX_ROWS = 25
INK, _FAINT = "#010203", "#040506"
SERIES = tuple(f"#0a0b{number:02x}" for number in range(MAX_LINES))
_VARIABLES = {
    INK: "currentColor",
    _FAINT: "var(--faint)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES)},
}
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)))
_STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 2.0,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "irisspark",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}
_LOOK = frozenset(
    [
        *("axes", "figure", "font", "grid", "lines", "patch", "path"),
        *("savefig", "svg", "text", "xaxis", "xtick", "yaxis", "ytick"),
    ]
)
_METRICS = {
    "accuracy": "accuracy",
    "mae": "mean absolute error",
    "binary_accuracy": "share of the labels that is right",
}
"""What the metric of an epoch is called in history.csv, and in words."""
_STYLING = threading.Lock()
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Line:
    """A line of a picture in words: its name, and what it comes to."""

    name: str
    value: str


@dataclass(frozen=True)
class Picture:
    """A picture, and what it shows for those who do not see it.

    Attributes:
        key: Names it in the page's addresses.
        title: What to see.
        description: The text alternative.
        lines: The legend, in the order of the colours; empty where there is one line.
        head: Names of the columns of its numbers, with their units.
        rows: Its numbers.
        svg: The picture itself; empty where it could not be drawn.
    """

    key: str
    title: str
    description: str
    lines: tuple[Line, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    svg: str = ""

    @property
    def spoken(self) -> str:
        """The legend as a sentence, for those who do not see it."""
        return "; ".join(f"{line.name}: {line.value}" for line in self.lines) + "."


@dataclass(frozen=True)
class _Series:
    """Numbers to draw as a line."""

    x: Sequence[float]
    y: Sequence[float]


def import_library() -> None:
    """Import what draws, so that it is there when a page is made.

    Raises:
        ImportError: It is not installed, or broken.
    """
    with _quiet():
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401


def roc(
    curves: Mapping[int, Curves], names: Sequence[str], areas: Sequence[Any], one: str = "class"
) -> Picture:
    """Draw the ROC curves of the classes, or what ``one`` is called, that are told apart worst."""
    shown = _worst(curves, areas)
    lines = tuple(Line(names[index], f"area {_number(areas[index])}") for index in shown)
    series = [
        _Series(_floats(curves[i].false_positive_rate), _floats(curves[i].true_positive_rate))
        for i in shown
    ]
    picture = Picture(
        key="roc",
        title=f"How well scores tell a {one} from the rest: ROC, {_range(areas, shown)}",
        description=(
            f"One line a {one}: the share of its rows that are found against the share of other "
            "rows that are taken for it. The nearer to the upper left corner, the better."
        ),
        lines=lines,
        head=(one, "false positive rate", "true positive rate"),
        rows=_rows(lines, series),
    )

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        _draw_lines(axes, series)
        _unit_axes(axes, "false positive rate (share of other rows)", "true positive rate")

    return drawn(picture, draw)


def precision_recall(
    curves: Mapping[int, Curves], names: Sequence[str], areas: Sequence[Any], one: str = "class"
) -> Picture:
    """Draw the precision-recall curves of the same as ``roc``."""
    shown = _worst(curves, areas)
    lines = tuple(Line(names[i], f"average precision {_number(areas[i])}") for i in shown)
    series = [
        _Series(_floats(curves[i].true_positive_rate), _floats(curves[i].precision)) for i in shown
    ]
    picture = Picture(
        key="precision-recall",
        title=f"What finding more costs: precision and recall, {_range(areas, shown)}",
        description=(
            f"One line a {one}: the share of what is taken for the {one} that is right, against "
            f"the share of the {one} that is found. The higher, the better."
        ),
        lines=lines,
        head=(one, "recall", "precision"),
        rows=_rows(lines, series),
    )

    def draw(axes: Any) -> None:
        _draw_lines(axes, series, drawstyle="steps-pre")
        _unit_axes(axes, f"recall (share of the {one} that is found)", "precision")

    return drawn(picture, draw)


def calibration(reliability: Mapping[str, Any]) -> Picture:
    """Draw how often what was predicted with a probability was so, over how many rows."""
    bins = [one for one in reliability["bins"] if one["count"]]
    gap = sum(abs(b["mean_probability"] - b["observed_frequency"]) * b["count"] for b in bins)
    gap /= max(sum(one["count"] for one in bins), 1)
    of = reliability["probability_of"]
    picture = Picture(
        key="calibration",
        title=f"How far probabilities can be believed: off by {gap:.3f} on average",
        description=(
            f"Ten bins of the probability of the {of}: above, how often it was right against the "
            "mean probability, where the dotted diagonal is perfect; below, the rows of each bin."
        ),
        lines=(),
        head=("probability from", "to", "rows", "mean probability", "observed frequency"),
        rows=tuple(
            (
                f"{one['lower']:.1f}",
                f"{one['upper']:.1f}",
                f"{one['count']:,}",
                _number(one["mean_probability"]),
                _number(one["observed_frequency"]),
            )
            for one in reliability["bins"]
        ),
    )

    def draw(above: Any, below: Any) -> None:
        from matplotlib.ticker import EngFormatter

        above.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        points = [b["mean_probability"] for b in bins], [b["observed_frequency"] for b in bins]
        above.plot(*points, color=SERIES[0], marker="o")
        _unit_axes(above, "", "observed frequency")
        below.bar(
            [one["lower"] for one in reliability["bins"]],
            [one["count"] for one in reliability["bins"]],
            width=[one["upper"] - one["lower"] for one in reliability["bins"]],
            align="edge",
            color=SERIES[0],
            edgecolor=INK,
            linewidth=0.5,
        )
        below.set_xlabel(f"probability of the {of}")
        below.set_ylabel("rows")
        below.yaxis.set_major_formatter(EngFormatter(sep=""))

    return drawn(picture, draw, parts=(3, 1))


def training(history: Sequence[Mapping[str, float]], kept: int | None) -> tuple[Picture, ...]:
    """Draw the epochs: loss, the metric of the task, learning rate and seconds."""
    last = history[-1]
    metric, unit = next((name, unit) for name, unit in _METRICS.items() if name in last)
    loss = f"from {_number(history[0]['loss'])} to {_number(last['loss'])}"
    rate = f"from {_number(history[0]['learning_rate'])} to {_number(last['learning_rate'])}"
    seconds = sum(row["seconds"] for row in history)
    return (
        _epochs(history, kept, ("loss", "val_loss"), f"Loss fell {loss}", "loss"),
        _epochs(
            history,
            kept,
            (metric, f"val_{metric}"),
            f"{unit.capitalize()} reached {_number(last[metric])} on the rows of the training",
            unit,
        ),
        _epochs(history, kept, ("learning_rate",), f"Learning rate went {rate}", "learning rate"),
        _epochs(history, kept, ("seconds",), f"Epochs took {seconds:,.1f} s in all", "seconds"),
    )


def _epochs(
    history: Sequence[Mapping[str, float]],
    kept: int | None,
    columns: Sequence[str],
    title: str,
    unit: str,
) -> Picture:
    present = [column for column in columns if any(column in row for row in history)]
    if present[0] == "loss" and history[-1]["loss"] >= history[0]["loss"]:
        title = title.replace("fell", "did not fall:")
    epochs = [row["epoch"] for row in history]
    lines = tuple(
        Line(
            "held-out rows" if column.startswith("val_") else "rows of the training",
            _number(history[-1][column]),
        )
        for column in present
    )
    description = f"{unit.capitalize()} after each of {len(history)} epochs."
    if kept is not None:
        description += f" Dashed: epoch {kept}, whose weights were kept."
    picture = Picture(
        key=present[0].replace("_", "-"),
        title=title,
        description=description,
        lines=lines if len(present) > 1 else (),
        head=("epoch", *(column.replace("_", " ") for column in present)),
        rows=tuple(
            (f"{row['epoch']:.0f}", *(_number(row.get(column)) for column in present))
            for row in evenly(history)
        ),
    )

    def draw(axes: Any) -> None:
        series = [_Series(epochs, [row[column] for row in history]) for column in present]
        _draw_lines(axes, series, marker="o" if len(history) <= _MAX_ROWS else "")
        if kept is not None:
            axes.axvline(kept, color=INK, linewidth=1.0, linestyle="--")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)

    return drawn(picture, draw, height=2.6)


def drawn(
    picture: Picture,
    draw: Callable[..., None],
    *,
    height: float = 4.0,
    parts: tuple[int, ...] = (1,),
) -> Picture:
    """Draw a picture; where the library is missing or fails, its numbers have to do."""
    try:
        with _styled():
            from matplotlib.figure import Figure

            figure = Figure(figsize=(5.2, height))
            # Margins by hand: a layout that measures every text takes longer than the drawing.
            edges = {"left": 0.17, "right": 0.98, "bottom": 0.55 / height, "top": 1 - 0.25 / height}
            grid = {**edges, "height_ratios": parts}
            axes = figure.subplots(len(parts), 1, squeeze=False, sharex=True, gridspec_kw=grid)
            draw(*axes[:, 0])
            written = io.StringIO()
            figure.savefig(written, format="svg", metadata=_NO_METADATA)
    except Exception:
        return picture
    return replace(picture, svg=_for_the_page(written.getvalue()))


def _for_the_page(written: str) -> str:
    """Cut a file of SVG to the element that stands in a page, in the page's colours."""
    svg = written[written.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"\s+", " ", svg)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)  # a hundredth of a point is not seen
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1">', svg, count=1)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """Draw in the report's style, whatever the user's is, and leave the user's as it was."""
    with _quiet():
        import matplotlib

        defaults = dict(matplotlib.rcParamsDefault)
        look: dict[str, Any] = {n: v for n, v in defaults.items() if n.split(".")[0] in _LOOK}
        with _STYLING, matplotlib.rc_context({**look, **_STYLE}):
            yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from telling that a HOME cannot be written to, or of fonts it looks for."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _draw_lines(axes: Any, series: Sequence[_Series], **style: Any) -> None:
    for number, one in enumerate(series):
        dashes = _DASHES[number % len(_DASHES)]
        axes.plot(one.x, one.y, color=SERIES[number], linestyle=dashes, **style)


def _unit_axes(axes: Any, x_label: str, y_label: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


def _worst(curves: Mapping[int, Curves], areas: Sequence[Any]) -> list[int]:
    """Choose the classes to draw: all where there are few, else those with the smallest areas."""
    if len(curves) <= MAX_LINES:
        return sorted(curves)
    return sorted(curves, key=lambda index: (areas[index], index))[:MAX_LINES]


def _range(areas: Sequence[Any], shown: Sequence[int]) -> str:
    values = [areas[index] for index in shown]
    low, high = _number(min(values)), _number(max(values))
    return f"areas {low} to {high}" if low != high else f"area {low}"


def _rows(lines: Sequence[Line], series: Sequence[_Series]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (line.name, f"{x:.4f}", f"{y:.4f}")
        for line, one in zip(lines, series, strict=True)
        for x, y in evenly(list(zip(one.x, one.y, strict=True)))
    )


def evenly(items: Sequence[Any]) -> list[Any]:
    """Take items evenly, the first and the last among them."""
    if len(items) <= _MAX_ROWS:
        return list(items)
    step = (len(items) - 1) / (_MAX_ROWS - 1)
    return [items[round(number * step)] for number in range(_MAX_ROWS)]


def _floats(values: Any) -> list[float]:
    floats: list[float] = values.tolist()
    return floats


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) >= 0.001 or not value else f"{value:.2e}"
