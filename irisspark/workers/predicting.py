"""The compiled function of a model, built once in a worker's process."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.imports import import_tensorflow
from irisspark.model_spec import ModelSpec

Array = npt.NDArray[Any]
Predict = Callable[[Array, Array], tuple[Array, Array | None]]

_PREDICTORS: dict[tuple[str, int], Predict] = {}


def predictor(spec: ModelSpec, num_features: int, num_threads: int) -> Predict:
    """Give the compiled function of a model, built once in this process.

    It takes (features [block_rows, num_features], labels int64 [block_rows]) and gives
    (output [block_rows, units], losses float [block_rows] or None).
    """
    key = (spec.fingerprint, num_features)
    if key not in _PREDICTORS:
        _PREDICTORS.clear()  # one model at a time: a worker process may serve many runs
        _PREDICTORS[key] = _compile(spec, num_features, num_threads)
    return _PREDICTORS[key]


def _compile(spec: ModelSpec, num_features: int, num_threads: int) -> Predict:
    import_tensorflow()
    use_threads(num_threads)
    return compile_model(spec.build(), spec.build_loss(), spec, num_features)


def compile_model(model: Any, loss: Any, spec: ModelSpec, num_features: int) -> Predict:
    """Compile a model for blocks of the spec's shape, as ``predictor`` gives it.

    Args:
        model: A ``keras.Model`` that puts out what the spec says.
        loss: A ``keras.losses.Loss`` without a reduction; None for no losses.
        spec: Shapes, and what the loss compares with.
        num_features: Feature columns of a row.
    """
    tf = import_tensorflow()
    shape = (spec.block_rows, *spec.row_shape(num_features))
    num_units, target = spec.output.num_units, spec.output.target

    def run(features: Any, labels: Any) -> Any:
        output = tf.cast(model(tf.reshape(features, shape), training=False), "float32")
        if loss is None:
            return output, tf.zeros((0,))
        if target == "one_hot":
            y_true = tf.one_hot(labels, num_units)
        elif target == "binary":
            y_true = tf.cast(labels, "float32")[:, None]
        else:
            y_true = labels
        return output, loss(y_true, output)

    signature = [
        tf.TensorSpec((spec.block_rows, num_features), spec.input_dtype),
        tf.TensorSpec((spec.block_rows,), "int64"),
    ]
    # The concrete function spares each block the search for the one that fits its arguments.
    compiled = tf.function(run, input_signature=signature).get_concrete_function()

    def predict(features: Array, labels: Array) -> tuple[Array, Array | None]:
        output, losses = compiled(tf.constant(features), tf.constant(labels))
        if loss is None:
            return output.numpy(), None
        return output.numpy(), losses.numpy().astype(np.float64) * spec.loss_weight + spec.penalty

    return predict


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
