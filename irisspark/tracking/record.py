"""What a run says of itself to MLflow: parameters, metrics by step, tags and files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EPOCHS = "epoch/"
"""Before the metrics of epochs, so that an epoch's accuracy is not taken for the evaluation's."""

# Settings and tables, of which the second are in metrics.json, an artifact.
_NO_SCORES = frozenset(
    [
        *("version", "num_classes", "top_n", "bad_rows", "reliability", "num_predicted", "run"),
        *("per_class", "per_class_error_bound", "per_column", "max_error_row"),
        *("per_label", "per_label_error_bound", "outputs"),
    ]
)
_NOT_IN_NAMES = re.compile(r"[^\w./ -]", re.ASCII)


@dataclass(frozen=True)
class Metric:
    """One value.

    Attributes:
        name: Of the score, or of what an epoch measured.
        value: A finite number.
        step: The epoch, 0 for a score.
    """

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Record:
    """What MLflow keeps of a run.

    Attributes:
        params: The options, as the command line has them.
        metrics: Scores, and what each epoch came to.
        tags: Versions, bad rows, and what was evaluated.
        files: Artifacts by name.
        model: The bytes of the trained model's ``.keras`` file; None where nothing was trained.
    """

    params: dict[str, str]
    metrics: tuple[Metric, ...]
    tags: dict[str, str]
    files: Mapping[str, bytes]
    model: bytes | None = None


def make_record(
    content: Mapping[str, Any],
    files: Mapping[str, bytes],
    *,
    history: Sequence[Mapping[str, float]] = (),
    unmet: Sequence[str] = (),
    model: bytes | None = None,
) -> Record:
    """Make the record of a run.

    Args:
        content: What metrics.json holds, passwords in it hidden.
        files: The report's files by name.
        history: A row an epoch.
        unmet: A line for each requirement that is not met.
        model: As ``Record`` has it.
    """
    scores = (Metric(name, value) for name, value in _scores(content))
    epochs = (metric for row in history for metric in _of_epoch(row))
    metrics = tuple(metric for metric in (*scores, *epochs) if math.isfinite(metric.value))
    params = {name: _text(value) for name, value in content["run"]["options"].items()}
    return Record(params, metrics, _tags(content, unmet), files, model)


def _scores(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers that judge all rows, named as ``-require`` names them."""
    for output, scores in content.get("outputs", {}).items():
        yield from _scores(scores, f"{_NOT_IN_NAMES.sub('_', output)}.")
    for name, value in content.items():
        if name in _NO_SCORES or isinstance(value, bool):
            continue
        if isinstance(value, Mapping):
            yield from _scores(value, f"{above}{name}.")
        elif isinstance(value, int | float):
            yield f"{above}{name}", float(value)


def _of_epoch(row: Mapping[str, float]) -> Iterator[Metric]:
    for name, value in row.items():
        if name != "epoch":
            yield Metric(f"{EPOCHS}{name}", float(value), int(row["epoch"]))


def _tags(content: Mapping[str, Any], unmet: Sequence[str]) -> dict[str, str]:
    run, bad = content["run"], content["bad_rows"]
    tags = {
        "task": content["task"],
        "master": run["master"],
        "model.sha256": run["model"]["sha256"],
        "data.files": run["data"]["files"],
        "data.bytes": run["data"]["bytes"],
        "bad_rows": bad["total"],
        **{f"bad_rows.{reason}": count for reason, count in bad["by_reason"].items()},
        **{f"version.{name}": version for name, version in run["versions"].items()},
    }
    if unmet:
        tags["unmet"] = "; ".join(unmet)
    return {_NOT_IN_NAMES.sub("_", f"irisspark.{name}"): _text(tags[name]) for name in tags}


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
