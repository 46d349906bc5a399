"""A model's configuration, of any era -> a ``Network``, with the class names as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import (
    IMPLIED,
    Call,
    Config,
    Layer,
    Network,
    TensorRef,
    chain,
    map_refs,
)

NETWORK_CLASSES = frozenset({"Sequential", "Model", "Functional", "Container"})
_WRAPPED_KEYS = ("layer", "backward_layer", "cell")
_CONSTANT = "_CONSTANT_VALUE"


def parse_model(document: Any, path: str) -> Network:
    """Read the document under ``model_config``, or the text of ``to_json()``.

    Raises:
        ModelError: the document is not the configuration of a Sequential or functional model.
    """
    if isinstance(document, list):
        document = {"class_name": "Sequential", "config": document}
    if not isinstance(document, Mapping) or "config" not in document:
        raise ModelError(f"the configuration in {path} is not a Keras model's: no 'config' in it")
    class_name = str(document.get("class_name"))
    if class_name not in NETWORK_CLASSES:
        raise ModelError(
            f"the model in {path} is of the class {class_name!r}, which is not Keras's own: "
            "only Sequential and functional models can be rebuilt from a file"
        )
    return parse_network(document["config"], class_name.lower())


def parse_network(config: Any, name: str) -> Network:
    """Read the configuration of a Sequential model (a list, before Keras 2.2.3) or of a graph."""
    if isinstance(config, list):
        config = {"layers": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        raise ModelError(f"the model {name!r} has no list of layers")
    name = str(config.get("name") or name)
    layers = [_parse_layer(entry, name, i) for i, entry in enumerate(config["layers"])]
    if "input_layers" in config:
        return _graph(name, layers, config)
    if layers and layers[0].class_name == "Merge" and layers[0].config.get("layers"):
        return _merged_branches(name, layers)
    return chain(name, _with_input_shape(layers, config))


def parse_layer(entry: Any, where: str) -> Layer:
    """Read one layer that stands alone, such as the one in a wrapper."""
    return _parse_layer(entry, where, 0)


def _parse_layer(entry: Any, where: str, position: int) -> Layer:
    if not isinstance(entry, Mapping):
        raise ModelError(f"layer {position} of {where!r} is not a layer: {str(entry)[:80]}")
    config = entry.get("config", {})
    if "class_name" not in entry:  # Keras 1.0 wrote the class into "name"
        entry = {"class_name": entry.get("name"), "config": entry}
        config = {**entry["config"], "name": entry["config"].get("custom_name")}
    class_name = str(entry["class_name"])
    own_name = config.get("name") if isinstance(config, Mapping) else None
    name = str(entry.get("name") or own_name or f"{class_name.lower()}_{position}")
    calls = tuple(_parse_call(node) for node in entry.get("inbound_nodes") or ())
    if class_name in NETWORK_CLASSES:
        network = parse_network(config, name)
        return Layer(
            class_name, name, _shape_of(config), calls, network=replace(network, name=name)
        )
    if not isinstance(config, Mapping):
        raise ModelError(f"layer {name!r} ({class_name}) has no settings")
    config = {str(key): value for key, value in config.items()}
    inner = {
        key: parse_layer(config.pop(key), name) for key in _WRAPPED_KEYS if _holds(config, key)
    }
    if class_name == "Bidirectional" and "layer" in inner and "backward_layer" not in inner:
        forward = inner["layer"]
        if forward.config.get("go_backwards"):  # Keras 3 implies that the other one does
            way = {"name": f"backward_{forward.name}", "go_backwards": False}
            inner["backward_layer"] = forward.renamed(forward.class_name, **way)
        else:
            inner[f"{IMPLIED}backward_layer"] = forward
    for i, cell in enumerate(config.pop("cells", None) or ()):
        inner[f"cells.{i}"] = parse_layer(cell, name)
    return Layer(class_name, name, {**config, "name": name}, calls, inner=inner)


def _holds(config: Config, key: str) -> bool:
    return isinstance(config.get(key), Mapping) and "class_name" in config[key]


def _shape_of(config: Any) -> Config:
    """What a nested model needs of its own settings where it comes first in a Sequential model."""
    return (
        {"trainable": config["trainable"]}
        if isinstance(config, Mapping) and "trainable" in config
        else {}
    )


def _parse_call(node: Any) -> Call:
    if isinstance(node, Mapping) and "args" in node:  # Keras 3, and tf.keras 2.13 to 2.15
        revived = [_revive(arg) for arg in node["args"]]
        return Call(tuple(revived), {k: _revive(v) for k, v in node.get("kwargs", {}).items()})
    if isinstance(node, list) and len(node) == 1 and _is_ref(node[0]):
        node = node[0]
    kwargs: Config = {}
    argument = _positional(node, kwargs)
    return Call((argument,), {key: _named(value) for key, value in kwargs.items()})


def _positional(node: Any, kwargs: Config) -> Any:
    """``[name, node, tensor, kwargs]``, a list of these, or a constant; collects the kwargs."""
    if _is_ref(node):
        if len(node) > 3 and isinstance(node[3], Mapping):
            kwargs.update(node[3])
        return node[2] if node[0] == _CONSTANT else TensorRef(node[0], node[1], node[2])
    if isinstance(node, list):
        return [_positional(item, kwargs) for item in node]
    if isinstance(node, Mapping):
        return {key: _positional(item, kwargs) for key, item in node.items()}
    return node


def _named(value: Any) -> Any:
    """A named argument: a tensor is ``[name, node, tensor]`` there."""
    if _is_ref(value) and len(value) == 3:
        return value[2] if value[0] == _CONSTANT else TensorRef(*value)
    if isinstance(value, list):
        return [_named(item) for item in value]
    return value


def _revive(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return TensorRef(*value["config"]["keras_history"])
        return {key: _revive(item) for key, item in value.items()}
    return [_revive(item) for item in value] if isinstance(value, list) else value


def _is_ref(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and (type(value[2]) is int or value[0] == _CONSTANT)
    )


def _graph(name: str, layers: list[Layer], config: Mapping[str, Any]) -> Network:
    """A functional model, with every node index counted from the layer's first call in it.

    A nested model comes with a node of its own before its first call in most Kerases but not in
    all: the smallest index that is used says which.
    """
    ends = [_positional(config.get(key, []), {}) for key in ("input_layers", "output_layers")]
    refs = [ref for layer in layers for call in layer.calls for ref in call.refs()]
    map_refs(ends, refs.append)
    known = {layer.name: layer for layer in layers}
    for ref in refs:
        if ref.layer not in known:
            raise ModelError(f"the model {name!r} uses a layer {ref.layer!r} that it does not have")
    first = {
        n: min((r.call for r in refs if r.layer == n), default=0)
        for n, layer in known.items()
        if layer.network
    }

    def renumber(ref: TensorRef) -> TensorRef:
        return replace(ref, call=ref.call - first.get(ref.layer, 0))

    renumbered = [
        replace(layer, calls=tuple(call.map_refs(renumber) for call in layer.calls))
        for layer in layers
    ]
    inputs, outputs = (_single(map_refs(end, renumber)) for end in ends)
    return Network(name, tuple(renumbered), sequential=False, inputs=inputs, outputs=outputs)


def _single(ends: Any) -> Any:
    return ends[0] if isinstance(ends, list) and len(ends) == 1 else ends


def _with_input_shape(layers: list[Layer], config: Mapping[str, Any]) -> list[Layer]:
    """Give the first layer the shape that tf.keras keeps beside a late-built model's layers."""
    shape = config.get("build_input_shape") or config.get("batch_input_shape")
    if (
        not layers
        or not isinstance(shape, list)
        or not all(n is None or type(n) is int for n in shape)
    ):
        return layers
    if _knows_its_input(layers[0]):
        return layers
    name = f"{layers[0].name}_input"
    config = {"name": name, "batch_input_shape": shape}
    return [Layer("InputLayer", name, config), *layers]


def _knows_its_input(layer: Layer) -> bool:
    """Whether the first layer of a model, or the first one inside it, says what it takes."""
    if layer.network:
        return not layer.network.sequential or _knows_its_input(layer.network.layers[0])
    return layer.class_name == "InputLayer" or "batch_input_shape" in layer.config


def _merged_branches(name: str, layers: list[Layer]) -> Network:
    """A Keras 1 Sequential model that starts with a ``Merge`` of branches, as a graph.

    Keras 1 saves the branches' layers side by side, as if the model were flat.
    """
    merge, *rest = layers
    nodes: list[Layer] = []
    inputs: list[TensorRef] = []
    tips: list[TensorRef] = []
    for position, entry in enumerate(merge.config["layers"]):
        branch = _parse_layer(entry, name, position)
        flat = branch.network or chain(branch.name, [branch])
        if not flat.sequential:
            nodes += flat.layers
            inputs += flat.inputs if isinstance(flat.inputs, list) else [flat.inputs]
            tips.append(flat.outputs)
            continue
        nodes_of_branch, start = as_graph(flat.layers)
        nodes += nodes_of_branch
        inputs.append(start)
        tips.append(TensorRef(nodes_of_branch[-1].name))
    config = {key: value for key, value in merge.config.items() if key != "layers"}
    nodes.append(replace(merge, config=config, calls=(Call((tips,)),)))
    for layer in rest:
        nodes.append(replace(layer, calls=(Call((TensorRef(nodes[-1].name),)),)))
    return Network(name, tuple(nodes), False, inputs, TensorRef(nodes[-1].name))


def as_graph(layers: tuple[Layer, ...]) -> tuple[list[Layer], TensorRef]:
    """A stack of layers as nodes of a graph, and the tensor it starts from."""
    nodes: list[Layer] = []
    if layers[0].class_name != "InputLayer":
        nodes.append(input_layer_for(layers[0]))
    for layer in layers:
        calls = (Call((TensorRef(nodes[-1].name),)),) if nodes else ()
        nodes.append(replace(layer, calls=calls))
    return nodes, TensorRef(nodes[0].name)


def input_layer_for(first: Layer) -> Layer:
    """The ``InputLayer`` that Keras makes for the first layer of a Sequential model.

    Raises:
        ModelError: the layer does not say what it takes.
    """
    shape = first.config.get("batch_input_shape")
    if shape is None:
        raise ModelError(
            f"the first layer, {first.name!r}, does not say what shape it takes: "
            "build the model with an input shape, and save it again"
        )
    dtype = first.config.get("input_dtype") or first.config.get("dtype")
    name = f"{first.name}_input"
    config = {"name": name, "batch_input_shape": shape, "dtype": dtype}
    return Layer("InputLayer", name, config)
