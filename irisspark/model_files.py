"""A model file -> a Keras model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irisspark.errors import ModelError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class OpenedModel:
    """A model as its file describes it.

    Attributes:
        model: Compiled where the file has a training configuration.
        keras_version: The version of Keras that saved the file, None where it does not say.
        notes: What the user should know about how the file was read.
    """

    model: "keras.Model"
    keras_version: str | None
    notes: tuple[str, ...] = ()


def open_model(path: str, *, trust: bool = False) -> OpenedModel:
    """Open a saved Keras model.

    Raises:
        ModelError: The file is missing, cannot be read, or holds no model.
    """
    import keras

    if not Path(path).is_file():
        raise ModelError(f"there is no model file {path}")
    try:
        model = keras.models.load_model(path, safe_mode=not trust)
    except Exception as error:
        raise ModelError(f"{path} is not a Keras model: {error}") from error
    return OpenedModel(model, None)
