"""What an optimizer remembers, and the learning rate that it uses."""

from __future__ import annotations

from typing import Any

from irisspark.model import keras_private


class ScaledRate:
    """Multiplies an optimizer's learning rate, a fixed one or a schedule's, inside a graph."""

    def __init__(self, optimizer: Any) -> None:
        """Take hold of the learning rate; nothing changes before the first ``scale``."""
        import keras
        import tensorflow as tf

        owner = rate_owner(optimizer)
        self._fixed = None
        schedule = keras_private.learning_rate_of(owner)
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            self._fixed, self._base = schedule, float(schedule)
            return
        self._factor = factor = tf.Variable(1.0, trainable=False)

        class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
            def __call__(self, step: Any) -> Any:
                return schedule(step) * tf.cast(factor, "float32")

        keras_private.set_learning_rate(owner, ScaledSchedule())

    def scale(self, factor: Any) -> None:
        """Let the updates that follow use the rate times ``factor``."""
        if self._fixed is None:
            self._factor.assign(factor)
        else:
            self._fixed.assign(self._base * factor)


def rate_owner(optimizer: Any) -> Any:
    """Find the optimizer that has the learning rate: the innermost one."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def optimizer_state(optimizer: Any) -> list[Any]:
    """List the variables of a built optimizer that are its memory: all but the learning rate."""
    rate = keras_private.learning_rate_of(rate_owner(optimizer))
    return [variable for variable in optimizer.variables if variable is not rate]
