"""Classification: what is counted of a model's predictions, and what the counts come to.

The output of the model chooses the kind of problem; this is the only one so far. Whoever adds
another gives it these methods, its own ``data.targets``, counts and scores, and chooses it in
``problem_of``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from irisspark.metrics import EvalCounts, Scores, Tally, score
from irisspark.model.output import Decoded, OutputMeaning

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Classification:
    """Judges classes.

    Attributes:
        output: What the model's output means.
        top_n: N of the top-N accuracy.
    """

    output: OutputMeaning
    top_n: int

    def tally(self, partition: int) -> Tally:
        """Begin to count the rows of a partition."""
        return Tally(
            num_classes=self.output.num_classes,
            top_n=self.top_n,
            probabilities=self.output.probabilities,
            partition=partition,
        )

    def count(self, tally: Tally, labels: Array, decoded: Decoded, losses: Array | None) -> None:
        """Count rows: int64 [rows] labels, their predictions, and float [rows] losses if any."""
        tally.add(labels, decoded.y_pred, decoded.scores, losses)

    def score(self, counts: EvalCounts, class_names: Sequence[str] | None) -> Scores:
        """Make every metric of the sum of all counts, once."""
        return score(counts, class_names, self.top_n)


def problem_of(output: OutputMeaning, top_n: int) -> Classification:
    """Choose the kind of problem by what a model's output means."""
    return Classification(output, top_n)
