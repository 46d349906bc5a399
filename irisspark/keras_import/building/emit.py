"""A ``Network`` in Keras 3's own layers -> the configuration that Keras 3 reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.keras_import.building.network import (
    IMPLIED,
    Array,
    Call,
    Config,
    Layer,
    Network,
    TensorRef,
    map_refs,
)


def emit_network(network: Network) -> Config:
    """The configuration of a model, ready for ``keras.saving.deserialize_keras_object``."""
    if network.sequential:
        layers = [emit_layer(layer) for layer in network.layers]
        return _object("keras", "Sequential", {"name": network.name, "layers": layers})
    nested = {
        layer.name for layer in network.layers if layer.network and not layer.network.sequential
    }

    def end(
        ref: TensorRef,
    ) -> list[Any]:  # Keras counts a nested graph's own node here, and only here
        return [ref.layer, ref.call + (ref.layer in nested), ref.tensor]

    config = {
        "name": network.name,
        "layers": [_emit_node(layer) for layer in network.layers],
        "input_layers": map_refs(network.inputs, end),
        "output_layers": map_refs(network.outputs, end),
    }
    return _object("keras.src.models.functional", "Functional", config)


def emit_layer(layer: Layer) -> Config:
    """The configuration of one layer, with the layers inside it."""
    if layer.network:
        return emit_network(layer.network)
    config = {**layer.config}
    cells = [emit_layer(cell) for key, cell in layer.inner.items() if key.startswith("cells.")]
    if cells:
        config["cells"] = cells
    for key, wrapped in layer.inner.items():
        if not key.startswith(("cells.", IMPLIED)):
            config[key] = emit_layer(wrapped)
    module = config.pop("__module__", "keras.layers")
    return _object(module, layer.class_name, config)


def weights_by_layer(network: Network, prefix: str = "") -> dict[str, tuple[Array, ...]]:
    """Every layer's arrays under its path: ``outer/inner`` in a nested model."""
    found: dict[str, tuple[Array, ...]] = {}
    for layer in network.layers:
        path = prefix + layer.name
        model = layer.network or (layer.inner["layer"].network if "layer" in layer.inner else None)
        if model:
            found.update(weights_by_layer(model, f"{path}/"))
        elif arrays := _arrays(layer):
            found[path] = arrays
    return found


def _arrays(layer: Layer) -> tuple[Array, ...]:
    """The layer's own arrays and those of what it wraps, in Keras 3's order."""
    inner = [array for wrapped in layer.inner.values() for array in _arrays(wrapped)]
    return (*layer.weights, *inner)


def _emit_node(layer: Layer) -> Config:
    calls = [_emit_call(call) for call in layer.calls]
    return {**emit_layer(layer), "name": layer.name, "inbound_nodes": calls}


def _emit_call(call: Call) -> Config:
    def history(ref: TensorRef) -> list[Any]:
        return [ref.layer, ref.call, ref.tensor]

    def tensor(ref: TensorRef) -> Config:
        return {
            "class_name": "__keras_tensor__",
            # Keras replaces the tensor by the one its history names; it only wants a shape.
            "config": {"shape": [], "dtype": "float32", "keras_history": history(ref)},
        }

    mapped = call.map_refs(tensor)
    return {"args": list(mapped.args), "kwargs": dict(mapped.kwargs)}


def _object(module: str, class_name: str, config: Mapping[str, Any]) -> Config:
    return {
        "module": module,
        "class_name": class_name,
        "config": dict(config),
        "registered_name": None,
    }
