"""Trains one worker's rows for one round, and measures the held-out rows after it.

What a round needs comes with it: the averaged variables, the rows, the numbers of epoch and round.
A worker's process keeps the built model and its compiled function between rounds as a cache only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.errors import first_line
from irisspark.model.forward import build_once, fixed_blocks
from irisspark.model.spec import ModelSpec
from irisspark.startup.imports import import_tensorflow
from irisspark.training.averaging import ChunkLayout, WeightedChunk, put_together, take_chunk
from irisspark.training.worker.replica import Replica, Trained
from irisspark.training.worker.rows import PlacedRows, join

Array = npt.NDArray[Any]

REPORT = -1
"""The key of a report, beside those of the chunks."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a worker builds its replica from, once a process.

    Attributes:
        spec: The model, without the bytes of its file.
        optimizer: Keras's serialized optimizer.
        num_features: Feature columns of a row.
        batch_size: Rows of an update.
        num_threads: Threads that TensorFlow may use.
        layout: How the model's and the optimizer's variables travel.
    """

    spec: ModelSpec
    optimizer: dict[str, Any]
    num_features: int
    batch_size: int
    num_threads: int
    layout: ChunkLayout

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that a replica is built from."""
        parts = (self.optimizer, self.num_features, self.batch_size, self.num_threads)
        digest = hashlib.sha256(self.spec.fingerprint.encode())
        digest.update(json.dumps(parts, sort_keys=True).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class RoundPlan:
    """What a worker is to do in one round.

    Attributes:
        epoch: From 0.
        number: Of the round in its epoch, from 0.
        first_batch: Where in the epoch the round begins.
        num_batches: At most so many; None for all that are left.
        seed: Of the run.
        shuffle: Whether the rows are put in another order in each epoch.
        rate_scale: What the learning rate is multiplied by after the first epoch.
        warmup_batches: Batches over which the factor grows to that from 1, in the first epoch.
    """

    epoch: int
    number: int
    first_batch: int
    num_batches: int | None
    seed: int
    shuffle: bool
    rate_scale: float
    warmup_batches: int


@dataclass(frozen=True)
class RoundReport:
    """What one worker did in one round.

    Attributes:
        partition: Number of the worker, from 0.
        num_rows: Rows that it learned from; 0 where it had none in this round.
        loss_sum: Sum over the rows of their batch's loss, before each update.
        metric_sum: Of a classifier, the rows whose class was predicted right, before each update;
            of a regression, the sum of the absolute errors; of several labels, of the share of
            them that is right.
        diverged: Number of the first batch whose loss or weights are not finite.
        failure: What TensorFlow said where it could not train on these rows.
    """

    partition: int
    num_rows: int = 0
    loss_sum: float = 0.0
    metric_sum: float = 0.0
    diverged: int | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Measured:
    """What one worker found on its share of the held-out rows.

    Attributes:
        partition: Number of the worker.
        num_rows: Rows.
        loss_sum: Sum of their losses, without regularization.
        metric_sum: As that of ``RoundReport``.
        regularization_loss: The regularization losses of the weights.
        failure: What TensorFlow said where it could not.
    """

    partition: int
    num_rows: int = 0
    loss_sum: float = 0.0
    metric_sum: float = 0.0
    regularization_loss: float = 0.0
    failure: str | None = None


def replica(recipe: Recipe) -> Replica:
    """Give this process's replica of the run, built once."""

    def build() -> Replica:
        return Replica(
            recipe.spec,
            recipe.optimizer,
            recipe.num_features,
            recipe.batch_size,
            recipe.num_threads,
        )

    import_tensorflow()
    return build_once(f"replica {recipe.fingerprint}", build)


def batches_of(num_rows: int, batch_size: int) -> int:
    """Count the batches of some rows; the last may be incomplete."""
    return -(-num_rows // batch_size)


def train_round(
    partition: int,
    blocks: Iterable[PlacedRows],
    recipe: Recipe,
    plan: RoundPlan,
    chunks: Callable[[], Iterable[Sequence[Array]]],
) -> Iterator[tuple[int, WeightedChunk | RoundReport]]:
    """Train one worker's rows for one round.

    Args:
        partition: Number of the worker.
        blocks: Its rows, in order.
        recipe: The model.
        plan: The round.
        chunks: Gives the averaged variables that the round starts from.

    Yields:
        (``REPORT``, what was done), then (number, values) of each chunk where there were rows.
    """
    rows = list(blocks)
    num_rows = sum(len(block) for block in rows)
    first, last = plan.first_batch, batches_of(num_rows, recipe.batch_size)
    if plan.num_batches is not None:
        last = min(last, first + plan.num_batches)
    if first >= last:
        yield REPORT, RoundReport(partition)
        return
    model = replica(recipe)
    learner = _Learner(model, partition, join(rows), plan)
    model.load(put_together(recipe.layout, chunks()), partition)
    report = learner.train((first, last))
    if report.diverged is not None:
        model.load(put_together(recipe.layout, chunks()), partition)
        report = replace(report, diverged=learner.find_diverging(first, report.diverged))
    yield REPORT, report
    if report.diverged is not None or report.failure is not None:
        return
    variables = model.values()
    for chunk in range(len(recipe.layout.chunks)):
        arrays = take_chunk(recipe.layout, chunk, variables)
        yield chunk, WeightedChunk(partition, report.num_rows, arrays)


class _Learner:
    """One worker's round on a replica that holds the variables that it starts from."""

    def __init__(self, model: Replica, partition: int, rows: PlacedRows, plan: RoundPlan) -> None:
        """Put the rows in the order of the epoch."""
        self._model, self._partition, self._rows, self._plan = model, partition, rows, plan
        self._order = np.arange(len(rows), dtype=np.int32)
        if plan.shuffle:
            # The same order in all rounds of an epoch.
            random = np.random.default_rng((plan.seed, plan.epoch, partition))
            self._order = random.permutation(self._order)
        # From rate to rate * scale, in equal steps over the first epoch.
        growth = (plan.rate_scale - 1.0) / max(plan.warmup_batches, 1) if plan.epoch == 0 else 0.0
        self._ramp = (1.0 if plan.epoch == 0 else plan.rate_scale, growth)

    def train(self, span: tuple[int, int]) -> RoundReport:
        """Learn from the batches ``span[0]`` to ``span[1]`` (not included)."""
        learned = RoundReport(self._partition)
        try:
            done = self._learn(*span)
        except self._model.errors as error:
            return replace(learned, failure=first_line(error))
        if done.diverged is not None:
            return replace(learned, diverged=done.diverged)
        return replace(
            learned, num_rows=done.num_rows, loss_sum=done.loss_sum, metric_sum=done.metric_sum
        )

    def find_diverging(self, first: int, last: int) -> int:
        """Find the first of some batches after which the loss or a weight is not finite.

        A round looks at the weights at its end alone, and a loss may stay finite when they are not:
        some kernels of relu make 0 of NaN. By halves that is another round at most.

        Args:
            first: The batch that the replica is to go on with.
            last: A batch after which something is not finite.
        """
        good = self._model.state()
        while first < last:
            middle = (first + last) // 2
            self._model.restore(good)
            if self._learn(first, middle + 1).diverged is None:
                first, good = middle + 1, self._model.state()
            else:
                last = middle
        return first

    def _learn(self, first: int, last: int) -> Trained:
        rows, span = self._rows, (first, last)
        return self._model.train(rows.features, rows.labels, self._order, span, self._ramp)


def measure_rows(
    partition: int,
    blocks: Iterable[PlacedRows],
    recipe: Recipe,
    chunks: Iterable[Sequence[Array]],
) -> Iterator[Measured]:
    """Measure the loss and the metric of one worker's share of the held-out rows."""
    rows = list(blocks)
    if not rows:
        yield Measured(partition)
        return
    model = replica(recipe)
    model.load(put_together(recipe.layout, chunks))
    loss_sum, metric_sum, num_rows = 0.0, 0.0, 0
    block_rows, output = recipe.spec.block_rows, recipe.spec.output
    try:
        for features, labels, filled in fixed_blocks(
            rows, block_rows, output.label_dtype, output.label_shape
        ):
            losses, metric = model.measure(features, labels)
            loss_sum += float(losses[:filled].astype(np.float64).sum())
            metric_sum += float(metric[:filled].sum(dtype=np.float64))
            num_rows += filled
    except model.errors as error:
        yield Measured(partition, failure=first_line(error))
        return
    yield Measured(partition, num_rows, loss_sum, metric_sum, model.regularization_loss())
