"""What is told of a model's numbers from its graph, held against what it computes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irisspark.model import loading
from irisspark.model.output_range import output_range
from irisspark.startup.imports import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
from keras import layers, ops  # noqa: E402

ROWS = np.random.default_rng(3).normal(0.0, 3.0, (64, 6)).astype("float32")


def _nested(*parts):
    inner = keras.Input((6,))
    return keras.Model(inner, _chain(*parts)(inner))


def _chain(*parts):
    def call(x):
        for part in parts:
            x = part(x)
        return x

    return call


def _steps(x):
    return layers.Dense(3, "softmax")(layers.Reshape((2, 3))(x))


def _grid(x, activation="softmax"):
    return layers.Conv2D(4, 1, activation=activation)(layers.Reshape((3, 2, 1))(x))


def _both(make, *activations):
    return lambda x: make([layers.Dense(3, activation)(x) for activation in activations])


def _one_minus(x, turned=lambda p: 1 - p):
    p = layers.Dense(1, "sigmoid")(x)
    return ops.concatenate([turned(p), p], axis=-1)


def _one_minus_another(x):
    p, q = (layers.Dense(1, "sigmoid")(x) for _ in range(2))
    return layers.Concatenate()([1 - p, q])


def _own_sum(x):
    y = layers.Dense(3, "softplus")(x)
    return y / ops.sum(y, axis=-1, keepdims=True)


def _sum_of_another(x):
    y, z = layers.Dense(3, "softplus")(x), layers.Dense(3, "softplus")(x)
    return y / ops.sum(z, axis=-1, keepdims=True)


def _weighted(x):
    one, other = layers.Dense(3, "softmax")(x), layers.Dense(3, "softmax")(x)
    return 0.3 * one + ops.multiply(other, 0.7)


def _half_of_two(x):
    return (layers.Dense(3, "softmax")(x) + layers.Dense(3, "softmax")(x)) / 2


def _mean_of_stacked(x):
    members = [layers.Dense(3, "softmax")(x) for _ in range(3)]
    return ops.mean(ops.stack(members, axis=1), axis=1)


def _shared(x):
    model = _nested(layers.Dense(3, "softmax"))
    return layers.Average()([model(x), model(ops.negative(x))])


class _FiveTimes(layers.Layer):
    activation = staticmethod(keras.activations.softmax)

    def call(self, x):
        return 5 * self.activation(x)

    def compute_output_shape(self, shape):
        return shape


PROBABILITIES = {
    "softmax": layers.Dense(3, "softmax"),
    "ops.softmax": _chain(layers.Dense(3), ops.softmax),
    "a layer as an activation": lambda x: layers.Dense(3, activation=layers.Softmax())(x),
    "a layer in an Activation": lambda x: layers.Activation(layers.Softmax())(layers.Dense(3)(x)),
    "Softmax layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
    "Softmax over axis 1": lambda x: layers.Softmax(axis=1)(layers.Dense(3)(x)),
    "linear in float32": lambda x: layers.Activation("linear", dtype="float32")(
        layers.Dense(3, "softmax", dtype="mixed_bfloat16")(x)
    ),
    "Average": _both(lambda members: layers.Average()(members), "softmax", "softmax"),
    "weighted": _weighted,
    "half of two": _half_of_two,
    "mean of stacked": _mean_of_stacked,
    "one model twice": _shared,
    "Dropout": lambda x: layers.Dropout(0.5)(layers.Dense(3, "softmax")(x)),
    "noise": lambda x: layers.GaussianNoise(0.5)(layers.Dense(3, "softmax")(x)),
    "Rescaling by 1": lambda x: layers.Rescaling(1.0)(layers.Dense(3, "softmax")(x)),
    "Reshape": lambda x: layers.Reshape((3,))(
        layers.Reshape((1, 3))(layers.Dense(3, "softmax")(x))
    ),
    "Flatten": lambda x: layers.Flatten()(layers.Reshape((1, 1, 3))(layers.Dense(3, "softmax")(x))),
    "squeeze": lambda x: ops.squeeze(ops.expand_dims(layers.Dense(3, "softmax")(x), 1), axis=1),
    "last step": lambda x: _steps(x)[:, -1],
    "last step of swapped ones": lambda x: layers.Permute((2, 1, 3))(
        layers.Softmax()(layers.Reshape((2, 1, 3))(x))
    )[:, 0, 0],
    "last step, all named": lambda x: _steps(x)[:, 0, :],
    "TimeDistributed": lambda x: layers.GlobalAveragePooling1D()(
        layers.TimeDistributed(layers.Dense(3, "softmax"))(layers.Reshape((2, 3))(x))
    ),
    "pooled maps": lambda x: layers.GlobalAveragePooling2D()(_grid(x)),
    "mean over steps": lambda x: ops.mean(_steps(x), axis=1),
    "nested": lambda x: _nested(layers.Dense(3, "softmax"))(x),
    "Sequential in a model": lambda x: keras.Sequential(
        [keras.Input((6,)), layers.Dense(3, "softmax")]
    )(x),
    "Softmax of a nested model": lambda x: layers.Softmax()(_nested(layers.Dense(3))(x)),
    "a nested Softmax alone": lambda x: keras.Sequential([keras.Input((3,)), layers.Softmax()])(
        layers.Dense(3)(x)
    ),
    "one minus": _one_minus,
    "one minus by a layer": lambda x: _one_minus(x, layers.Rescaling(-1.0, offset=1.0)),
    "divided by its own sum": _own_sum,
    "at least a little": lambda x: ops.maximum(layers.Dense(3, "softmax")(x), 1e-7),
    "exp of log_softmax": lambda x: ops.exp(layers.Dense(3, "log_softmax")(x)),
    "kept from 0": lambda x: ops.clip(layers.Dense(3, "softmax")(x), 1e-7, 1 - 1e-7),
    "cast": lambda x: ops.cast(layers.Dense(3, "softmax")(x), "float32"),
}
UNIT_INTERVAL = {
    "sigmoids": layers.Dense(3, "sigmoid"),
    "hard sigmoids": layers.Dense(3, "hard_sigmoid"),
    "Average of sigmoids": _both(lambda m: layers.Average()(m), "sigmoid", "sigmoid"),
    "product of sigmoids": _both(lambda m: layers.Multiply()(m), "sigmoid", "sigmoid"),
    "Maximum": _both(lambda m: layers.Maximum()(m), "softmax", "softmax"),
    "softmax and sigmoid": _both(lambda m: layers.Average()(m), "softmax", "sigmoid"),
    "another's complement": _one_minus_another,
    "joined sigmoids": _both(lambda m: layers.Concatenate()(m), "sigmoid", "softmax"),
    "tanh between 0 and 1": lambda x: (layers.Dense(3, "tanh")(x) + 1) / 2,
    "ops.sigmoid": lambda x: ops.sigmoid(layers.Dense(3)(x)),
    "softmax over the steps": lambda x: layers.Flatten()(
        layers.Softmax(axis=1)(layers.Reshape((2, 3))(x))
    ),
    "two softmaxes side by side": lambda x: layers.Flatten()(_steps(x)),
    "one column of each": lambda x: _steps(x)[:, :, 0],
    "gated": lambda x: layers.LSTM(3, activation="softmax")(layers.Reshape((2, 3))(x)),
    "transposed from behind": lambda x: ops.transpose(_steps(x), (0, -1, 1))[:, 0],
    "largest of maps": lambda x: layers.GlobalMaxPooling2D()(_grid(x)),
    "padded": lambda x: layers.Flatten()(layers.ZeroPadding1D(1)(_steps(x))),
    "at most a little": lambda x: ops.minimum(layers.Dense(3, "softmax")(x), 1e-7),
    "at least much": lambda x: ops.maximum(layers.Dense(3, "softmax")(x), 0.2),
    "clipped": lambda x: ops.clip(layers.Dense(3)(x), 0, 1),
    "half": lambda x: layers.Dense(3, "softmax")(x) * 0.5,
    "one column times three ones": lambda x: layers.Dense(1, "softmax")(x) * np.ones(3, "float32"),
    "one column by three ones": lambda x: layers.Dense(1, "softmax")(x) / np.ones(3, "float32"),
    "one column and three zeros": lambda x: (
        layers.Dense(1, "softmax")(x) + np.zeros((1, 3), "float32")
    ),
    "one column less three zeros": lambda x: layers.Dense(1, "softmax")(x) - np.zeros(3, "float32"),
    "one column or a little": lambda x: ops.maximum(
        layers.Dense(1, "softmax")(x), np.full(3, 1e-7, "float32")
    ),
    "one column averaged with none": lambda x: (
        (layers.Dense(1, "softmax")(x) + 0.0 * layers.Dense(3, "softmax")(x)) / 2
    ),
}
NEITHER = {
    "sparsemax": layers.Dense(3, "sparsemax"),
    "linear": layers.Dense(3),
    "log_softmax": layers.Dense(3, "log_softmax"),
    "log of softmax": lambda x: ops.log(layers.Dense(3, "softmax")(x)),
    "ops.log_softmax": lambda x: ops.log_softmax(layers.Dense(3)(x)),
    "less than softmax": lambda x: layers.Dense(3, "softmax")(x) - 1.0,
    "sum of two": lambda x: layers.Dense(3, "softmax")(x) + layers.Dense(3, "softmax")(x),
    "times 100": lambda x: layers.Rescaling(100.0)(layers.Dense(3, "softmax")(x)),
    "Dense after softmax": lambda x: layers.Dense(3)(layers.Dense(3, "softmax")(x)),
    "normalized": lambda x: layers.BatchNormalization()(layers.Dense(3, "softmax")(x)),
    "dropped out for good": lambda x: layers.Dropout(0.5)(
        layers.Dense(3, "softmax")(x), training=True
    ),
    "another's sum": _sum_of_another,
    "a layer of one's own at each step": lambda x: layers.TimeDistributed(_FiveTimes())(
        layers.Reshape((2, 3))(x)
    )[:, 0],
    "tanh": layers.Dense(3, "tanh"),
    "relu": layers.Dense(3, "relu"),
}
ALL = {**PROBABILITIES, **UNIT_INTERVAL, **NEITHER}


@pytest.mark.parametrize("constant", [1e155, -1e300, np.inf, 5e-324])
@pytest.mark.parametrize("change", [ops.square, ops.sqrt, ops.abs, ops.exp, ops.log, ops.relu])
def test_no_number_is_too_large(change, constant):
    x = keras.Input((6,))
    y = layers.Dense(3, "sigmoid")(x)
    for z in (y * constant, y + constant, y - constant, y / constant, constant - y):
        found = output_range(keras.Model(x, change(change(z) - ops.abs(z))))
        assert not math.isnan(found.low)
        assert not math.isnan(found.high)


def _model(name):
    keras.utils.set_random_seed(7)
    x = keras.Input((6,))
    return keras.Model(x, ALL[name](x))


@pytest.mark.parametrize("name", ALL)
def test_what_is_told_is_what_is_computed(name):
    model = _model(name)
    found, output = output_range(model), np.asarray(model(ROWS), dtype="float64")
    assert found.probabilities == (name in PROBABILITIES)
    assert found.unit_interval == (name not in NEITHER)
    assert found.low - 1e-5 <= output.min()
    assert output.max() <= found.high + 1e-5
    if found.total is not None:
        half = "bfloat16" in str([layer.compute_dtype for layer in model.layers])
        assert np.allclose(output.sum(axis=-1), found.total, atol=2e-2 if half else 1e-5)


@pytest.mark.parametrize(
    "file", ["ops.softmax.h5", "Average.h5", "nested.h5", "one minus.keras", "cast.keras"]
)
def test_it_is_told_of_a_file_as_of_the_model(tmp_path, file):
    name, _, suffix = file.rpartition(".")
    path = tmp_path / f"model.{suffix}"
    _model(name).save(path)
    meaning = loading.load(str(path)).spec.output
    assert (meaning.kind, meaning.probabilities) == ("softmax", True)


@pytest.mark.parametrize("name", ["log_softmax", "log of softmax"])
def test_the_logarithm_of_a_softmax_is_a_score_and_a_logit_for_a_loss_of_logits(tmp_path, name):
    model = _model(name)
    model.save(tmp_path / "m.keras")
    assert loading.load(str(tmp_path / "m.keras")).spec.output.kind == "scores"
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.save(tmp_path / "m.keras")
    meaning = loading.load(str(tmp_path / "m.keras")).spec.output
    output = np.asarray(model(ROWS))
    assert np.allclose(meaning.decode(output).scores, np.exp(output), atol=1e-6)


def _one_unit(tmp_path, make, loss=None):
    x = keras.Input((6,))
    model = keras.Model(x, make(x))
    if loss:
        model.compile("adam", loss)
    model.save(tmp_path / "m.keras")
    return getattr(loading.load(str(tmp_path / "m.keras")).spec.output, "kind", None)


def test_one_number_between_0_and_1_is_a_sigmoids_and_a_cut_one_is_a_regressions(tmp_path):
    def average(x):
        return layers.Average()([layers.Dense(1, "sigmoid")(x) for _ in range(2)])

    def cut(x):
        return ops.clip(layers.Dense(1)(x), 0, 1)

    assert _one_unit(tmp_path, average) == "sigmoid"
    assert _one_unit(tmp_path, average, "mean_squared_error") == "sigmoid"
    assert _one_unit(tmp_path, cut, "binary_crossentropy") == "sigmoid"
    assert _one_unit(tmp_path, cut, "mean_squared_error") is None


def test_a_long_way_back_is_walked_to_its_end():
    x = keras.Input((6,))
    y = layers.Dense(3, "softmax")(x)
    for _ in range(60):
        y = layers.Average()([layers.Dropout(0.1)(y), layers.Activation("linear")(y)])
    assert output_range(keras.Model(x, y)).probabilities
