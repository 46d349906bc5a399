"""What every model goes through while it is built from a stranger's file, of whichever Keras."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from irisspark.errors import IrissparkError, ModelError, first_line
from irisspark.keras_import.safety.permitted import TABLES
from irisspark.model import keras_private

# Numbers a row that a layer may put out: beyond any model that a CPU can run.
MAX_OUTPUT_SIZE = 2**30
# How Keras begins to say that it could not load something.
_OF_ONE_LAYER = re.compile(r"for object <(\w+) name=([^,>]+)[^\n]*\s+(.{1,300})")
# How it says that it has no such thing.
_STRANGER = re.compile(
    r"(?:Could not locate (?:class|function) |Unknown layer: |object of type )['`](\w+)['`]"
)
_Built = TypeVar("_Built")


def translate_errors(path: str, work: Callable[[], _Built]) -> _Built:
    """Run Keras's own code; what it raises becomes one message for the user.

    Raises:
        ModelError: Keras cannot rebuild the model.
    """
    try:
        return work()
    except IrissparkError:
        raise
    except RecursionError:
        raise ModelError(f"the model in {path} is nested too deeply to be rebuilt") from None
    except Exception as error:
        raise ModelError(f"Keras cannot rebuild the model in {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What is wrong with which layer, where arrays or a table of it cannot be read."""
    stranger = _STRANGER.search(str(error))
    if stranger is not None:
        return (
            f"it holds {stranger[1]!r}, which is not Keras's own: a model file does not hold its "
            "code"
        )
    found = _OF_ONE_LAYER.search(str(error))
    if found is None:
        return first_line(error)
    kind, name, reason = found.groups()
    if kind in TABLES:
        return f"the table of layer {name!r} ({kind}) is not in the file"
    return f"layer {name!r} ({kind}): {reason}"


def checked(
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


def check_outputs(model: Any) -> None:
    """Refuse a model with a layer that no computer runs.

    Raises:
        ModelError: names the layer.
    """
    for layer in getattr(model, "layers", ()):
        for tensor in keras_private.outputs_of(layer):
            size = int(np.prod([float(n or 1) for n in tensor.shape[1:]]))
            if size > MAX_OUTPUT_SIZE:
                raise ModelError(
                    f"layer {layer.name!r} puts out {size:,} numbers for a row: "
                    "no computer runs that"
                )
        check_outputs(layer)


def derive_state(model: Any) -> None:
    """Let every layer work out what it computes with from the weights that it was given.

    Keras itself does so for the layers of the outermost model alone where it reads an ``.h5``.
    """
    for layer in keras_private.layers_of(model):
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()


def without_state(value: Any) -> Any:
    """The configuration with every recurrent layer made stateless, and no model in it compiled.

    Neither a layer's states nor an optimizer's variables can wait for their values.
    """
    return _replaced(value, {"stateful": False, "compile_config": None})


def without_training(value: Any) -> Any:
    """The configuration with no model in it compiled, the outermost and the nested ones."""
    return _replaced(value, {"compile_config": None})


def _replaced(value: Any, replacements: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: replacements[key] if key in replacements else _replaced(item, replacements)
            for key, item in value.items()
        }
    return [_replaced(item, replacements) for item in value] if isinstance(value, list) else value
