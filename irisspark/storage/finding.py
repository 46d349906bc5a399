"""What the user's paths mean: files shipped with ``--files``, or places that ``locate`` knows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn
from urllib.parse import unquote

from pyarrow.fs import FileInfo, FileType

from irisspark.errors import LOST_LETTERS, DataError, ModelError, has_all_letters
from irisspark.storage.globs import (
    expand_braces,
    is_pattern,
    literal_name,
    name_matcher,
    split_list,
)
from irisspark.storage.location import (
    Locate,
    Location,
    locate,
    may_read,
    reason,
)
from irisspark.storage.opening import DataFile
from irisspark.storage.places import files_of, missing_of
from irisspark.storage.uris import local_path, split_root

Resolve = Callable[[str], str]
_KEY = re.compile(r"([^=]+)=(.+)", re.DOTALL)
"""A partition folder of Spark and Hive, which write what a path cannot hold as ``%2F``."""


def find_model(
    path: str, shipped: Mapping[str, str], resolve: Resolve, place: Locate = locate
) -> tuple[str | Location, ...]:
    """Find a model: a file shipped with ``--files``, or one that this machine can read.

    Args:
        path: What the user named; ``model.json,weights.h5`` names a pair.
        shipped: Names of what ``--files`` and ``--archives`` shipped, to those that Spark knows;
            the folders of archives end in ``/``.
        resolve: From such a name to its path here (``SparkFiles.get``).
        place: Where a path that was not shipped leads.

    Returns:
        The one file or folder, or the two files of a pair: those of this disk by their paths.

    Raises:
        ModelError: There is no such file.
    """

    def find(part: str) -> str | Location | None:
        if part in shipped:
            return resolve(shipped[part])
        name = _shipped_name(part, shipped)
        places = _places(part, place) if name is None else [locate(resolve(name))]
        found = next((location for location in places if location.exists), None)
        if found is None or not found.is_local:
            return found
        return local_path(part) if name is None else resolve(name)

    def exists(part: str) -> bool:
        return find(part) is not None

    try:
        parts = files_of(path, exists)
        if len(parts) == 1 and not exists(path):
            parts = (missing_of(path, exists),)
        found = [(part, find(part)) for part in parts]
    except OSError as error:
        raise ModelError(f"-modelPath {path}: {_told(error, path, place)}") from error
    for part, location in found:
        if location is None:
            _check_root_of_model(part, place)
            raise ModelError(_not_found("-modelPath", part, shipped))
    return tuple(location for _, location in found if location is not None)


def _places(path: str, place: Locate) -> list[Location]:
    """List where a path that somebody is to read may lead: on Hadoop's filesystem, or this disk."""
    first = place(path)
    return [first] if first.is_local or split_root(path)[0] else [first, locate(path)]


def _shipped_name(path: str, shipped: Mapping[str, str]) -> str | None:
    """Give what Spark calls a shipped file, or what lies in a shipped archive; None for neither."""
    folder = f"{path.split('/')[0]}/"
    return shipped.get(path, path if folder in shipped else None)


def find_data(
    path: str, shipped: Mapping[str, str], resolve: Resolve, place: Locate = locate
) -> list[DataFile]:
    """List the data files that a path means, in the order of their rows.

    Args:
        path: A name shipped with ``--files``, a file, folder or glob, or several with commas.
        shipped: Names of what ``--files`` and ``--archives`` shipped, to those that Spark knows;
            the folders of archives end in ``/``.
        resolve: From such a name to its path here.
        place: Where a path that was not shipped leads.

    Raises:
        DataError: There is no such file, it cannot be read, a folder holds none, or a pattern is
            none.
    """
    try:
        whole = path in shipped or any(found.exists for found in _places(path, place))
        parts = [path] if whole else [part.strip() for part in split_list(path)]
        found = (_find_files(part, shipped, resolve, place) for part in parts if part)
        return [file for files in found for file in files]
    except OSError as error:
        raise DataError(f"-dataPath {path}: {_told(error, path, place)}") from error
    except re.error as error:
        raise DataError(f"-dataPath {path} is no pattern: {error.msg}") from error


def _find_files(
    path: str, shipped: Mapping[str, str], resolve: Resolve, place: Locate
) -> list[DataFile]:
    name = _shipped_name(path, shipped)
    if name is None:
        return _found_anywhere(path, place) or _fail(path, shipped, place)
    root = resolve(".")
    return [
        replace(file, path=os.path.relpath(file.path, root), shipped=True)
        for file in _found_at(resolve(name), locate) or _fail(path, shipped, place)
    ]


def _found_anywhere(path: str, place: Locate) -> list[DataFile]:
    found = _found_at(path, place)
    if found or split_root(path)[0] or place("").is_local:
        return found
    return _found_at(path, locate)


def _fail(path: str, shipped: Mapping[str, str], place: Locate) -> NoReturn:
    _check_root(path, place)
    raise DataError(_not_found("-dataPath", path, shipped))


def _found_at(path: str, place: Locate) -> list[DataFile]:
    location = place(path)
    info = location.info()
    if info.type != FileType.NotFound:
        return _files_of(location, info)
    matches = _matches(path, place) if is_pattern(path) else ()
    return [file for match in matches for file in _files_of(*match)]


def _files_of(location: Location, info: FileInfo) -> list[DataFile]:
    if info.type == FileType.Directory:
        return _list_folder(location)
    return [_data_file(location, info)]


def _list_folder(folder: Location) -> list[DataFile]:
    """List the data files of a folder as Spark does: not those that begin with ``_`` or ``.``."""
    files = [*_files_below(folder, ())]
    if not files:
        raise DataError(
            f"-dataPath {folder}: the folder holds no data files (names that begin with _ "
            "or . do not count, nor do folders in it but for those like year=2024)"
        )
    return files


def _files_below(folder: Location, keys: tuple[tuple[str, str], ...]) -> Iterator[DataFile]:
    """Give the files of a folder, and those of the partition folders in it."""
    for info in folder.children():
        place, name = folder / info.base_name, str(info.base_name)
        if _is_hidden(name):
            continue
        if info.type == FileType.File:
            yield replace(_data_file(place, info), keys=keys)
        elif info.type == FileType.Directory and (key := _KEY.fullmatch(name)):
            yield from _files_below(place, (*keys, (unquote(key[1]), unquote(key[2]))))


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def _data_file(location: Location, info: FileInfo) -> DataFile:
    if info.type != FileType.File:
        raise DataError(f"-dataPath {location} is neither a file nor a folder")
    if not may_read(location):
        raise DataError(f"-dataPath {location}: the file may not be read; look at its permissions")
    return DataFile(
        str(location),
        info.size,
        location=None if location.is_local else location,
        modified=info.mtime_ns,
        planned=time.time_ns(),
        carried=not location.travels,
    )


def _matches(pattern: str, place: Locate) -> Iterator[tuple[Location, FileInfo]]:
    """Give what a pattern means, in the order of the paths, each once."""
    found: dict[tuple[str, str], tuple[Location, FileInfo]] = {}
    for one in expand_braces(local_path(pattern)):
        root, path = split_root(one)
        top = place(f"{root}/" if root or path.startswith("/") else "")
        names = re.split(r"/+", path.strip("/"))
        for location, info in _below(top, names):
            found.setdefault((location.path, location.root), (location, info))
    yield from (found[key] for key in sorted(found))


def _below(folder: Location, names: Sequence[str]) -> Iterator[tuple[Location, FileInfo]]:
    """Give what the names of a pattern, one a folder, mean below a folder."""
    name, *rest = names
    for location, info in _named(folder, name):
        if not rest:
            yield location, info
        elif info.type == FileType.Directory:
            yield from _below(location, rest)


def _named(folder: Location, name: str) -> Iterator[tuple[Location, FileInfo]]:
    matcher = name_matcher(name)
    if matcher is None:
        location = folder / literal_name(name)
        if (info := location.info()).type != FileType.NotFound:
            yield location, info
        return
    for info in folder.children():
        asked = name.startswith(info.base_name[:1])
        if matcher.fullmatch(info.base_name) and (asked or not _is_hidden(info.base_name)):
            yield folder / info.base_name, info


def _check_root(path: str, place: Locate) -> None:
    """Look whether there is a place of which a URI names a part: a bucket, for one.

    An object store says of what is in no bucket that it is not there, and no more.

    Raises:
        OSError: There is not.
    """
    root = split_root(path)[0]
    if root:
        place(f"{root}/").children()


def _told(error: OSError, path: str, place: Locate) -> str:
    """Say why something failed: an object store says it better of a bucket than of a file."""
    if "ACCESS_DENIED" in str(error):
        try:
            _check_root(path, place)
        except OSError as better:
            return reason(better)
    return reason(error)


def _check_root_of_model(path: str, place: Locate) -> None:
    try:
        _check_root(path, place)
    except OSError as error:
        raise ModelError(f"-modelPath {path}: {reason(error)}") from error


def _not_found(option: str, path: str, shipped: Mapping[str, str]) -> str:
    if split_root(path)[0]:
        return f"{option} {path}: there is no such file"
    names = f"shipped {', '.join(sorted(shipped))}" if shipped else "shipped none"
    if not has_all_letters() and re.search("[?\ufffd]", path):
        return f"{option} {path}: there is no such file in {os.getcwd()}; {LOST_LETTERS}"
    return (
        f"{option} {path}: there is no such file in {os.getcwd()}, "
        f"and --files {names}; give a full path, or ship the file with --files"
    )
