"""Every path that the user names: shipped with ``--files``, or local."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from irisspark.errors import DataError, IrissparkError, ModelError
from irisspark.storage.opening import DataFile

Resolve = Callable[[str], str]
Error = TypeVar("Error", bound=IrissparkError)


def local_path(path: str) -> str:
    """Take the ``file:`` off a URI; leave any other path as it is."""
    return unquote(urlsplit(path).path) if path.startswith("file:") else path


def find_model(path: str, shipped: Sequence[str], resolve: Resolve) -> str:
    """Find a model on this machine: a file shipped with ``--files``, or a local one.

    Args:
        path: What the user named; ``model.json,weights.h5`` names a pair.
        shipped: Names of the files that ``--files`` shipped.
        resolve: From such a name to its path here (``SparkFiles.get``).

    Raises:
        ModelError: There is no such file.
    """
    parts = path.split(",") if not Path(local_path(path)).exists() else [path]
    return ",".join(_find_one(part, shipped, resolve) for part in parts)


def _find_one(path: str, shipped: Sequence[str], resolve: Resolve) -> str:
    if path in shipped:
        return resolve(path)
    found = local_path(path)
    if not Path(found).exists():
        raise ModelError(_not_found("-modelPath", path, shipped))
    return found


def find_data(path: str, shipped: Sequence[str], resolve: Resolve) -> list[DataFile]:
    """List the data files that a path means, in the order of their rows.

    Args:
        path: A name shipped with ``--files``, a file, folder or glob, or several with commas.
        shipped: Names of the files that ``--files`` shipped.
        resolve: From such a name to its path here.

    Raises:
        DataError: There is no such file, it cannot be read, or a folder holds none.
    """
    if path in shipped or Path(local_path(path)).exists():
        return _find_files(path, shipped, resolve)
    return [
        file
        for part in path.split(",")
        if part.strip()
        for file in _find_files(part.strip(), shipped, resolve)
    ]


def _find_files(path: str, shipped: Sequence[str], resolve: Resolve) -> list[DataFile]:
    if path in shipped:
        return [DataFile(path, Path(resolve(path)).stat().st_size, shipped=True)]
    found = local_path(path)
    if Path(found).is_dir():
        return _list_folder(found)
    if Path(found).exists():
        return [_data_file(found)]
    matches = sorted(glob.glob(found))
    if not matches:
        raise DataError(_not_found("-dataPath", path, shipped))
    files: list[DataFile] = []
    for match in matches:
        if Path(match).is_dir():
            files += _list_folder(match)
        elif not _is_hidden(match):
            files.append(_data_file(match))
    return files


def _list_folder(folder: str) -> list[DataFile]:
    """List the data files of a folder as Spark does: not those that begin with ``_`` or ``.``."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"-dataPath {folder}: {error.strerror}") from error
    paths = [os.path.join(folder, name) for name in names if not _is_hidden(name)]
    files = [_data_file(path) for path in paths if Path(path).is_file()]
    if not files:
        raise DataError(
            f"-dataPath {folder}: the folder holds no data files "
            "(names that begin with _ or . do not count, nor do folders in it)"
        )
    return files


def _is_hidden(path: str) -> bool:
    return os.path.basename(path).startswith(("_", "."))


def _data_file(path: str) -> DataFile:
    absolute = os.path.abspath(path)
    if not os.access(absolute, os.R_OK):
        raise DataError(f"-dataPath {path}: the file may not be read; look at its permissions")
    return DataFile(absolute, Path(absolute).stat().st_size)


def _not_found(option: str, path: str, shipped: Sequence[str]) -> str:
    names = f"--files shipped {', '.join(sorted(shipped))}" if shipped else "--files shipped none"
    return (
        f"{option} {path}: there is no such file in {os.getcwd()}, "
        f"and {names}; give a full path, or ship the file with --files"
    )
