"""The epochs of a training: one line of text and one row of history.csv each, and the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from irisspark.durations import duration_text
from irisspark.model.output import JointMeaning, Meaning, Task

Row = dict[str, float]
_METRICS: dict[Task, str] = {
    "classification": "accuracy",
    "regression": "mae",
    "labels": "binary_accuracy",
}


@dataclass(frozen=True)
class EpochResult:
    """What an epoch came to.

    Attributes:
        loss: Mean over the rows of their batch's loss, before each update.
        metric: Share of the rows whose class was predicted right, of a regression the mean
            absolute error, of several labels the share that was right; before each update.
        val_loss: Loss of the held-out rows after the epoch; None without any.
        val_metric: As ``val_loss``.
        metric_name: Keras's name of the metric.
    """

    loss: float
    metric: float
    val_loss: float | None = None
    val_metric: float | None = None
    metric_name: str = "accuracy"


def metric_name(output: Meaning) -> str:
    """Name the metric of an epoch as Keras does."""
    assert not isinstance(output, JointMeaning)
    return _METRICS[output.task]


def history_row(epoch: int, result: EpochResult, rate: float, seconds: float) -> Row:
    """Give an epoch's row of history.csv; epochs are numbered from 1."""
    name = result.metric_name
    row: Row = {"epoch": epoch, "loss": result.loss, name: result.metric}
    if result.val_loss is not None and result.val_metric is not None:
        row |= {"val_loss": result.val_loss, f"val_{name}": result.val_metric}
    return row | {"learning_rate": rate, "seconds": round(seconds, 3)}


def epoch_line(row: Row, epochs: int, seconds_left: float) -> str:
    """Say in one line what an epoch came to."""
    metrics = ("loss", *_METRICS.values())
    names = (*metrics, *(f"val_{name}" for name in metrics))
    found = [f"{name} {row[name]:.4f}" for name in names if name in row]
    took = f"{row['seconds']:.1f} s, {duration_text(seconds_left)} left"
    return "  ".join([f"epoch {row['epoch']:.0f}/{epochs}", *found, took])


def expected_seconds(history: Sequence[Row]) -> float:
    """Guess the seconds of an epoch to come: the first one compiles, so later ones count.

    Returns:
        0 where no epoch has run yet.
    """
    recent = [row["seconds"] for row in history[1:] or history]
    return sum(recent) / len(recent) if recent else 0.0


def seconds_left(history: Sequence[Row], epochs: int) -> float:
    """Guess the seconds of all the epochs to come."""
    return expected_seconds(history) * (epochs - len(history))


@dataclass(frozen=True)
class Best:
    """The best epoch so far by the loss of the held-out rows.

    Attributes:
        epoch: Its number from 1; 0 before the first.
        val_loss: Its loss.
        weights: The weights after it.
    """

    epoch: int = 0
    val_loss: float = float("inf")
    weights: list[npt.NDArray[Any]] = field(default_factory=list, repr=False)
