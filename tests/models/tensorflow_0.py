# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Gives TensorFlow 1.15 the names and argument orders of TensorFlow 0.x, for Keras 1.0 and 1.1."""

import tensorflow as tf

_concat, _split, _reverse = tf.concat, tf.split, tf.reverse


def _old_concat(first, second, name="concat"):
    axis, values = (first, second) if isinstance(second, (list, tuple)) else (second, first)
    return _concat(values, axis, name=name)


def _old_split(first, second, third=None, **options):
    if isinstance(first, int):
        return _split(third, second, axis=first)
    return _split(first, second, **options)


def _old_reverse(tensor, axes):
    axes = (
        [i for i, axis in enumerate(axes) if axis is True]
        if axes[0] in (True, False) and any(a is True for a in axes)
        else axes
    )
    return _reverse(tensor, axes)


def _matmul(x, y, adj_x=None, adj_y=None):
    return tf.matmul(x, y, adjoint_a=bool(adj_x), adjoint_b=bool(adj_y))


def install():
    """Put the old names in place, before Keras is imported."""
    from tensorflow.python.ops.tensor_array_ops import TensorArray

    tf.pack, tf.unpack, tf.select = tf.stack, tf.unstack, tf.where
    tf.concat, tf.split, tf.reverse, tf.batch_matmul = (
        _old_concat,
        _old_split,
        _old_reverse,
        _matmul,
    )
    tf.mul, tf.sub, tf.neg = tf.multiply, tf.subtract, tf.negative
    TensorArray.pack, TensorArray.unpack = TensorArray.stack, TensorArray.unstack
