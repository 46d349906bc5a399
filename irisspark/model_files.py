"""A model file, whichever Keras wrote it -> a `keras.Model` that predicts the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from irisspark.errors import IrissparkError, ModelError
from irisspark.keras_import import ImportedModel, file_version, read, sniffing
from irisspark.keras_import.archives import read_keras_zip
from irisspark.keras_import.permitted import check_config
from irisspark.keras_import.stored import read_keras_3_h5

if TYPE_CHECKING:
    import keras

# Numbers a row that a layer may put out: beyond any model that a CPU can run.
MAX_OUTPUT_SIZE = 2**30
_Built = TypeVar("_Built")


@dataclass(frozen=True)
class OpenedModel:
    """A model ready for use: compiled where its file says how, else `model.compiled` is False."""

    model: keras.Model
    keras_version: str | None
    notes: tuple[str, ...]


def open_model(path: str, *, trust: bool = False) -> OpenedModel:
    """Open a model file of Keras 1, 2 or 3; its content decides what it is, not its name.

    Args:
        path: a model file, or `model.json,weights.h5`.
        trust: allow Lambda layers, whose code then runs.

    Raises:
        ModelError: the file is no model, is damaged or unsafe, or cannot be rebuilt.
    """
    version = file_version(path)
    if version and version.startswith("3"):
        return _open_keras_3(path, version, trust)
    imported = read(path, trust=trust)
    model = _told(path, lambda: build(imported))
    notes = (*imported.notes, *_compile(model, imported))
    return OpenedModel(model, imported.keras_version, notes)


def build(imported: ImportedModel) -> keras.Model:
    """Build the model of an imported file and give it its arrays.

    Raises:
        ModelError: the arrays do not fit the configuration.
    """
    import keras

    plain = _without_state(imported.config)
    model = _checked(lambda: _rebuilt(plain), lambda model: _fit(model, imported))
    if plain != imported.config:  # a stateful layer's states cannot wait for their values
        model = _rebuilt(imported.config)
    for path, layer in _leaves(model, ""):
        arrays = imported.weights.get(path, ())
        if arrays:
            layer.set_weights(list(arrays))
            if isinstance(layer, keras.layers.Normalization):  # works out its scale from them
                layer.finalize_state()
    return model


def _rebuilt(config: Mapping[str, Any]) -> Any:
    import keras

    with _unsafe(False):
        return keras.saving.deserialize_keras_object(dict(config))


def _without_state(value: Any) -> Any:
    """The configuration with every recurrent layer made stateless."""
    if isinstance(value, Mapping):
        return {k: False if k == "stateful" else _without_state(v) for k, v in value.items()}
    return [_without_state(item) for item in value] if isinstance(value, list) else value


def _checked(build_it: Callable[[], Any], check: Callable[[Any], None]) -> Any:
    """Build a model with its variables still without values, check it, then give them values.

    Keras makes variables inside a `StatelessScope` without memory; it fills them at the end of it.
    """
    import keras
    from keras.src.backend.common import global_state

    with keras.StatelessScope():
        try:
            model = build_it()
            check(model)
        except BaseException:
            global_state.get_global_attribute("uninitialized_variables", []).clear()
            raise
    return model


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
    _check_outputs(model)


def _check_outputs(model: Any) -> None:
    for layer in getattr(model, "layers", ()):
        for node in getattr(layer, "_inbound_nodes", ()):
            for tensor in node.output_tensors:
                size = int(np.prod([float(n or 1) for n in tensor.shape[1:]]))
                if size > MAX_OUTPUT_SIZE:
                    raise ModelError(
                        f"layer {layer.name!r} puts out {size:,} numbers for a row: "
                        "no computer runs that"
                    )
        _check_outputs(layer)


def _leaves(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    import keras

    for layer in model.layers:
        path = prefix + layer.name
        wrapped = layer if isinstance(layer, keras.Model) else getattr(layer, "layer", None)
        if isinstance(wrapped, keras.Model):
            yield from _leaves(wrapped, f"{path}/")
        else:
            yield path, layer


def _compile(model: Any, imported: ImportedModel) -> tuple[str, ...]:
    """Compile the model as its file says; what does not work out is left, and said."""
    import keras

    if imported.training_config is None:
        return ()
    try:
        settings = {
            key: _objects(value, keras.saving.deserialize_keras_object)
            for key, value in imported.training_config.items()
        }
        model.compile(**settings)
        model.optimizer.build(model.trainable_variables)
    except Exception as error:
        return (f"the training configuration cannot be used ({_first_line(error)})",)
    return _restore_optimizer(model, imported)


def _restore_optimizer(model: Any, imported: ImportedModel) -> tuple[str, ...]:
    arrays = imported.optimizer_weights
    if not arrays:
        return ()
    states = model.optimizer.variables
    from irisspark.keras_import.training import order_optimizer_weights

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


def _objects(value: Any, deserialize: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping) and "class_name" in value:
        return deserialize(value)
    if isinstance(value, Mapping):
        return {key: _objects(item, deserialize) for key, item in value.items()}
    return [_objects(item, deserialize) for item in value] if isinstance(value, list) else value


def _open_keras_3(path: str, version: str, trust: bool) -> OpenedModel:
    """Hand a file of Keras 3 to Keras's own loader, once it has been checked."""
    import keras

    zipped = sniffing.kind_of(path) == sniffing.KERAS_ZIP
    config, training, size = _keras_3_config(path, zipped)
    check_config(config, path, trust=trust)
    notes: tuple[str, ...] = ()
    usable = True
    try:
        check_config(training, path, trust=trust)
    except ModelError as error:
        usable, notes = False, (f"the training configuration is left out: {error}",)

    def load() -> Any:
        with _unsafe(trust):
            _checked(
                lambda: _from_config(_without_state(config), zipped),
                lambda model: _affordable(model, size, path),
            )
        with tempfile.TemporaryDirectory() as folder:
            named = os.path.join(folder, "model.keras" if zipped else "model.h5")
            os.symlink(os.path.abspath(path), named)  # Keras goes by the name
            return keras.models.load_model(named, compile=usable, safe_mode=not trust)

    model = _told(path, load)
    return OpenedModel(model, version, notes)


def _keras_3_config(path: str, zipped: bool) -> tuple[Mapping[str, Any], Any, int]:
    """The model's configuration, how it was trained, and how many bytes of arrays there can be."""
    if not zipped:
        return read_keras_3_h5(path)
    config, _ = read_keras_zip(path)
    model = {key: value for key, value in config.items() if key != "compile_config"}
    return model, config.get("compile_config"), 4 * os.path.getsize(path)


def _from_config(config: Mapping[str, Any], zipped: bool) -> Any:
    import keras
    from keras.src.legacy.saving import saving_utils

    if zipped:
        return keras.saving.deserialize_keras_object({**config, "build_config": None})
    return saving_utils.model_from_config(dict(config))


def _affordable(model: Any, size: int, path: str) -> None:
    needed = sum(int(np.prod([float(n) for n in v.shape])) for v in model.weights)
    if needed > size:
        raise ModelError(
            f"the model in {path} is set up for {needed:,} numbers, and the file holds at most "
            f"{size:,} bytes: the file is damaged, or from another model"
        )
    _check_outputs(model)


def _unsafe(trust: bool) -> Any:
    from keras.src.saving import serialization_lib

    return serialization_lib.SafeModeScope(not trust)


def _told(path: str, work: Callable[[], _Built]) -> _Built:
    """Run Keras's own code; what it raises becomes one message for the user."""
    try:
        return work()
    except IrissparkError:
        raise
    except RecursionError:
        raise ModelError(f"the model in {path} is nested too deeply to be rebuilt") from None
    except Exception as error:
        raise ModelError(
            f"Keras cannot rebuild the model in {path}: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
