"""Every path that the user names: shipped with ``--files``, or local; found, listed, published."""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from irisspark.errors import DataError, IrissparkError, ModelError
from irisspark.splits import DataFile

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


def check_output(path: str, *, overwrite: bool, inputs: Sequence[str] = ()) -> None:
    """Make sure that a folder can be published at ``path``, before any work is done.

    Args:
        path: The folder.
        overwrite: Whether an existing one may be replaced.
        inputs: Files that must not be replaced with it.

    Raises:
        IrissparkError: It exists, or it cannot be written.
    """
    target = Path(local_path(path)).absolute()
    if os.path.lexists(target) and not overwrite:
        raise IrissparkError(
            f"-outputPath {path} exists; name another folder, or pass -overwrite true to replace it"
        )
    for kept in [os.getcwd(), os.path.expanduser("~"), *inputs]:
        if target in [Path(kept).absolute(), *Path(kept).absolute().parents]:
            raise IrissparkError(
                f"-outputPath {path} holds {kept}, which replacing it would delete; "
                "name another folder"
            )
    existing = next(folder for folder in target.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise IrissparkError(f"-outputPath {path}: {existing} is not a folder that may be written")


class Staging:
    """A folder beside ``-outputPath`` that takes its place as a whole, or not at all."""

    def __init__(self, path: str, *, overwrite: bool) -> None:
        """Get ready; the folder is made when it is first asked for."""
        self._path = path
        self._overwrite = overwrite
        self._target = Path(local_path(path)).absolute()
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder, which anybody may write to who could write to a new folder beside it.

        Raises:
            IrissparkError: It cannot be made.
        """
        if self._folder is None:
            with self._said_with_path():
                self._target.parent.mkdir(parents=True, exist_ok=True)
                name = tempfile.mkdtemp(prefix=f".{self._target.name}-", dir=self._target.parent)
                self._folder = Path(name)
                self._folder.chmod(0o777 & ~_umask())
        return self._folder

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Add files, and put the folder in its place.

        Raises:
            IrissparkError: It cannot be written.
        """
        folder = self.folder
        with self._said_with_path():
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            _move_into_place(folder, self._target, overwrite=self._overwrite)

    def discard(self) -> None:
        """Remove what was not published."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _said_with_path(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IrissparkError(
                f"-outputPath {self._path} cannot be written: {error.strerror or error}"
            ) from error


def publish(path: str, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write a folder of files whole or not at all: beside its place first, then renamed.

    Raises:
        IrissparkError: The folder cannot be written.
    """
    staging = Staging(path, overwrite=overwrite)
    try:
        staging.publish(files)
    finally:
        staging.discard()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _move_into_place(staging: Path, target: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        os.rename(staging, target)
        return
    if not overwrite:
        raise IrissparkError(f"-outputPath {target} exists now, though it did not at the start")
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    os.rename(target, old / target.name)
    try:
        os.rename(staging, target)
    except OSError:
        os.rename(old / target.name, target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
