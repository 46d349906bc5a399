"""How a Keras 3 file says that its model was trained, as far as Keras reads it by itself.

A file names functions and classes of the user's own and does not hold their code: each is left out,
and said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from irisspark.errors import ModelError, first_line
from irisspark.keras_import.safety.permitted import check_config
from irisspark.model import keras_private

# What Keras keeps beside loss, metrics and optimizer, each a plain value.
_PLAIN = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")
_BY_NAME = frozenset({"accuracy", "acc", "crossentropy", "ce"})  # Keras finds out which it is
_RATE = "learning_rate"
_NOT_OWN = "it is not Keras's own, and a model file does not hold its code"
_UNKNOWN = ("locate", "Unknown", "interpret", "Could not")  # how Keras says that it has no such


@dataclass(frozen=True)
class StoredTraining:
    """What of a training configuration can be used.

    Attributes:
        arguments: Of ``keras.Model.compile``.
        keeps_memory: Whether the optimizer is the one whose memory the file holds.
    """

    arguments: Mapping[str, Any]
    keeps_memory: bool


def read_training(
    stored: Mapping[str, Any] | None, *, for_training: bool
) -> tuple[StoredTraining | None, tuple[str, ...]]:
    """Read a training configuration piece by piece.

    Args:
        stored: As parsed; None where the file has none.
        for_training: Whether the optimizer and the metrics are wanted, beside the loss.

    Returns:
        What can be used, None where the loss cannot, and what is left out, a line each.
    """
    if not stored:
        return None, ()
    bad = [(leaf, reason) for leaf in _leaves(stored.get("loss")) if (reason := why_not(leaf))]
    if bad:
        names = ", ".join(name_of(leaf) for leaf, _ in bad)
        return None, (f"the training configuration (loss: {names}) is left out: {bad[0][1]}",)
    notes: list[str] = []
    try:
        arguments: dict[str, Any] = {
            "optimizer": None,
            "loss": _map_leaves(stored.get("loss"), _loss),
            "loss_weights": _map_leaves(stored.get("loss_weights"), _number),
        }
    except (TypeError, ValueError) as error:
        reason = first_line(error)
        return None, (f"the training configuration is left out, as it is no Keras's: {reason}",)
    metrics = {name: _metrics(stored.get(name), notes) for name in ("metrics", "weighted_metrics")}
    optimizer, keeps_memory = _optimizer(stored, for_training, notes)
    if for_training:
        plain = {name: stored[name] for name in _PLAIN if name in stored}
        arguments |= metrics | {"optimizer": optimizer} | plain
    return StoredTraining(arguments, keeps_memory), tuple(notes)


def _loss(leaf: Any) -> Any:
    import keras

    with keras.saving.custom_object_scope(keras_private.short_names()):
        found = keras.losses.get(deepcopy(leaf))
    if not callable(found) or isinstance(found, type):
        raise ValueError("it is no loss")
    return leaf if isinstance(leaf, str) else found


def _metric(leaf: Any) -> Any:
    import keras

    if isinstance(leaf, str) and leaf in _BY_NAME:
        return leaf
    with keras.saving.custom_object_scope(keras_private.short_names()):
        found = keras.metrics.get(deepcopy(leaf))
    if not callable(found) or isinstance(found, type):
        raise ValueError("it is no metric")
    return leaf if isinstance(leaf, str) else found


def _number(leaf: Any) -> float:
    import keras

    value = keras.saving.deserialize_keras_object(leaf) if isinstance(leaf, Mapping) else leaf
    return float(value)


def _metrics(stored: Any, notes: list[str]) -> Any:
    """The metrics that Keras has, in the lists and dictionaries that they are in."""
    if stored is None or _is_leaf(stored):
        reason = why_not(stored, _metric) if stored is not None else None
        if reason:
            notes.append(f"the metric {name_of(stored)} is left out: {reason}")
        return None if stored is None or reason else _metric(stored)
    if isinstance(stored, Mapping):
        return {key: _metrics(item, notes) for key, item in stored.items()}
    found = [_metrics(item, notes) for item in stored]
    return [one for one, item in zip(found, stored, strict=True) if one is not None or item is None]


def _optimizer(stored: Mapping[str, Any], for_training: bool, notes: list[str]) -> tuple[Any, bool]:
    """The optimizer, and whether it is the file's own: else Keras's default stands in for it."""
    import keras

    leaf = stored.get("optimizer_config", stored.get("optimizer"))
    if leaf is None:
        if for_training:
            notes.append("the file names no optimizer: RMSprop, Keras's default, is used")
        return keras.optimizers.RMSprop(), False
    reason = why_not(leaf, _made_optimizer)
    if reason is None:
        return _made_optimizer(leaf), True
    plain, schedules = _without_schedules(leaf)
    if schedules and why_not(plain, _made_optimizer) is None:
        notes.append(f"the learning rate schedule {schedules[0]} is left out: {reason}")
        return _made_optimizer(plain), False
    stand_in = ", RMSprop stands in for it" if for_training else ""
    notes.append(f"the optimizer {name_of(leaf)} is left out{stand_in}: {reason}")
    return keras.optimizers.RMSprop(), False


def _made_optimizer(leaf: Any) -> Any:
    import keras

    return keras.optimizers.get(deepcopy(leaf))


def _without_schedules(value: Any) -> tuple[Any, list[str]]:
    """An optimizer's configuration without the schedules in it, and their names."""
    if not isinstance(value, Mapping):
        return value, []
    schedules: list[str] = []
    kept: dict[str, Any] = {}
    for key, item in value.items():
        if key == _RATE and isinstance(item, Mapping):
            schedules.append(name_of(item))
            continue
        kept[key], found = _without_schedules(item)
        schedules += found
    return kept, schedules


def why_not(leaf: Any, read: Callable[[Any], Any] = _loss) -> str | None:
    """Say in a line why Keras cannot read a piece by itself, None: it can."""
    try:
        check_config(leaf, "the file", trust=False)
        with keras_private.safe_mode(True):
            read(deepcopy(leaf))  # Keras changes what it is given
    except ModelError:
        return _NOT_OWN
    except Exception as error:
        found = first_line(error)
        return _NOT_OWN if any(word in found for word in _UNKNOWN) else found
    return None


def name_of(leaf: Any) -> str:
    """What the user calls a function or a class."""
    if not isinstance(leaf, Mapping):
        return "a lambda" if leaf == "<lambda>" else str(leaf).rsplit(">", 1)[-1]
    config = leaf.get("config")
    if leaf.get("class_name") == "__lambda__":
        return "a lambda"
    name = config if isinstance(config, str) else str(leaf.get("class_name"))
    return name.rsplit(">", 1)[-1]


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, list | Mapping) or (
        isinstance(value, Mapping) and "class_name" in value
    )


def _leaves(value: Any) -> Iterator[Any]:
    if value is None:
        return
    if _is_leaf(value):
        yield value
        return
    for item in value.values() if isinstance(value, Mapping) else value:
        yield from _leaves(item)


def _map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    if value is None:
        return None
    if _is_leaf(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map_leaves(item, change) for key, item in value.items()}
    return [_map_leaves(item, change) for item in value]
