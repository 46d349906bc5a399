"""The kinds of problem: what is counted of a model's output, and what the counts come to.

What the output of the model means chooses the kind. Whoever adds another gives it these methods,
its own ``data.targets``, counts and scores, and chooses it in ``problem_of``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy.typing as npt

from irisspark.metrics import EvalCounts, Scores, Tally, score
from irisspark.metrics.regression import (
    PlaceOf,
    RegressionCounts,
    RegressionScores,
    RegressionTally,
    score_regression,
)
from irisspark.model.output import (
    Decoded,
    LabelsMeaning,
    Meaning,
    OutputMeaning,
    RegressionMeaning,
)

if TYPE_CHECKING:
    from irisspark.metrics.labels import LabelCounts, LabelScores, LabelTally

Array = npt.NDArray[Any]
Counts: TypeAlias = "EvalCounts | RegressionCounts | LabelCounts"


class Counter(Protocol):
    """Counts the rows of a partition."""

    def add(
        self,
        labels: Array,
        output: Array,
        decoded: Decoded | None,
        losses: Array | None,
        place_of: PlaceOf,
    ) -> None:
        """Count rows.

        Args:
            labels: [rows, ...], as the targets of the problem are.
            output: float32 [rows, units], as the model put them out.
            decoded: The classes that they mean; None where they are numbers.
            losses: float [rows], if the model has a loss.
            place_of: Gives the place of one of the rows in the input.
        """

    @property
    def counts(self) -> Counts:
        """The counts so far."""


class _DecodedCounter:
    """Counts what a model's output is decoded to: classes, or labels."""

    def __init__(self, tally: Tally | LabelTally) -> None:
        self._tally = tally

    def add(
        self,
        labels: Array,
        output: Array,
        decoded: Decoded | None,
        losses: Array | None,
        place_of: PlaceOf,
    ) -> None:
        assert decoded is not None
        self._tally.add(labels, decoded.y_pred, decoded.scores, losses)

    @property
    def counts(self) -> EvalCounts | LabelCounts:
        return self._tally.counts


class _NumberCounter:
    def __init__(self, tally: RegressionTally) -> None:
        self._tally = tally

    def add(
        self,
        labels: Array,
        output: Array,
        decoded: Decoded | None,
        losses: Array | None,
        place_of: PlaceOf,
    ) -> None:
        self._tally.add(labels.reshape(output.shape), output, losses, place_of)

    @property
    def counts(self) -> RegressionCounts:
        return self._tally.counts


@dataclass(frozen=True)
class Classification:
    """Judges classes.

    Attributes:
        output: What the model's output means.
        top_n: N of the top-N accuracy.
    """

    output: OutputMeaning
    top_n: int

    def counter(self, partition: int) -> Counter:
        """Begin to count the rows of a partition."""
        return _DecodedCounter(
            Tally(
                num_classes=self.output.num_classes,
                top_n=self.top_n,
                probabilities=self.output.probabilities,
                partition=partition,
            )
        )

    def decode(self, output: Array) -> Decoded:
        """Tell the classes that a model's output means."""
        return self.output.decode(output)

    def score(self, counts: Counts, names: Sequence[str] | None) -> Scores:
        """Make every metric of the sum of all counts, once; ``names`` are those of the classes."""
        assert isinstance(counts, EvalCounts)
        return score(counts, names, self.top_n)


@dataclass(frozen=True)
class Regression:
    """Judges numbers."""

    output: RegressionMeaning

    def counter(self, partition: int) -> Counter:
        """Begin to count the rows of a partition."""
        num_columns = self.output.num_units
        return _NumberCounter(RegressionTally(num_columns=num_columns, partition=partition))

    def decode(self, output: Array) -> None:
        """Give None: a number means itself."""

    def score(self, counts: Counts, names: Sequence[str] | None) -> RegressionScores:
        """Make every metric of the sum of all counts, once; ``names`` are those of the labels."""
        assert isinstance(counts, RegressionCounts)
        assert names is not None
        return score_regression(counts, names)


@dataclass(frozen=True)
class SeveralLabels:
    """Judges labels that a row has or has not, each by itself."""

    output: LabelsMeaning

    def counter(self, partition: int) -> Counter:
        """Begin to count the rows of a partition."""
        from irisspark.metrics.labels import LabelTally

        return _DecodedCounter(LabelTally(num_labels=self.output.num_units, partition=partition))

    def decode(self, output: Array) -> Decoded:
        """Tell the labels that a model's output means."""
        return self.output.decode(output)

    def score(self, counts: Counts, names: Sequence[str] | None) -> LabelScores:
        """Make every metric of the sum of all counts, once; ``names`` are those of the labels."""
        from irisspark.metrics.labels import LabelCounts, score_labels

        assert isinstance(counts, LabelCounts)
        assert names is not None
        return score_labels(counts, names)


def problem_of(output: Meaning, top_n: int) -> Classification | Regression | SeveralLabels:
    """Choose the kind of problem by what a model's output means."""
    if isinstance(output, LabelsMeaning):
        return SeveralLabels(output)
    if isinstance(output, RegressionMeaning):
        return Regression(output)
    return Classification(output, top_n)
