"""The ``.keras`` file of tf.keras 2.12 to 2.15, whose arrays lie under the names of attributes.

A container (``layers``, or ``_layer_checkpoint_dependencies`` before 2.14) has a group a layer,
named after its class and numbered: the number grows, but not always by one.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import h5py

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array, Layer, Network
from irisspark.keras_import.containers.archives import WEIGHTS, read_keras_zip, unpack
from irisspark.keras_import.containers.hdf5 import array_at, check_all, group_at, open_file
from irisspark.keras_import.containers.sniffing import HDF5, kind_of
from irisspark.temporary import temporary_folder

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
_BIDIRECTIONAL = {
    "layer": "forward_layer",
    "backward_layer": "backward_layer",
    "implied.backward_layer": "backward_layer",
}
_ATTENTION = ("_query_dense", "_key_dense", "_value_dense", "_output_dense")


def read_config(path: str) -> tuple[Any, Mapping[str, Any] | None, str]:
    """The model's configuration, how it was trained (in an ``.h5``'s terms), and the version."""
    config, metadata = read_keras_zip(path)
    compiled = config.get("compile_config")
    training = None
    if isinstance(compiled, Mapping):
        training = {**compiled, "optimizer_config": compiled.get("optimizer")}
    return config, training, str(metadata.get("keras_version"))


def assign(network: Network, path: str) -> Network:
    """Give every layer of ``network`` its arrays.

    Args:
        network: as the configuration has it.
        path: a ``.keras`` file, or a ``.weights.h5``.

    Raises:
        ModelError: the file is damaged, or a layer's arrays are not in it.
    """
    if kind_of(path) == HDF5:
        with open_file(path) as file:
            return _fill_network(network, file)
    with temporary_folder() as folder:
        unpack(path, folder)
        with _open_weights(path, os.path.join(folder, WEIGHTS)) as file:
            return _fill_network(network, file)


def check_weights(path: str, weights: str) -> None:
    """Check the arrays in a ``.keras`` file of any Keras, before Keras reads them.

    Args:
        path: the file, for the message.
        weights: where its ``model.weights.h5`` was unpacked to.

    Raises:
        ModelError: one of them is not safe to read.
    """
    with _open_weights(path, weights) as file:
        check_all(file)


@contextlib.contextmanager
def _open_weights(path: str, weights: str) -> Iterator[h5py.File]:
    if not os.path.exists(weights):
        raise ModelError(f"{path} holds a model without its weights (no {WEIGHTS})")
    with open(weights, "rb") as content, open_file(path, content) as file:
        yield file


def _fill_network(network: Network, group: h5py.Group) -> Network:
    container = next((name for name in CONTAINERS if name in group), None)
    if container is None:
        return network
    groups = group_at(group, container)
    seen: dict[str, int] = {}
    layers: list[Layer] = []
    for layer in network.layers:
        kind = _snake("Functional" if layer.class_name == "Model" else layer.class_name)
        names = _numbered(groups, kind)
        place = seen[kind] = seen.get(kind, -1) + 1
        if place < len(names):
            layer = _fill(layer, group_at(groups, names[place]))
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def _fill(layer: Layer, group: h5py.Group) -> Layer:
    if layer.network:
        return replace(layer, network=_fill_network(layer.network, group))
    inner: dict[str, Layer] = {}
    for key, wrapped in layer.inner.items():
        name = _BIDIRECTIONAL.get(key, key) if layer.class_name == "Bidirectional" else key
        if name.startswith("cells."):
            raise ModelError(f"layer {layer.name!r}: stacked cells in a .keras file: save as .h5")
        inner[key] = _fill(wrapped, group_at(group, name))
    if inner:
        return replace(layer, inner=inner)
    if layer.class_name == "MultiHeadAttention":
        arrays = [array for part in _ATTENTION for array in _arrays(group_at(group, part))]
        return replace(layer, weights=tuple(arrays))
    return replace(layer, weights=_arrays(group_at(group, "cell") if "cell" in group else group))


def _arrays(group: h5py.Group) -> tuple[Array, ...]:
    if "vars" not in group:
        return ()
    stored = group_at(group, "vars")
    return tuple(array_at(stored, name) for name in sorted(stored, key=int))


def _numbered(groups: h5py.Group, kind: str) -> list[str]:
    pattern = re.compile(rf"{re.escape(kind)}(_(\d+))?")
    found = [(int(m[2] or 0), name) for name in groups if (m := pattern.fullmatch(name))]
    return [name for _, name in sorted(found)]


def _snake(name: str) -> str:
    """Keras's own way from a class to the name of its group."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
