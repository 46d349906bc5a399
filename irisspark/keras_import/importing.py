"""The way of an old model through the eras: parse, give it its arrays, convert, write it out."""

from __future__ import annotations

from dataclasses import replace

from irisspark.errors import ModelError
from irisspark.keras_import.building import layouts, weights
from irisspark.keras_import.building.emit import emit_network, weights_by_layer
from irisspark.keras_import.building.network import (
    Layer,
    Network,
    TensorRef,
    fitting,
    map_networks,
    map_refs,
)
from irisspark.keras_import.building.parse import input_layer_for, parse_model
from irisspark.keras_import.building.weights import Groups
from irisspark.keras_import.containers import zipped
from irisspark.keras_import.containers.stored import StoredModel
from irisspark.keras_import.eras import keras_1, keras_2, rebuilt
from irisspark.keras_import.eras.old_training import convert_training
from irisspark.keras_import.findings import Findings
from irisspark.keras_import.imported_model import ImportedModel

KERAS_1, KERAS_2, TF_KERAS = "Keras 1", "Keras 2", "tf.keras"


def import_stored(stored: StoredModel) -> ImportedModel:
    """Convert what a file holds into Keras 3's terms.

    Raises:
        ModelError: something in the model is not in Keras 3, or does not fit together.
    """
    with fitting(f"the settings of the model in {stored.path}"):
        return _import(stored)


def _import(stored: StoredModel) -> ImportedModel:
    findings = Findings()
    network = parse_model(stored.model_config, stored.path)
    era = era_of(stored.keras_version, network)
    backend = stored.backend or backend_of(stored.groups)
    if era == KERAS_1:
        network = keras_1.with_ordering(network, findings, theano=backend == "theano")
        network = network.map_layers(lambda layer: keras_1.settings_to_keras_2(layer, findings))
        network = map_networks(network, keras_1.with_cosine_shapes)
    keras_2.check_classes(network, stored.keras_version)
    network = with_inputs(network, stored.groups)
    if stored.zipped:
        network = zipped.assign(network, stored.zipped)
    else:
        network = weights.assign(network, stored.groups)
    if era == KERAS_1:
        network = network.map_layers(keras_1.weights_to_keras_2)
    if backend == "theano":
        findings.converted("kernels turned round: Theano convolves where TensorFlow correlates")
        network = network.map_layers(layouts.from_theano)
    if era == KERAS_2:
        network = network.map_layers(rebuilt.old_bilinear)
    network = network.map_layers(lambda layer: keras_2.to_keras_3(layer, findings))
    if any(layer.config.get("data_format") == "channels_first" for layer in network.walk()):
        findings.converted("channels_first -> channels_last, turned round at each layer")
        network = network.map_layers(layouts.to_channels_last)
    network = with_plain_names(network)
    return ImportedModel(
        config=emit_network(network),
        weights=weights_by_layer(network),
        training_config=convert_training(stored.training_config, findings),
        optimizer_weights=stored.optimizer_weights,
        keras_version=stored.keras_version,
        backend=backend,
        era=era,
        conversions=findings.conversions,
        notes=findings.notes,
    )


def era_of(version: str | None, network: Network) -> str:
    """The era by the version in the file, or by how the layers name their settings."""
    if any(keras_1.is_keras_1(layer.config) for layer in network.walk()):
        return KERAS_1
    if version is None:
        return KERAS_2
    if version.startswith(("0.", "1.")):
        return KERAS_1
    major, minor = (*version.split("."), "0")[:2]
    multi_backend = major == "2" and minor.isdigit() and int(minor) <= 3 and "tf" not in version
    return KERAS_2 if multi_backend else TF_KERAS


def backend_of(groups: Groups) -> str | None:
    """The backend by the names of the arrays: TensorFlow ends them in ``:0``, Theano does not."""
    names = [name for arrays in groups.values() for name, _ in arrays]
    if not names:
        return None
    return "tensorflow" if any(name.endswith(":0") for name in names) else "theano"


def with_inputs(network: Network, groups: Groups) -> Network:
    """Give a Sequential model at the top the ``InputLayer`` that Keras made without saying so."""
    if not network.layers:
        raise ModelError(f"the model {network.name!r} has no layers")
    first = network.layers[0]
    if not network.sequential or first.class_name == "InputLayer":
        return network
    if first.network:
        inner = with_inputs(first.network, groups) if first.network.sequential else first.network
        return replace(network, layers=(replace(first, network=inner), *network.layers[1:]))
    if "batch_input_shape" not in first.config:
        first = _with_shape_of_kernel(first, groups)
    return replace(network, layers=(input_layer_for(first), *network.layers))


# The input of a layer whose kernel's last dimension but one is that input's last.
_RANKS = {
    "Dense": 1,
    "Conv1D": 2,
    "Conv2D": 3,
    "Conv3D": 4,
    "GRU": 2,
    "LSTM": 2,
    "SimpleRNN": 2,
}


def _with_shape_of_kernel(first: Layer, groups: Groups) -> Layer:
    """Work out what a layer takes from its kernel, where a late-built model does not say."""
    arrays = groups.get(first.name)
    rank = _RANKS.get(first.class_name)
    if not arrays or rank is None or arrays[0][1].ndim < 2:
        return first
    shape = [None] * rank + [int(arrays[0][1].shape[-2])]
    return first.renamed(first.class_name, batch_input_shape=shape)


def with_plain_names(network: Network) -> Network:
    """Rename layers whose names Keras 3 refuses: ``conv1/bn`` becomes ``conv1_bn``."""
    return map_networks(network, _plain_names)


def _plain_names(network: Network) -> Network:
    taken = {layer.name for layer in network.layers}
    names: dict[str, str] = {}
    for layer in network.layers:
        plain = layer.name.replace("/", "_")
        while plain != layer.name and plain in taken:
            plain += "_"
        taken.add(plain)
        names[layer.name] = plain

    def plain_ref(ref: TensorRef) -> TensorRef:
        return replace(ref, layer=names[ref.layer])

    layers = tuple(
        replace(
            layer,
            name=names[layer.name],
            config={**layer.config, "name": names[layer.name]},
            calls=tuple(call.map_refs(plain_ref) for call in layer.calls),
            network=replace(layer.network, name=names[layer.name]) if layer.network else None,
        )
        for layer in network.layers
    )
    ends = (map_refs(end, plain_ref) for end in (network.inputs, network.outputs))
    inputs, outputs = ends
    return replace(
        network, name=network.name.replace("/", "_"), layers=layers, inputs=inputs, outputs=outputs
    )
