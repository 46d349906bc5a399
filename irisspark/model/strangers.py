"""What of the user's own code a layer's configuration names and no prediction needs.

Initializers, regularizers and constraints steer training alone: the arrays are in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.model.stored_training import name_of, why_not

_KINDS = ("initializer", "regularizer", "constraint")


def without_strangers(config: Any) -> tuple[Any, tuple[str, ...]]:
    """Leave out what is not Keras's own of a configuration, and say it, a line each."""
    notes: dict[str, None] = {}
    return _without(config, "", notes), tuple(notes)


def _without(value: Any, layer: str, notes: dict[str, None]) -> Any:
    if isinstance(value, list):
        return [_without(item, layer, notes) for item in value]
    if not isinstance(value, Mapping):
        return value
    layer = str(value.get("name") or layer)
    return {key: _settled(key, item, layer, notes) for key, item in value.items()}


def _settled(key: str, value: Any, layer: str, notes: dict[str, None]) -> Any:
    kind = key.rsplit("_", 1)[-1]
    if kind not in _KINDS or value is None:
        return _without(value, layer, notes)
    reason = why_not(value, lambda leaf: _read(kind, leaf))
    if reason is None:
        return value
    notes[f"layer {layer!r}: the {kind} {name_of(value)} is left out: {reason}"] = None
    return "zeros" if kind == "initializer" else None


def _read(kind: str, value: Any) -> Any:
    import keras

    return getattr(keras, f"{kind}s").get(value)
