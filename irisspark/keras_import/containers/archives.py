"""The zip that Keras 3 writes (``.keras``): checked before Keras opens it."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.containers import json_text

# Weights hardly compress, and Keras stores them as they are.
MAX_RATIO = 100
_FREE_BYTES = 2**20
WEIGHTS = "model.weights.h5"
_MEMBERS = frozenset({"config.json", "metadata.json", WEIGHTS})


def read_keras_zip(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The configuration and the metadata of a ``.keras`` file, after its members are checked.

    Raises:
        ModelError: the archive is damaged, a bomb, or holds what no Keras puts into one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check(member, path)
            config = json_text.decode(archive.read("config.json"), f"config.json in {path}")
            metadata = json_text.decode(archive.read("metadata.json"), f"metadata.json in {path}")
    except (
        zipfile.BadZipFile,
        KeyError,
        OSError,
        RuntimeError,
        NotImplementedError,
        EOFError,
    ) as e:
        raise ModelError(f"{path} is a damaged .keras file ({e})") from None
    if not isinstance(config, Mapping) or not isinstance(metadata, Mapping):
        raise ModelError(f"{path} is a zip, but not of a Keras model: its config.json is no model")
    return config, metadata


def has_assets(path: str) -> bool:
    """Whether a ``.keras`` file that has been checked holds tables of its layers."""
    with zipfile.ZipFile(path) as archive:
        return any(name.startswith("assets/") for name in archive.namelist())


def unpack(path: str, folder: str) -> None:
    """Unpack a ``.keras`` file into a new folder, once its members have been checked.

    Raises:
        ModelError: a member is damaged, or what no Keras writes, or there is no room.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check(member, path)
            archive.extractall(folder)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error) as e:
        raise ModelError(f"{path} is a damaged .keras file ({e})") from None
    except OSError as error:
        raise ModelError(
            f"{path} cannot be unpacked into {os.path.dirname(folder)}: "
            f"{error.strerror or error}; set TMPDIR to a folder with more room"
        ) from error


def _check(member: zipfile.ZipInfo, path: str) -> None:
    name = member.filename
    if name.startswith(("/", "\\")) or ".." in name.split("/") or "\\" in name:
        raise ModelError(f"{path} holds a file {name!r} outside itself: the file is refused")
    if name not in _MEMBERS and not name.startswith("assets"):
        raise ModelError(f"{path} holds {name!r}, which no Keras writes: the file is refused")
    if member.file_size > _FREE_BYTES and member.file_size > MAX_RATIO * member.compress_size:
        raise ModelError(
            f"{path}: {name!r} unpacks to {member.file_size:,} bytes from "
            f"{member.compress_size:,}: the file is refused"
        )
