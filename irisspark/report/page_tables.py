"""The tables of report.html: from what metrics.json holds to what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_MATRIX_CLASSES = 30
"""Above this many classes a matrix cannot be read: the most frequent confusions are listed."""

_MAX_CONFUSIONS = 50
_MAX_CLASS_ROWS = 1200
_MAX_NAME_CHARS = 60
_MAX_VALUE_CHARS = 400
_SHADES = 10


@dataclass(frozen=True)
class Tile:
    """A score of the first screen.

    Attributes:
        name: What it is.
        value: Its value as text.
        note: What it is of.
    """

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix: rows, their share of the true class, and its shade."""

    count: int
    share: float
    shade: int


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix.

    Attributes:
        names: Of the classes.
        rows: A true class a row, a predicted one a column.
        title: What to see.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str


@dataclass(frozen=True)
class Confusion:
    """Rows of one class that were taken for another.

    Attributes:
        share: Of the true class's rows.
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class ClassRow:
    """A class in the table of classes."""

    name: str
    precision: float
    recall: float
    f1: float
    roc_auc: float | None
    average_precision: float | None
    support: int
    num_predicted: int


@dataclass(frozen=True)
class ClassTable:
    """The table of classes.

    Attributes:
        rows: Of the classes with the most rows where there are too many for a page.
        num_classes: Of all.
    """

    rows: tuple[ClassRow, ...]
    num_classes: int


@dataclass(frozen=True)
class Table:
    """A table that is sorted by any column.

    Attributes:
        key: Names it in the page's addresses.
        title: What it is of.
        head: Names of its columns.
        rows: Their texts; not all of them where there are too many for a page.
        num_rows: Of all.
    """

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_rows: int


@dataclass(frozen=True)
class Facts:
    """A small table of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


def number(value: float | None, digits: int = 4) -> str:
    """Write a figure, and a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001


def shown(text: object, limit: int = _MAX_NAME_CHARS) -> str:
    """Cut a text to what a page can show."""
    written = str(text)
    return written if len(written) <= limit else f"{written[: limit - 1]}…"


def subject(content: Mapping[str, Any]) -> str:
    """Say what was run on what."""
    options = content["run"]["options"]
    model, data = (shown(options[name], 120) for name in ("modelPath", "dataPath"))
    did = "trained and evaluated" if options["train"] else "evaluated"
    if "output" in content:
        model += f", its output {shown(content['output'])},"
    return f"{model} {did if is_judged(content) else 'predicted'} on {data}"


def is_judged(content: Mapping[str, Any]) -> bool:
    """Tell an evaluation from predictions alone."""
    return "loss" in content


def counted(content: Mapping[str, Any]) -> str:
    """Say what there is of the task: classes, labels, or columns of numbers."""
    for key, one, more in (
        ("class_names", "class", "classes"),
        ("label_names", "label", "labels"),
        ("per_column", "column of numbers", "columns of numbers"),
    ):
        if key in content:
            number = len(content[key])
            return f"{number:,} {one if number == 1 else more}"
    return {"regression": "a regression", "labels": "several labels"}[content["task"]]


def tiles(content: Mapping[str, Any]) -> list[Tile]:
    """Choose the scores of the first screen, those that exist."""
    if not is_judged(content):
        return [Tile("Rows", f"{content['rows']:,}", "were predicted")]
    block = content["dl4j"]
    of_class = block["averaging"] == "class 1"
    averaged = f"of class {content['class_names'][1]}" if of_class else "mean of the classes"
    found = [
        ("Accuracy", content["accuracy"], "rows that are right"),
        ("Precision", block["precision"], averaged),
        ("Recall", block["recall"], averaged),
        ("F1", block["f1"], "of class 1" if content["num_classes"] == 2 else averaged),
        ("ROC AUC", content["roc_auc"]["macro"], "one class against the rest"),
        ("Loss", content["loss"], "the model's own"),
    ]
    if content["top_n"] > 1:
        found.insert(1, (f"Top {content['top_n']}", content["top_n_accuracy"], "of the scores"))
    return [
        Tile(name, number(value), shown(note)) for name, value, note in found if value is not None
    ]


def matrix(content: Mapping[str, Any]) -> Matrix | None:
    """Shade the confusion matrix; None where it has too many classes, or there is none."""
    if "confusion_matrix" not in content or content["num_classes"] > MAX_MATRIX_CLASSES:
        return None
    rows = []
    for counts in content["confusion_matrix"]:
        total = sum(counts) or 1
        shares = [count / total for count in counts]
        rows.append(
            tuple(
                Cell(count, share, round(share * _SHADES) or (1 if count else 0))
                for count, share in zip(counts, shares, strict=True)
            )
        )
    names = tuple(shown(name) for name in content["class_names"])
    worst = confusions(content)
    title = "Every row was given its own class"
    if worst:
        first = worst[0]
        times = "row" if first.count == 1 else "rows"
        title = f"Most often confused: {first.count:,} {times} of {first.true} as {first.predicted}"
    return Matrix(names, tuple(rows), title)


def confusions(content: Mapping[str, Any]) -> list[Confusion]:
    """List the most frequent confusions."""
    if "confusion_matrix" not in content:
        return []
    counts = np.array(content["confusion_matrix"], dtype=np.int64)
    support = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:_MAX_CONFUSIONS].tolist()
    names = content["class_names"]
    pairs = ((divmod(cell, len(names)), int(counts.flat[cell])) for cell in order)
    return [
        Confusion(shown(names[true]), shown(names[predicted]), count, count / int(support[true]))
        for (true, predicted), count in pairs
        if count
    ]


def classes(content: Mapping[str, Any]) -> ClassTable | None:
    """List the classes, in the order of the model's outputs."""
    if "per_class" not in content:
        return None
    named = list(content["per_class"].items())
    kept = range(len(named))
    if len(named) > _MAX_CLASS_ROWS:
        by_support = sorted(kept, key=lambda index: -named[index][1]["support"])
        kept = sorted(by_support[:_MAX_CLASS_ROWS])  # type: ignore[assignment]
    areas, precisions = (content[m]["per_class"] for m in ("roc_auc", "average_precision"))
    rows = tuple(
        ClassRow(shown(name), **one, roc_auc=areas[name], average_precision=precisions[name])
        for name, one in (named[index] for index in kept)
    )
    return ClassTable(rows, len(named))


def predicted(content: Mapping[str, Any]) -> list[tuple[str, int]]:
    """List how many rows each class was given, where there is nothing to measure."""
    found = sorted(content.get("num_predicted", {}).items(), key=lambda item: -item[1])
    return [(shown(name), count) for name, count in found[:_MAX_CLASS_ROWS]]


def facts(content: Mapping[str, Any]) -> list[Facts]:
    """Say what the run was: model and data, seconds, versions, options."""
    run = content["run"]
    return [
        Facts("Model and data", _pairs(_about(run))),
        Facts("Training", _pairs(run.get("training", {}))),
        Facts("Further scores", _pairs(_further(content))),
        Facts("Seconds", _pairs(run["seconds"])),
        Facts("Versions", _pairs(run["versions"])),
        Facts("Options", _pairs(run["options"])),
    ]


def _about(run: Mapping[str, Any]) -> dict[str, object]:
    return {
        "model": run["model"]["path"],
        "SHA-256": run["model"]["sha256"],
        "saved by Keras": run["model"]["keras_version"],
        "files of data": run["data"]["files"],
        "bytes of data": run["data"]["bytes"],
        "master": run["master"],
        "tasks": run["tasks"],
        "rows a second": round(run["rows_per_second"]),
    }


def _further(content: Mapping[str, Any]) -> dict[str, object]:
    if "accuracy" not in content:
        return {}
    names = ("cohen_kappa", "matthews_corrcoef", "balanced_accuracy", "brier_score")
    found: dict[str, object] = {name: content[name] for name in names}
    for average in ("macro", "weighted"):
        found |= {f"{average}_{name}": value for name, value in content[average].items()}
    return found


def _pairs(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), _text(value)) for name, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    if value is None or value == [] or value == "":
        return "–"  # noqa: RUF001
    if isinstance(value, Sequence) and not isinstance(value, str):
        return shown(", ".join(map(str, value)), _MAX_VALUE_CHARS)
    return shown(value, _MAX_VALUE_CHARS)
