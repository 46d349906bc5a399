"""One worker's replica of the model: built once, its training compiled once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.model import keras_private
from irisspark.model.forward import part_specs, parts_of, use_threads, y_true_of
from irisspark.model.optimizers import ScaledRate, optimizer_state
from irisspark.model.output import JointMeaning, LabelsMeaning, RegressionMeaning
from irisspark.model.spec import ModelSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Trained:
    """What a round of training did.

    Attributes:
        num_rows: Rows that were learned from.
        loss_sum: Sum over the rows of their batch's loss.
        metric_sum: What ``Replica.metric_of`` gives, added up, before each update.
        diverged: Number of the last batch that was learned from, where its loss or the weights
            after it are not finite; None where all are.
    """

    num_rows: int
    loss_sum: float
    metric_sum: float
    diverged: int | None


class Replica:
    """A model, its optimizer, and the compiled functions that train and measure it.

    The whole round is one graph: a loop over the batches of rows that lie in memory. Batches are
    slices, so the last one may be shorter, and its loss is the mean over the rows that it has.
    """

    def __init__(
        self,
        spec: ModelSpec,
        optimizer: dict[str, Any],
        num_features: int,
        batch_size: int,
        num_threads: int,
    ) -> None:
        """Build the model; nothing is traced before it is first needed."""
        import tensorflow as tf

        use_threads(num_threads)
        if num_threads > 1:
            tf.config.experimental.enable_op_determinism()
        import keras

        self._spec = spec
        self._num_features = num_features
        self._batch_size = batch_size
        self._model = spec.build()
        # A copy, for Keras takes the inner optimizer out of the recipe that it is given.
        self._optimizer = keras.optimizers.deserialize(copy.deepcopy(optimizer))
        self._optimizer.build(self._model.trainable_variables)
        self._rate = ScaledRate(self._optimizer)
        self._seeds = seed_states(self._model)
        self._first_seeds: list[Array] = []
        self._learned = [*self._model.weights, *optimizer_state(self._optimizer)]
        self._loss = _batch_loss(spec)
        self._row_losses = spec.build_loss()
        label_shape, label_dtype = spec.output.label_shape, spec.output.label_dtype
        label_spec = tf.TensorSpec((None, *label_shape), label_dtype)
        number, real = tf.TensorSpec((), "int32"), tf.TensorSpec((), "float32")
        self._train = tf.function(
            self._train_graph,
            input_signature=[
                part_specs(spec, None, num_features),
                *(label_spec, tf.TensorSpec((None,), "int32")),
                *(number, number, real, real),
            ],
            autograph=False,
        )
        self._measure = tf.function(
            self._measure_graph,
            input_signature=[
                part_specs(spec, spec.block_rows, num_features),
                tf.TensorSpec((spec.block_rows, *label_shape), label_dtype),
            ],
            autograph=False,
        )
        self.errors: tuple[type[Exception], ...] = (tf.errors.OpError,)

    def load(self, values: Iterable[Array], partition: int = 0) -> None:
        """Set all that a round starts from, in the order of ``values()``.

        The random generators (dropout and the like) go on from the states that come along, as they
        do in ``keras.Model.fit``; on other workers than the first from states made of these, so
        that no two draw the same.

        Args:
            values: The weights, the optimizer's variables, the random generators' states.
            partition: Number of the worker.
        """
        for variable, value in zip([*self._learned, *self._seeds], values, strict=True):
            variable.assign(value)
        self._first_seeds = [np.array(state.numpy()) for state in self._seeds]
        if partition:
            for state, first in zip(self._seeds, self._first_seeds, strict=True):
                entropy = (int(first[0]) & 0xFFFFFFFF, partition)
                other = np.random.SeedSequence(entropy).generate_state(1) & 0x7FFFFFFF
                state.assign(np.array([int(other[0]), *first[1:]], dtype=first.dtype))

    def values(self) -> list[Array]:
        """Give the weights, the optimizer's variables, and the random generators' states.

        Of such a state the counter is what changes in a round; the seed is the one that came.
        """
        seeds = [np.array(state.numpy()) for state in self._seeds]
        for seed, first in zip(seeds, self._first_seeds, strict=True):
            seed[0] = first[0]
        return [*(np.asarray(variable.numpy()) for variable in self._learned), *seeds]

    def state(self) -> list[Array]:
        """Copy everything that a round goes on from in this process."""
        return [np.array(variable.numpy()) for variable in [*self._learned, *self._seeds]]

    def restore(self, state: Sequence[Array]) -> None:
        """Go back to what ``state()`` gave."""
        for variable, value in zip([*self._learned, *self._seeds], state, strict=True):
            variable.assign(value)

    def train(
        self,
        features: Array,
        labels: Array,
        order: Array,
        span: tuple[int, int],
        warmup: tuple[float, float],
    ) -> Trained:
        """Train on the batches ``span[0]`` to ``span[1]`` (not included) of the rows in an order.

        Args:
            features: [rows, num_features].
            labels: [rows, ...].
            order: int32 [rows], the rows' numbers in the order in which they are learned from.
            span: Numbers of batches.
            warmup: The learning rate's factor at batch 0, and what each batch adds to it.
        """
        import tensorflow as tf

        batch, loss_sum, metric_sum, num_rows, finite = self._train(
            tuple(map(tf.constant, parts_of(features))),
            tf.constant(labels),
            tf.constant(order),
            *(tf.constant(bound, "int32") for bound in span),
            *(tf.constant(factor, "float32") for factor in warmup),
        )
        return Trained(
            int(num_rows),
            float(loss_sum),
            float(metric_sum),
            None if bool(finite) else int(batch) - 1,
        )

    def _train_graph(
        self,
        features: Any,
        labels: Any,
        order: Any,
        first: Any,
        last: Any,
        start: Any,
        growth: Any,
    ) -> Any:
        """Train on a span of batches, as one graph: a loop whose steps are updates of a batch.

        Args:
            features: The parts of the rows, numbers and texts.
            labels: [rows, ...].
            order: int32 [rows], the rows' numbers in the order in which they are learned from.
            first: int32 [], number of the first batch.
            last: int32 [], number of the batch behind the last one.
            start: float32 [], the learning rate's factor at batch 0.
            growth: float32 [], what each batch adds to it.

        Returns:
            int32 [], the batch behind the last one that was learned from, which is ``last`` unless
            a loss was not finite; float64 [], the sum over the rows of their batch's loss; float64
            [], the sum of ``metric_of`` before the update; int64 [], rows; bool [], whether the
            last loss and all weights are finite.
        """
        import tensorflow as tf

        def go_on(batch: Any, loss_sum: Any, metric_sum: Any, num_rows: Any, finite: Any) -> Any:
            return tf.logical_and(batch < last, finite)

        def learn(batch: Any, loss_sum: Any, metric_sum: Any, num_rows: Any, finite: Any) -> Any:
            rows = order[batch * self._batch_size : (batch + 1) * self._batch_size]
            self._rate.scale(start + growth * tf.cast(batch, "float32"))
            taken = tuple(tf.gather(part, rows) for part in features)
            loss, metric = self._update(taken, tf.gather(labels, rows))
            count = tf.size(rows)
            return (
                batch + 1,
                loss_sum + tf.cast(loss, "float64") * tf.cast(count, "float64"),
                metric_sum + tf.reduce_sum(tf.cast(metric, "float64")),
                num_rows + tf.cast(count, "int64"),
                tf.math.is_finite(loss),
            )

        zero = tf.constant(0, "int64")
        nothing = tf.constant(0.0, "float64")
        begin = (first, nothing, nothing, zero, tf.constant(True))
        *done, finite = tf.while_loop(go_on, learn, begin, parallel_iterations=1)
        with tf.control_dependencies(done):
            weights = [weight.value for weight in self._model.weights]
        floats = [weight for weight in weights if weight.dtype.is_floating]
        all_finite = [tf.reduce_all(tf.math.is_finite(weight)) for weight in floats]
        return (*done, tf.reduce_all(tf.stack([finite, *all_finite])))

    def _update(self, features: Any, labels: Any) -> tuple[Any, Any]:
        """Learn from one batch, as ``keras.Model.train_step`` does."""
        import tensorflow as tf

        inputs = self._arranged(features, -1)
        with tf.GradientTape() as tape:
            output = self._model(inputs, training=True)
            loss = self._loss(self._target(labels), output)
            for extra in self._model.losses:
                loss += tf.cast(extra, loss.dtype)
            scaled = self._optimizer.scale_loss(loss)
        trained = self._model.trainable_variables
        gradients = tape.gradient(scaled, [variable.value for variable in trained])
        self._optimizer.apply_gradients(zip(gradients, trained, strict=True))
        return tf.cast(loss, "float32"), self.metric_of(output, labels)

    def measure(self, features: Array, labels: Array) -> tuple[Array, Array]:
        """Give (losses, ``metric_of``), each [block_rows], of one block of rows."""
        import tensorflow as tf

        parts = tuple(map(tf.constant, parts_of(features)))
        losses, metric = self._measure(parts, tf.constant(labels))
        return losses.numpy(), metric.numpy()

    def _measure_graph(self, features: Any, labels: Any) -> Any:
        import tensorflow as tf

        inputs = self._arranged(features, self._spec.block_rows)
        output = tf.cast(self._model(inputs, training=False), "float32")
        assert self._row_losses is not None
        losses = self._row_losses(self._target(labels), output)
        return losses * self._spec.loss_weight, self.metric_of(output, labels)

    def _arranged(self, parts: Any, num_rows: int) -> Any:
        features = parts if self._spec.has_texts else parts[0]
        return self._spec.arrange(self._model, features, num_rows, self._num_features)

    def regularization_loss(self) -> float:
        """Give the regularization losses of the weights."""
        weights = self._model.trainable_variables
        return float(sum(float(w.regularizer(w)) for w in weights if w.regularizer is not None))

    def _target(self, labels: Any) -> Any:
        return y_true_of(labels, self._spec.output)

    def metric_of(self, output: Any, labels: Any) -> Any:
        """Tell of each row whether its class is right.

        Of a regression it is the mean absolute error, of several labels the share that is right.
        """
        import tensorflow as tf

        meaning = self._spec.output
        assert not isinstance(meaning, JointMeaning)
        if isinstance(meaning, RegressionMeaning):
            of_units = labels if meaning.label_shape else labels[:, None]
            return tf.reduce_mean(tf.abs(tf.cast(output, "float64") - of_units), axis=1)
        if isinstance(meaning, LabelsMeaning):
            threshold = 0.5 if meaning.kind == "sigmoids" else 0.0
            is_right = tf.equal(tf.cast(output > threshold, "int64"), labels)
            return tf.reduce_mean(tf.cast(is_right, "float64"), axis=1)
        if meaning.num_units > 1:
            return tf.equal(tf.argmax(output, axis=1), labels)
        threshold = 0.5 if meaning.kind == "sigmoid" else 0.0
        return tf.equal(tf.cast(output[:, 0] > threshold, "int64"), labels)


def seed_states(model: Any) -> list[Any]:
    """List the states of a model's random generators, each [seed, counter]."""
    return [generator.state for generator in keras_private.seed_generators_of(model)]


def _batch_loss(spec: ModelSpec) -> Any:
    """Build the loss of a batch as ``keras.Model.fit`` has it: a mean, unless the file says not."""
    import keras
    import tensorflow as tf

    with spec.own_code():
        loss = keras.losses.get(spec.loss)
    weight = spec.loss_weight

    def batch_loss(y_true: Any, y_pred: Any) -> Any:
        value = loss(y_true, y_pred)
        if not isinstance(loss, keras.losses.Loss):
            value = tf.reduce_mean(value)
        return value if weight == 1.0 else value * weight

    return batch_loss
