"""A folder of results that is published whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from irisspark.errors import IrissparkError
from irisspark.storage.finding import local_path


def check_output(path: str, *, overwrite: bool) -> None:
    """Make sure that a folder can be published at ``path``, before any work is done.

    Args:
        path: The folder.
        overwrite: Whether an existing one may be replaced.

    Raises:
        IrissparkError: It exists, or it cannot be written.
    """
    target = Path(local_path(path)).absolute()
    if os.path.lexists(target) and not overwrite:
        raise IrissparkError(
            f"-outputPath {path} exists; name another folder, or pass -overwrite true to replace it"
        )
    for kept in [os.getcwd(), os.path.expanduser("~")]:
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
            with self._naming_the_path():
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
        with self._naming_the_path():
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            _move_into_place(folder, self._target, overwrite=self._overwrite)

    def discard(self) -> None:
        """Remove what was not published."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _naming_the_path(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IrissparkError(
                f"-outputPath {self._path} cannot be written: {error.strerror or error}"
            ) from error


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
