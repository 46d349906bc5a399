"""Recurrent layers whose arrays or settings changed between the eras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array, Call, Layer

_CUDNN_ACTIVATIONS = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}


def without_reset_after(layer: Layer) -> Layer:
    """A GRU from before ``reset_after`` was a setting resets before it multiplies."""
    return layer.renamed(layer.class_name, reset_after=layer.config.get("reset_after", False))


def from_cudnn_lstm(layer: Layer) -> Layer:
    """A CuDNNLSTM as an LSTM: its two biases become one.

    Source: ``_convert_rnn_weights`` of Keras 2.3.1.
    """
    weights = layer.weights
    if len(weights) == 3:
        bias = weights[2].reshape(2, -1).sum(axis=0)
        weights = (*_kernels(layer, 4), bias)
    return replace(layer, config={**layer.config, **_CUDNN_ACTIVATIONS}, weights=weights)


def from_cudnn_gru(layer: Layer) -> Layer:
    """A CuDNNGRU as a GRU that resets after the multiplication; both biases stay.

    Source: ``_convert_rnn_weights`` of Keras 2.3.1.
    """
    weights = layer.weights
    if len(weights) == 3:
        weights = (*_kernels(layer, 3), weights[2].reshape(2, -1))
    config = {**layer.config, **_CUDNN_ACTIVATIONS, "reset_after": True}
    return replace(layer, config=config, weights=weights)


def _kernels(layer: Layer, gates: int) -> tuple[Array, Array]:
    """CuDNN keeps each gate's kernel column by column, and each recurrent kernel transposed."""
    kernel, recurrent, _ = layer.weights
    units = int(layer.config.get("units") or 0)
    if kernel.ndim != 2 or recurrent.shape != (units, gates * units):
        raise ModelError(f"layer {layer.name!r} has arrays that do not fit its {units} units")
    return (
        _by_gate(kernel, gates, lambda part: part.T.reshape(part.shape, order="F")),
        _by_gate(recurrent, gates, lambda part: part.T),
    )


def _by_gate(kernel: Array, gates: int, change: Callable[[Array], Array]) -> Array:
    return np.hstack([change(part) for part in np.hsplit(kernel, gates)])


def join_gates(weights: tuple[Array, ...], order: str) -> tuple[Array, ...]:
    """Keras 1's arrays, three a gate (kernel, recurrent kernel, bias) -> Keras 2's three arrays.

    Args:
        weights: the arrays, gate after gate.
        order: the gates in Keras 2's order, as indices into Keras 1's: ``0213`` makes i, c, f, o
            into i, f, c, o.
    """
    gates = [int(gate) for gate in order]
    return tuple(
        np.concatenate([weights[3 * gate + part] for gate in gates], axis=-1) for part in range(3)
    )


def with_initial_state(layer: Layer) -> Layer:
    """Keras 2 lists a recurrent layer's first states after its input; Keras 3 names them."""
    if layer.config.get("num_constants"):
        raise ModelError(f"layer {layer.name!r} takes constants beside its input: not supported")
    return replace(layer, calls=tuple(_with_named_states(call) for call in layer.calls))


def _with_named_states(call: Call) -> Call:
    first = call.args[0] if call.args else None
    if not isinstance(first, list):
        return call
    states: dict[str, Any] = {"initial_state": first[1:]} if len(first) > 1 else {}
    return Call((first[0],), {**call.kwargs, **states})
