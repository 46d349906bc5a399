"""What is counted and measured of several outputs of one model, each as by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from irisspark.metrics.eval_counts import EvalCounts
from irisspark.metrics.regression import RegressionCounts, RegressionScores
from irisspark.metrics.scores import Scores

if TYPE_CHECKING:
    from irisspark.metrics.labels import LabelCounts, LabelScores

OneCounts: TypeAlias = "EvalCounts | RegressionCounts | LabelCounts"
OneScores: TypeAlias = "Scores | RegressionScores | LabelScores"


@dataclass(frozen=True)
class JointCounts:
    """The counts of each of several outputs; ``+`` adds two of them up, output by output.

    Attributes:
        parts: In the order of the outputs.
    """

    parts: tuple[OneCounts, ...]

    @property
    def rows(self) -> int:
        """Rows that were counted: for each output the same."""
        return self.parts[0].rows

    @property
    def nan_rows(self) -> int:
        """Rows whose prediction is not finite, of the output that has most of them."""
        return max(part.nan_rows for part in self.parts)

    def __add__(self, other: JointCounts) -> JointCounts:
        """Return the counts of both sets of rows."""
        pairs = zip(self.parts, other.parts, strict=True)
        return JointCounts(tuple(one + more for one, more in pairs))  # type: ignore[operator]


@dataclass(frozen=True)
class JointScores:
    """Every metric of several outputs.

    Attributes:
        by_output: The metrics of each, by its name.
        loss: What Keras calls the loss: those of the outputs by their weights, and that of the
            weights; None where no output has one.
    """

    by_output: Mapping[str, OneScores]
    loss: float | None = None

    @property
    def rows(self) -> int:
        """Rows that were evaluated."""
        return next(iter(self.by_output.values())).rows


def joint_loss(
    scores: Sequence[OneScores], weights: Sequence[float], regularization: float
) -> float | None:
    """Add the losses of outputs up, as Keras does; None where none has one."""
    weighted = [
        one.loss * weight
        for one, weight in zip(scores, weights, strict=True)
        if one.loss is not None
    ]
    return sum(weighted) + regularization if weighted else None
