"""Every layer of Keras with a state of its own: file -> driver -> worker predicts what Keras does.

The layers are found by introspection, so that a new Keras brings its new ones along. Run as a
script, this file is the worker: a process that knows of a model nothing but its bytes.
"""

from __future__ import annotations

import functools
import gc
import inspect
import json
import pickle
import subprocess
import sys
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irisspark.errors import ModelError
from irisspark.model import keras_file, keras_private, loading
from irisspark.model.forward import predictor
from irisspark.startup.imports import import_tensorflow

tf = import_tensorflow()

import keras  # noqa: E402
from keras import layers  # noqa: E402

ROOT = Path(__file__).parents[1]
NUM_ROWS = 6

EXCEPTIONS = {
    "Layer": "the base of all layers, which computes nothing",
    "Wrapper": "the base of the wrappers, which computes nothing",
    "Equalization": "gives its input itself back where a model is put together: a cycle to Keras",
    "FlaxLayer": "holds a module of Flax",
    "JaxLayer": "holds a function of JAX",
    "TFSMLayer": "reads another file, a SavedModel",
    "TorchModuleWrapper": "holds a module of PyTorch",
}
FOREIGN = [name for name, reason in EXCEPTIONS.items() if reason.startswith(("holds", "reads"))]

# What a parameter is given, by its name, where the layer demands it.
ARGUMENTS: dict[str, Callable[[], Any]] = {
    "activation": lambda: "tanh",
    "axes": lambda: 1,
    "call_fn": lambda: lambda values: values * 2.0,
    "cell": lambda: layers.LSTMCell(3),
    "cells": lambda: [layers.GRUCell(3), layers.LSTMCell(2)],
    "dims": lambda: (2, 1),
    "equation": lambda: "ab,bc->ac",
    "factor": lambda: 0.3,
    "filepath": lambda: "a SavedModel",
    "filters": lambda: 2,
    "function": lambda: lambda values: values * 2.0,
    "head_dim": lambda: 2,
    "height": lambda: 3,
    "height_factor": lambda: 0.2,
    "input_dim": lambda: 7,
    "kernel_size": lambda: 2,
    "key_dim": lambda: 2,
    "layer": lambda: layers.Dense(3),
    "layers": lambda: [layers.Rescaling(0.5), layers.Dense(3)],
    "max_number": lambda: 3,
    "module": lambda: None,
    "n": lambda: 2,
    "num_bins": lambda: 5,
    "num_heads": lambda: 2,
    "num_key_value_heads": lambda: 1,
    "num_query_heads": lambda: 2,
    "output_dim": lambda: 3,
    "output_shape": lambda: 3,
    "output_size": lambda: 2,
    "pool_size": lambda: 2,
    "rate": lambda: 0.3,
    "scale": lambda: 0.5,
    "stddev": lambda: 0.3,
    "target_shape": lambda: (2, -1),
    "units": lambda: 3,
    "width": lambda: 3,
    "width_factor": lambda: 0.2,
}
# The same, where the parameter may be left out but the layer is of no use then.
OPTIONAL: dict[str, Callable[[], Any]] = {
    "fft_length": lambda: 16,
    "frame_length": lambda: 16,
    "frame_step": lambda: 8,
    "num_bins": lambda: 5,
    "num_tokens": lambda: 7,
    "seed": lambda: 3,
    "sequence_stride": lambda: 8,
    "use_scale": lambda: True,
}
# The same, by layer, for the odd ones.
ARGUMENTS_OF: dict[str, dict[str, Callable[[], Any]]] = {
    "Bidirectional": {"layer": lambda: layers.LSTM(3)},
    "GroupNormalization": {"groups": lambda: 2},
    "InputLayer": {"shape": lambda: (4,)},
    "RandomPosterization": {"factor": lambda: 3},
}


class CannotBuildError(Exception):
    """The tables do not say how a layer is made, or what it takes."""


@dataclass(frozen=True)
class Case:
    """A model with its state, rows for it, and what Keras predicts from them."""

    model: keras.Model
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    trusted: bool

    @property
    def tolerance(self) -> dict[str, float]:
        computing = {layer.compute_dtype for layer in flat(self.model)}
        if computing & {"float16", "bfloat16"}:
            return {"rtol": 2e-2, "atol": 2e-2}
        return {"rtol": 1e-5, "atol": 1e-6}

    @property
    def has_state(self) -> bool:
        """Whether it computes with more than its configuration: variables or tables."""
        tables = [one for one in flat(self.model) if hasattr(one, "save_assets")]
        return bool(variables(self.model) or tables)

    @property
    def is_classifier(self) -> bool:
        last = self.model.layers[-1]
        return (
            isinstance(last, layers.Dense)
            and last.activation is keras.activations.softmax
            and len(self.model.inputs) == len(self.model.outputs) == 1
            and len(self.model.outputs[0].shape) == 2
            and self.model.inputs[0].dtype != "string"
            and not any(getattr(layer, "stateful", False) for layer in flat(self.model))
        )


# --- Rows


def _rows(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(1, 2, (NUM_ROWS, 4)).astype("float32")]


def _images(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.uniform(0, 255, (NUM_ROWS, 8, 8, 3)).astype("float32")]


def _sequences(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(NUM_ROWS, 4, 3)).astype("float32")]


def _volumes(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(NUM_ROWS, 4, 4, 4, 2)).astype("float32")]


def _films(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(NUM_ROWS, 3, 3, 3, 3, 2)).astype("float32")]


def _signals(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(NUM_ROWS, 64)).astype("float32")]


def _waves(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(NUM_ROWS, 64, 1)).astype("float32")]


def _tokens(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(1, 7, (NUM_ROWS, 4)).astype("int32")]


def _strings(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.choice(["ant", "bee", "cow", "dog", "eel"], (NUM_ROWS, 4))]


def _texts(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.choice(["an ant", "a bee or a bee", "the cow", "dog and eel"], (NUM_ROWS, 1))]


def _twice(kind: Callable[[Any], list[np.ndarray]]) -> Callable[[Any], list[np.ndarray]]:
    return lambda rng: kind(rng) + kind(rng)


def _at_once(layer: Any, tensors: list[Any]) -> Any:
    return layer(tensors if len(tensors) > 1 else tensors[0])


def _one_by_one(layer: Any, tensors: list[Any]) -> Any:
    return layer(*tensors)


# How a layer may be called, tried in this order.
CALLS = [
    (_rows, _at_once),
    (_images, _at_once),
    (_sequences, _at_once),
    (_volumes, _at_once),
    (_films, _at_once),
    (_tokens, _at_once),
    (_strings, _at_once),
    (_texts, _at_once),
    (_signals, _at_once),
    (_waves, _at_once),
    (_twice(_rows), _at_once),
    (_twice(_sequences), _at_once),
    (_twice(_sequences), _one_by_one),
    (_twice(lambda rng: [_strings(rng)[0][:, :1]]), _at_once),
]
# Layers with a parameter of such a name are tried with these rows first.
FIRST = {
    "fft_length": _signals,
    "frame_length": _waves,
    "input_dim": _tokens,
    "num_tokens": _tokens,
    "vocabulary": _tokens,
}


# --- Models of one layer


def layer_classes() -> dict[str, type]:
    """List the layers of keras.layers, each once, under the name of its class."""
    named = {name: getattr(layers, name) for name in dir(layers)}
    found = {n: c for n, c in named.items() if inspect.isclass(c) and issubclass(c, layers.Layer)}
    return {c.__name__ if c.__name__ in found else n: c for n, c in found.items()}


def made(cls: type) -> Any:
    """Make a layer with the arguments of the tables."""
    arguments = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        demanded = parameter.default is parameter.empty
        tables = (ARGUMENTS_OF.get(cls.__name__, {}), ARGUMENTS if demanded else OPTIONAL)
        value = next((table[parameter.name] for table in tables if parameter.name in table), None)
        if value is not None:
            arguments[parameter.name] = value()
        elif demanded:
            raise CannotBuildError(
                f"{cls.__name__} demands {parameter.name!r}: say what it is given in ARGUMENTS, by "
                "the name of the parameter, or in ARGUMENTS_OF, by the name of the layer"
            )
    try:
        return cls(**arguments)
    except Exception as error:
        raise CannotBuildError(
            f"{cls.__name__} does not take {arguments}: give it others in ARGUMENTS_OF ({error})"
        ) from error


def calls_of(layer: Any) -> list[tuple[Any, Any]]:
    """List the ways to call a layer, the likeliest first."""
    parameters = inspect.signature(type(layer).__init__).parameters
    first = [(rows, _at_once) for name, rows in FIRST.items() if name in parameters]
    if not hasattr(layer, "state_size") or hasattr(layer, "cell"):
        return first + CALLS

    def with_state(rng: np.random.Generator) -> list[np.ndarray]:
        sizes = keras.tree.flatten(layer.state_size)
        return _rows(rng) + [rng.normal(size=(NUM_ROWS, n)).astype("float32") for n in sizes]

    def call_cell(cell: Any, tensors: list[Any]) -> Any:
        return cell(tensors[0], keras.tree.pack_sequence_as(cell.state_size, tensors[1:]))

    return [(with_state, call_cell)]


def model_of(cls: type, rng: np.random.Generator) -> tuple[Any, list[np.ndarray]]:
    """Make the model of one layer, and rows that it takes."""
    if issubclass(cls, layers.InputLayer):
        tensor = made(cls).output
        return keras.Model(tensor, layers.Identity()(tensor)), _rows(rng)
    reasons = []
    for rows, call in calls_of(made(cls)):
        inputs, layer = rows(rng), made(cls)
        try:
            if hasattr(layer, "adapt"):
                layer.adapt(inputs[0])
            tensors = [input_of(array) for array in inputs]
            model = keras.Model(tensors, call(layer, tensors))
            predict(model, inputs)
        except Exception as error:
            reasons.append(f"{[array.shape for array in inputs]}: {str(error).splitlines()[:1]}")
        else:
            return model, inputs
    raise CannotBuildError(
        f"{cls.__name__} takes none of the rows in CALLS: add what it takes there, or give it "
        "other arguments in ARGUMENTS_OF\n" + "\n".join(reasons)
    )


def input_of(array: np.ndarray) -> Any:
    return keras.Input(array.shape[1:], dtype="string" if array.dtype.kind == "U" else array.dtype)


# --- State


def flat(model: Any) -> list[Any]:
    return [model, *keras_private.layers_of(model)]


def variables(model: Any) -> list[Any]:
    """List what a model computes with; the states of its random generators are no part of it."""
    return [v for v in model.variables if "seed_generator" not in v.path]


def stirred(model: Any, rng: np.random.Generator) -> Any:
    """Give every variable of floats random values, but for those that have been adapted."""
    adapted_ones = {id(v) for one in flat(model) if hasattr(one, "adapt") for v in one.variables}
    for variable in variables(model):
        # "g_idx" says to which group a column of a quantized kernel belongs.
        if (
            id(variable) in adapted_ones
            or "float" not in variable.dtype
            or "g_idx" in variable.path
        ):
            continue
        if any(word in variable.path for word in ("variance", "scale", "amax")):
            values = rng.uniform(0.5, 1.5, variable.shape)
        else:
            values = rng.normal(0, 0.5, variable.shape)
        variable.assign(values)
    return model


# --- Predictions, in either process


def predict(model: Any, inputs: list[np.ndarray], *, compiled: bool = False) -> list[np.ndarray]:
    """Predict, in a compiled function as a worker does where asked; 16 bits become float32."""
    tensors = [tf.constant(array) for array in inputs]
    run = functools.partial(model, training=False)
    if isinstance(model, keras.Sequential):
        taken = tensors[0]
    else:
        taken = keras.tree.pack_sequence_as(model.input, tensors)
    outputs = (tf.function(run) if compiled else run)(taken)
    return [_array(output) for output in keras.tree.flatten(outputs)]


def _array(output: Any) -> np.ndarray:
    if output.dtype == "string":
        return np.char.decode(output.numpy().astype("S"), "utf-8")
    if output.dtype in ("float16", "bfloat16"):
        output = tf.cast(output, "float32")
    return output.numpy()


def _predict_by_spec(spec: Any, features: np.ndarray) -> list[np.ndarray]:
    """Predict as a worker does, with all its own code."""
    flat_rows = features.reshape(len(features), -1).astype(spec.input_dtype)
    block = np.zeros((spec.block_rows, flat_rows.shape[1]), spec.input_dtype)
    block[: len(features)] = flat_rows
    run = predictor(spec, flat_rows.shape[1], 1)
    return [run(block, np.zeros(spec.block_rows, "int64"))[0][: len(features)]]


def _serve() -> None:
    """Answer for every folder that standard input names."""
    gc.freeze()
    for line in sys.stdin:
        folder = Path(line.strip())
        try:
            with np.load(folder / "inputs.npz") as stored:
                inputs = [stored[f"arr_{i}"] for i in range(len(stored))]
            task = pickle.loads((folder / "task").read_bytes())
            if isinstance(task, tuple):
                file, trusted = task
                opened = keras_file.from_bytes(file, trusted=trusted)
                outputs = predict(opened, inputs, compiled=True)
            else:
                outputs = _predict_by_spec(task, inputs[0])
            np.savez(folder / "outputs.npz", *outputs)
            print(f"{folder} done", flush=True)
        except Exception:
            (folder / "error").write_text(traceback.format_exc())
            print(f"{folder} failed", flush=True)


class Worker:
    """The other process. It goes on while this one does something else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: dict[str, str] = {}
        self._asked: set[str] = set()
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, name: str, task: Any, inputs: list[np.ndarray]) -> None:
        """Give it something to predict, once for every name.

        Args:
            name: Of the question.
            task: The bytes of a model and whether its code may run, or a ``ModelSpec``.
            inputs: An array for each input.
        """
        if name in self._asked:
            return
        self._asked.add(name)
        folder = self._folder / name
        folder.mkdir()
        np.savez(folder / "inputs.npz", *inputs)
        (folder / "task").write_bytes(pickle.dumps(task))
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()

    def answer(self, name: str) -> list[np.ndarray]:
        """Wait for what it predicts."""
        folder = self._folder / name
        while str(folder) not in self._answers:
            line = self._process.stdout.readline()
            assert line, "the worker has ended"
            done, word = line.strip().rsplit(" ", 1)
            self._answers[done] = word
        assert self._answers[str(folder)] == "done", (folder / "error").read_text()
        with np.load(folder / "outputs.npz") as stored:
            return [stored[f"arr_{i}"] for i in range(len(stored))]

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


# --- Models that people make of the layers

ModelAndRows = tuple[Any, list[np.ndarray]]
MODELS: dict[str, Callable[[np.random.Generator], ModelAndRows]] = {}


def softmax() -> Any:
    return layers.Dense(3, "softmax")


def adapted(layer: Any, rows: np.ndarray) -> Any:
    layer.adapt(rows)
    return layer


def applied(tensor: Any, *stack: Any) -> Any:
    return functools.reduce(lambda value, layer: layer(value), stack, tensor)


def chained(rows: np.ndarray, *stack: Any) -> Any:
    """Make a functional model of layers one after the other, for rows like these."""
    tensor = input_of(rows)
    return keras.Model(tensor, applied(tensor, *stack))


def inner(rows: np.ndarray, *stack: Any) -> Any:
    return keras.Sequential([input_of(rows), *stack])


def frozen(layer: Any) -> Any:
    layer.trainable = False
    return layer


# Layers one after the other, for rows of a kind: the adapted ones are adapted to them.
CHAINS: dict[str, tuple[Callable[[Any], list[np.ndarray]], Callable[[np.ndarray], list[Any]]]] = {
    "Normalization within a Sequential": (
        _rows,
        lambda x: [inner(x, adapted(layers.Normalization(), x), layers.Dense(4)), softmax()],
    ),
    "Normalization three models deep": (
        _rows,
        lambda x: [inner(x, inner(x, inner(x, adapted(layers.Normalization(), x)))), softmax()],
    ),
    "Normalization of every step": (
        _sequences,
        lambda x: [
            layers.TimeDistributed(adapted(layers.Normalization(), x[:, 0])),
            layers.Flatten(),
            softmax(),
        ],
    ),
    "Normalization of every step by a model": (
        _sequences,
        lambda x: [
            layers.TimeDistributed(inner(x[:, 0], adapted(layers.Normalization(), x[:, 0]))),
            layers.LSTM(3),
            softmax(),
        ],
    ),
    "Normalization inverted": (_rows, lambda x: [adapted(layers.Normalization(invert=True), x)]),
    "Normalization of all columns at once": (
        _rows,
        lambda x: [adapted(layers.Normalization(axis=None), x), softmax()],
    ),
    "Normalization by given numbers": (
        _rows,
        lambda x: [layers.Normalization(mean=1.5, variance=4.0), softmax()],
    ),
    "Normalization of channels": (
        _images,
        lambda x: [
            adapted(layers.Normalization(), x),
            layers.Conv2D(2, 3),
            layers.GlobalMaxPooling2D(),
            softmax(),
        ],
    ),
    "Normalization in float64": (
        _rows,
        lambda x: [adapted(layers.Normalization(dtype="float64"), x), softmax()],
    ),
    "Normalization in a Pipeline": (
        _rows,
        lambda x: [layers.Pipeline([adapted(layers.Normalization(), x), layers.Rescaling(0.5)])],
    ),
    "Equalization in a Pipeline": (_images, lambda x: [layers.Pipeline([layers.Equalization()])]),
    "Discretization to multi-hot": (
        _rows,
        lambda x: [
            adapted(layers.Discretization(num_bins=4, output_mode="multi_hot"), x),
            softmax(),
        ],
    ),
    "Discretization by given bounds": (
        _rows,
        lambda x: [layers.Discretization([-0.5, 0.1, 0.6]), layers.Embedding(4, 2), layers.GRU(2)],
    ),
    "Discretization within a Sequential": (
        _rows,
        lambda x: [
            inner(x, adapted(layers.Discretization(num_bins=4), x), layers.Embedding(4, 2)),
            layers.Flatten(),
            softmax(),
        ],
    ),
    "IntegerLookup to multi-hot": (
        _tokens,
        lambda x: [adapted(layers.IntegerLookup(output_mode="multi_hot"), x), softmax()],
    ),
    "IntegerLookup to tf-idf": (
        _tokens,
        lambda x: [adapted(layers.IntegerLookup(output_mode="tf_idf"), x), softmax()],
    ),
    "IntegerLookup of many unknown and a mask": (
        _tokens,
        lambda x: [
            adapted(layers.IntegerLookup(num_oov_indices=3, mask_token=2, max_tokens=6), x),
            layers.Embedding(9, 2, mask_zero=True),
            layers.LSTM(3),
            softmax(),
        ],
    ),
    "IntegerLookup inverted": (
        _tokens,
        lambda x: [adapted(layers.IntegerLookup(invert=True), x * 100)],
    ),
    "IntegerLookup of given numbers": (
        _tokens,
        lambda x: [layers.IntegerLookup(vocabulary=[5, 3, 1]), layers.Embedding(4, 2)],
    ),
    "IntegerLookup within a Sequential": (
        _tokens,
        lambda x: [
            inner(x, adapted(layers.IntegerLookup(), x), layers.Embedding(9, 2)),
            layers.Flatten(),
            softmax(),
        ],
    ),
    "StringLookup to counts": (
        _strings,
        lambda x: [adapted(layers.StringLookup(output_mode="count"), x), softmax()],
    ),
    "StringLookup to tf-idf": (
        _strings,
        lambda x: [adapted(layers.StringLookup(output_mode="tf_idf"), x), softmax()],
    ),
    "StringLookup inverted": (
        _tokens,
        lambda x: [adapted(layers.StringLookup(invert=True), np.array(["ä", "b", "b", "c"]))],
    ),
    "StringLookup of given words": (
        _strings,
        lambda x: [layers.StringLookup(vocabulary=["cow", "ant"]), layers.Embedding(3, 2)],
    ),
    "StringLookup within a Sequential": (
        _strings,
        lambda x: [
            inner(x, adapted(layers.StringLookup(mask_token="bee"), x), layers.Embedding(9, 2)),
            layers.GlobalAveragePooling1D(),
            softmax(),
        ],
    ),
    "TextVectorization to tf-idf of pairs": (
        _texts,
        lambda x: [adapted(layers.TextVectorization(output_mode="tf_idf", ngrams=2), x), softmax()],
    ),
    "TextVectorization of letters": (
        _texts,
        lambda x: [
            adapted(layers.TextVectorization(split="character", output_sequence_length=8), x),
            layers.Embedding(30, 2),
            layers.GRU(3),
        ],
    ),
    "TextVectorization of given words": (
        _texts,
        lambda x: [
            layers.TextVectorization(
                vocabulary=["ant", "bee"], output_mode="multi_hot", standardize="lower"
            ),
            softmax(),
        ],
    ),
    "Hashing with a salt": (
        _strings,
        lambda x: [layers.Hashing(9, salt=[3, 5]), layers.Embedding(9, 2)],
    ),
    "Embedding with a mask before a Bidirectional": (
        lambda rng: [rng.integers(0, 3, (NUM_ROWS, 4)).astype("int32")],
        lambda x: [
            layers.Embedding(3, 2, mask_zero=True),
            layers.Bidirectional(layers.LSTM(3)),
            softmax(),
        ],
    ),
    "Embedding of tokens given as float": (
        lambda rng: [_tokens(rng)[0].astype("float32")],
        lambda x: [layers.Embedding(7, 2), layers.Flatten(), softmax()],
    ),
    "BatchNormalization frozen": (
        _rows,
        lambda x: [layers.Dense(4), frozen(layers.BatchNormalization()), softmax()],
    ),
    "BatchNormalization within models": (
        _rows,
        lambda x: [inner(x, layers.BatchNormalization(), inner(x, layers.Dense(4))), softmax()],
    ),
    "BatchNormalization of every step": (
        _sequences,
        lambda x: [layers.TimeDistributed(layers.BatchNormalization()), layers.LSTM(3)],
    ),
    "Frozen layers between others": (
        _rows,
        lambda x: [
            layers.Dense(4),
            frozen(layers.Dense(4)),
            frozen(inner(x, layers.Dense(4), layers.BatchNormalization(), layers.Dense(4))),
            softmax(),
        ],
    ),
    "SpectralNormalization of a convolution": (
        _images,
        lambda x: [layers.SpectralNormalization(layers.Conv2D(2, 3)), layers.Flatten(), softmax()],
    ),
    "SpectralNormalization within a TimeDistributed": (
        _sequences,
        lambda x: [layers.TimeDistributed(layers.SpectralNormalization(layers.Dense(3)))],
    ),
    "Bidirectional of two kinds": (
        _sequences,
        lambda x: [
            layers.Bidirectional(
                layers.LSTM(3, return_sequences=True),
                backward_layer=layers.GRU(3, return_sequences=True, go_backwards=True),
                merge_mode="ave",
            ),
            layers.Bidirectional(layers.SimpleRNN(2)),
            softmax(),
        ],
    ),
    "RNN over stacked cells": (
        _sequences,
        lambda x: [
            layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True),
            layers.Bidirectional(layers.RNN(layers.StackedRNNCells([layers.SimpleRNNCell(2)] * 1))),
            softmax(),
        ],
    ),
    "ConvLSTM2D before a ConvLSTM2D": (
        _volumes,
        lambda x: [layers.ConvLSTM2D(2, 2, return_sequences=True), layers.ConvLSTM2D(1, 2)],
    ),
    "Convolutions with groups and channels first": (
        _images,
        lambda x: [
            layers.Permute((3, 1, 2)),
            layers.SeparableConv2D(4, 1, data_format="channels_first", depth_multiplier=2),
            layers.Permute((2, 3, 1)),
            layers.Conv2D(4, 2, groups=2, dilation_rate=2),
            layers.PReLU(shared_axes=[1, 2]),
            layers.GroupNormalization(2),
            layers.Flatten(),
            softmax(),
        ],
    ),
    "Dropouts with seeds": (
        _rows,
        lambda x: [layers.Dropout(0.5, seed=1), layers.GaussianNoise(1.0, seed=2), softmax()],
    ),
    "Images changed at random in training": (
        _images,
        lambda x: [
            layers.RandomFlip(seed=1),
            layers.RandomRotation(0.2),
            layers.Conv2D(2, 3),
            layers.Flatten(),
            softmax(),
        ],
    ),
    "Lambda before a Normalization": (
        _rows,
        lambda x: [
            layers.Lambda(lambda values: values * 2.0),
            adapted(layers.Normalization(), x),
            softmax(),
        ],
    ),
    "Initializers, regularizers and constraints": (
        _rows,
        lambda x: [
            layers.Dense(
                3,
                keras.layers.LeakyReLU(negative_slope=0.3),
                kernel_initializer=keras.initializers.Constant(0.3),
                kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.1),
                bias_initializer=keras.initializers.RandomNormal(seed=3),
                kernel_constraint=keras.constraints.MaxNorm(1.0),
                activity_regularizer="l2",
            ),
            softmax(),
        ],
    ),
    "Initializer with a random generator": (
        _rows,
        lambda x: [
            layers.Dense(
                3,
                kernel_initializer=keras.initializers.GlorotUniform(
                    seed=keras.random.SeedGenerator(1)
                ),
            ),
            softmax(),
        ],
    ),
    "LoRA within models": (
        _rows,
        lambda x: [inner(x, layers.Dense(4, lora_rank=2), inner(x, layers.Dense(4))), softmax()],
    ),
    **{
        f"{policy} throughout": (
            _rows,
            lambda x, policy=policy: [
                adapted(layers.Normalization(), x),
                layers.Dense(4, "relu", dtype=policy),
                layers.BatchNormalization(dtype=policy),
                layers.Reshape((2, 2), dtype=policy),
                layers.LSTM(3, recurrent_initializer="ones", dtype=policy),
                layers.Dense(3, "softmax", dtype=policy),
            ],
        )
        for policy in ("float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
    },
    "One layer of 16 bits": (
        _rows,
        lambda x: [layers.Dense(4), layers.Dense(4, dtype="mixed_float16"), softmax()],
    ),
}


def model(make: Callable[[np.random.Generator], ModelAndRows]) -> Any:
    """Keep a function that makes a model, and rows for it, under its name."""
    MODELS[make.__name__.replace("_", " ")] = make
    return make


@model
def layer_shared_by_two_inputs(rng: np.random.Generator) -> ModelAndRows:
    rows = _rows(rng) + _rows(rng)
    tensors = [input_of(array) for array in rows]
    normalization, dense = adapted(layers.Normalization(), rows[0]), layers.Dense(3)
    outputs = [dense(normalization(tensor)) for tensor in tensors]
    return keras.Model(tensors, layers.subtract(outputs)), rows


@model
def model_shared_within_a_model(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    tensor = input_of(rows)
    shared = inner(rows, adapted(layers.Normalization(), rows), layers.Dense(4), layers.PReLU())
    return keras.Model(tensor, softmax()(layers.add([shared(tensor), shared(-tensor)]))), [rows]


@model
def layers_of_the_same_name_in_two_models(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    parts = [
        inner(
            rows, adapted(layers.Normalization(name="same"), by * rows), layers.Dense(4, name="d")
        )
        for by in (1, 5)
    ]
    return chained(rows, *parts, softmax()), [rows]


@model
def several_named_inputs_and_outputs(rng: np.random.Generator) -> ModelAndRows:
    (numbers,), (words,), (tokens,) = _rows(rng), _strings(rng), _tokens(rng)
    inputs = {
        "numbers": keras.Input((4,), name="numbers"),
        "tokens": keras.Input((4,), dtype="int32", name="tokens"),
        "words": keras.Input((4,), dtype="string", name="words"),
    }
    parts = [
        adapted(layers.Normalization(), numbers)(inputs["numbers"]),
        adapted(layers.IntegerLookup(output_mode="count"), tokens)(inputs["tokens"]),
        adapted(layers.StringLookup(output_mode="multi_hot"), words)(inputs["words"]),
    ]
    joined = layers.concatenate(parts)
    return (
        keras.Model(inputs, {"class": softmax()(joined), "size": layers.Dense(1)(joined)}),
        [numbers, tokens, words],
    )


@model
def trained_with_adam(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    stack = [layers.Dense(4, kernel_regularizer="l2"), layers.BatchNormalization(), softmax()]
    trained = chained(rows, adapted(layers.Normalization(), rows), *stack)
    trained.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    trained.fit(rows, np.arange(NUM_ROWS) % 3, epochs=2, verbose=0)
    return trained, [rows]


@model
def part_trained_by_itself(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    part = inner(rows, adapted(layers.Normalization(), rows), layers.Dense(4))
    part.compile(keras.optimizers.RMSprop(0.1, momentum=0.5), "mse", metrics=["mae"])
    part.fit(rows, rows, epochs=2, verbose=0)
    whole = chained(rows, part, layers.BatchNormalization(), softmax())
    whole.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    whole.fit(rows, np.arange(NUM_ROWS) % 3, verbose=0)
    return whole, [rows]


@model
def sequential_that_saw_its_input_late(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    late = keras.Sequential([layers.Dense(4), layers.BatchNormalization(), softmax()])
    late(rows)
    return late, [rows]


@model
def operations_between_layers(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _sequences(rng)
    ops = keras.ops
    tensor = input_of(rows)
    attended = layers.MultiHeadAttention(2, 2)(tensor, tensor, use_causal_mask=True)
    value = layers.LayerNormalization()(tensor + attended)
    value = ops.concatenate([ops.relu(value), value[:, :, :1] * 2, ops.sqrt(abs(value))], -1)
    value = ops.where(value > 0, ops.matmul(value, ops.transpose(value, (0, 2, 1)))[..., :1], 0.5)
    return keras.Model(tensor, softmax()(ops.mean(value, axis=1))), [rows]


@model
def activation_and_quantizer_between_layers(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    tensor = input_of(rows)
    value = keras.activations.relu(layers.Dense(4)(tensor), negative_slope=0.1)
    value = keras.quantizers.fake_quant_with_min_max_vars(value, -4.0, 4.0)
    return keras.Model(tensor, softmax()(value)), [rows]


@model
def attention_by_groups_before_recurrent_layers_with_states(
    rng: np.random.Generator,
) -> ModelAndRows:
    (rows,) = _sequences(rng)
    tensor = input_of(rows)
    value = layers.GroupQueryAttention(2, 2, 1)(tensor, tensor)
    value, *states = layers.LSTM(3, return_sequences=True, return_state=True)(value)
    value = layers.LSTM(3, return_sequences=True)(value, initial_state=states)
    value = layers.AdditiveAttention(dropout=0.1)([value, value])
    return keras.Model(tensor, softmax()(layers.GlobalMaxPooling1D()(value))), [rows]


@model
def embedding_read_in_both_directions(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _tokens(rng)
    tensor = input_of(rows)
    tied, untied = layers.ReversibleEmbedding(7, 4), layers.ReversibleEmbedding(7, 4, False)
    value = layers.GRU(4, return_sequences=True)(layers.add([tied(tensor), untied(tensor)]))
    outputs = [tied(value, reverse=True), untied(value, reverse=True)]
    return keras.Model(tensor, outputs), [rows]


@model
def images_with_boxes(rng: np.random.Generator) -> ModelAndRows:
    (images,) = _images(rng)
    boxes = rng.uniform(0, 4, (NUM_ROWS, 2, 4)).astype("float32")
    boxes[..., 2:] += 4
    labels = np.ones((NUM_ROWS, 2), "float32")
    inputs = {
        "images": input_of(images),
        "bounding_boxes": {"boxes": input_of(boxes), "labels": input_of(labels)},
    }
    layer = layers.MaxNumBoundingBoxes(4, bounding_box_format="xyxy")
    return keras.Model(inputs, layer(inputs)), [boxes, labels, images]


def _for_quantization(rows: np.ndarray) -> Any:
    part = inner(rows, adapted(layers.Normalization(), rows), layers.Dense(8, "relu"))
    by_pairs = layers.EinsumDense("abc,cd->abd", (4, 3), bias_axes="d")
    return chained(rows, part, layers.Reshape((4, 2)), by_pairs, layers.Flatten(), softmax())


QUANTIZATIONS: dict[str, tuple[str, Callable[[], Any]]] = {
    "int8": ("int8", lambda: None),
    "int4": ("int4", lambda: None),
    "int4 by blocks": ("int4", lambda: keras.quantizers.Int4QuantizationConfig(block_size=2)),
    "int4 by columns": ("int4", lambda: keras.quantizers.Int4QuantizationConfig(block_size=-1)),
    "float8": ("float8", lambda: None),
}


def _quantized_model(rng: np.random.Generator, way: str) -> ModelAndRows:
    (rows,) = _rows(rng)
    mode, config = QUANTIZATIONS[way]
    whole = stirred(_for_quantization(rows), rng)
    whole.quantize(mode, config=config())
    return whole, [rows]


MODELS |= {
    f"{way} throughout": functools.partial(_quantized_model, way=way) for way in QUANTIZATIONS
}


@model
def int8_with_lora_over_it(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    dense = layers.Dense(4)
    whole = stirred(chained(rows, inner(rows, dense), softmax()), rng)
    whole.quantize("int8")
    dense.enable_lora(2)
    return whole, [rows]


@model
def int8_from_16_bits(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _rows(rng)
    stack = [layers.Dense(4, "relu", dtype="mixed_bfloat16"), layers.Dense(3, "softmax")]
    whole = stirred(chained(rows, adapted(layers.Normalization(), rows), *stack), rng)
    whole.quantize("int8")
    return whole, [rows]


@model
def int8_embedding_read_in_both_directions(rng: np.random.Generator) -> ModelAndRows:
    whole, rows = embedding_read_in_both_directions(rng)
    stirred(whole, rng).quantize("int8")
    return whole, rows


@model
def int8_within_a_spectral_normalization(rng: np.random.Generator) -> ModelAndRows:
    """Keras itself does not open its file: it draws random integers and fails."""
    (rows,) = _rows(rng)
    whole = stirred(chained(rows, layers.SpectralNormalization(layers.Dense(3))), rng)
    whole.quantize("int8")
    return whole, [rows]


@model
def attention_with_a_map_of_dtypes(rng: np.random.Generator) -> ModelAndRows:
    (rows,) = _sequences(rng)
    tensor = input_of(rows)
    dtypes = keras.dtype_policies.DTypePolicyMap(
        "float32", {".*/query": keras.DTypePolicy("mixed_bfloat16")}
    )
    value = layers.MultiHeadAttention(2, 2, dtype=dtypes, name="attention")(tensor, tensor)
    return keras.Model(tensor, value), [rows]


# Models whose file Keras itself does not open.
KERAS_DOES_NOT_OPEN: dict[str, Callable[[np.random.Generator], Any]] = {}


def unopened(make: Callable[[np.random.Generator], Any]) -> Any:
    KERAS_DOES_NOT_OPEN[make.__name__.replace("_", " ")] = make
    return make


@unopened
def int8_attention(rng: np.random.Generator) -> Any:
    tensor = input_of(_sequences(rng)[0])
    whole = keras.Model(tensor, layers.MultiHeadAttention(2, 2)(tensor, tensor))
    whole.quantize("int8")
    return whole


@unopened
def int8_attention_by_groups(rng: np.random.Generator) -> Any:
    tensor = input_of(_sequences(rng)[0])
    whole = keras.Model(tensor, layers.GroupQueryAttention(2, 2, 1)(tensor, tensor))
    whole.quantize("int8")
    return whole


@unopened
def calibrated_by_gptq(rng: np.random.Generator) -> Any:
    (rows,) = _tokens(rng)
    embedding, block = layers.Embedding(7, 4), keras.Sequential([layers.Dense(4)])
    whole = chained(rows, embedding, block)
    order = {"pre_block_layers": [embedding], "sequential_blocks": [block]}
    whole.get_quantization_layer_structure = lambda mode: order
    whole.quantize(
        config=keras.quantizers.GPTQConfig(
            list(rows[:, None]), np.asarray, num_samples=2, sequence_length=4, group_size=2
        )
    )
    return whole


# --- All cases


def _one_layer(rng: np.random.Generator, cls: type) -> ModelAndRows:
    return model_of(cls, rng)


def _with_lora(rng: np.random.Generator, cls: type) -> ModelAndRows:
    made_of, rows = model_of(cls, rng)
    made_of.layers[-1].enable_lora(2)
    return made_of, rows


def _quantized(rng: np.random.Generator, cls: type, way: str) -> ModelAndRows:
    made_of, rows = model_of(cls, rng)
    mode, config = QUANTIZATIONS[way]
    try:
        stirred(made_of, rng).layers[-1].quantize(mode, config=config())
    except NotImplementedError as error:
        pytest.skip(str(error))
    return made_of, rows


def _chain(rng: np.random.Generator, name: str) -> ModelAndRows:
    rows, stack = CHAINS[name]
    inputs = rows(rng)
    return chained(inputs[0], *stack(inputs[0])), inputs


def makers() -> dict[str, Callable[[np.random.Generator], ModelAndRows]]:
    found = {}
    for name, cls in layer_classes().items():
        if name in EXCEPTIONS:
            continue
        found[name] = functools.partial(_one_layer, cls=cls)
        if hasattr(cls, "enable_lora"):
            found[f"{name} with LoRA"] = functools.partial(_with_lora, cls=cls)
        if cls.quantize is not layers.Layer.quantize:
            for way in QUANTIZATIONS:
                found[f"{name} in {way}"] = functools.partial(_quantized, cls=cls, way=way)
    chains = {name: functools.partial(_chain, name=name) for name in CHAINS}
    return found | chains | MODELS


MAKERS = makers()


@functools.cache
def case(name: str) -> Case:
    """Make a model with its state, and let Keras predict."""
    seed = zlib.crc32(name.encode())
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made_model, inputs = MAKERS[name](rng)
        if not made_model.compiled:
            stirred(made_model, rng)
        outputs = predict(made_model, inputs)
    gc.freeze()  # Keras collects garbage while it quantizes: for long, with all this to look at
    return Case(made_model, inputs, outputs, trusted="Lambda" in name)


# --- The tests


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    other = Worker(tmp_path_factory.mktemp("worker"))
    yield other
    other.end()
    gc.unfreeze()


def assert_equal(found: list[np.ndarray], this: Case) -> None:
    assert len(found) == len(this.outputs)
    for one, other in zip(found, this.outputs, strict=True):
        if other.dtype.kind == "f":
            np.testing.assert_allclose(one, other, **this.tolerance)
        else:
            np.testing.assert_array_equal(one, other)


def are_equal(found: list[np.ndarray], this: Case) -> bool:
    try:
        assert_equal(found, this)
    except AssertionError:
        return False
    return True


def save(model: Any, path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return str(path)


@dataclass(frozen=True)
class Journey:
    """A file, the driver's model out of it, and what the worker has been asked of it.

    The driver has no model where it refused the file, or where Keras did not write one.
    """

    path: Path | None
    driver: Any
    questions: tuple[str, ...]


Travel = Callable[[str, str], Journey]


@pytest.fixture(scope="module")
def journey(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Travel:
    """Give a function that sends a model through a kind of file; the worker need not wait."""

    @functools.cache
    def travel(name: str, suffix: str) -> Journey:
        this = case(name)
        path = tmp_path_factory.mktemp("file") / f"model{suffix}"
        try:
            save(this.model, path)
        except (TypeError, ValueError):
            if suffix == ".keras":
                raise
            return Journey(None, None, ())
        try:
            driver = loading.open_network(str(path), trust=this.trusted).model
        except ModelError:
            if suffix == ".keras":
                raise
            return Journey(path, None, ())
        questions: dict[str, Any] = {"": (loading.file_of(driver), this.trusted)}
        if this.is_classifier and suffix == ".keras":
            questions[" by its spec"] = loading.load(str(path), trust=this.trusted).spec
        key = f"{list(MAKERS).index(name)}{suffix}"
        for question, task in questions.items():
            worker.ask(key + question, task, this.inputs)
        return Journey(path, driver, tuple(key + question for question in questions))

    return travel


@pytest.mark.parametrize("name", MAKERS)
def test_the_driver_predicts_what_keras_does(name: str, journey: Travel) -> None:
    this = case(name)
    assert all(np.isfinite(array).all() for array in this.outputs if array.dtype.kind == "f")
    assert_equal(predict(journey(name, ".keras").driver, this.inputs), this)


@pytest.mark.parametrize("name", MAKERS)
def test_a_configuration_alone_predicts_something_else(name: str) -> None:
    """Where there is a state: so the tests here fail where it is lost."""
    this = case(name)
    config = json.loads(this.model.to_json())
    try:
        rebuilt = keras.saving.deserialize_keras_object(config, safe_mode=not this.trusted)
        found = predict(rebuilt, this.inputs)
    except (tf.errors.OpError, TypeError, ValueError):  # such as a table that nobody filled
        assert this.has_state
    else:
        assert are_equal(found, this) is not this.has_state


def predictions_by_keras(path: Path, this: Case) -> list[np.ndarray] | None:
    """Let Keras itself read a file and predict; None where it cannot."""
    try:
        return predict(keras.models.load_model(path, compile=False, safe_mode=False), this.inputs)
    except Exception:
        return None


@pytest.mark.parametrize("name", MAKERS)
def test_an_h5_predicts_the_same_or_is_refused(name: str, journey: Travel) -> None:
    """It may be refused only where Keras writes no ``.h5``, or does not read it rightly itself."""
    this, done = case(name), journey(name, ".h5")
    if done.driver is not None:
        assert_equal(predict(done.driver, this.inputs), this)
    elif done.path is not None:
        found = predictions_by_keras(done.path, this)
        assert found is None or not are_equal(found, this)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_worker_predicts_what_keras_does(
    name: str, suffix: str, worker: Worker, journey: Travel
) -> None:
    for question in journey(name, suffix).questions:
        assert_equal(worker.answer(question), case(name))


@pytest.mark.parametrize("name", [name for name in MAKERS if "Normalization" in name])
def test_a_normalization_in_an_h5_is_opened(name: str, journey: Travel) -> None:
    """Keras itself forgets what one within a model computes with."""
    if name == "Normalization of all columns at once":
        pytest.skip("Keras gives it four means where it is read, and one where it was written")
    assert journey(name, ".h5").driver is not None


@pytest.mark.parametrize(
    "name",
    [n for n in MAKERS if n.startswith(("IntegerL", "StringL", "TextV")) and "given" not in n],
)
def test_an_h5_without_the_table_that_was_adapted_is_refused(name: str, tmp_path: Path) -> None:
    path = save(case(name).model, tmp_path / "model.h5")
    with pytest.raises(ModelError, match=r"the table of layer .* is not in the file"):
        loading.open_network(path)


@pytest.mark.parametrize("name", KERAS_DOES_NOT_OPEN)
def test_a_file_that_keras_does_not_open_is_refused(name: str, tmp_path: Path) -> None:
    """A name that Keras has learned to open fails here, and belongs to the other models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(KERAS_DOES_NOT_OPEN[name](np.random.default_rng(0)), tmp_path / "model.keras")
        with pytest.raises((ValueError, TypeError)):
            keras.models.load_model(path)
    with pytest.raises(ModelError, match="Keras cannot rebuild the model"):
        loading.open_network(path)
    another = save(chained(np.zeros((1, 4)), layers.Dense(3)), tmp_path / "another.keras")
    assert loading.open_network(another).model.built


def test_every_layer_of_keras_is_tested_or_an_exception() -> None:
    names = {name for name in dir(layers) if isinstance(getattr(layers, name), type)}
    classes = {n for n in names if issubclass(getattr(layers, n), layers.Layer)}
    tested = {getattr(layers, n) for n in classes if n in MAKERS}
    assert {n for n in classes if getattr(layers, n) not in tested} == EXCEPTIONS.keys()
    assert len(EXCEPTIONS) <= 12


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_cannot_be_built(name: str) -> None:
    with pytest.raises(CannotBuildError):
        model_of(getattr(layers, name), np.random.default_rng(0))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_layer_of_foreign_code_is_refused(name: str, tmp_path: Path) -> None:
    path = save(chained(np.zeros((1, 4), "float32"), layers.Dense(3)), tmp_path / "dense.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "m.keras", "w") as new:
        for member in old.namelist():
            new.writestr(member, old.read(member).replace(b'"Dense"', f'"{name}"'.encode()))
    with pytest.raises(ModelError, match=f"is a {name}"):
        loading.open_network(str(tmp_path / "m.keras"), trust=True)


def test_a_new_layer_asks_for_its_arguments() -> None:
    class Newcomer(layers.Layer):
        def __init__(self, flux: float) -> None:
            super().__init__()

    with pytest.raises(CannotBuildError, match=r"'flux'.* in ARGUMENTS"):
        model_of(Newcomer, np.random.default_rng(0))


def test_a_new_layer_asks_for_its_rows() -> None:
    class Newcomer(layers.Layer):
        def call(self, inputs: Any) -> Any:
            raise ValueError("not these")

    with pytest.raises(CannotBuildError, match="none of the rows in CALLS"):
        model_of(Newcomer, np.random.default_rng(0))


def test_a_layer_that_keeps_its_state_from_rows_to_rows_is_refused(tmp_path: Path) -> None:
    tensor = keras.Input(batch_shape=(NUM_ROWS, 4, 3))
    keeping = keras.Model(tensor, softmax()(layers.LSTM(3, stateful=True)(tensor)))
    with pytest.raises(ModelError, match="stateful"):
        loading.load(save(keeping, tmp_path / "model.keras"))


if __name__ == "__main__":
    _serve()
