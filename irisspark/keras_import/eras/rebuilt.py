"""Layers that Keras 3 does not have, rebuilt from those that it has, as a small nested model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import (
    Array,
    Call,
    Config,
    Layer,
    Network,
    TensorRef,
    nest,
    part,
)
from irisspark.keras_import.words import names

_DENSE_SETTINGS = names(
    "kernel_initializer kernel_regularizer kernel_constraint bias_initializer "
    "bias_regularizer bias_constraint use_bias trainable"
)


def old_bilinear(layer: Layer) -> Layer:
    """Bilinear upsampling as TensorFlow 1 did it, from corner to corner: nearest, then an average.

    A window of 2 over the doubled image covers one value twice, or two values once.
    """
    if layer.class_name != "UpSampling2D" or layer.config.get("interpolation") != "bilinear":
        return layer
    size = layer.config.get("size", 2)
    size = list(size) if isinstance(size, list | tuple) else [size, size]
    if set(size) - {1, 2}:
        raise ModelError(
            f"layer {layer.name!r} enlarges by {size} bilinearly as TensorFlow 1 did: only "
            "a factor of 2 can be converted"
        )
    data_format = layer.config.get("data_format", "channels_last")
    return nest(
        layer,
        [
            part("UpSampling2D", "nearest", size=size, data_format=data_format),
            part(
                "AveragePooling2D",
                "average",
                pool_size=size,
                strides=[1, 1],
                padding="same",
                data_format=data_format,
            ),
        ],
    )


def maxout_dense(layer: Layer) -> Layer:
    """Max over k of (x W[k] + b[k]): a wide Dense, then the largest of each group of columns."""
    units, features = layer.config["output_dim"], layer.config["nb_feature"]
    weights: tuple[Array, ...] = ()
    if layer.weights:
        kernel = layer.weights[0]  # [features, inputs, units]
        wide = np.moveaxis(kernel, 0, 1).reshape(kernel.shape[1], features * units)
        weights = (wide, *(bias.reshape(-1) for bias in layer.weights[1:]))
    dense = part("Dense", "dense", weights, units=units * features, **_settings(layer))
    return nest(
        layer,
        [
            dense,
            part("Reshape", "features", target_shape=[features, units]),
            part("GlobalMaxPooling1D", "maximum"),
        ],
    )


def highway(layer: Layer) -> Layer:
    """T * activation(x W + b) + (1 - t) * x with t = sigmoid(x Wc + bc)."""
    bias = layer.config.get("use_bias", True)
    # Keras 1 keeps them as W, W_carry, b, b_carry.
    kernel, carry, *biases = layer.weights
    size = kernel.shape[1]
    settings = {"units": size, **_settings(layer)}
    changed = part(
        "Dense",
        "changed",
        (kernel, *biases[:1]),
        activation=layer.config.get("activation"),
        **settings,
    )
    gate = part("Dense", "gate", (carry, *biases[1:]), activation="sigmoid", **settings)
    rest = part("Rescaling", "rest", scale=-1.0, offset=1.0)
    names = {
        p: f"{layer.name}_{p}" for p in ("input", "changed", "gate", "rest", "new", "old", "sum")
    }

    def at(role: str, made: Layer, *sources: str) -> Layer:
        refs = [TensorRef(names[source]) for source in sources]
        argument = refs if len(refs) > 1 else refs[0]
        config = {**made.config, "name": names[role]}
        return replace(made, name=names[role], config=config, calls=(Call((argument,)),))

    shape: Config = {"name": names["input"], "batch_shape": [None, size]}
    nodes = (
        Layer("InputLayer", names["input"], shape),
        at("changed", changed, "input"),
        at("gate", gate, "input"),
        at("rest", rest, "gate"),
        at("new", part("Multiply", "new"), "gate", "changed"),
        at("old", part("Multiply", "old"), "rest", "input"),
        at("sum", part("Add", "sum"), "new", "old"),
    )
    network = Network(layer.name, nodes, False, TensorRef(names["input"]), TensorRef(names["sum"]))
    assert len(biases) == (2 if bias else 0)
    return Layer("Functional", layer.name, {}, layer.calls, network=network)


def locally_connected(layer: Layer) -> Layer:
    """A convolution whose kernel differs at every place: patches, then a product for each place.

    The patches come from a convolution with a fixed kernel of zeros and ones, in the order of
    (row, column, channel).
    """
    config = layer.config
    if not layer.weights:
        raise ModelError(f"layer {layer.name!r} ({layer.class_name}) has no arrays in the file")
    implementation = config.get("implementation", 1)
    if implementation in (2, 3):
        return _as_one_product(layer)
    if implementation != 1:
        raise ModelError(
            f"layer {layer.name!r} is a {layer.class_name} with implementation {implementation}; "
            "only 1, 2 and 3 are known"
        )
    rank = _rank(layer)
    size = _of_each_direction(config["kernel_size"], rank)
    kernel = layer.weights[0]  # [places, patch, filters]
    channels = kernel.shape[1] // int(np.prod(size))
    first = config.get("data_format") == "channels_first"
    places = _places(layer, rank)
    if first:  # the patch is in the order of (channel, row, column)
        by_channel = kernel.reshape(kernel.shape[0], channels, -1, kernel.shape[2])
        kernel = np.moveaxis(by_channel, 1, 2).reshape(kernel.shape)
    kernel = kernel.reshape(*places, *kernel.shape[1:])
    letters = "xy"[:rank]
    biases = tuple(bias.reshape(*places, -1) for bias in layer.weights[1:])
    if first:  # Keras lays the bias out as [filters, rows, columns] where it adds it
        biases = tuple(np.moveaxis(b.reshape(-1, *places), 0, -1) for b in layer.weights[1:])
    product = part(
        "EinsumDense",
        "product",
        (kernel, *biases),
        equation=f"b{letters}p,{letters}pf->b{letters}f",
        output_shape=[*places, kernel.shape[-1]],
        bias_axes=f"{letters}f" if biases else None,
        activation=config.get("activation"),
        **{k: v for k, v in _settings(layer).items() if k != "use_bias"},
    )
    patches = _patches(size, channels, config.get("strides", 1))
    parts = [patches, product]
    if first:
        parts = [part("Permute", "to_last", dims=[*range(2, rank + 2), 1]), *parts]
        parts.append(part("Permute", "to_first", dims=[rank + 1, *range(1, rank + 1)]))
    return nest(layer, parts)


def _as_one_product(layer: Layer) -> Layer:
    """Implementations 2 and 3: one product of all inputs and outputs, zeros outside the windows."""
    config = layer.config
    inputs, outputs = _ends(layer)
    connected = _connected(inputs, outputs, layer)
    kernel = np.zeros(connected.shape, dtype=layer.weights[0].dtype)
    if config["implementation"] == 2:
        kernel[connected] = layer.weights[0].reshape(connected.shape)[connected]
    elif layer.weights[0].shape == (np.count_nonzero(connected),):
        kernel.T[connected.T] = layer.weights[0]  # output by output, and input by input in each
    else:
        raise ModelError(f"the arrays of layer {layer.name!r} do not fit its settings: damaged")
    settings = {k: v for k, v in _settings(layer).items() if "constraint" not in k}
    biases = [bias.reshape(-1) for bias in layer.weights[1:]]  # laid out as what they are added to
    return nest(
        layer,
        [
            part("Reshape", "flat", target_shape=[kernel.shape[0]]),
            part("Dense", "product", (kernel, *biases), units=kernel.shape[1], **settings),
            part("Reshape", "places", target_shape=outputs),
            part("Activation", "activation", activation=config.get("activation") or "linear"),
        ],
    )


def _ends(layer: Layer) -> tuple[list[int], list[int]]:
    """Find the shapes of what the layer takes and of what it makes, without the rows.

    Raises:
        ModelError: the file does not tell.
    """
    config, rank = layer.config, _rank(layer)
    if config["implementation"] == 2:
        shape = list(layer.weights[0].shape)
        return shape[: rank + 1], shape[rank + 1 :]
    inputs = list((config.get("batch_input_shape") or [None])[1:])
    if len(inputs) != rank + 1 or None in inputs:
        raise ModelError(
            f"layer {layer.name!r} is a {layer.class_name} with implementation 3, which can be "
            "converted only where it is the first layer, and names the shape that it takes"
        )
    first = config.get("data_format") == "channels_first"
    size, strides = (_of_each_direction(config.get(k, 1), rank) for k in ("kernel_size", "strides"))
    if config.get("padding") == "same":
        size = [1] * rank
    taken = inputs[1:] if first else inputs[:-1]
    places = [(n - k) // s + 1 for n, k, s in zip(taken, size, strides, strict=True)]
    filters = config["filters"]
    return inputs, [filters, *places] if first else [*places, filters]


def _connected(inputs: list[int], outputs: list[int], layer: Layer) -> Array:
    """Tell which inputs each output is made of: bool [inputs, outputs], both flat."""
    rank, first = _rank(layer), layer.config.get("data_format") == "channels_first"
    connected = np.ones((*inputs, *outputs), dtype=bool)
    for direction in range(rank):
        axis = direction + first
        window = _window(inputs[axis], outputs[axis], direction, layer)
        shape = [1] * connected.ndim
        shape[axis], shape[rank + 1 + axis] = window.shape
        connected &= window.reshape(shape)
    return connected.reshape(int(np.prod(inputs)), int(np.prod(outputs)))


def _window(places_in: int, places_out: int, direction: int, layer: Layer) -> Array:
    """Tell which inputs each output is made of in one direction: bool [inputs, outputs]."""
    size, stride = (
        _of_each_direction(layer.config.get(key, 1), _rank(layer))[direction]
        for key in ("kernel_size", "strides")
    )
    before = size // 2 if layer.config.get("padding") == "same" else 0
    inputs, starts = np.arange(places_in), np.arange(places_out) * stride - before
    inside: Array = (inputs[:, None] >= starts) & (inputs[:, None] < starts + size)
    return inside


def _rank(layer: Layer) -> int:
    return 1 if layer.class_name.endswith("1D") else 2


def _of_each_direction(setting: Any, rank: int) -> list[int]:
    return list(setting) if isinstance(setting, list | tuple) else [setting] * rank


def _patches(size: list[int], channels: int, strides: Any) -> Layer:
    width = int(np.prod(size)) * channels
    identity = np.eye(width, dtype=np.float32).reshape(*size, channels, width)
    return part(
        f"Conv{len(size)}D",
        "patches",
        (identity,),
        filters=width,
        kernel_size=size,
        strides=strides,
        use_bias=False,
        trainable=False,
    )


def _places(layer: Layer, rank: int) -> list[int]:
    """How many places the kernel is learned for, in each direction.

    Raises:
        ModelError: the layer's arrays do not tell.
    """
    places = layer.weights[0].shape[0]
    if rank == 1:
        return [places]
    for bias in layer.weights[1:]:  # [rows, columns, filters], or the filters first
        if bias.ndim == 3:
            return list(bias.shape[:2])
    shape = layer.config.get("batch_input_shape")
    if shape and None not in shape[1:]:
        inputs = shape[2:] if layer.config.get("data_format") == "channels_first" else shape[1:-1]
        size, strides = (
            _of_each_direction(layer.config.get(key, 1), rank) for key in ("kernel_size", "strides")
        )
        return [(n - k) // s + 1 for n, k, s in zip(inputs, size, strides, strict=True)]
    root = int(np.sqrt(places))
    if root * root != places:
        raise ModelError(f"layer {layer.name!r} does not say how its {places} places are laid out")
    return [root, root]


def _settings(layer: Layer) -> Config:
    return {key: layer.config[key] for key in _DENSE_SETTINGS if key in layer.config}
