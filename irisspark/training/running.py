"""The story of a training: configure, place the rows, train epoch by epoch, hand the model over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irisspark.model import loading
from irisspark.model.spec import ModelSpec
from irisspark.startup.meter import Work
from irisspark.storage.locating import locator
from irisspark.training.checkpoints import Checkpoint, Checkpoints, check_folder
from irisspark.training.configuration import Configured, configure
from irisspark.training.history import (
    Best,
    Row,
    epoch_line,
    expected_seconds,
    history_row,
    seconds_left,
)
from irisspark.training.placing import Placed, place

if TYPE_CHECKING:
    import keras

    from irisspark.data.dataset import Dataset
    from irisspark.model.loading import LoadedModel
    from irisspark.startup.session import Session
    from irisspark.training.rounds import AveragingSparkModel
    from irisspark.training.train_settings import TrainSettings

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves behind.

    Attributes:
        spec: The trained model.
        network: The same on the driver, for inputs of the spec's shape.
        dataset: The rows that it is to be judged on: the held-out ones where there are any.
        history: A row an epoch.
        files: The trained model's files by name, for ``-outputPath``.
        summary: What metrics.json says about the training.
    """

    spec: ModelSpec
    network: keras.Model
    dataset: Dataset
    history: tuple[Row, ...]
    files: dict[str, bytes]
    summary: dict[str, object]


def train(
    session: Session,
    model: LoadedModel,
    dataset: Dataset,
    settings: TrainSettings,
    say: Say,
) -> TrainingResult:
    """Train a model on the rows of the data.

    Args:
        session: The Spark context.
        model: Its network is trained in place.
        dataset: The rows.
        settings: How to train.
        say: Shows the user a line.

    Raises:
        DataError: A row is bad and ``-badRows`` is ``fail``, or no row is good.
        ModelError: The model cannot be trained.
        TrainingError: The training diverges, cannot be gone on with, or leaves no rows to learn
            from.
    """
    from irisspark.training.rounds import AveragingSparkModel  # imports TensorFlow

    kept_in = None
    if settings.checkpoint_path is not None:
        kept_in = check_folder(settings.checkpoint_path, locator(session))
    configured = configure(model, settings)
    placed = place(session, dataset, settings)
    try:
        num_features = len(dataset.columns.features)
        spark_model = AveragingSparkModel(session, configured, placed, settings, num_features)
        workers_line = _workers_line(spark_model, placed, session, settings)
        say(workers_line)
        checkpoints = None
        if kept_in is not None:
            made_with = _made_with(model, configured, placed, settings)
            checkpoints = Checkpoints(kept_in, made_with)
        rows = placed.num_rows
        loop = _EpochLoop(session, spark_model, configured, rows, checkpoints, settings, say)
        loop.run()
    finally:
        placed.release()
    return TrainingResult(
        spec=_hand_over(configured, spark_model, loop.best),
        network=configured.shared,
        dataset=replace(dataset, holdout=placed.holdout),
        history=tuple(loop.history),
        files=saved_files(configured, settings, say),
        summary={
            "workers": len(placed.worker_rows),
            "note": workers_line,
            "rows": placed.num_rows,
            "held_out_rows": placed.num_held_out,
            "epochs": len(loop.history),
            "learning_rate_scale": spark_model.rate_scale,
            "best_epoch": loop.best.epoch or None,
        },
    )


class _EpochLoop:
    """The epochs of a training, from the first or from a checkpoint to the last."""

    def __init__(
        self,
        session: Session,
        spark_model: AveragingSparkModel,
        configured: Configured,
        num_rows: int,
        checkpoints: Checkpoints | None,
        settings: TrainSettings,
        say: Say,
    ) -> None:
        self._spark_model, self._configured = spark_model, configured
        self._settings, self._say, self._session = settings, say, session
        self._num_rows, self._num_resumed = num_rows, 0
        self.history: list[Row] = []
        self.best = Best()
        self._checkpoints = checkpoints
        if checkpoints is not None:
            self._begin(checkpoints)

    def _begin(self, checkpoints: Checkpoints) -> None:
        path = self._settings.checkpoint_path
        if not self._settings.resume:
            if checkpoints.exists:
                self._say(
                    f"the checkpoint in {path} will be replaced after the first epoch; "
                    "-resume true would go on from it"
                )
            return
        if not checkpoints.exists:
            self._say(f"there is no checkpoint in {path} yet: training begins with epoch 1")
            return
        checkpoint = checkpoints.load(self._spark_model.variables)
        self._spark_model.variables = checkpoint.variables
        self.history, self.best = checkpoint.history, checkpoint.best
        self._num_resumed = len(self.history)
        self._say(f"going on after epoch {len(self.history)}, from the checkpoint in {path}")

    def run(self) -> None:
        """Train until the last epoch, or until patience ends."""
        epochs, resumed = self._settings.epochs, len(self.history)
        try:
            while len(self.history) < epochs and not self._out_of_patience():
                self._run_epoch()
                left = seconds_left(self.history[resumed:], epochs - resumed)
                self._say(epoch_line(self.history[-1], epochs, left))
        finally:
            self._spark_model.close()
        if self._out_of_patience():
            kept = self.best.epoch or len(self.history)  # an infinite loss is never better
            self._say(
                f"no better val_loss for {self._settings.patience} epochs: "
                f"the weights of epoch {kept} are kept"
            )

    def _run_epoch(self) -> None:
        started = time.perf_counter()
        with self._session.estimating(self._work()):
            result = self._spark_model.fit(len(self.history))
        rate = self._configured.rate_after(self._spark_model.num_steps)
        rate *= self._spark_model.rate_scale
        epoch = len(self.history) + 1
        val_loss = result.val_loss if self._settings.patience else None
        if val_loss is not None and val_loss < self.best.val_loss:
            self.best = Best(epoch, val_loss, self._spark_model.trained_weights)
        self.history.append(history_row(epoch, result, rate, time.perf_counter() - started))
        if self._checkpoints is not None:
            self._checkpoints.save(Checkpoint(self._spark_model.variables, self.history, self.best))

    def _work(self) -> Work:
        """Say what the next epoch is, which takes as long as those before it but the first."""
        return Work(
            f"epoch {len(self.history) + 1}/{self._settings.epochs}",
            num_rows=self._num_rows,
            expected_seconds=expected_seconds(self.history[self._num_resumed :]),
        )

    def _out_of_patience(self) -> bool:
        patience = self._settings.patience
        return bool(patience) and len(self.history) - self.best.epoch >= patience


def _workers_line(
    spark_model: AveragingSparkModel, placed: Placed, session: Session, settings: TrainSettings
) -> str:
    workers, batch = len(placed.worker_rows), settings.batch_size_per_worker
    line = f"training on {placed.num_rows} rows with {workers} worker{'s' if workers > 1 else ''}"
    if settings.workers is None and workers < session.parallelism:
        line += f" (too few for {session.parallelism} with {batch} rows a batch)"
    empty = sum(not num_rows for num_rows in placed.worker_rows)
    if empty:
        line += f", {empty} of which have none"
    if spark_model.rate_scale != 1.0:
        line += f"; the learning rate grows to {spark_model.rate_scale:.4g} times the model's"
    return line


def _made_with(
    model: LoadedModel, configured: Configured, placed: Placed, settings: TrainSettings
) -> dict[str, object]:
    """Collect what must be the same for a training to be gone on with."""
    return {
        "model file (SHA-256)": model.sha256,
        "data (digest)": placed.digest,
        "-workers": len(placed.worker_rows),
        "-batchSizePerWorker": settings.batch_size_per_worker,
        "-averagingFrequency": settings.averaging_frequency,
        "-scaleLearningRate": settings.scale_learning_rate,
        "-shuffle": settings.shuffle,
        "-validationSplit": settings.validation_split,
        "-patience": settings.patience,
        "-seed": settings.seed,
        "optimizer": configured.optimizer,
        "loss": configured.spec.loss,
    }


def _hand_over(configured: Configured, spark_model: AveragingSparkModel, best: Best) -> ModelSpec:
    """Put what was learned into the network, as at the end of ``keras.Model.fit``."""
    network = configured.network
    for variable, value in zip(configured.variables, spark_model.variables, strict=True):
        variable.assign(value)
    network.optimizer.finalize_variable_values(network.trainable_variables)
    if best.weights:
        network.set_weights(best.weights)
    return configured.trained_spec()


def saved_files(configured: Configured, settings: TrainSettings, say: Say) -> dict[str, bytes]:
    """Save the trained model, in HDF5 where Keras can read it from there."""
    files = {}
    for name in settings.saved_as:
        suffix = name[name.rindex(".") :]
        content = loading.save(configured.network, suffix)
        problem = loading.why_unreadable(content, suffix) if suffix == ".h5" else None
        if problem is None:
            files[name] = content
        else:
            say(f"{name} is left out, since Keras could not read it: {problem}")
    return files
