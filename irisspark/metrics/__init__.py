"""Counts that add up across machines, and every ratio made from them once, on the driver."""

from __future__ import annotations

from irisspark.metrics.eval_counts import EvalCounts, no_counts, total
from irisspark.metrics.scores import Layout, Scores, score
from irisspark.metrics.tally import Tally, count

__all__ = [
    "EvalCounts",
    "Layout",
    "Scores",
    "Tally",
    "count",
    "no_counts",
    "score",
    "total",
]
