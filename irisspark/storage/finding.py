"""What the user's paths mean: files shipped with ``--files``, or places that ``locate`` knows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence

from pyarrow.fs import FileInfo, FileType

from irisspark.errors import DataError, ModelError
from irisspark.storage.globs import (
    expand_braces,
    is_pattern,
    literal_name,
    name_matcher,
    split_list,
)
from irisspark.storage.location import Location, local_path, locate, may_read, reason
from irisspark.storage.opening import DataFile
from irisspark.storage.places import files_of, missing_of

Resolve = Callable[[str], str]


def find_model(path: str, shipped: Sequence[str], resolve: Resolve) -> str:
    """Find a model on this machine: a file shipped with ``--files``, or a local one.

    Args:
        path: What the user named; ``model.json,weights.h5`` names a pair.
        shipped: Names of the files that ``--files`` shipped.
        resolve: From such a name to its path here (``SparkFiles.get``).

    Raises:
        ModelError: There is no such file.
    """

    def exists(part: str) -> bool:
        return part in shipped or locate(part).exists

    try:
        parts = files_of(path, exists)
        if len(parts) == 1 and not exists(path):
            parts = (missing_of(path, exists),)
        return ",".join(_find_one(part, shipped, resolve) for part in parts)
    except OSError as error:
        raise ModelError(f"-modelPath {path}: {reason(error)}") from error


def _find_one(path: str, shipped: Sequence[str], resolve: Resolve) -> str:
    if path in shipped:
        return resolve(path)
    if not locate(path).exists:
        raise ModelError(_not_found("-modelPath", path, shipped))
    return local_path(path)


def find_data(path: str, shipped: Sequence[str], resolve: Resolve) -> list[DataFile]:
    """List the data files that a path means, in the order of their rows.

    Args:
        path: A name shipped with ``--files``, a file, folder or glob, or several with commas.
        shipped: Names of the files that ``--files`` shipped.
        resolve: From such a name to its path here.

    Raises:
        DataError: There is no such file, it cannot be read, or a folder holds none.
    """
    try:
        whole = path in shipped or locate(path).exists
        parts = [path] if whole else [part.strip() for part in split_list(path)]
        found = (_find_files(part, shipped, resolve) for part in parts if part)
        return [file for files in found for file in files]
    except OSError as error:
        raise DataError(f"-dataPath {path}: {reason(error)}") from error


def _find_files(path: str, shipped: Sequence[str], resolve: Resolve) -> list[DataFile]:
    if path in shipped:
        return [DataFile(path, locate(resolve(path)).info().size, shipped=True)]
    location = locate(path)
    info = location.info()
    if info.type != FileType.NotFound:
        return _files_of(location, info)
    matches = list(_matches(path)) if is_pattern(path) else []
    if not matches:
        raise DataError(_not_found("-dataPath", path, shipped))
    return [file for match in matches for file in _files_of(*match)]


def _files_of(location: Location, info: FileInfo) -> list[DataFile]:
    if info.type == FileType.Directory:
        return _list_folder(location)
    return [_data_file(location, info)]


def _list_folder(folder: Location) -> list[DataFile]:
    """List the data files of a folder as Spark does: not those that begin with ``_`` or ``.``."""
    files = [
        _data_file(folder / info.base_name, info)
        for info in folder.children()
        if info.type == FileType.File and not _is_hidden(info.base_name)
    ]
    if not files:
        raise DataError(
            f"-dataPath {folder.path}: the folder holds no data files "
            "(names that begin with _ or . do not count, nor do folders in it)"
        )
    return files


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def _data_file(location: Location, info: FileInfo) -> DataFile:
    if info.type != FileType.File:
        raise DataError(f"-dataPath {location.path} is neither a file nor a folder")
    if not may_read(location):
        raise DataError(
            f"-dataPath {location.path}: the file may not be read; look at its permissions"
        )
    return DataFile(location.path, info.size, filesystem=location.filesystem)


def _matches(pattern: str) -> Iterator[tuple[Location, FileInfo]]:
    """Give what a pattern means, in the order of the paths, each once."""
    found: dict[str, tuple[Location, FileInfo]] = {}
    for one in expand_braces(local_path(pattern)):
        root, names = locate("/" if one.startswith("/") else ""), re.split(r"/+", one.strip("/"))
        for location, info in _below(root, names):
            found.setdefault(location.path, (location, info))
    yield from (found[path] for path in sorted(found))


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
        location = locate((folder / literal_name(name)).path)
        if (info := location.info()).type != FileType.NotFound:
            yield location, info
        return
    for info in folder.children():
        asked = name.startswith(info.base_name[:1])
        if matcher.fullmatch(info.base_name) and (asked or not _is_hidden(info.base_name)):
            yield folder / info.base_name, info


def _not_found(option: str, path: str, shipped: Sequence[str]) -> str:
    names = f"--files shipped {', '.join(sorted(shipped))}" if shipped else "--files shipped none"
    return (
        f"{option} {path}: there is no such file in {os.getcwd()}, "
        f"and {names}; give a full path, or ship the file with --files"
    )
