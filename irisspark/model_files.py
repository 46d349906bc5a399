"""A model file, whichever Keras wrote it -> a `keras.Model` that predicts the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irisspark.errors import ModelError
from irisspark.keras_import import ImportedModel, read

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class OpenedModel:
    """A model ready for use: compiled where its file says how, else `model.compiled` is False."""

    model: keras.Model
    keras_version: str | None
    notes: tuple[str, ...]


def open_model(path: str, *, trust: bool = False) -> OpenedModel:
    """Open a model file of Keras 1, 2 or 3; its content decides what it is, not its name."""
    imported = read(path, trust=trust)
    model = build(imported)
    return OpenedModel(model, imported.keras_version, imported.notes)


def build(imported: ImportedModel) -> keras.Model:
    """Build the model of an imported file and give it its arrays."""
    import keras

    model = keras.saving.deserialize_keras_object(imported.config)
    for path, layer in _leaves(model, ""):
        arrays = imported.weights.get(path, ())
        if arrays:
            layer.set_weights(list(arrays))
            if hasattr(layer, "finalize_state"):  # Normalization works out its scale from them
                layer.finalize_state()
    return model


def _leaves(model: Any, prefix: str) -> Any:
    import keras

    for layer in model.layers:
        path = prefix + layer.name
        wrapped = layer if isinstance(layer, keras.Model) else getattr(layer, "layer", None)
        if isinstance(wrapped, keras.Model):
            yield from _leaves(wrapped, f"{path}/")
        else:
            yield path, layer
