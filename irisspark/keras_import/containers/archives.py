"""A ``.keras`` file, packed or unpacked: checked before Keras opens it.

What other programs add when they pack it again (a Mac's ``__MACOSX``, a folder around everything)
is passed over.
"""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from irisspark.errors import ModelError, first_line
from irisspark.keras_import.containers import json_text

# Weights hardly compress, and Keras stores them as they are.
MAX_RATIO = 100
_FREE_BYTES = 2**20
CONFIG, METADATA, WEIGHTS, ASSETS = "config.json", "metadata.json", "model.weights.h5", "assets"
_MEMBERS = frozenset({CONFIG, METADATA, WEIGHTS})
_COPIED_BYTES = 2**20
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
# What is damaged shows as any of these, by where the damage lies.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def read_keras_zip(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The configuration and the metadata of a ``.keras`` file or folder, its members checked.

    Raises:
        ModelError: it is damaged, a bomb, or reaches outside itself.
    """
    read = _read_folder if os.path.isdir(path) else _read_zip
    texts = read(path)
    config = json_text.decode(texts[CONFIG], f"{CONFIG} in {path}")
    metadata = json_text.decode(texts.get(METADATA, b"{}"), f"{METADATA} in {path}")
    if not isinstance(config, Mapping) or not isinstance(metadata, Mapping):
        raise ModelError(f"{path} is a zip, but not of a Keras model: its {CONFIG} is no model")
    return config, metadata


def _read_zip(path: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            names = [name for name in (CONFIG, METADATA) if name in members]
            return {name: archive.read(members[name]) for name in names}
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error})") from None
    except _DAMAGED as error:
        raise _damaged(path, error) from None


def _read_folder(path: str) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    for name in (CONFIG, METADATA):
        place = os.path.join(path, name)
        if not os.path.exists(place):
            continue
        try:
            with open(place, "rb") as file:
                texts[name] = file.read(json_text.MAX_TEXT_BYTES + 1)
        except OSError as error:
            raise ModelError(f"{place} cannot be read ({error.strerror or error})") from None
    return texts


def unpack(path: str, folder: str) -> None:
    """Unpack a ``.keras`` file into a new folder, once its members have been checked.

    What lies unpacked already is linked to.

    Raises:
        ModelError: a member is damaged or unsafe, or there is no room.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.isdir(path):
            _link(path, folder)
            return
        with zipfile.ZipFile(path) as archive:
            for name, member in _members(archive, path).items():
                _extract(archive, member, os.path.join(folder, name))
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise _damaged(path, error) from None
        raise ModelError(
            f"{path} cannot be unpacked into {os.path.dirname(folder)}: "
            f"{error.strerror or error}; set TMPDIR to a folder with more room"
        ) from error


def _link(path: str, folder: str) -> None:
    for name in (*_MEMBERS, ASSETS):
        source = os.path.abspath(os.path.join(path, name))
        if os.path.exists(source):
            os.symlink(source, os.path.join(folder, name))


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> None:
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with archive.open(member) as packed, open(place, "wb") as file:
        while content := packed.read(_COPIED_BYTES):
            file.write(content)


def top_of(names: Iterable[str]) -> str | None:
    """Give the folder in a zip in which a model's files lie, None: it holds no model.

    Args:
        names: of the zip's members.

    Returns:
        ``""`` where they lie in no folder, else its name with a slash behind it.
    """
    own = [name for name in names if not is_rubbish(name)]
    if CONFIG in own:
        return ""
    tops = [name.removesuffix(CONFIG) for name in own if name.count("/") == 1]
    tops = [top for top in tops if top + CONFIG in own and top + WEIGHTS in own]
    return tops[0] if len(set(tops)) == 1 else None


def is_rubbish(name: str) -> bool:
    """Whether a member of a zip is what a Mac or Windows adds for itself."""
    *folders, last = name.split("/")
    return "__MACOSX" in folders or last.startswith("._") or last in (".DS_Store", "Thumbs.db")


def _members(archive: zipfile.ZipFile, path: str) -> dict[str, zipfile.ZipInfo]:
    """The files of a model by their names in it, each checked; whatever else there is is left."""
    found: dict[str, zipfile.ZipInfo] = {}
    top = top_of(archive.namelist()) or ""
    for member in archive.infolist():
        _check_place(member.filename, path)
        if member.is_dir() or is_rubbish(member.filename):
            continue
        name = member.filename.removeprefix(top)
        if name in _MEMBERS or name.startswith(f"{ASSETS}/"):  # Keras itself looks at no other
            _check_size(member, name, path)
            found[name] = member
    if CONFIG not in found:
        raise KeyError(f"there is no {CONFIG} in it")
    return found


def _check_place(name: str, path: str) -> None:
    if name.startswith(("/", "\\")) or ".." in name.split("/") or "\\" in name or "\0" in name:
        raise ModelError(f"{path} holds a file {name!r} outside itself: the file is refused")


def _check_size(member: zipfile.ZipInfo, name: str, path: str) -> None:
    if member.file_size > _FREE_BYTES and member.file_size > MAX_RATIO * member.compress_size:
        raise ModelError(
            f"{path}: {name!r} unpacks to {member.file_size:,} bytes from "
            f"{member.compress_size:,}: the file is refused"
        )


def _damaged(path: str, error: Exception) -> ModelError:
    return ModelError(f"{path} is a damaged .keras file ({first_line(error)})")
