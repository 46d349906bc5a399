"""Images as TensorFlow's CPU kernels take them: channels last, correlated, padded their way.

A layer with another layout becomes a small nested model that turns its input round, so that the
model's own inputs, outputs and order of numbers stay as they were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array, Layer, nest, part

_CONVOLUTIONS = {
    "Conv1D": 1,
    "Conv2D": 2,
    "Conv3D": 3,
    "DepthwiseConv1D": 1,
    "DepthwiseConv2D": 2,
    "SeparableConv1D": 1,
    "SeparableConv2D": 2,
}
_TRANSPOSED = {"Conv1DTranspose": 1, "Conv2DTranspose": 2, "Conv3DTranspose": 3}
_RECURRENT = {"ConvLSTM1D": 1, "ConvLSTM2D": 2, "ConvLSTM3D": 3}
_OTHERS = {
    **{f"{kind}Pooling{rank}D": rank for kind in ("Max", "Average") for rank in (1, 2, 3)},
    **{f"UpSampling{rank}D": rank for rank in (2, 3)},
}
_RANKS = {**_CONVOLUTIONS, **_TRANSPOSED, **_RECURRENT, **_OTHERS}


def to_channels_last(layer: Layer) -> Layer:
    """A Keras 3 layer in channels_first as one in channels_last between two transpositions."""
    rank = _RANKS.get(layer.class_name)
    if rank is None or layer.config.get("data_format") != "channels_first":
        return layer
    steps = 1 if layer.class_name in _RECURRENT else 0
    steps_out = steps if layer.config.get("return_sequences") else 0
    turned = replace(layer, calls=(), name="layer").renamed(
        layer.class_name, data_format="channels_last"
    )
    parts = [
        part("Permute", "to_last", dims=_last(rank, steps)),
        turned,
        part("Permute", "to_first", dims=_first(rank, steps_out)),
    ]
    return nest(layer, parts)


def _last(rank: int, steps: int) -> list[int]:
    """The dimensions (counted from 1, without the rows) that bring the channels to the end."""
    axes = list(range(1, steps + rank + 2))
    return [*axes[:steps], *axes[steps + 1 :], axes[steps]]


def _first(rank: int, steps: int) -> list[int]:
    axes = list(range(1, steps + rank + 2))
    return [*axes[:steps], axes[-1], *axes[steps:-1]]


def from_theano(layer: Layer) -> Layer:
    """A Keras 2 layer saved under Theano: its kernels turned round, its padding written out.

    Theano convolves where TensorFlow correlates, and pads ``same`` with half the kernel on every
    side. Source: ``conv2d`` in Keras 1.2.2's and 2.2.4's ``theano_backend.py``.
    """
    rank = _CONVOLUTIONS.get(layer.class_name)
    if "Pooling" in layer.class_name and layer.config.get("padding") == "same":
        _check_pooling(layer)
    if rank is None:
        kernels = 2 if layer.class_name in _RECURRENT else 1
        any_rank = _RANKS.get(layer.class_name) if layer.class_name not in _OTHERS else None
        return _turned(layer, any_rank, kernels) if any_rank else layer
    layer = _turned(layer, rank, 1)
    if layer.config.get("padding") != "same":
        return layer
    return _padded(layer, rank)


def _check_pooling(layer: Layer) -> None:
    """Theano pads ``same`` pooling on both sides; only 3 by 3 in steps of 1 is as in TensorFlow.

    Raises:
        ModelError: the layer pools otherwise.
    """
    size, strides = layer.config.get("pool_size"), layer.config.get("strides")
    if set(_each(size, 1)) != {3} or set(_each(strides, 1)) != {1}:
        raise ModelError(
            f"layer {layer.name!r} pools {size} in steps of {strides} with Theano's 'same' "
            "padding, which TensorFlow does not have"
        )


def _turned(layer: Layer, rank: int, kernels: int) -> Layer:
    turned = tuple(_flip(array, rank) for array in layer.weights[:kernels])
    return replace(layer, weights=(*turned, *layer.weights[kernels:]))


def _flip(kernel: Array, rank: int) -> Array:
    return np.ascontiguousarray(np.flip(kernel, axis=tuple(range(rank))))


def _padded(layer: Layer, rank: int) -> Layer:
    """``same`` as zeros before the layer: k // 2 in front of each dimension, (k - 1) // 2 after."""
    spans = [
        (size - 1) * rate + 1
        for size, rate in zip(
            _each(layer.config["kernel_size"], rank),
            _each(layer.config.get("dilation_rate", 1), rank),
            strict=True,
        )
    ]
    strides = _each(layer.config.get("strides", 1), rank)
    if all(span % 2 for span in spans) and set(strides) == {1}:
        return layer  # the same zeros as TensorFlow's
    sides = [[span // 2, (span - 1) // 2] for span in spans]
    data_format = layer.config.get("data_format")
    settings: dict[str, Any] = {"padding": sides[0] if rank == 1 else sides}
    if data_format and rank > 1:
        settings["data_format"] = data_format
    valid = replace(layer, calls=(), name="layer").renamed(layer.class_name, padding="valid")
    valid.config.pop("batch_input_shape", None)
    return nest(layer, [part(f"ZeroPadding{rank}D", "same", **settings), valid])


def _each(value: Any, rank: int) -> list[int]:
    return list(value) if isinstance(value, list | tuple) else [value] * rank
