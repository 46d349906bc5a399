"""The compiled function of a model, built once in a process, and the blocks that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from irisspark.model.output import JointMeaning, Meaning
from irisspark.model.spec import ModelSpec
from irisspark.startup.import_system import keep_archives

Array = npt.NDArray[Any]
T = TypeVar("T")
Predict = Callable[[Array, Array | None], tuple[Array, Array | None]]

_BUILT: dict[str, Any] = {}


def build_once(key: str, build: Callable[[], T]) -> T:
    """Build what a recipe means, once in this worker's process, and keep the last thing built.

    One model at a time: a worker process may serve many runs.
    """
    if key not in _BUILT:
        _BUILT.clear()
        _BUILT[key] = build()
        keep_archives()  # all that they are needed for is imported
    built: T = _BUILT[key]
    return built


def predictor(spec: ModelSpec, num_features: int, num_threads: int) -> Predict:
    """Give the compiled function of a model, built once in this process.

    It takes (features [block_rows, num_features], labels [block_rows, ...] in the shape and dtype
    that the output says) and gives
    (output [block_rows, units], losses float [block_rows] or None). Labels may be None, where the
    losses mean nothing. Several outputs lie side by side, and so do their losses, NaN of one that
    has none, and neither weighted nor with those of the weights.
    """

    def build() -> Predict:
        use_threads(num_threads)
        return compile_model(spec.build(), spec.build_loss(), spec, num_features)

    return build_once(f"predictor {num_features} {spec.fingerprint}", build)


def compile_model(model: Any, loss: Any, spec: ModelSpec, num_features: int) -> Predict:
    """Compile a model for blocks of the spec's shape, as ``predictor`` gives it.

    Args:
        model: A ``keras.Model`` that puts out what the spec says.
        loss: What ``ModelSpec.build_loss`` gives; None for no losses.
        spec: Shapes, and what the loss compares with.
        num_features: Feature columns of a row.
    """
    import tensorflow as tf

    block_rows, has_texts = spec.block_rows, spec.has_texts

    def run(*given: Any) -> Any:
        *parts, labels = given
        features = tuple(parts) if has_texts else parts[0]
        inputs = spec.arrange(model, features, block_rows, num_features)
        output = tf.cast(model(inputs, training=False), "float32")
        if loss is None:
            return output, tf.zeros((0,))
        return output, _losses(loss, labels, output, spec.output)

    signature = [
        *part_specs(spec, block_rows, num_features),
        tf.TensorSpec((block_rows, *spec.output.label_shape), spec.output.label_dtype),
    ]
    # The concrete function spares each block the search for the one that fits its arguments.
    function = tf.function(run, input_signature=signature, autograph=False)
    compiled = function.get_concrete_function()

    no_labels = np.zeros((block_rows, *spec.output.label_shape), dtype=spec.output.label_dtype)

    def predict(features: Array, labels: Array | None) -> tuple[Array, Array | None]:
        known = no_labels if labels is None else labels
        output, losses = compiled(*map(tf.constant, parts_of(features)), tf.constant(known))
        if loss is None:
            return output.numpy(), None
        of_rows = losses.numpy().astype(np.float64)
        if spec.losses:
            return output.numpy(), of_rows
        return output.numpy(), of_rows * spec.loss_weight + spec.regularization_loss

    return predict


def _losses(loss: Any, labels: Any, output: Any, meaning: Meaning) -> Any:
    """Give the losses of rows, [rows], or [rows, outputs] of a model with several."""
    import tensorflow as tf

    if not isinstance(meaning, JointMeaning):
        return loss(y_true_of(labels, meaning), output)
    found = []
    outputs, targets = meaning.outputs_of(output), meaning.labels_of(labels)
    for one, part, units, own in zip(loss, meaning.parts, outputs, targets, strict=True):
        if one is None:
            found.append(tf.fill(tf.shape(units)[:1], np.float32(np.nan)))
            continue
        shaped = tf.reshape(own, (-1, *part.meaning.label_shape))
        y_true = y_true_of(tf.cast(shaped, part.meaning.label_dtype), part.meaning)
        found.append(tf.cast(one(y_true, units), "float32"))
    return tf.stack(found, axis=1)


def y_true_of(labels: Any, output: Meaning) -> Any:
    """Give what a loss compares a model's output with, of a tensor of labels."""
    import tensorflow as tf

    if output.target == "index":
        return labels
    if output.target == "one_hot":
        return tf.one_hot(labels, output.num_units)
    numbers = tf.cast(labels, "float32")
    return numbers if output.label_shape else numbers[:, None]


def part_specs(spec: ModelSpec, num_rows: int | None, num_features: int) -> tuple[Any, ...]:
    """Give the ``tf.TensorSpec`` of each of ``parts_of`` some rows; None for any number of them."""
    import tensorflow as tf

    num_texts = sum(one.size for one in spec.inputs if one.is_text)
    numbers = tf.TensorSpec((num_rows, num_features - num_texts), spec.input_dtype)
    if not spec.has_texts:
        return (numbers,)
    return numbers, tf.TensorSpec((num_rows, num_texts), "string")


def parts_of(features: Array) -> tuple[Array, ...]:
    """Give the arrays of rows: numbers, and texts where the rows have fields for both."""
    names = features.dtype.names
    return (features,) if names is None else tuple(features[name] for name in names)


def blank_rows(num_rows: int, like: Array) -> Array:
    """Make rows of zeros and empty texts, like others."""
    rows: Array = np.zeros((num_rows, *like.shape[1:]), dtype=like.dtype)
    if rows.dtype.names is not None:
        rows["texts"] = b""
    return rows


def use_threads(num_threads: int) -> None:
    """Keep TensorFlow to ``num_threads`` threads in this process, if it has not started yet."""
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != num_threads:
        try:
            threading.set_intra_op_parallelism_threads(num_threads)
            threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:
            return  # a worker process that was started with other settings


class LabelledRows(Protocol):
    """Rows of any kind: features [rows, num_features], labels [rows, ...] or None."""

    @property
    def features(self) -> Array:
        """The features."""

    @property
    def labels(self) -> Array | None:
        """The labels."""

    def __len__(self) -> int:
        """Count the rows."""


def fixed_blocks(
    batches: Iterable[LabelledRows],
    block_rows: int,
    label_dtype: str = "int64",
    label_shape: tuple[int, ...] = (),
) -> Iterator[tuple[Array, Array, int]]:
    """Regroup batches into blocks of exactly ``block_rows`` rows, the last one padded with zeros.

    Keras predicts a row differently in the last digits in a block of another shape, so all rows
    are predicted in blocks of one shape.

    Rows are copied only where a block is made of those of two batches.

    Yields:
        (features [block_rows, num_features], labels [block_rows, ...], rows that count). The
        arrays are only valid until the next block is asked for.
    """
    features: Array | None = None
    labels: Array = np.zeros((block_rows, *label_shape), dtype=label_dtype)
    filled = 0
    for batch in batches:
        if features is None:
            features = blank_rows(block_rows, batch.features)
        taken = 0
        while taken < len(batch):
            if not filled and len(batch) - taken >= block_rows:
                rows = slice(taken, taken + block_rows)
                own = labels if batch.labels is None else batch.labels[rows]
                yield batch.features[rows], own, block_rows
                taken += block_rows
                continue
            count = min(block_rows - filled, len(batch) - taken)
            features[filled : filled + count] = batch.features[taken : taken + count]
            if batch.labels is not None:
                labels[filled : filled + count] = batch.labels[taken : taken + count]
            filled, taken = filled + count, taken + count
            if filled == block_rows:
                yield features, labels, block_rows
                filled = 0
    if features is not None and filled:
        features[filled:] = blank_rows(block_rows - filled, features)
        labels[filled:] = 0
        yield features, labels, filled


@dataclass(frozen=True)
class _Unlabelled:
    features: Array
    labels: None = None

    def __len__(self) -> int:
        return len(self.features)


def blocks_of(features: Array, block_rows: int) -> list[tuple[Array, int]]:
    """Cut rows without labels as ``fixed_blocks`` does: each block with the rows that count."""
    blocks = fixed_blocks([_Unlabelled(features)], block_rows)
    return [(block.copy(), filled) for block, _, filled in blocks]
