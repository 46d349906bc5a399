"""Classes and functions of the user's own that a model is made of, on their way to the workers."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from irisspark.errors import OptionsError, first_line

Objects = Mapping[str, Any]
_MANY = "custom_objects"


def checked(objects: Any) -> dict[str, Any]:
    """Give the user's objects by every name that Keras may know them by.

    Raises:
        OptionsError: They are no mapping of names to classes and functions.
    """
    import keras

    if objects is None:
        return {}
    if not isinstance(objects, Mapping):
        raise OptionsError(f"{_MANY}: expected a dict of names and classes, as Keras takes it")
    for name, one in objects.items():
        if not isinstance(name, str) or not callable(one):
            raise OptionsError(f"{_MANY}: {name!r} is no name of a class or function")
    return {keras.saving.get_registered_name(one): one for one in objects.values()} | dict(objects)


def pack(objects: Objects, cloudpickle: ModuleType) -> bytes:
    """Give the bytes that workers make the objects of, those of a notebook's cells among them.

    Args:
        objects: By name; none give no bytes.
        cloudpickle: Spark's copy of the library.

    Raises:
        OptionsError: They hold what cannot travel.
    """
    if not objects:
        return b""
    try:
        packed: bytes = cloudpickle.dumps(dict(objects))
    except Exception as error:
        raise OptionsError(
            f"{_MANY}: they cannot be sent to the workers: {first_line(error)}"
        ) from error
    return packed


@contextlib.contextmanager
def scope(packed: bytes) -> Iterator[None]:
    """Let Keras find packed objects for a while."""
    if not packed:
        yield
        return
    import keras

    with keras.saving.custom_object_scope(pickle.loads(packed)):
        yield
