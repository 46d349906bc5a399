"""The way of an old model through the eras: parse, give it its arrays, convert, write it out."""

from __future__ import annotations

from dataclasses import replace

from irisspark.keras_import import keras_1, keras_2, weights
from irisspark.keras_import.emit import emit_network, weights_by_layer
from irisspark.keras_import.findings import Findings
from irisspark.keras_import.imported_model import ImportedModel
from irisspark.keras_import.network import Layer, Network, map_networks
from irisspark.keras_import.parse import input_layer_for, parse_model
from irisspark.keras_import.stored import StoredModel

KERAS_1, KERAS_2, TF_KERAS = "Keras 1", "Keras 2", "tf.keras"


def import_stored(stored: StoredModel) -> ImportedModel:
    """Convert what a file holds into Keras 3's terms.

    Raises:
        ModelError: something in the model is not in Keras 3, or does not fit together.
    """
    findings = Findings()
    network = parse_model(stored.model_config, stored.path)
    era = era_of(stored.keras_version, network)
    if era == KERAS_1:
        network = network.map_layers(lambda layer: keras_1.settings_to_keras_2(layer, findings))
        network = map_networks(network, keras_1.with_cosine_shapes)
    network = with_inputs(network)
    network = weights.assign(network, stored.groups)
    if era == KERAS_1:
        network = network.map_layers(keras_1.weights_to_keras_2)
    network = network.map_layers(lambda layer: keras_2.to_keras_3(layer, findings))
    return ImportedModel(
        config=emit_network(network),
        weights=weights_by_layer(network),
        training_config=None,
        optimizer_weights=(),
        keras_version=stored.keras_version,
        backend=stored.backend,
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
    multi_backend = version.startswith(("2.0", "2.1", "2.2", "2.3")) and "tf" not in version
    return KERAS_2 if multi_backend else TF_KERAS


def with_inputs(network: Network) -> Network:
    """Give a Sequential model at the top the `InputLayer` that Keras made without saying so."""
    first = network.layers[0]
    if not network.sequential or first.class_name == "InputLayer":
        return network
    if first.network:
        inner = first.network if not first.network.sequential else with_inputs(first.network)
        return replace(network, layers=(replace(first, network=inner), *network.layers[1:]))
    return replace(network, layers=(_input(first), *network.layers))


def _input(first: Layer) -> Layer:
    return input_layer_for(first)
