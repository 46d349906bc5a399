"""Opens model files of Keras 1, Keras 2 and tf.keras: an `.h5` -> what Keras 3 needs to build it.

Pure: HDF5, zip and JSON are read; neither Keras nor TensorFlow is imported, and nothing in a file
is ever run.
"""

from __future__ import annotations

from irisspark.keras_import.imported_model import ImportedModel
from irisspark.keras_import.importing import import_stored
from irisspark.keras_import.stored import read_h5

__all__ = ["ImportedModel", "read"]


def read(path: str, *, trust: bool = False) -> ImportedModel:
    """Read a model file of Keras 1, Keras 2 or tf.keras.

    Args:
        path: an `.h5`, whatever its extension.
        trust: allow Lambda layers, whose code then runs where the model is built.

    Raises:
        ModelError: the file is no model, is damaged or unsafe, or holds what Keras 3 does not have.
    """
    return import_stored(read_h5(path))
