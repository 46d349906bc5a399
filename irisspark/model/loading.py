"""A model file -> Keras model -> elephas's ``SparkModel`` and the ``ModelSpec`` of its workers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from irisspark.errors import ModelError, first_line
from irisspark.model import keras_file, keras_private
from irisspark.model.from_file import OpenedModel, open_model
from irisspark.model.inputs import ModelInput, block_dtype
from irisspark.model.one_output import names_of_outputs, pick_output, side_by_side, weight_of
from irisspark.model.output import (
    REGRESSION_LOSSES,
    SIGMOIDS,
    JointMeaning,
    LabelsMeaning,
    Meaning,
    NamedMeaning,
    OneMeaning,
    OutputMeaning,
    RegressionMeaning,
    Task,
    resolve,
)
from irisspark.model.output_range import output_range
from irisspark.model.spec import ModelSpec
from irisspark.startup.deadline import deadline
from irisspark.storage.places import sources_of
from irisspark.temporary import temporary_folder

if TYPE_CHECKING:
    import keras
    from elephas.spark_model import SparkModel

_CUTS = frozenset(["clip", "relu", "relu6"])
_PLACEHOLDER_LOSS = "mean_squared_error"
DEFAULT_OPTIMIZER = "adam"
_OPENING_SECONDS, _SLOWEST_BYTES_PER_SECOND = 60.0, 1e6
_READ_BYTES = 1 << 20
_Losses: TypeAlias = "tuple[tuple[dict[str, Any] | str | None, float], ...]"
_HALF = frozenset(["float16", "bfloat16"])


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for the cluster.

    Attributes:
        spark_model: elephas's wrapper: the master network, its weights, optimizer and loss.
        spec: What the workers build.
        sha256: Of the model file.
        keras_version: What saved the file, None where it does not say.
        notes: What the user should know about how the file was read.
    """

    spark_model: SparkModel
    spec: ModelSpec
    sha256: str
    keras_version: str | None
    notes: tuple[str, ...]

    @property
    def network(self) -> keras.Model:
        """The Keras model itself."""
        return self.spark_model.master_network


def load(
    path: str,
    *,
    loss: str | None = None,
    trust: bool = False,
    num_classes: int | None = None,
    task: Task = "auto",
    num_labels: int = 1,
    output: str | None = None,
    labels_by_output: Mapping[str, int] | None = None,
    training_seed: int | None = None,
) -> LoadedModel:
    """Load a model file for the cluster.

    Args:
        path: A local path.
        loss: Keras's name of a loss that takes the place of the file's.
        trust: Whether Lambda layers may run.
        num_classes: What the user says the number of classes is.
        task: What the user says the model is for.
        num_labels: Columns of labels; 0 where rows are only predicted.
        output: Name of the output that is taken; None of a model with one.
        labels_by_output: Of a model with several outputs, the columns of labels of those that are
            evaluated.
        training_seed: As for ``model.from_file.open_model``.

    Raises:
        ModelError: The file holds no model, or one that irisspark cannot evaluate.
    """
    opened = open_network(path, trust=trust, training_seed=training_seed)
    notes: tuple[str, ...] = ()
    joined: JointMeaning | None = None
    losses: _Losses = ()
    if _are_several(opened.model, output, num_labels, labels_by_output):
        _refuse_for_several(loss=loss, task=task, num_classes=num_classes)
        model, joined, losses = _joined(opened.model, labels_by_output or {})
    else:
        model, notes = _with_plain_output(_checked(pick_output(opened.model, output)))
    inputs = _inputs_of(model)
    if not inputs:
        model = _with_integer_input(model)
    loss_config, loss_weight = (None, 1.0) if joined else _loss_of(model, loss)
    meaning = joined or _meaning(model, loss_config, task, num_labels, num_classes)
    if not model.compiled:
        # elephas refuses a model that is not compiled; this never reaches the report.
        model.compile(optimizer=DEFAULT_OPTIMIZER, loss=_PLACEHOLDER_LOSS)
    from elephas.spark_model import SparkModel

    with without_copies(model):
        spark_model = SparkModel(model)
    spec = ModelSpec(
        file=file_of(model),
        loss=loss_config,
        loss_weight=loss_weight,
        regularization_loss=regularization_loss_of(model),
        output=meaning,
        input_shape=(sum(one.size for one in inputs),) if inputs else model.inputs[0].shape[1:],
        input_dtype=block_dtype(inputs) if inputs else model.inputs[0].dtype,
        batch_rows=model.inputs[0].shape[0],
        values_per_row=_values_per_row(model),
        half_precision=_is_half_precision(model),
        trusted=trust,
        inputs=inputs,
        losses=losses,
    )
    notes = (*opened.notes, *notes, *_task_notes(meaning))
    return LoadedModel(spark_model, spec, _sha256(path), opened.keras_version, notes)


def load_network(
    network: keras.Model,
    *,
    loss: str | None = None,
    num_classes: int | None = None,
    task: Task = "auto",
    num_labels: int = 1,
    output: str | None = None,
    labels_by_output: Mapping[str, int] | None = None,
    training_seed: int | None = None,
) -> LoadedModel:
    """Load a copy of a model in memory, which stays as it is: not compiled where it was not.

    Args:
        network: Of the caller, whose Lambda layers run.
        loss: As for ``load``.
        num_classes: As for ``load``.
        task: As for ``load``.
        num_labels: As for ``load``.
        output: As for ``load``.
        labels_by_output: As for ``load``.
        training_seed: As for ``load``.

    Raises:
        ModelError: It is a model that irisspark cannot evaluate.
    """
    with temporary_folder() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(save(network, path.suffix))
        try:
            loaded = load(
                str(path),
                loss=loss,
                trust=True,
                num_classes=num_classes,
                task=task,
                num_labels=num_labels,
                output=output,
                labels_by_output=labels_by_output,
                training_seed=training_seed,
            )
        except ModelError as error:
            raise ModelError(str(error).replace(str(path), "the model")) from error
    return replace(loaded, sha256=loaded.spec.digest)  # the file's own has the date in it


def open_network(
    path: str, *, trust: bool = False, training_seed: int | None = None
) -> OpenedModel:
    """Open a model file, whatever its model takes and puts out.

    A damaged file may keep HDF5 in an endless loop, or crash it: that ends the process with a line.

    Raises:
        ModelError: The file holds no model.
    """
    with opening_deadline(path), warnings.catch_warnings():
        # Keras remarks on optimizers that never made a step, and on old file formats.
        warnings.simplefilter("ignore")
        return open_model(path, trust=trust, training_seed=training_seed)


def opening_deadline(path: str) -> contextlib.AbstractContextManager[None]:
    """End the process, with a line, if opening a model file takes longer than it can."""
    num_bytes = sum(os.path.getsize(place) for place in sources_of(path) if os.path.isfile(place))
    seconds = _OPENING_SECONDS + num_bytes / _SLOWEST_BYTES_PER_SECOND
    return deadline(
        seconds,
        f"irisspark: {path} could not be read within {seconds:.0f} s: it is damaged, or its disk "
        "is very slow; save the model again, or copy the file to this machine",
        crash=f"irisspark: the process ended while it read {path}; where nobody has ended it, the "
        "file is damaged: save the model again",
    )


def file_of(model: keras.Model) -> bytes:
    """Give the bytes of a model's ``.keras`` file, without its training.

    Raises:
        ModelError: There is no room for it on the disk, or Keras cannot save it.
    """
    try:
        with _no_room("from where it goes to the workers"):
            return keras_file.to_bytes(model)
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # a layer of the user's, or a name that no file can hold
        raise ModelError(
            "Keras cannot save the model, so it cannot go to the workers: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


@contextlib.contextmanager
def _no_room(why: str) -> Iterator[None]:
    """Say in a line that a model cannot be written to the folder of temporary files, and why.

    HDF5 writes lines of its own into the text of an error of the system's.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter where HDF5 closes a file
        number = getattr(error, "errno", None) or _error_number(error)
        if number is None and not isinstance(error, OSError):
            raise
        reason = first_line(error) if number is None else os.strerror(number)
        raise ModelError(
            f"the model cannot be written to {tempfile.gettempdir()}, {why}: {reason}; "
            "set TMPDIR to a folder with more room"
        ) from error


def _error_number(error: Exception) -> int | None:
    found = re.search(r"errno = (\d+)", str(error))
    return int(found[1]) if found else None


def regularization_loss_of(model: keras.Model) -> float:
    """Give the sum of the weights' regularization losses."""
    return float(sum(float(loss) for loss in model.losses))


@contextlib.contextmanager
def without_copies(model: keras.Model) -> Iterator[None]:
    """Keep elephas from copying the weights, twice, as it does when it is given a model.

    Its copies are what it would hand to its own workers; ours open the model's file.
    """
    model.get_weights = list
    try:
        yield
    finally:
        del model.get_weights


def save(model: keras.Model, suffix: str) -> bytes:
    """Give the bytes of a model's file.

    Args:
        model: With its training configuration, which is saved with it.
        suffix: ``.keras`` or ``.h5``.

    Raises:
        ModelError: There is no room for it on the disk.
    """
    with _no_room("where it is saved first"), temporary_folder() as folder:
        path = Path(folder, f"model{suffix}")
        with keras_private.as_quantized(model):
            model.save(path)
        return path.read_bytes()


def why_unreadable(content: bytes, suffix: str) -> str | None:
    """Say why Keras cannot open a file of ``save``, None: it can.

    It writes models to HDF5 that it does not read from there, as those with operations.
    """
    import keras

    with temporary_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, f"model{suffix}")
        path.write_bytes(content)
        try:  # what was opened before may hold Lambda layers only where the user trusts them
            keras.models.load_model(path, compile=False, safe_mode=False)
        except Exception as error:
            return first_line(error)
    return None


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    for source in sources_of(path):
        with open(source, "rb") as file:
            while content := file.read(_READ_BYTES):
                digest.update(content)
    return digest.hexdigest()


def _are_several(
    model: keras.Model,
    output: str | None,
    num_labels: int,
    labels_by_output: Mapping[str, int] | None,
) -> bool:
    """Tell whether several outputs are taken: those with labels, or all that predict."""
    is_any_left_out = output is not None or num_labels > 0
    return bool(labels_by_output) or (not is_any_left_out and len(names_of_outputs(model)) > 1)


def _joined(
    model: keras.Model, num_labels: Mapping[str, int]
) -> tuple[keras.Model, JointMeaning, _Losses]:
    """Put a model's outputs side by side: those that have labels, or all where none has.

    Returns:
        (model, what it puts out, loss and weight of each output).
    """
    _checked(model)
    models, parts, losses = [], [], []
    for name in num_labels or names_of_outputs(model):
        alone = pick_output(model, name)
        loss, _ = _loss_of(alone, None)
        try:
            meaning = _meaning(alone, loss, "auto", num_labels.get(name, 0))
            if isinstance(meaning, OutputMeaning) and meaning.other_task is not None:
                # No -task can tell it of one output of several: what else it may be is likelier.
                meaning = _meaning(alone, loss, "auto", meaning.num_units)
        except ModelError as error:
            raise ModelError(f"the output {name}: {error}") from error
        models.append(alone)
        parts.append(NamedMeaning(name, meaning))
        losses.append((loss, weight_of(model, name)))
    return side_by_side(model, models), JointMeaning(tuple(parts)), tuple(losses)


def _refuse_for_several(**said: object) -> None:
    """Refuse what is said of one output where several are evaluated.

    Raises:
        ModelError: Something is.
    """
    usual = {"loss": None, "task": "auto", "num_classes": None}
    options = {"loss": "-loss", "task": "-task", "num_classes": "-numClasses"}
    if given := [name for name, value in said.items() if value != usual[name]]:
        raise ModelError(
            f"{options[given[0]]} {said[given[0]]}: it is of one output, and several are taken; "
            "pass -output NAME with it, or leave it out"
        )


def _checked(model: keras.Model) -> keras.Model:
    """Give a model back, but for what one row of a table cannot feed, or one label cannot judge."""
    if not model.built or not getattr(model, "inputs", None):
        raise ModelError(
            "the model does not say the shape of its input; build it (call it once, or give its "
            "first layer an input shape) before saving it"
        )
    stateful = [layer.name for layer in model.layers if getattr(layer, "stateful", False)]
    if stateful:
        raise ModelError(
            f"the layer {stateful[0]} is stateful: what it predicts depends on the rows before, "
            "which a cluster does not keep in order; save the model with stateful=False"
        )
    return model


def _inputs_of(model: keras.Model) -> tuple[ModelInput, ...]:
    """Describe the inputs of a model that has several, or takes text; else none.

    Raises:
        ModelError: One is of no fixed size, so it does not say how many columns it takes.
    """
    if len(model.inputs) == 1 and model.inputs[0].dtype != "string":
        return ()
    found = []
    for name, tensor in zip(keras_private.names_of_inputs(model), model.inputs, strict=True):
        if tensor.shape[0] is not None or None in tensor.shape[1:]:
            raise ModelError(
                f"the model's input {name!r} has the shape {tuple(tensor.shape)}: an "
                "input that is told by its name takes rows of a fixed size, and any number of rows"
            )
        found.append(ModelInput(name, tuple(tensor.shape[1:]), tensor.dtype))
    return tuple(found)


def _with_plain_output(model: keras.Model) -> tuple[keras.Model, tuple[str, ...]]:
    """Take a model's only output out of the dictionary or list that it is put out in."""
    import keras

    inputs, outputs = keras_private.structures_of(model)
    if not keras.tree.is_nested(outputs):
        return model, ()
    plain = keras.Model(inputs, model.outputs[0], name=model.name)
    if model.compiled:
        plain.compile(**_of_one_output(_compile_arguments(model)))
    kind = "dictionary" if isinstance(outputs, dict) else "list"
    return plain, (f"the model puts out a {kind} of one: it is read, and saved, without it",)


def _of_one_output(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``compile`` for one output, without the names or lists of outputs."""
    plain = {name: _innermost(config.get(name)) for name in ("loss", "loss_weights")}
    for name in ("metrics", "weighted_metrics"):
        found = _innermost(config.get(name))
        plain[name] = found if found is None or isinstance(found, list) else [found]
    return config | plain


def _innermost(value: Any) -> Any:
    while (inner := _only(value)) is not value:
        value = inner
    return value


def _with_integer_input(model: keras.Model) -> keras.Model:
    """Give a model whose float input goes straight into an Embedding an int32 input.

    A float32 holds integers exactly only up to 2**24, and Keras casts them to integers anyway.
    """
    import keras

    if not model.inputs[0].dtype.startswith("float"):
        return model
    consumers = [
        layer
        for layer in keras_private.consumers_of(model, model.inputs[0])
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    if not consumers or not all(isinstance(c, keras.layers.Embedding) for c in consumers):
        return model
    return with_input(model, dtype="int32", batch_rows=model.inputs[0].shape[0])


def with_input(model: keras.Model, *, dtype: str, batch_rows: int | None) -> keras.Model:
    """Put another input before the layers of a model, which are shared with it, states and all.

    Args:
        model: With one input.
        dtype: Of the input.
        batch_rows: The batch size that the input insists on, None for any.
    """
    import keras

    old = model.inputs[0]
    new = keras.Input(batch_shape=(batch_rows, *old.shape[1:]), dtype=dtype, name=old.name)
    structured = new
    if not isinstance(model, keras.Sequential):
        structured = keras.tree.map_structure(lambda _: new, model.input)
    with keras_file.uncompiled(model):  # a clone would make an optimizer of its own
        clone = keras.models.clone_model(
            model, input_tensors=structured, clone_function=lambda layer: layer
        )
    if model.compiled:
        clone.compile(**_compile_arguments(model))
    return clone


def _compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Give what another model of the same layers is compiled with, the optimizer itself in it."""
    import keras

    arguments: dict[str, Any] = keras.saving.deserialize_keras_object(model.get_compile_config())
    return arguments | {"optimizer": model.optimizer}


def _loss_of(model: keras.Model, override: str | None) -> tuple[dict[str, Any] | str | None, float]:
    """Find the loss of a model, serialized, and what the training configuration weights it by."""
    if override is not None:
        try:
            return _serialize(override), 1.0
        except ValueError as error:
            raise ModelError(f"-loss {override}: Keras has no loss of that name") from error
    if not model.compiled:
        return None, 1.0
    config = model.get_compile_config() or {}
    loss, weight = _only(config.get("loss")), _only(config.get("loss_weights"))
    if loss is None:
        return None, 1.0
    try:
        return _serialize(loss), 1.0 if weight is None else float(weight)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            "the loss that the model is compiled with, or the weight of it, cannot be read: "
            f"{first_line(error)}; -loss names one"
        ) from error


def _serialize(loss: Any) -> dict[str, Any] | str:
    """Serialize a loss: a function as its name, an object as its configuration.

    Raises:
        ValueError: Keras has no such loss.
    """
    import keras

    found = keras.losses.get(loss)
    if isinstance(found, keras.losses.Loss):
        config: dict[str, Any] = keras.losses.serialize(found)
        return config
    return str(found.__name__)


def _only(value: Any) -> Any:
    """Take the one member out of the list or dict that Keras allows for one output."""
    if isinstance(value, list | tuple) and len(value) == 1:
        return value[0]
    if isinstance(value, dict) and len(value) == 1 and "class_name" not in value:
        return next(iter(value.values()))
    return value


def _meaning(
    model: keras.Model,
    loss: dict[str, Any] | str | None,
    task: Task,
    num_labels: int,
    num_classes: int | None = None,
) -> OneMeaning:
    shape = tuple(model.outputs[0].shape)
    if len(shape) != 2 or shape[1] is None:
        raise ModelError(
            f"the model's output has the shape {shape}; irisspark evaluates models that put out "
            "one number for each class, (rows, classes)"
        )
    name, from_logits = _loss_name(loss)
    activation = _activation(model, name, from_logits=from_logits)
    meaning = resolve(
        shape[1], activation, name, from_logits=from_logits, task=task, num_labels=num_labels
    )
    _check_num_classes(num_classes, meaning)
    return meaning


def _task_notes(meaning: Meaning) -> tuple[str, ...]:
    """Say which task it is, or each of several outputs, and why."""
    if not isinstance(meaning, JointMeaning):
        note = _task_note(meaning)
        return () if note is None else (note,)
    named = ((part.name, _task_note(part.meaning)) for part in meaning.parts)
    return tuple(f"the output {name}: {note}" for name, note in named if note is not None)


def _task_note(meaning: OneMeaning) -> str | None:
    """Say which task it is, and why; None where it is what it always was."""
    if isinstance(meaning, OutputMeaning):
        if meaning.other_task is not None:
            return (
                f"the {meaning.num_units} numbers of a row are taken for those of classes; "
                f"-task {meaning.other_task} predicts each by itself"
            )
        is_one_hot = meaning.one_hot_labels
        return f"the classes are one-hot labels: {meaning.why}" if is_one_hot else None
    what = "a regression" if isinstance(meaning, RegressionMeaning) else "several labels"
    return f"the task is {what}: {meaning.why}"


def _loss_name(loss: dict[str, Any] | str | None) -> tuple[str | None, bool]:
    """Give a serialized loss's name in snake case, and whether it takes logits."""
    import keras

    if loss is None:
        return None, False
    built = keras.losses.get(loss)
    settings = loss["config"] if isinstance(loss, dict) else {}
    function = getattr(built, "fn", built)
    name = getattr(function, "__name__", type(built).__name__)
    return name, bool(settings.get("from_logits", False))


def _activation(model: keras.Model, loss: str | None, *, from_logits: bool) -> str | None:
    """Name the activation that the output is as good as, by what is known of its numbers."""
    found = output_range(model)
    if found.probabilities:
        return "softmax"
    if not found.unit_interval or found.name in SIGMOIDS:
        return found.name
    # Numbers cut to between 0 and 1 may be anything; those that activations put there are scores.
    cut = found.name in _CUTS and (from_logits or loss in REGRESSION_LOSSES)
    return found.name if cut else "sigmoid"


def _check_num_classes(num_classes: int | None, meaning: OneMeaning) -> None:
    if isinstance(meaning, LabelsMeaning) and num_classes is not None:
        raise ModelError(
            f"-numClasses {num_classes}, but the model tells several labels, and no classes: "
            f"{meaning.why}"
        )
    if isinstance(meaning, RegressionMeaning) and num_classes is not None:
        raise ModelError(
            f"-numClasses {num_classes}, but the model is a regression, which has no classes: "
            f"{meaning.why}; for a classifier saved without its loss, pass "
            "-loss binary_crossentropy"
        )
    if not isinstance(meaning, OutputMeaning):
        return
    if num_classes is not None and num_classes != meaning.num_classes:
        raise ModelError(
            f"-numClasses {num_classes}, but the model's output has {meaning.num_units} "
            f"unit{'s' if meaning.num_units > 1 else ''}, which means {meaning.num_classes} classes"
        )


def _is_half_precision(model: keras.Model) -> bool:
    """Tell whether any layer computes with 16 bits."""
    return any(layer.compute_dtype in _HALF for layer in keras_private.layers_of(model))


def _values_per_row(model: keras.Model) -> int:
    total = 0
    for layer in keras_private.layers_of(model):
        try:
            shape = layer.output.shape[1:]
        except (AttributeError, ValueError):
            continue
        size = 1
        for dimension in shape:
            size *= dimension or 1
        total += size
    return total
