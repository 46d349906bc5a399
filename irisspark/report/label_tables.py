"""The tables of several labels' report.html: what metrics.json holds, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.report.page_tables import Table, Tile, number, shown

_MAX_LABEL_ROWS = 1200
_RATIOS = ("precision", "recall", "f1")
_RANKINGS = ("roc_auc", "average_precision")
_HEAD = ("precision", "recall", "F1")
_RANKING_HEAD = ("ROC AUC", "average precision")
_AVERAGES = {
    "macro": "macro: mean of the labels",
    "weighted": "weighted: by the rows that have them",
    "micro": "micro: all labels of all rows at once",
    "samples": "samples: mean of the rows",
}


def tiles(content: Mapping[str, Any]) -> list[Tile]:
    """Choose the scores of the first screen, those that exist."""
    found = [
        ("Subset accuracy", content["subset_accuracy"], "rows whose labels are all right"),
        ("Hamming loss", content["hamming_loss"], "share of the labels that is wrong"),
        ("Macro F1", content["macro"]["f1"], "mean of the labels"),
        ("Micro F1", content["micro"]["f1"], "of all labels at once"),
        ("ROC AUC", content["roc_auc"]["macro"], "mean of the labels"),
        ("Loss", content["loss"], "the model's own"),
    ]
    return [Tile(name, number(value), note) for name, value, note in found if value is not None]


def averages(content: Mapping[str, Any]) -> Table:
    """List what is averaged over the labels, or over the rows."""
    rows = tuple(
        (
            title,
            *(number(content[name][ratio]) for ratio in _RATIOS),
            *(number(content[ranking].get(name)) for ranking in _RANKINGS),
        )
        for name, title in _AVERAGES.items()
    )
    return Table("averages", "Averages", ("average", *_HEAD, *_RANKING_HEAD), rows, len(rows))


def labels(content: Mapping[str, Any]) -> Table:
    """List the labels, in the order of the model's outputs; the most frequent ones of many."""
    named = list(content["per_label"].items())
    kept = range(len(named))
    if len(named) > _MAX_LABEL_ROWS:
        by_support = sorted(kept, key=lambda index: -named[index][1]["support"])
        kept = sorted(by_support[:_MAX_LABEL_ROWS])  # type: ignore[assignment]
    head = ("label", "accuracy", *_HEAD, *_RANKING_HEAD, "rows", "predicted")
    rows = tuple(_label(content, *named[index]) for index in kept)
    return Table("labels", "Labels", head, rows, len(named))


def _label(content: Mapping[str, Any], name: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        shown(name),
        *(number(one[key]) for key in ("accuracy", *_RATIOS)),
        *(number(content[ranking]["per_label"][name]) for ranking in _RANKINGS),
        *(f"{one[key]:,}" for key in ("support", "num_predicted")),
    )
