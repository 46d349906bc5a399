"""A file of Keras 1 or 2, imported -> the model of Keras 3 that predicts the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from irisspark.errors import ModelError, first_line
from irisspark.keras_import import ImportedModel
from irisspark.model import keras_private
from irisspark.model.building import check_outputs, checked, derive_state, without_state

if TYPE_CHECKING:
    import keras

_OF_LOSS = ("loss", "loss_weights")


def build(imported: ImportedModel) -> keras.Model:
    """Build the model of an imported file and give it its arrays.

    Raises:
        ModelError: the arrays do not fit the configuration.
    """
    plain = without_state(imported.config)
    keras_private.reserve_names(_names(plain))
    with keras_private.without_random_values(), keras_private.masks_of_keras_2():
        return _filled(imported, plain)


def _filled(imported: ImportedModel, plain: Any) -> keras.Model:
    model = checked(lambda: _rebuilt(plain), lambda model: _fit(model, imported))
    if plain != imported.config:  # a stateful layer's states cannot wait for their values
        model = _rebuilt(imported.config)
    for path, layer in _leaves(model, ""):
        arrays = imported.weights.get(path, ())
        if arrays:
            layer.set_weights(list(arrays))
    derive_state(model)
    return model


def _names(config: Any) -> Iterator[str]:
    """Find the names of all layers in a configuration."""
    if isinstance(config, Mapping):
        if isinstance(name := config.get("name"), str):
            yield name
        for value in config.values():
            yield from _names(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _names(value)


def _rebuilt(config: Mapping[str, Any]) -> Any:
    import keras

    with keras_private.safe_mode(True):
        return keras.saving.deserialize_keras_object(dict(config))


def _fit(model: Any, imported: ImportedModel) -> None:
    """Compare every array with the variable it is for."""
    for path, layer in _leaves(model, ""):
        arrays = imported.weights.get(path, ())
        wanted = [tuple(variable.shape) for variable in layer.weights]
        found = [np.shape(array) for array in arrays]
        if wanted != found:
            raise ModelError(
                f"layer {path!r} ({type(layer).__name__}) takes arrays of the shapes {wanted}, and "
                f"the file has {found}: the file is damaged, or from another model"
            )
    check_outputs(model)


def _leaves(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    import keras

    for layer in model.layers:
        path = prefix + layer.name
        wrapped = layer if isinstance(layer, keras.Model) else getattr(layer, "layer", None)
        if isinstance(wrapped, keras.Model):
            yield from _leaves(wrapped, f"{path}/")
        else:
            yield path, layer


def compile_old(model: Any, imported: ImportedModel, *, for_training: bool) -> tuple[str, ...]:
    """Compile the model as its file says; what does not work out is left, and said."""
    import keras

    if imported.training_config is None:
        return ()
    try:
        settings = {
            key: _objects(value, keras.saving.deserialize_keras_object)
            for key, value in imported.training_config.items()
            if for_training or key in _OF_LOSS
        }
        if not for_training:
            model.compile(None, **settings)
            return ()
        model.compile(**settings)
        model.optimizer.build(model.trainable_variables)
    except Exception as error:
        return (f"the training configuration cannot be used ({first_line(error)})",)
    return _restore_optimizer(model, imported)


def _objects(value: Any, deserialize: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping) and "class_name" in value:
        return deserialize(value)
    if isinstance(value, Mapping):
        return {key: _objects(item, deserialize) for key, item in value.items()}
    return [_objects(item, deserialize) for item in value] if isinstance(value, list) else value


def _restore_optimizer(model: Any, imported: ImportedModel) -> tuple[str, ...]:
    arrays = imported.optimizer_weights
    if not arrays:
        return ()
    states = model.optimizer.variables
    from irisspark.keras_import.eras.old_training import order_optimizer_weights

    ordered = order_optimizer_weights(
        type(model.optimizer).__name__,
        arrays,
        [tuple(v.shape) for v in model.trainable_variables],
        [(v.path.rsplit("/", 1)[-1], tuple(v.shape)) for v in states],
    )
    if ordered is None:
        return ("the optimizer's state in the file does not fit Keras 3: training starts it anew",)
    for variable, array in zip(states, ordered, strict=True):
        if array is not None:
            variable.assign(array)
    return ()
