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
    if config.get("implementation", 1) != 1:
        raise ModelError(
            f"layer {layer.name!r} is a {layer.class_name} with implementation "
            f"{config['implementation']}; only implementation 1 can be converted"
        )
    rank = 1 if layer.class_name.endswith("1D") else 2
    size = config["kernel_size"]
    size = list(size) if isinstance(size, list | tuple) else [size] * rank
    kernel = layer.weights[0]  # [places, patch, filters]
    channels = kernel.shape[1] // int(np.prod(size))
    first = config.get("data_format") == "channels_first" and rank == 2
    places = _places(layer, rank)
    if first:  # the patch is in the order of (channel, row, column)
        by_channel = kernel.reshape(kernel.shape[0], channels, -1, kernel.shape[2])
        kernel = np.moveaxis(by_channel, 1, 2).reshape(kernel.shape)
    kernel = kernel.reshape(*places, *kernel.shape[1:])
    letters = "xy"[:rank]
    biases = tuple(bias.reshape(*places, -1) for bias in layer.weights[1:])
    if first:  # Keras lays the bias out as [filters, rows, columns] where it adds it
        biases = tuple(b.reshape(-1, *places).transpose(1, 2, 0) for b in layer.weights[1:])
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
        parts = [part("Permute", "to_last", dims=[2, 3, 1]), *parts]
        parts.append(part("Permute", "to_first", dims=[3, 1, 2]))
    return nest(layer, parts)


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
    root = int(np.sqrt(places))
    if root * root != places:
        raise ModelError(f"layer {layer.name!r} does not say how its {places} places are laid out")
    return [root, root]


def _settings(layer: Layer) -> Config:
    return {key: layer.config[key] for key in _DENSE_SETTINGS if key in layer.config}
