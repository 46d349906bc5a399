"""A file of Keras 3 in any of its forms, as Keras's own functions take it.

A ``.keras`` (packed or unpacked), an ``.h5``, or the pair of ``to_json()`` and ``save_weights()``.
"""

from __future__ import annotations

import contextlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.containers import json_text, sniffing
from irisspark.keras_import.containers.archives import CONFIG, METADATA, WEIGHTS, unpack
from irisspark.keras_import.containers.hdf5 import check_all, open_file
from irisspark.keras_import.containers.stored import is_of_keras_3, read_keras_3_h5
from irisspark.keras_import.containers.zipped import check_weights
from irisspark.model import keras_private
from irisspark.model.building import without_training
from irisspark.model.strangers import without_strangers
from irisspark.storage.places import INDEX_SUFFIX, files_of
from irisspark.temporary import temporary_folder

# Arrays are floats of four bytes, or smaller; those in a zip may be compressed.
_MAX_GROWTH = 4


@dataclass(frozen=True)
class Keras3File(ABC):
    """A file that has been checked as far as that goes without Keras.

    Attributes:
        config: The model's configuration as the file has it, with no model in it compiled.
        training: How it was trained; None where the file does not say.
        size: Numbers that the file can hold at most.
        tables: Whether there are tables of lookups in the file.
        notes: What of the configuration is left out, a line each.
        place: Where Keras reads the arrays from.
    """

    config: Mapping[str, Any]
    training: Mapping[str, Any] | None
    size: int
    tables: bool
    place: str
    notes: tuple[str, ...]

    @abstractmethod
    def build(self, config: Mapping[str, Any]) -> Any:
        """Build the model of a configuration such as the file's, without its arrays."""

    @abstractmethod
    def load(self, *, safe_mode: bool) -> Any:
        """Load the model with its arrays, not compiled."""

    @abstractmethod
    def restore(self, optimizer: Any) -> bool:
        """Give a built optimizer its memory; False where what the file holds does not fit."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[Keras3File]:
    """Open a file for Keras; what has to be written for that is gone at the end.

    Raises:
        ModelError: it is damaged or unsafe.
    """
    kind = sniffing.kind_of(path)
    with temporary_folder() as folder:
        if kind == sniffing.KERAS_ZIP:
            yield _Unpacked.of(path, folder)
        elif kind == sniffing.PAIR:
            yield _Pair.of(*files_of(path), folder=folder)
        else:
            yield _H5.of(path, folder)


class _Unpacked(Keras3File):
    """A ``.keras`` file as a folder.

    A zip is unpacked: Keras reads a packed file's arrays into memory all at once, those of the
    optimizer among them, and an unpacked one's one by one.
    """

    @classmethod
    def of(cls, path: str, folder: str) -> _Unpacked:
        place = os.path.join(folder, "model")
        unpack(path, place)
        weights = os.path.join(place, WEIGHTS)
        check_weights(path, weights)
        stored = _parsed(os.path.join(place, CONFIG), f"{CONFIG} in {path}")
        config, notes = _settled(stored)
        _write(place, config)
        size = _MAX_GROWTH * os.path.getsize(weights)
        tables = any(names for _, _, names in os.walk(os.path.join(place, "assets")))
        return cls(config, _training(stored), size, tables, place, notes)

    def build(self, config: Mapping[str, Any]) -> Any:
        return _from_config(config)

    def load(self, *, safe_mode: bool) -> Any:
        import keras

        custom = keras_private.short_names()
        return keras.models.load_model(
            self.place, custom_objects=custom, compile=False, safe_mode=safe_mode
        )

    def restore(self, optimizer: Any) -> bool:
        return keras_private.restore_optimizer(optimizer, os.path.join(self.place, WEIGHTS))


class _Pair(Keras3File):
    """The text of ``to_json()`` and what ``save_weights()`` wrote, in one file or in several."""

    @classmethod
    def of(cls, text: str, weights: str, *, folder: str) -> _Pair:
        stored = _parsed(text, text)
        parts = _shards(weights) if weights.lower().endswith(INDEX_SUFFIX) else [weights]
        for part in parts:
            with open_file(part) as file:
                check_all(file)
                new = is_of_keras_3(file)
        place = os.path.abspath(weights)
        if parts == [weights]:  # Keras goes by the name
            place = os.path.join(folder, WEIGHTS if new else "weights.h5")
            os.symlink(os.path.abspath(weights), place)
        size = _MAX_GROWTH * sum(os.path.getsize(part) for part in parts)
        config, notes = _settled(stored)
        return cls(config, _training(stored), size, False, place, notes)

    def build(self, config: Mapping[str, Any]) -> Any:
        return _from_config(config)

    def load(self, *, safe_mode: bool) -> Any:
        with keras_private.safe_mode(safe_mode):
            model = _from_config(without_training(self.config))
        model.load_weights(self.place)
        return model

    def restore(self, optimizer: Any) -> bool:
        if not self.place.endswith((WEIGHTS, INDEX_SUFFIX)):
            return False
        return keras_private.restore_optimizer(optimizer, self.place)


class _H5(Keras3File):
    """An ``.h5``, as Keras 2 wrote it and Keras 3 still does."""

    @classmethod
    def of(cls, path: str, folder: str) -> _H5:
        config, training, size = read_keras_3_h5(path)
        place = os.path.join(folder, "model.h5")  # Keras goes by the name
        os.symlink(os.path.abspath(path), place)
        config, notes = _settled(config)
        return cls(config, training, size, False, place, notes)

    def build(self, config: Mapping[str, Any]) -> Any:
        return keras_private.model_of_h5_config(config)

    def load(self, *, safe_mode: bool) -> Any:
        with keras_private.safe_mode(safe_mode):
            model = keras_private.model_of_h5_config(self.config)
        model.load_weights(self.place)
        return model

    def restore(self, optimizer: Any) -> bool:
        return keras_private.restore_optimizer_of_h5(optimizer, self.place)


def _from_config(config: Mapping[str, Any]) -> Any:
    import keras

    return keras.saving.deserialize_keras_object(dict(config))


def _parsed(path: str, what: str) -> Any:
    """The configuration with its tuples still wrapped: a tuple is not a list to every layer."""
    try:
        with open(path, "rb") as file:
            config = json_text.parse(file.read(json_text.MAX_TEXT_BYTES + 1), what)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from None
    config = json_text.parse(config, what) if isinstance(config, str) else config
    if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
        raise ModelError(f"{what} is not the configuration of a Keras model: the file is damaged")
    return config


def _training(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    training = json_text.unwrap(config.get("compile_config"), "the compile_config")
    return training if isinstance(training, Mapping) else None


def _settled(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The configuration with no model compiled and nothing in it that training alone needs."""
    plain, notes = without_strangers(without_training(config))
    return plain, notes


def _write(place: str, config: Mapping[str, Any]) -> None:
    """Give Keras the configuration that was settled, in a folder that it knows as whole."""
    for name, content in ((CONFIG, config), (METADATA, {})):
        path = os.path.join(place, name)
        if os.path.islink(path):
            os.unlink(path)
        if name == CONFIG or not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(content, file)


def _shards(index: str) -> list[str]:
    """The files that hold the weights of which there is a list.

    Raises:
        ModelError: the list is damaged, or one of its files is not beside it.
    """
    listed = _read_index(index)
    names = sorted({name for value in listed.values() for name in _listed(value)})
    for name in names:
        place = os.path.join(os.path.dirname(index), name)
        if os.path.basename(name) != name or not name:
            raise ModelError(f"{index} names {name!r}, which is not beside it: it is refused")
        if not os.path.exists(place):
            raise ModelError(
                f"{index} lists {len(names)} files of weights, and {name} is not beside it: "
                "ship them all"
            )
    return [os.path.join(os.path.dirname(index), name) for name in names]


def _read_index(index: str) -> Mapping[str, Any]:
    try:
        with open(index, "rb") as file:
            listed = json_text.decode(file.read(json_text.MAX_TEXT_BYTES + 1), index)
    except OSError as error:
        raise ModelError(f"{index} cannot be read ({error.strerror})") from None
    found = listed.get("weight_map") if isinstance(listed, Mapping) else None
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{index} is not a list of weights that Keras wrote: it is damaged")
    return found


def _listed(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else [str(value)]
