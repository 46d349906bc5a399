"""Rounds of parameter averaging, in place of those of elephas's ``SparkModel``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from elephas.spark_model import SparkModel

from irisspark.errors import TrainingError
from irisspark.model.loading import without_copies
from irisspark.model.optimizers import optimizer_state, rate_owner
from irisspark.model.shared_file import share_file
from irisspark.startup.broadcasts import Shared, share
from irisspark.training import exchange
from irisspark.training.averaging import chunk_bytes, lay_out, take_chunk
from irisspark.training.history import EpochResult, metric_name
from irisspark.training.worker import learning
from irisspark.training.worker.learning import Measured, Recipe, RoundPlan, RoundReport

if TYPE_CHECKING:
    from irisspark.startup.session import Session
    from irisspark.training.configuration import Configured
    from irisspark.training.placing import Placed
    from irisspark.training.train_settings import TrainSettings

Array = npt.NDArray[Any]


class AveragingSparkModel(SparkModel):  # type: ignore[misc]
    """elephas's ``SparkModel`` with rounds that keep what they learned.

    What is used of ``SparkModel``: the master network and its recipe, the weights, optimizer and
    loss that it takes from it, ``num_workers`` and ``batch_size``. What is replaced is ``fit``,
    because elephas 7.3.0 trains nothing on a partition of at most ``batch_size`` rows and yet
    averages it in, does not weight by rows, fails on an empty partition, and builds model,
    optimizer and graph anew in every epoch, so that Adam's moments are lost.

    A round: the variables are broadcast; every worker trains its rows for the round; weights and
    optimizer variables come back averaged by rows.

    Attributes:
        variables: The weights, the optimizer's variables, and the states of the random generators,
            as of the last round.
        rate_scale: What the learning rate is multiplied by after the first epoch.
    """

    def __init__(
        self,
        session: Session,
        configured: Configured,
        placed: Placed,
        settings: TrainSettings,
        num_features: int,
    ) -> None:
        """Begin with the weights and the optimizer of the configured network."""
        workers = len(placed.worker_rows)
        with without_copies(configured.network):
            super().__init__(
                configured.network, num_workers=workers, batch_size=settings.batch_size_per_worker
            )
        self._session, self._placed, self._settings = session, placed, settings
        self.variables: list[Array] = [np.asarray(v.numpy()) for v in configured.variables]
        self._metric_name = metric_name(configured.spec.output)
        self._num_weights = len(configured.network.weights)
        self._file = share_file(session.context, configured.spec.file)
        self._recipe = Recipe(
            spec=configured.spec.without_file(self._file),
            optimizer=configured.optimizer,
            num_features=num_features,
            batch_size=self.batch_size,
            num_threads=session.threads_per_task,
            layout=lay_out(self.variables, chunk_bytes(workers)),
        )
        self._batches = learning.batches_of(max(placed.worker_rows), self.batch_size)
        self.rate_scale = self._rate_scale() if settings.scale_learning_rate else 1.0
        self._shared: Shared[list[Array]] | None = None

    def _rate_scale(self) -> float:
        """Give how many times fewer steps a replica takes than one process would.

        That is the number of workers, but less where their rows do not fill a batch: the mean of
        k half batches is a step of k/2 batches.
        """
        return learning.batches_of(self._placed.num_rows, self.batch_size) / self._batches

    @property
    def num_steps(self) -> int:
        """Steps that the optimizer has taken, as its own counter has it."""
        counter = rate_owner(self.master_network.optimizer).iterations
        state = optimizer_state(self.master_network.optimizer)
        number = next(i for i, variable in enumerate(state) if variable is counter)
        return int(self.variables[self._num_weights + number])

    @property
    def trained_weights(self) -> list[Array]:
        """The weights alone, in the order of ``keras.Model.get_weights``."""
        return self.variables[: self._num_weights]

    def fit(self, epoch: int) -> EpochResult:
        """Train for one epoch, a number from 0.

        Raises:
            TrainingError: The training diverges, or TensorFlow cannot train on the data.
        """
        step = self._settings.averaging_frequency or None
        reports: list[RoundReport] = []
        for number, first in enumerate(range(0, self._batches, step or self._batches)):
            plan = RoundPlan(
                epoch=epoch,
                number=number,
                first_batch=first,
                num_batches=step,
                seed=self._settings.seed,
                shuffle=self._settings.shuffle,
                rate_scale=self.rate_scale,
                warmup_batches=self._batches,
            )
            reports += self._train_round(plan)
        rows = sum(report.num_rows for report in reports)
        result = EpochResult(
            loss=math.fsum(report.loss_sum for report in reports) / rows,
            metric=math.fsum(report.metric_sum for report in reports) / rows,
            metric_name=self._metric_name,
        )
        return self._measured(epoch, result) if self._placed.held_out is not None else result

    def _train_round(self, plan: RoundPlan) -> list[RoundReport]:
        shared, recipe = self._share(), self._recipe
        reports: list[RoundReport] = []

        def train(partition: int, blocks: Iterator[Any]) -> Iterator[tuple[int, Any]]:
            return learning.train_round(partition, blocks, recipe, plan, shared.pieces)

        def check(found: list[RoundReport]) -> None:
            reports.extend(sorted(found, key=lambda report: report.partition))
            _check(reports, plan, len(self._placed.worker_rows))

        pairs = self._placed.rows.mapPartitionsWithIndex(train)
        self.variables = exchange.gather(
            self._session, pairs, recipe.layout, check, f"{self._epoch_name(plan.epoch)}: train"
        )
        self.release()
        return reports

    def _epoch_name(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self._settings.epochs}"

    def _measured(self, epoch: int, result: EpochResult) -> EpochResult:
        shared, recipe = self._share(), self._recipe
        assert self._placed.held_out is not None

        def measure(partition: int, blocks: Iterator[Any]) -> Iterator[Measured]:
            return learning.measure_rows(partition, blocks, recipe, shared.pieces())

        job: Callable[[], list[Measured]]
        job = self._placed.held_out.mapPartitionsWithIndex(measure).collect
        what = f"{self._epoch_name(epoch)}: measure the held-out rows"
        found = self._session.run(job, what)
        failures = [share.failure for share in found if share.failure is not None]
        if failures:
            raise TrainingError(f"the held-out rows cannot be measured: {failures[0]}")
        regularization_loss = next(share.regularization_loss for share in found if share.num_rows)
        loss = math.fsum(share.loss_sum for share in found) / self._placed.num_held_out
        metric_sum = math.fsum(share.metric_sum for share in found)
        return replace(
            result,
            val_loss=loss + regularization_loss,
            val_metric=metric_sum / self._placed.num_held_out,
        )

    def _share(self) -> Shared[list[Array]]:
        """Broadcast the variables, once for the measurement and the round that follows it."""
        if self._shared is None:
            layout = self._recipe.layout
            chunks = range(len(layout.chunks))
            taken = (take_chunk(layout, chunk, self.variables) for chunk in chunks)
            self._shared = share(self._session.context, taken)
        return self._shared

    def close(self) -> None:
        """Take everything that was broadcast away from all machines."""
        self.release()
        self._file.release()

    def release(self) -> None:
        """Take the variables of the last round away from all machines."""
        if self._shared is not None:
            self._shared.release()
            self._shared = None


def _check(reports: list[RoundReport], plan: RoundPlan, num_workers: int) -> None:
    for report in reports:
        where = f"in epoch {plan.epoch + 1} on worker {report.partition + 1} of {num_workers}"
        if report.failure is not None:
            raise TrainingError(f"TensorFlow cannot train {where}: {report.failure}")
        if report.diverged is not None:
            raise TrainingError(
                f"the training diverged {where}: the loss or a weight is not finite after batch "
                f"{report.diverged + 1}; try a smaller -learningRate (with -scaleLearningRate true "
                "it is multiplied by the number of workers), and features of similar scale"
            )
