"""The recipe of a model: what the driver hands out, and what a worker builds once from it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from irisspark.errors import DataError
from irisspark.model import custom_objects, keras_file, keras_private
from irisspark.model.inputs import ModelInput
from irisspark.model.output import Meaning

if TYPE_CHECKING:
    import keras

MAX_BLOCK_ROWS = 8192
"""Rows of a block of a small network: 64-64-3 takes 0.27 us a row then, 1.5 us in blocks of 256,
and 0.25 us in blocks twice as large. The larger a network, the less its blocks matter."""
MIN_BLOCK_ROWS = 32
_BLOCK_VALUES = 16 << 20  # numbers that the layers of one block may put out together


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """Everything that a worker needs to build a model and to know what it puts out.

    Attributes:
        file: The bytes of the model's ``.keras`` file, without its training (``keras_file``).
        loss: Keras's serialized loss, None where the model has none.
        loss_weight: What the training configuration multiplies the loss by.
        regularization_loss: Of the weights, the sum: a part of what Keras calls the loss.
        output: What the output means.
        input_shape: Shape of one row as the model takes it; None for a free dimension.
        input_dtype: numpy name of the dtype of the model's input.
        batch_rows: The batch size that the model insists on, None for any.
        values_per_row: Numbers that all layers put out for one row, to size blocks by.
        half_precision: True where a layer computes with 16 bits.
        trusted: True where the user allows the file's own code (Lambda layers) to run.
        digest: SHA-256 of the file, kept where its bytes travel apart.
        fetch: Gives the bytes of the file where they travel apart.
        inputs: Of a model with several, or of text; a row is then flat, and holds theirs one after
            the other, texts apart from numbers.
        custom_objects: What the model is made of that workers do not have, packed.
        losses: Of a model with several outputs, for each what ``loss`` and ``loss_weight`` are.
    """

    file: bytes = field(repr=False)
    loss: dict[str, Any] | str | None
    loss_weight: float
    regularization_loss: float
    output: Meaning
    input_shape: tuple[int | None, ...]
    input_dtype: str
    batch_rows: int | None = None
    values_per_row: int = 0
    half_precision: bool = False
    trusted: bool = False
    digest: str = ""
    fetch: Callable[[], bytes] | None = field(default=None, repr=False)
    inputs: tuple[ModelInput, ...] = ()
    custom_objects: bytes = field(default=b"", repr=False)
    losses: tuple[tuple[dict[str, Any] | str | None, float], ...] = ()

    def __post_init__(self) -> None:
        """Take the file's digest, where the spec has the file and not yet its digest."""
        if not self.digest:
            object.__setattr__(self, "digest", hashlib.sha256(self.file).hexdigest())

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the recipe: equal for equal models, so that a worker builds each once."""
        parts: tuple[object, ...]
        parts = (self.digest, self.loss, self.loss_weight, self.regularization_loss, self.output)
        if self.losses:
            parts = (*parts, self.losses)
        if self.custom_objects:
            parts = (*parts, self.custom_objects)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def with_file(self, file: bytes) -> ModelSpec:
        """Give the spec of another model of the same shape, by its file."""
        return replace(self, file=file, digest="")

    def without_file(self, fetch: Callable[[], bytes]) -> ModelSpec:
        """Give the spec without the bytes of its file, which travel apart: ``fetch`` gives them."""
        return replace(self, file=b"", fetch=fetch)

    @property
    def block_rows(self) -> int:
        """Rows of every block that is predicted: one shape, whatever the partitioning.

        A power of two that keeps what the layers put out within 64 MiB of float32.
        """
        if self.batch_rows:
            return self.batch_rows
        affordable = _BLOCK_VALUES // max(self.values_per_row, 1)
        rows = 1 << max(affordable, 1).bit_length() - 1
        return max(MIN_BLOCK_ROWS, min(MAX_BLOCK_ROWS, rows))

    def row_shape(self, num_features: int) -> tuple[int, ...]:
        """Give the shape into which a flat row of ``num_features`` numbers is put.

        Raises:
            DataError: So many numbers do not fill the model's input.
        """
        known = int(np.prod([d for d in self.input_shape if d is not None], dtype=np.int64))
        num_free = self.input_shape.count(None)
        if num_free == 0 and known == num_features:
            return tuple(d for d in self.input_shape if d is not None)
        if num_free == 1 and num_features and known and num_features % known == 0:
            return tuple(num_features // known if d is None else d for d in self.input_shape)
        wanted = (
            f"{known} features"
            if num_free == 0
            else f"a multiple of {known} features"
            if num_free == 1
            else "an input of a fixed size"
        )
        raise DataError(
            f"the model's input {self.input_shape} takes {wanted}, "
            f"but the data gives {num_features} feature columns"
        )

    @property
    def has_texts(self) -> bool:
        """Tell whether an input takes text."""
        return any(one.is_text for one in self.inputs)

    def arrange(self, model: keras.Model, features: Any, num_rows: int, num_features: int) -> Any:
        """Give what the model is called with.

        Args:
            model: Built from this spec, or what it was made of.
            features: [rows, num_features], a tensor; of a model that takes text a pair of them,
                numbers and texts.
            num_rows: How many rows, -1 for as many as there are.
            num_features: Feature columns of a row.
        """
        import tensorflow as tf

        if not self.inputs:
            return tf.reshape(features, (num_rows, *self.row_shape(num_features)))
        sources = features if self.has_texts else (features,)
        tensors, starts = [], [0, 0]
        for one in self.inputs:
            start = starts[one.is_text]
            columns = sources[one.is_text][:, start : start + one.size]
            starts[one.is_text] += one.size
            shaped = tf.reshape(columns, (num_rows, *one.shape))
            tensors.append(shaped if one.is_text else tf.cast(shaped, one.dtype))
        return keras_private.as_inputs(model, tensors)

    def build(self) -> keras.Model:
        """Open the model in this process."""
        file = self.file if self.fetch is None else self.fetch()
        with self.own_code():
            return keras_file.from_bytes(file, trusted=self.trusted)

    def own_code(self) -> contextlib.AbstractContextManager[Any]:
        """Let Keras find what the model is made of beside Keras's own, for a while."""
        return custom_objects.scope(self.custom_objects)

    def build_loss(self) -> Any:
        """Build the loss so that it gives a value a row, not their mean.

        Returns:
            A ``keras.losses.Loss``, None where the model has none; a list of these of a model with
            several outputs.
        """
        if self.losses:
            return [self._built(loss) for loss, _ in self.losses]
        return self._built(self.loss)

    def _built(self, config: dict[str, Any] | str | None) -> keras.losses.Loss | None:
        if config is None:
            return None
        import keras

        with self.own_code():
            loss = keras.losses.get(config)
        if not isinstance(loss, keras.losses.Loss):
            return keras_private.loss_of_rows(loss)
        loss.reduction = "none"
        return loss
