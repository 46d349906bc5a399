"""Opens model files of Keras 1, Keras 2 and tf.keras: an ``.h5`` -> what Keras 3 needs to build it.

Pure: HDF5, zip and JSON are read; neither Keras nor TensorFlow is imported, and nothing in a file
is ever run.
"""

from __future__ import annotations

import os

from irisspark.errors import ModelError
from irisspark.keras_import.containers import sniffing
from irisspark.keras_import.containers.archives import read_keras_zip
from irisspark.keras_import.containers.stored import read_h5, read_pair, read_zip, version_of_h5
from irisspark.keras_import.imported_model import ImportedModel
from irisspark.keras_import.importing import import_stored

__all__ = ["ImportedModel", "file_version", "read"]


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
    pair = _pair(path)
    if pair:
        return import_stored(read_pair(*pair))
    if sniffing.kind_of(path) == sniffing.KERAS_ZIP:
        return import_stored(read_zip(path))
    return import_stored(read_h5(path, optimizer=optimizer))


def file_version(path: str) -> str | None:
    """The version of the Keras that wrote a file, or None where the file does not say.

    Raises:
        ModelError: the file is no model.
    """
    pair = _pair(path)
    if pair:
        return None
    if sniffing.kind_of(path) == sniffing.KERAS_ZIP:
        return str(read_keras_zip(path)[1].get("keras_version"))
    return version_of_h5(path)


def _pair(path: str) -> tuple[str, str] | None:
    """``model.json,weights.h5`` as two paths; a file that has a comma in its name stays one."""
    if "," not in path or os.path.exists(path):
        return None
    first, _, second = path.partition(",")
    if second.lower().endswith(".json"):
        first, second = second, first
    if sniffing.kind_of(second) != sniffing.HDF5:
        raise ModelError(f"{second} is not an .h5 of model.save_weights(...)")
    return first, second
