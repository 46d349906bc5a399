"""Outputs of a model with several: one as a model of its own, and some of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from irisspark.errors import ModelError
from irisspark.model import keras_private

if TYPE_CHECKING:
    import keras

_UNIQUE_NAME = "irisspark_side_by_side"


def pick_output(model: keras.Model, name: str | None) -> keras.Model:
    """Give a model of the output of a name, compiled with that output's own loss.

    Args:
        model: Any model.
        name: What the user calls the output; None where there is one.

    Raises:
        ModelError: There is no such output, or there are several and none is named.
    """
    import keras

    names = names_of_outputs(model)
    if name is None and len(names) < 2:
        return model
    shown = ", ".join(
        f"{one} {tuple(tensor.shape)}" for one, tensor in zip(names, model.outputs, strict=True)
    )
    if name is None:
        raise ModelError(
            f"the model has {len(names)} outputs ({shown}): pass -output NAME for the one that is "
            "to be evaluated, and the columns of its labels as -labelIndex, or name the labels of "
            f"each, as in -labelIndex '{names[0]}=COLUMN,{names[1]}=COLUMN'"
        )
    if name not in names:
        raise ModelError(f"-output {name}: the model has no such output, but {shown}")
    if len(names) == 1:
        return model
    inputs, _ = keras_private.structures_of(model)
    place = names.index(name)
    picked = keras.Model(inputs, model.outputs[place], name=model.name)
    loss = _of_output(model, "loss", name)
    if loss is not None:
        picked.compile(loss=loss)
    return picked


def names_of_outputs(model: keras.Model) -> list[str]:
    """Name a model's outputs; none of a model that does not say what it puts out."""
    return keras_private.names_of_outputs(model) if getattr(model, "inputs", None) else []


def weight_of(model: keras.Model, name: str) -> float:
    """Give what the training configuration multiplies the loss of an output by."""
    weight = _of_output(model, "loss_weights", name)
    return 1.0 if weight is None else float(weight)


def side_by_side(model: keras.Model, alone: Sequence[keras.Model]) -> keras.Model:
    """Give a model that puts several of a model's outputs out side by side, [rows, all units].

    Args:
        model: With all of its outputs.
        alone: Models of those that are taken, as ``pick_output`` gives them.
    """
    import keras

    inputs, _ = keras_private.structures_of(model)
    join = keras.layers.Concatenate(dtype="float32", name=_UNIQUE_NAME)
    return keras.Model(inputs, join([one.outputs[0] for one in alone]), name=model.name)


def _of_output(model: keras.Model, argument: str, name: str) -> Any:
    """Find what a model was compiled with for one of its outputs: its loss, or the weight of it."""
    import keras

    config = (model.get_compile_config() or {}) if model.compiled else {}
    found = config.get(argument)
    if isinstance(found, dict) and "class_name" not in found:
        found = found.get(name)
    elif isinstance(found, list | tuple):
        found = found[names_of_outputs(model).index(name)]
    is_serialized = isinstance(found, dict)
    return keras.saving.deserialize_keras_object(found) if is_serialized else found
