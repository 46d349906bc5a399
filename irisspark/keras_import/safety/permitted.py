"""The configuration of a Keras 3 file: what is in it is Keras's own, or it is refused.

Keras's loader imports the modules that a file names: only those of these tables reach it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Set
from contextvars import ContextVar
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.words import names

_MODULES = names(
    "keras keras.layers keras.initializers keras.regularizers keras.constraints "
    "keras.optimizers keras.optimizers.schedules keras.losses keras.metrics "
    "keras.activations keras.dtype_policies keras.quantizers keras.random "
    "keras.src.activations.activations keras.src.quantizers.quantizers "
    "keras.src.models.functional keras.src.models.sequential keras.src.ops.numpy "
    "keras.src.ops.nn keras.src.ops.core keras.src.ops.math keras.src.ops.image "
    "keras.src.ops.linalg keras.src.ops.einops builtins"
)
_OF_FEATURE_SPACE = "keras.src.layers.preprocessing.feature_space"
_ITS_LAYERS = names("TFDConcat TFDIdentity")
# Layers that read other files, or run code that is not Keras's.
_REFUSED = names("FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper FeatureSpace")
TABLES = names("IntegerLookup StringLookup TextVectorization")
_CODE = frozenset({"Lambda", "__lambda__"})
_FUNCTION_MODULES = frozenset({"builtins", "keras.activations", "keras.losses", "keras.metrics"})
_KNOWN: ContextVar[Set[str] | None] = ContextVar("known", default=None)


@contextlib.contextmanager
def knowing(known: Set[str]) -> Iterator[None]:
    """Let classes of these names pass for a while: a program has given them, with their code."""
    token = _KNOWN.set(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def check_config(config: Any, path: str, *, trust: bool) -> None:
    """Refuse what is not Keras's own.

    Args:
        config: a parsed configuration.
        path: the file, for the message.
        trust: let Lambda layers pass.

    Raises:
        ModelError: names the class and the layer that holds it.
    """
    for layer, node in _objects(config, ""):
        class_name, module = str(node["class_name"]), node.get("module")
        where = f"{path}: layer {layer!r}" if layer else path
        if class_name in _CODE and not trust:
            raise ModelError(
                f"{where} is a Lambda, whose code would run here: "
                "-trustModel true allows it, if you know where the file is from"
            )
        if class_name in _REFUSED:
            raise ModelError(f"{where} is a {class_name}, which is not opened from a file")
        if class_name in TABLES and isinstance(_vocabulary(node), str):
            raise ModelError(
                f"{where} reads its vocabulary from {_vocabulary(node)!r}, outside the model file: "
                "save the model with the vocabulary in it, as a list"
            )
        known, registered = _KNOWN.get(), node.get("registered_name")
        if known and (class_name in known or registered in known):
            continue
        if not _is_own(class_name, module, registered, node.get("config")):
            name = class_name.rpartition(">")[2]
            hint = "" if known is None else f"; pass custom_objects={{{name!r}: {name}}}"
            raise ModelError(
                f"{where} holds {class_name!r}"
                + (f" of {module}" if module else "")
                + f", which is not Keras's own: a model file does not hold its code{hint}"
            )


def check_tables(config: Any, path: str) -> None:
    """Refuse lookups whose tables a file does not hold: an ``.h5`` has no room for adapted ones.

    Raises:
        ModelError: names the layer; Keras itself would take every word for an unknown one.
    """
    for layer, node in _objects(config, ""):
        if str(node["class_name"]) in TABLES and _vocabulary(node) is None:
            raise ModelError(
                f"{path}: the table of layer {layer!r} ({node['class_name']}) is not in the file: "
                "save the model with model.save('model.keras'), which keeps it"
            )


def _vocabulary(node: Mapping[str, Any]) -> Any:
    config = node.get("config")
    return config.get("vocabulary") if isinstance(config, Mapping) else None


def _is_own(class_name: str, module: Any, registered: Any, config: Any) -> bool:
    for name in (str(registered or ""), class_name):  # a package of the user's, such as mine>Focal
        if ">" in name and not name.startswith("keras"):
            return False
    if class_name == "function":
        return (
            str(module) in _FUNCTION_MODULES
            and str(config).isidentifier()
            and not registered_custom(registered, config)
        )
    if module == _OF_FEATURE_SPACE:  # what its inference model is made of
        return class_name in _ITS_LAYERS
    return module is None or str(module) in _MODULES  # a damaged file has anything there


def registered_custom(registered: Any, config: Any) -> bool:
    """Whether a function was registered under another name than its own."""
    return registered not in (None, config, "function")


def _objects(value: Any, layer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, layer)
    if isinstance(value, Mapping):
        config = value.get("config")
        own = config.get("name") if isinstance(config, Mapping) else None
        layer = str(own) if own else layer
        if "class_name" in value:
            yield layer, value
        for item in value.values():
            yield from _objects(item, layer)
