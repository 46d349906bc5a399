"""JSON as the Kerases wrote it -> plain Python values, with a bound on depth and size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from irisspark.errors import ModelError

MAX_DEPTH = 160
MAX_TEXT_BYTES = 256 * 2**20

# Keras 2.1 wrote numpy values as {"type": "ndarray", "value": ...}; tf.keras wraps tuples.
_WRAPPED_LISTS = frozenset({"__tuple__", "TensorShape"})


def decode(text: str | bytes, what: str) -> Any:
    """Parse ``text`` and unwrap the values that Keras wraps.

    Args:
        text: a JSON document; bytes are UTF-8.
        what: what the text is, for the error message (``model_config of my_model.h5``).

    Raises:
        ModelError: the text is too large, too deep or not JSON.
    """
    return unwrap(parse(text, what), what)


def parse(text: str | bytes, what: str) -> Any:
    """Parse ``text`` as it is.

    Raises:
        ModelError: the text is too large, too deep or not JSON.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise ModelError(f"{what} has {len(text):,} bytes: no Keras model needs so many")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text)
    except RecursionError:
        raise ModelError(f"{what} is nested too deeply to be a Keras model") from None
    except ValueError as error:
        raise ModelError(f"{what} is not JSON ({error}): the file is damaged") from None
    unwrap(value, what)
    return value


def unwrap(value: Any, what: str, depth: int = 0) -> Any:
    """Replace Keras's wrapped tuples, shapes and numpy values in a parsed document.

    Raises:
        ModelError: the document is nested deeper than ``MAX_DEPTH``.
    """
    if depth > MAX_DEPTH:
        raise ModelError(f"{what} is nested more than {MAX_DEPTH} levels deep: no Keras model is")
    if isinstance(value, list):
        return [unwrap(item, what, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    if str(value.get("class_name")) in _WRAPPED_LISTS and isinstance(value.get("items"), list):
        return [unwrap(item, what, depth + 1) for item in value["items"]]
    if value.get("type") == "ndarray" and "value" in value:
        return unwrap(value["value"], what, depth + 1)
    return {str(key): unwrap(item, what, depth + 1) for key, item in value.items()}
