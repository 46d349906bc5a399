"""Opens model files of Keras 1, Keras 2 and tf.keras: an ``.h5`` -> what Keras 3 needs to build it.

Pure: HDF5, zip and JSON are read; neither Keras nor TensorFlow is imported, and nothing in a file
is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.containers import sniffing
from irisspark.keras_import.containers.archives import read_keras_zip
from irisspark.keras_import.containers.stored import (
    read_h5,
    read_json,
    read_pair,
    read_zip,
    version_of_h5,
)
from irisspark.keras_import.imported_model import ImportedModel
from irisspark.keras_import.importing import import_stored
from irisspark.storage.places import INDEX_SUFFIX, files_of

__all__ = ["ImportedModel", "file_version", "read"]

_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
KERAS_3 = "3"
"""The version of a file of Keras 3 that does not say which 3 it was."""


def read(path: str, *, trust: bool = False, optimizer: bool = True) -> ImportedModel:
    """Read a model file of Keras 1, Keras 2 or tf.keras.

    Args:
        path: an ``.h5`` or a ``.keras`` of tf.keras, by any name, or ``model.json,weights.h5``.
        trust: taken for the sake of one signature; a Lambda of an old Keras holds the bytecode of
            an old Python, which no other Python can run, so it is refused either way.
        optimizer: read the optimizer's arrays, too.

    Raises:
        ModelError: the file is no model, is damaged or unsafe, or holds what Keras 3 does not have.
    """
    kind = sniffing.kind_of(path)
    if kind == sniffing.PAIR:
        return import_stored(read_pair(*files_of(path)))
    if kind == sniffing.KERAS_ZIP:
        return import_stored(read_zip(path))
    return import_stored(read_h5(path, optimizer=optimizer))


def file_version(path: str) -> str | None:
    """The version of the Keras that wrote a file, or None where the file does not say.

    Raises:
        ModelError: the file is no model.
    """
    kind = sniffing.kind_of(path)
    if kind == sniffing.PAIR:
        text, weights = files_of(path)
        _check_pair(text, weights)
        config = read_json(text)
        return _version_of_config(config, config)
    if kind == sniffing.KERAS_ZIP:
        config, metadata = read_keras_zip(path)
        return _version_of_config(config, metadata)
    return version_of_h5(path)


def _check_pair(text: str, weights: str) -> None:
    if not sniffing.beginning(text).lstrip(_BEFORE_JSON).startswith((b"{", b"[", b'"')):
        raise ModelError(
            f"{text} and {weights} are no pair: one is the text of model.to_json(), the other what "
            "model.save_weights(...) wrote; a model in one file is given alone"
        )
    if not weights.lower().endswith(INDEX_SUFFIX) and not sniffing.is_hdf5(weights):
        raise ModelError(f"{weights} is not an .h5 of model.save_weights(...)")


def _version_of_config(config: Any, metadata: Any) -> str | None:
    """The version by what names it, or by how Keras 3 alone writes a configuration."""
    version = metadata.get("keras_version") if isinstance(metadata, Mapping) else None
    if version is None and isinstance(config, Mapping) and "registered_name" in config:
        return "2" if _names(config, "batch_input_shape") else KERAS_3
    return None if version is None else str(version)


def _names(value: Any, key: str) -> bool:
    """Whether a key stands anywhere in a configuration."""
    if isinstance(value, Mapping):
        return key in value or any(_names(item, key) for item in value.values())
    return isinstance(value, list) and any(_names(item, key) for item in value)
