"""A model file, whichever Keras wrote it -> what is stored in it, unconverted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import h5py

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array
from irisspark.keras_import.building.weights import Groups, NamedArrays
from irisspark.keras_import.containers import json_text, sniffing, zipped
from irisspark.keras_import.containers.hdf5 import (
    array_at,
    attribute,
    check_all,
    checked_size,
    group_at,
    open_file,
)


@dataclass(frozen=True)
class StoredModel:
    """What a file holds: its configurations as parsed JSON, and each layer's arrays by name.

    Where ``zipped`` is the path of a ``.keras`` file, or of arrays that lie as in one, they are
    read from there with the layers, and ``groups`` is empty.
    """

    path: str
    model_config: Any
    training_config: Mapping[str, Any] | None
    groups: Groups
    optimizer_weights: tuple[Array, ...]
    keras_version: str | None
    backend: str | None
    zipped: str | None = None


def read_h5(path: str, *, optimizer: bool = True) -> StoredModel:
    """Read an ``.h5`` of Keras 1, Keras 2 or tf.keras, the optimizer's arrays where wanted.

    Raises:
        ModelError: the file is damaged, or holds weights without the model they belong to.
    """
    with open_file(path) as file:
        config = attribute(file, "model_config")
        if config is None:
            raise ModelError(_without_config(file, path))
        training = attribute(file, "training_config")
        weights = group_at(file, "model_weights")
        return StoredModel(
            path=path,
            model_config=json_text.decode(config, f"the model_config of {path}"),
            training_config=_training(training, path),
            groups=_groups(weights),
            optimizer_weights=_optimizer_weights(file) if optimizer else (),
            keras_version=attribute(file, "keras_version") or attribute(weights, "keras_version"),
            backend=attribute(file, "backend") or attribute(weights, "backend"),
        )


def read_zip(path: str) -> StoredModel:
    """Read a ``.keras`` file of tf.keras 2.12 to 2.15; its arrays are read with its layers."""
    config, training, version = zipped.read_config(path)
    return StoredModel(
        path=path,
        model_config=config,
        training_config=training,
        groups={},
        optimizer_weights=(),
        keras_version=version,
        backend="tensorflow",
        zipped=path,
    )


def read_keras_3_h5(path: str) -> tuple[Mapping[str, Any], Any, int]:
    """The configurations of an ``.h5`` of Keras 3, and the bytes of its arrays, none read.

    The model's has its tuples still wrapped, as Keras's own functions take it.
    """
    with open_file(path) as file:
        config = attribute(file, "model_config")
        if config is None:
            raise ModelError(_without_config(file, path))
        training = attribute(file, "training_config")
        check_all(file)
        size = checked_size(group_at(file, "model_weights"))
        model = json_text.parse(config, f"the model_config of {path}")
        if not isinstance(model, Mapping) or not isinstance(model.get("config"), Mapping):
            raise ModelError(f"the model_config of {path} is no model's: the file is damaged")
        return model, _training(training, path), size


def version_of_h5(path: str) -> str | None:
    """The version of the Keras that wrote an ``.h5``, where it says so."""
    with open_file(path) as file:
        version = attribute(file, "keras_version")
        if version is None and "model_weights" in file:
            version = attribute(group_at(file, "model_weights"), "keras_version")
        return str(version) if version is not None else None


def read_pair(json_path: str, weights_path: str) -> StoredModel:
    """Read the text of ``to_json()`` and the arrays of ``save_weights()``, kept in two files.

    Raises:
        ModelError: one of them is missing, damaged or something else.
    """
    config = read_json(json_path)
    path = f"{json_path},{weights_path}"
    version = config.get("keras_version") if isinstance(config, Mapping) else None
    plain = StoredModel(path, config, None, {}, (), version, None)
    with open_file(weights_path) as file:
        if is_of_keras_3(file):  # so too from tf.keras 2.12 on
            return replace(plain, backend="tensorflow", zipped=weights_path)
        weights = group_at(file, "model_weights") if "model_weights" in file else file
        return replace(
            plain,
            groups=_groups(weights),
            keras_version=attribute(weights, "keras_version") or version,
            backend=attribute(weights, "backend"),
        )


def read_json(path: str) -> Any:
    """Parse the text of ``to_json()``, which some have put into a string of JSON once more.

    Raises:
        ModelError: the file is missing, or is no JSON.
    """
    try:
        with open(path, "rb") as text:
            config = json_text.decode(text.read(json_text.MAX_TEXT_BYTES + 1), path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from None
    return json_text.decode(config, path) if isinstance(config, str) else config


def is_of_keras_3(weights: h5py.Group) -> bool:
    """Whether arrays lie as in a ``.keras`` file, under the names of attributes."""
    return attribute(weights, "layer_names") is None and any(
        name in weights for name in (*zipped.CONTAINERS, "vars", "optimizer")
    )


def _groups(weights: h5py.Group) -> dict[str, NamedArrays]:
    names = attribute(weights, "layer_names")
    if names is None:
        raise ModelError(
            f"{weights.file.filename} does not list its layers: the file is damaged or incomplete"
        )
    return {name: _named_arrays(group_at(weights, name)) for name in names}


def _named_arrays(group: h5py.Group) -> NamedArrays:
    return [(name, array_at(group, name)) for name in attribute(group, "weight_names") or ()]


def _optimizer_weights(file: h5py.File) -> tuple[Array, ...]:
    if "optimizer_weights" not in file:
        return ()
    group = group_at(file, "optimizer_weights")
    names = attribute(group, "weight_names") or ()
    return tuple(array_at(group, name) for name in names)


def _training(text: Any, path: str) -> Mapping[str, Any] | None:
    if text is None:
        return None
    value = json_text.decode(text, f"the training_config of {path}")
    return value if isinstance(value, Mapping) else None


def _without_config(file: h5py.File, path: str) -> str:
    if attribute(file, "layer_names") is not None or is_of_keras_3(file):
        return (
            f"{path} holds weights without a model (it was written by save_weights): "
            f"{sniffing.pair_with(path)}"
        )
    return f"{path} is an HDF5 file, but no Keras model: it has no model_config"
