"""One of a model's several outputs, as a model of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irisspark.errors import ModelError
from irisspark.model import keras_private

if TYPE_CHECKING:
    import keras


def pick_output(model: keras.Model, name: str | None) -> keras.Model:
    """Give a model of the output of a name, compiled with that output's own loss.

    Args:
        model: Any model.
        name: What the user calls the output; None where there is one.

    Raises:
        ModelError: There is no such output, or there are several and none is named.
    """
    import keras

    names = keras_private.names_of_outputs(model) if getattr(model, "inputs", None) else []
    if name is None and len(names) < 2:
        return model
    shown = ", ".join(
        f"{one} {tuple(tensor.shape)}" for one, tensor in zip(names, model.outputs, strict=True)
    )
    if name is None:
        raise ModelError(
            f"the model has {len(names)} outputs ({shown}): pass -output NAME for the one that is "
            "to be evaluated, and the columns of its labels as -labelIndex"
        )
    if name not in names:
        raise ModelError(f"-output {name}: the model has no such output, but {shown}")
    if len(names) == 1:
        return model
    inputs, _ = keras_private.structures_of(model)
    place = names.index(name)
    picked = keras.Model(inputs, model.outputs[place], name=model.name)
    loss = _loss_of(model, name, place)
    if loss is not None:
        picked.compile(loss=loss)
    return picked


def _loss_of(model: keras.Model, name: str, place: int) -> Any:
    """Find the loss that a model was compiled with for one of its outputs."""
    import keras

    config = (model.get_compile_config() or {}) if model.compiled else {}
    loss = config.get("loss")
    if isinstance(loss, dict) and "class_name" not in loss:
        loss = loss.get(name)
    elif isinstance(loss, list | tuple):
        loss = loss[place]
    is_serialized = isinstance(loss, dict)
    return keras.saving.deserialize_keras_object(loss) if is_serialized else loss
