"""What a training is told: by the command line, through ``settings``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainSettings:
    """How to train; the defaults are the command line's.

    Attributes:
        epochs: Passes over the data.
        batch_size_per_worker: Rows of an update on a worker.
        averaging_frequency: Batches between two averagings, 0: once an epoch.
        workers: Replicas, None: as many as Spark's parallelism and the data allow.
        scale_learning_rate: Whether the learning rate is multiplied by what averaging slows down.
        shuffle: Whether rows are spread at random, and put in another order in each epoch.
        validation_split: Fraction held out, in [0, 1).
        patience: Epochs without a better validation loss, 0: never stop early.
        seed: Of everything that is drawn.
        checkpoint_path: Folder of the checkpoint, None for none.
        resume: Whether to go on from the checkpoint.
        optimizer: Keras's name, None: the model's; so too ``learning_rate``.
        replace_loss: Whether the model's loss is the user's, not the file's.
        stop_at_bad_row: True where the first bad row ends the run.
        saved_as: The files that the trained model is saved as, by name.
    """

    epochs: int = 10
    batch_size_per_worker: int = 10
    averaging_frequency: int = 0
    workers: int | None = None
    scale_learning_rate: bool = True
    shuffle: bool = True
    validation_split: float = 0.0
    patience: int = 0
    seed: int = 7
    checkpoint_path: str | None = None
    resume: bool = False
    optimizer: str | None = None
    learning_rate: float | None = None
    replace_loss: bool = False
    stop_at_bad_row: bool = True
    saved_as: tuple[str, ...] = ()
