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
from irisspark.metrics.joint import JointCounts, OneCounts, OneScores
from irisspark.metrics.regression import (
    PlaceOf,
    RegressionCounts,
    RegressionScores,
    RegressionTally,
    score_regression,
)
from irisspark.model.output import (
    Decoded,
    JointMeaning,
    LabelsMeaning,
    Meaning,
    OneMeaning,
    OutputMeaning,
    RegressionMeaning,
)

if TYPE_CHECKING:
    from irisspark.metrics.labels import LabelCounts, LabelScores, LabelTally

Array = npt.NDArray[Any]
Counts: TypeAlias = "OneCounts | JointCounts"
AnyDecoded: TypeAlias = "Decoded | tuple[Decoded | None, ...] | None"
"""The classes that an output means, None of numbers; of several outputs each one's."""


class Counter(Protocol):
    """Counts the rows of a partition."""

    def add(
        self,
        labels: Array,
        output: Array,
        decoded: AnyDecoded,
        losses: Array | None,
        place_of: PlaceOf,
    ) -> None:
        """Count rows.

        Args:
            labels: [rows, ...], as the targets of the problem are.
            output: float32 [rows, units], as the model put them out.
            decoded: The classes that they mean; None where they are numbers; those of each of
                several outputs.
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
        decoded: AnyDecoded,
        losses: Array | None,
        place_of: PlaceOf,
    ) -> None:
        assert isinstance(decoded, Decoded)
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
        decoded: AnyDecoded,
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


class _JointCounter:
    """Hands each output's share of rows to the counter of that output."""

    def __init__(self, output: JointMeaning, counters: Sequence[Counter]) -> None:
        self._output = output
        self._counters = counters

    def add(
        self,
        labels: Array,
        output: Array,
        decoded: AnyDecoded,
        losses: Array | None,
        place_of: PlaceOf,
    ) -> None:
        assert isinstance(decoded, tuple)
        shares = zip(
            self._counters,
            self._output.parts,
            self._output.labels_of(labels),
            self._output.outputs_of(output),
            decoded,
            strict=True,
        )
        for place, (counter, part, own, units, classes) in enumerate(shares):
            of_rows = None if losses is None else losses[:, place]
            counter.add(part.labels_of(own), units, classes, of_rows, place_of)

    @property
    def counts(self) -> JointCounts:
        parts = []
        for counter in self._counters:
            assert not isinstance(counter.counts, JointCounts)
            parts.append(counter.counts)
        return JointCounts(tuple(parts))


@dataclass(frozen=True)
class SeveralOutputs:
    """Judges several outputs, each as its own kind of problem.

    Attributes:
        output: What the outputs mean.
        top_n: N of the top-N accuracy, of those that are classes.
    """

    output: JointMeaning
    top_n: int

    def counter(self, partition: int) -> Counter:
        """Begin to count the rows of a partition."""
        return _JointCounter(self.output, [one.counter(partition) for one in self._problems])

    def decode(self, output: Array) -> tuple[Decoded | None, ...]:
        """Tell what each output means."""
        shares = zip(self._problems, self.output.outputs_of(output), strict=True)
        return tuple(problem.decode(units) for problem, units in shares)

    def score_each(
        self, counts: Counts, names: Sequence[Sequence[str] | None]
    ) -> dict[str, OneScores]:
        """Make every metric of each output; ``names`` are what the targets of each are called."""
        assert isinstance(counts, JointCounts)
        shares = zip(self.output.parts, self._problems, counts.parts, names, strict=True)
        return {part.name: problem.score(own, named) for part, problem, own, named in shares}

    @property
    def _problems(self) -> list[OneProblem]:
        return [_one_problem_of(part.meaning, self.top_n) for part in self.output.parts]


OneProblem: TypeAlias = "Classification | Regression | SeveralLabels"


def problem_of(output: Meaning, top_n: int) -> OneProblem | SeveralOutputs:
    """Choose the kind of problem by what a model's output means, or its outputs."""
    if isinstance(output, JointMeaning):
        return SeveralOutputs(output, top_n)
    return _one_problem_of(output, top_n)


def _one_problem_of(output: OneMeaning, top_n: int) -> OneProblem:
    if isinstance(output, LabelsMeaning):
        return SeveralLabels(output)
    if isinstance(output, RegressionMeaning):
        return Regression(output)
    return Classification(output, top_n)
