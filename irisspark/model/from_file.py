"""A model file, whichever Keras wrote it -> a ``keras.Model`` that predicts the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from irisspark.errors import ModelError, first_line
from irisspark.keras_import import file_version, read
from irisspark.keras_import.safety.permitted import check_config, check_tables
from irisspark.model import keras_3_file, keras_private
from irisspark.model.building import (
    check_outputs,
    checked,
    derive_state,
    translate_errors,
    without_state,
)
from irisspark.model.keras_3_file import Keras3File
from irisspark.model.old_file import build, compile_old
from irisspark.model.stored_training import StoredTraining, read_training

if TYPE_CHECKING:
    import keras

__all__ = ["OpenedModel", "build", "open_model"]


@dataclass(frozen=True)
class OpenedModel:
    """A model ready for use: compiled where its file says how, else ``model.compiled`` is False."""

    model: keras.Model
    keras_version: str | None
    notes: tuple[str, ...]


def open_model(path: str, *, trust: bool = False, training_seed: int | None = None) -> OpenedModel:
    """Open a model file of Keras 1, 2 or 3; its content decides what it is, not its name.

    Args:
        path: a model file, an unpacked ``.keras``, or ``model.json,weights.h5``.
        trust: allow Lambda layers, whose code then runs.
        training_seed: where it is given, the optimizer is restored as well, and random layers draw
            as after ``keras.utils.set_random_seed``, since no file holds their state; None where
            the model only predicts: it is then compiled with its loss alone, for an optimizer's
            variables may be twice the weights.

    Raises:
        ModelError: the file is no model, is damaged or unsafe, or cannot be rebuilt.
    """
    return translate_errors(path, lambda: _open(path, trust, training_seed))


def _open(path: str, trust: bool, training_seed: int | None) -> OpenedModel:
    version = file_version(path)
    if version and version.startswith("3"):
        return _open_keras_3(path, version, trust, training_seed)
    for_training = training_seed is not None
    imported = read(path, trust=trust, optimizer=for_training)
    _seed(training_seed)
    model = translate_errors(path, lambda: build(imported))
    notes = (*imported.notes, *compile_old(model, imported, for_training=for_training))
    return OpenedModel(model, imported.keras_version, notes)


def _seed(seed: int | None) -> None:
    import keras

    if seed is not None:
        keras.utils.set_random_seed(seed)


def _open_keras_3(path: str, version: str, trust: bool, training_seed: int | None) -> OpenedModel:
    """Hand a file of Keras 3 to Keras's own functions, once it has been checked."""
    with keras_3_file.opened(path) as file:
        check_config(file.config, path, trust=trust)
        if not file.tables:
            check_tables(file.config, path)
        training, notes = read_training(file.training, for_training=training_seed is not None)
        notes = (*file.notes, *notes)
        translate_errors(path, lambda: _look_at(file, path, trust))
        _seed(training_seed)
        model = translate_errors(path, lambda: _load(file, path, trust))
        translate_errors(path, lambda: _check_loaded_tables(model, path))
        if training is not None:
            notes += _compile(model, training, file)
        return OpenedModel(model, version, notes)


def _look_at(file: Keras3File, path: str, trust: bool) -> None:
    """Build the model without memory, and refuse it where the file cannot fill it."""
    with keras_private.safe_mode(not trust):
        checked(
            lambda: file.build(without_state(file.config)),
            lambda model: _affordable(model, file.size, path),
            forget=True,
        )


def _load(file: Keras3File, path: str, trust: bool) -> Any:
    with keras_private.without_random_values():
        model = file.load(safe_mode=not trust)
    derive_state(model)
    return model


def _check_loaded_tables(model: Any, path: str) -> None:
    """Refuse a lookup whose own table is missing in the file, others' being in it."""
    for layer in keras_private.layers_of(model):
        if keras_private.is_empty_lookup(layer):
            raise ModelError(
                f"{path}: the table of layer {layer.name!r} ({type(layer).__name__}) is not in "
                "the file: adapt it, and save the model with model.save('model.keras')"
            )


def _compile(model: Any, training: StoredTraining, file: Keras3File) -> tuple[str, ...]:
    """Compile a model as its file says; what does not work out is left, and said."""
    try:
        model.compile(**training.arguments)
        if training.arguments["optimizer"] is None:
            return ()
        model.optimizer.build(model.trainable_variables)
        if not training.keeps_memory or file.restore(model.optimizer):
            return ()
    except Exception as error:
        model.compiled = False
        return (f"the training configuration cannot be used ({first_line(error)})",)
    return ("the optimizer's state in the file does not fit: training starts it anew",)


def _affordable(model: Any, size: int, path: str) -> None:
    needed = sum(int(np.prod([float(n) for n in v.shape])) for v in model.weights)
    if needed > size:
        raise ModelError(
            f"the model in {path} is set up for {needed:,} numbers, and the file holds at most "
            f"{size:,} bytes: the file is damaged, or from another model"
        )
    check_outputs(model)
