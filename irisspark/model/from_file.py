"""A model file, whichever Keras wrote it -> a ``keras.Model`` that predicts the same."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from irisspark.errors import IrissparkError, ModelError, first_line
from irisspark.keras_import import ImportedModel, file_version, read
from irisspark.keras_import.containers import sniffing
from irisspark.keras_import.containers.archives import WEIGHTS, has_assets, read_keras_zip, unpack
from irisspark.keras_import.containers.stored import read_keras_3_h5
from irisspark.keras_import.containers.zipped import check_weights
from irisspark.keras_import.safety.permitted import check_config, check_tables
from irisspark.model import keras_private

if TYPE_CHECKING:
    import keras

# Numbers a row that a layer may put out: beyond any model that a CPU can run.
MAX_OUTPUT_SIZE = 2**30
_OF_LOSS = ("loss", "loss_weights")
_TO_EVALUATE = (*_OF_LOSS, "optimizer_config")  # an .h5's loss is not read without the last
_Built = TypeVar("_Built")


@dataclass(frozen=True)
class OpenedModel:
    """A model ready for use: compiled where its file says how, else ``model.compiled`` is False."""

    model: keras.Model
    keras_version: str | None
    notes: tuple[str, ...]


def open_model(path: str, *, trust: bool = False, training_seed: int | None = None) -> OpenedModel:
    """Open a model file of Keras 1, 2 or 3; its content decides what it is, not its name.

    Args:
        path: a model file, or ``model.json,weights.h5``.
        trust: allow Lambda layers, whose code then runs.
        training_seed: where it is given, the optimizer is restored as well, and random layers draw
            as after ``keras.utils.set_random_seed``, since no file holds their state; None where
            the model only predicts: it is then compiled with its loss alone, for an optimizer's
            variables may be twice the weights.

    Raises:
        ModelError: the file is no model, is damaged or unsafe, or cannot be rebuilt.
    """
    version = file_version(path)
    if version and version.startswith("3"):
        return _open_keras_3(path, version, trust, training_seed)
    for_training = training_seed is not None
    imported = read(path, trust=trust, optimizer=for_training)
    _seed(training_seed)
    model = _told(path, lambda: build(imported))
    notes = (*imported.notes, *_compile(model, imported, for_training))
    return OpenedModel(model, imported.keras_version, notes)


def _seed(seed: int | None) -> None:
    import keras

    if seed is not None:
        keras.utils.set_random_seed(seed)


def build(imported: ImportedModel) -> keras.Model:
    """Build the model of an imported file and give it its arrays.

    Raises:
        ModelError: the arrays do not fit the configuration.
    """
    plain = _without_state(imported.config)
    with keras_private.without_random_values():
        return _filled(imported, plain)


def _filled(imported: ImportedModel, plain: Any) -> keras.Model:
    model = _checked(lambda: _rebuilt(plain), lambda model: _fit(model, imported))
    if plain != imported.config:  # a stateful layer's states cannot wait for their values
        model = _rebuilt(imported.config)
    for path, layer in _leaves(model, ""):
        arrays = imported.weights.get(path, ())
        if arrays:
            layer.set_weights(list(arrays))
    _derive_state(model)
    return model


def _derive_state(model: Any) -> None:
    """Let every layer work out what it computes with from the weights that it was given.

    Keras itself does so for the layers of the outermost model alone where it reads an ``.h5``.
    """
    for layer in keras_private.layers_of(model):
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()


def _rebuilt(config: Mapping[str, Any]) -> Any:
    import keras

    with keras_private.safe_mode(True):
        return keras.saving.deserialize_keras_object(dict(config))


def _without_state(value: Any) -> Any:
    """The configuration with every recurrent layer made stateless, and no model in it compiled.

    Neither a layer's states nor an optimizer's variables can wait for their values.
    """
    if isinstance(value, Mapping):
        plain = {"stateful": False, "compile_config": None}
        return {key: plain.get(key, _without_state(item)) for key, item in value.items()}
    return [_without_state(item) for item in value] if isinstance(value, list) else value


def _checked(
    build_it: Callable[[], Any], check: Callable[[Any], None], *, forget: bool = False
) -> Any:
    """Build a model with its variables still without values, and check it.

    Its variables get their values then, or never where ``forget`` is true: a model that is only
    looked at takes no memory.
    """

    def build_and_check() -> Any:
        model = build_it()
        check(model)
        return model

    return keras_private.without_memory(build_and_check, forget=forget)


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
        for tensor in keras_private.outputs_of(layer):
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


def _compile(model: Any, imported: ImportedModel, for_training: bool) -> tuple[str, ...]:
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
            _compile_loss(model, settings)
            return ()
        model.compile(**settings)
        model.optimizer.build(model.trainable_variables)
    except Exception as error:
        return (f"the training configuration cannot be used ({first_line(error)})",)
    return _restore_optimizer(model, imported)


def _compile_loss(model: Any, settings: Mapping[str, Any]) -> None:
    """Compile a model with the loss of its training, and nothing else of it."""
    model.compile(None, loss=settings.get("loss"), loss_weights=settings.get("loss_weights"))


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


def _objects(value: Any, deserialize: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping) and "class_name" in value:
        return deserialize(value)
    if isinstance(value, Mapping):
        return {key: _objects(item, deserialize) for key, item in value.items()}
    return [_objects(item, deserialize) for item in value] if isinstance(value, list) else value


def _open_keras_3(path: str, version: str, trust: bool, training_seed: int | None) -> OpenedModel:
    """Hand a file of Keras 3 to Keras's own loader, once it has been checked."""
    zipped = sniffing.kind_of(path) == sniffing.KERAS_ZIP
    with _as_keras_wants_it(path, zipped) as place:
        return _open_place(path, place, zipped, version, trust, training_seed)


def _open_place(
    path: str, place: str, zipped: bool, version: str, trust: bool, training_seed: int | None
) -> OpenedModel:
    config, training, size = _keras_3_config(path, place, zipped)
    check_config(config, path, trust=trust)
    if not zipped or not has_assets(path):
        check_tables(config, path)
    notes: list[str] = []
    if training_seed is None and training is not None:
        training = {name: value for name, value in training.items() if name in _TO_EVALUATE}
    try:
        check_config(training, path, trust=trust)
    except ModelError as error:
        notes.append(_left_out(training, str(error)))
        training = None

    def load(with_training: Any) -> Any:
        for_training = training_seed is not None
        _seed(training_seed)
        model = _load_keras_3(place, for_training and with_training is not None, trust)
        _derive_state(model)
        if with_training is not None and not for_training:
            with keras_private.safe_mode(not trust):
                _compile_loss(model, _loss_settings(with_training, zipped))
        return model

    def check_and_load() -> Any:
        with keras_private.safe_mode(not trust):
            _checked(
                lambda: _from_config(_without_state(config), zipped),
                lambda model: _affordable(model, size, path),
                forget=True,
            )
        try:
            return load(training)
        except Exception as error:
            if training is None:
                raise
            model = load(None)  # raises again where the training configuration is not to blame
            notes.append(_left_out(training, first_line(error)))
            return model

    model = _told(path, check_and_load)
    return OpenedModel(model, version, tuple(notes))


def _left_out(training: Mapping[str, Any], reason: str) -> str:
    """Say that a file's training configuration is left out, and which loss with it."""
    loss = training.get("loss")
    if isinstance(loss, Mapping):
        inner = loss.get("config")
        loss = inner if isinstance(inner, str) else loss.get("class_name")
    return f"the training configuration (loss: {loss}) is left out: {reason}"


def _load_keras_3(place: str, restore: bool, trust: bool) -> Any:
    """Let Keras load a folder or an ``.h5``, with its training where that is to be restored."""
    import keras

    with keras_private.without_random_values():
        return keras.models.load_model(
            place,
            custom_objects=keras_private.short_names(),
            compile=restore,
            safe_mode=not trust,
        )


@contextlib.contextmanager
def _as_keras_wants_it(path: str, zipped: bool) -> Iterator[str]:
    """Give the place where Keras can load a file from.

    A zip is unpacked: Keras reads a packed file's arrays into memory all at once, those of the
    optimizer among them, and an unpacked one's one by one.
    """
    with tempfile.TemporaryDirectory(prefix="irisspark-") as folder:
        if zipped:
            place = os.path.join(folder, "model")
            unpack(path, place)
        else:
            place = os.path.join(folder, "model.h5")
            os.symlink(os.path.abspath(path), place)  # Keras goes by the name
        yield place


def _loss_settings(training: Mapping[str, Any], zipped: bool) -> Mapping[str, Any]:
    """Read loss and loss weights of a file's training, as ``keras.Model.compile`` takes them."""
    import keras

    if not zipped:
        return keras_private.compile_arguments_of_h5(dict(training))
    return {
        name: _objects(training.get(name), keras.saving.deserialize_keras_object)
        for name in _OF_LOSS
    }


def _keras_3_config(path: str, place: str, zipped: bool) -> tuple[Mapping[str, Any], Any, int]:
    """The model's configuration, how it was trained, and how many bytes of arrays there can be."""
    if not zipped:
        return read_keras_3_h5(path)
    config, _ = read_keras_zip(path)
    check_weights(path, os.path.join(place, WEIGHTS))
    model = {key: value for key, value in config.items() if key != "compile_config"}
    return model, config.get("compile_config"), 4 * os.path.getsize(path)


def _from_config(config: Mapping[str, Any], zipped: bool) -> Any:
    import keras

    if zipped:
        return keras.saving.deserialize_keras_object({**config, "build_config": None})
    return keras_private.model_of_h5_config(dict(config))


def _affordable(model: Any, size: int, path: str) -> None:
    needed = sum(int(np.prod([float(n) for n in v.shape])) for v in model.weights)
    if needed > size:
        raise ModelError(
            f"the model in {path} is set up for {needed:,} numbers, and the file holds at most "
            f"{size:,} bytes: the file is damaged, or from another model"
        )
    _check_outputs(model)


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
            f"Keras cannot rebuild the model in {path}: {first_line(error)}"
        ) from error
