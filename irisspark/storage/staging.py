"""A folder of results that is published whole, or not at all.

Three kinds of hidden folders stand beside ``-outputPath`` for a while. ``-new-`` holds the results
as they are made, and a locked file until they are whole. ``-old-`` holds the results that a new
folder takes the place of, until it has. ``-removed-`` holds nothing that anybody needs. A run that
is killed leaves them; the next one clears what is not whole, and says where the rest is. The locks
of some storages hold on one machine only, so the names have the machine in them as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from irisspark.errors import IrissparkError
from irisspark.storage.location import Location, locate
from irisspark.storage.uris import local_path
from irisspark.temporary import machine, may_be_in_use

_UNFINISHED = ".unfinished"
_DIGITS = 12  # half of them the machine's
WHOLE = {"old": "the results that it was to replace", "new": "its own"}


def check_output(path: str, *, overwrite: bool) -> tuple[str, ...]:
    """Make sure that a folder can be published at ``path``, before any work is done.

    What runs that were killed have left beside it, and nobody needs, is removed.

    Args:
        path: The folder.
        overwrite: Whether an existing one may be replaced.

    Returns:
        Where such runs have left whole results, each in a sentence.

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
    _check_length(path, target)
    return _clear(path, target)


def _check_length(path: str, target: Path) -> None:
    """Refuse a name that is too long beside which to make ours, before the work and not after."""
    try:
        _beside(target, "removed", "0" * _DIGITS).lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise IrissparkError(f"-outputPath {path} cannot be written: {error.strerror}") from error


class Staging:
    """A folder beside ``-outputPath`` that takes its place as a whole, or not at all."""

    def __init__(self, path: str, *, overwrite: bool) -> None:
        """Get ready; the folder is made when it is first asked for."""
        self._path = path
        self._overwrite = overwrite
        self._target = Path(local_path(path)).absolute()
        self._folder: Path | None = None
        self._lock: IO[bytes] | None = None

    @property
    def folder(self) -> Location:
        """The folder, which anybody may write to who could write to a new folder beside it.

        Raises:
            IrissparkError: It cannot be made.
        """
        if self._folder is None:
            with self._naming_the_path():
                self._target.parent.mkdir(parents=True, exist_ok=True)
                self._folder, self._lock = _make_folder(self._target)
        return locate(str(self._folder))

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Add files, and put the folder in its place.

        Raises:
            IrissparkError: It cannot be written. Where only the last step failed, the folder stays
                where it is, and the message names it.
        """
        folder = Path(self.folder.path)
        with self._naming_the_path():
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            (folder / _UNFINISHED).unlink()
        self._folder = None  # whole: never to be discarded
        self._unlock()
        try:
            _move_into_place(folder, self._target, overwrite=self._overwrite)
        except OSError as error:
            reason = error.strerror or error
            raise IrissparkError(
                f"-outputPath {self._path} cannot be written: {reason}; {_where(folder)}"
            ) from error

    def discard(self) -> None:
        """Remove what was not published."""
        if self._folder is not None:
            _drop(self._folder, self._target)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    @contextlib.contextmanager
    def _naming_the_path(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IrissparkError(
                f"-outputPath {self._path} cannot be written: {error.strerror or error}"
            ) from error


def _beside(target: Path, kind: str, number: str) -> Path:
    return target.with_name(f".{target.name}-{kind}-{number}")


def _make_folder(target: Path) -> tuple[Path, IO[bytes]]:
    """Make a folder and lock it; until then another run may take it for a killed one's."""
    while True:
        folder = _beside(target, "new", machine() + secrets.token_hex(_DIGITS // 4))
        folder.mkdir()
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            return folder, _lock(folder)


def _lock(folder: Path) -> IO[bytes]:
    lock = (folder / _UNFINISHED).open("xb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    except OSError:  # a storage without locks, where no run clears what it cannot lock
        pass
    (folder / _UNFINISHED).stat()
    return lock


def _move_into_place(folder: Path, target: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        os.rename(folder, target)
        return
    if not overwrite:
        raise IrissparkError(
            f"-outputPath {target} exists now, though it did not at the start; {_where(folder)}"
        )
    old = _beside(target, "old", folder.name[-_DIGITS:])
    try:
        os.rename(target, old)
        os.rename(folder, target)
    except BaseException as error:  # Ctrl-C, too
        if not os.path.lexists(target):
            _put_back(old, folder, target, error)
        raise
    _drop(old, target)


def _put_back(old: Path, folder: Path, target: Path, error: BaseException) -> None:
    try:
        os.rename(old, target)
    except OSError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise IrissparkError(
            f"-outputPath {target} cannot be written: {reason}; "
            f"the results that were there are in {old}, {_where(folder)}"
        ) from error


def _where(folder: Path) -> str:
    return f"the new results are in {folder}: move them to where you want them"


def _drop(folder: Path, target: Path) -> None:
    """Remove a folder, which from the first file on is not to be taken for a whole one."""
    removed = _beside(target, "removed", folder.name[-_DIGITS:])
    with contextlib.suppress(OSError):
        os.rename(folder, removed)
        _remove(removed)


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink()


def _clear(path: str, target: Path) -> tuple[str, ...]:
    """Remove what killed runs left beside ``target``, but for what is whole: say where that is."""
    pattern = re.compile(rf"\.{re.escape(target.name)}-(new|old|removed)-[0-9a-f]{{{_DIGITS}}}")
    kinds = {name: match[1] for name in _list(target.parent) if (match := pattern.fullmatch(name))}
    for name, kind in kinds.items():
        with contextlib.suppress(OSError):
            _clear_one(target.with_name(name), kind, target)
    return tuple(
        f"a run was stopped while it put its results at -outputPath {path}; {meaning} are in "
        f"{target.with_name(name)}: move them to where you want them, or delete them"
        for name, kind in kinds.items()
        if (meaning := WHOLE.get(kind)) and _is_whole(target.with_name(name))
    )


def _list(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # it is not there yet, or may only be written to
        return []


def _clear_one(folder: Path, kind: str, target: Path) -> None:
    if folder.lstat().st_uid != os.geteuid():
        return
    if kind == "removed":
        _remove(folder)
    elif kind == "new" and may_be_in_use(folder, folder.name[-_DIGITS:][: _DIGITS // 2]):
        return
    elif kind == "new" and not os.listdir(folder):
        folder.rmdir()
    elif kind == "new":
        with (folder / _UNFINISHED).open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _drop(folder, target)


def _is_whole(folder: Path) -> bool:
    is_empty = folder.is_dir() and not _list(folder)  # another machine has just made it
    return os.path.lexists(folder) and not is_empty and not os.path.lexists(folder / _UNFINISHED)
