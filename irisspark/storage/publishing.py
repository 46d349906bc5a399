"""Results where folders are not those of this disk: whole or not at all, in each storage's way.

Where a folder is renamed in one step (HDFS), results are made in a hidden one beside
``-outputPath``, which then takes its name. An object store renames nothing: there files of names
that no other run has are put where they are to be, and ``metrics.json`` and ``_SUCCESS`` come last.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from pyarrow.fs import FileSelector, FileType

from irisspark.errors import IrissparkError
from irisspark.startup.notices import say
from irisspark.storage.location import Locate, Location, reason
from irisspark.storage.replacing import replacing
from irisspark.storage.staging import WHOLE, Staging

SUCCESS = "_SUCCESS"
_ATTEMPTS = "_temporary"
_LAST = "metrics.json"
_DIGITS = 8
_NUMBER = f"[0-9a-f]{{{_DIGITS}}}"
_CLAIM = "_publishing-"
_SETTLED_SECONDS = 1.5
_LONGEST_PUBLICATION = timedelta(minutes=15)
_LONGEST_WAIT = timedelta(minutes=30)
_QUIET_ATTEMPTS = 3


class Publication(Protocol):
    """A folder of results on its way to ``-outputPath``."""

    @property
    def uri(self) -> str:
        """Where the results will be, as a whole URI."""

    @property
    def notes(self) -> Sequence[str]:
        """Where runs that were stopped have left whole results, each in a sentence."""

    def attempts(self, name: str) -> Location:
        """Make the folder where attempts of tasks write, whose files become those of ``name``."""

    def adopt(self, name: str, parts: Mapping[str, str]) -> None:
        """Take files of attempts for those of the folder ``name``.

        Args:
            name: The folder.
            parts: From the names that attempts have given to those that are nicer.

        Raises:
            OSError: One is not there; its ``filename`` says which.
        """

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Add files, and put the folder in its place."""

    def discard(self) -> None:
        """Remove what was not published."""


class LocalPublication:
    """On this disk: ``Staging``."""

    notes = ()  # those of ``check_output``

    def __init__(self, path: str, location: Location, *, overwrite: bool) -> None:
        """Get ready; nothing is made yet."""
        self.uri = location.uri
        self._staging = Staging(path, overwrite=overwrite)
        self.publish, self.discard = self._staging.publish, self._staging.discard

    def attempts(self, name: str) -> Location:
        """Make a folder in the one that becomes ``-outputPath``."""
        folder = self._staging.folder / name / _ATTEMPTS
        folder.make_folder()
        return folder

    def adopt(self, name: str, parts: Mapping[str, str]) -> None:
        """Give the files their names."""
        _rename_parts(self._staging.folder / name, parts)


class RenamedPublication:
    """Where a folder takes another one's name in one step, and no other run's at the same time."""

    def __init__(self, path: str, target: Location, *, overwrite: bool) -> None:
        """Make the hidden folder, so that what forbids it is told before any work is done.

        Raises:
            IrissparkError: Something is there already, or it cannot be made.
        """
        self.uri = target.uri
        self._path, self._target, self._overwrite = path, target, overwrite
        self._number = secrets.token_hex(_DIGITS // 2)
        self._folder = _beside(target, "new", self._number)
        self._is_whole = False
        with _saying(path):
            _check_free(path, target, overwrite=overwrite)
            self.notes = _left_beside(path, target)
            self._folder.make_folder()
            _remove_at_exit(self._folder)

    def attempts(self, name: str) -> Location:
        """Make a folder in the hidden one."""
        folder = self._folder / name / _ATTEMPTS
        folder.make_folder()
        return folder

    def adopt(self, name: str, parts: Mapping[str, str]) -> None:
        """Give the files their names."""
        _rename_parts(self._folder / name, parts)

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Add files, and give the folder its name.

        Raises:
            IrissparkError: It cannot be written, or another run was first.
        """
        with _saying(self._path):
            for name, content in files.items():
                with (self._folder / name).create() as stream:
                    stream.write(content)
            self._take_its_name()
        self._is_whole = True

    def _take_its_name(self) -> None:
        try:
            self._folder.move(self._target)
        except FileExistsError:
            if not self._overwrite:
                raise _taken(self._path) from None
            old = _beside(self._target, "old", self._number)
            try:
                self._target.move(old)
                self._folder.move(self._target)
            except BaseException:  # Ctrl-C, too
                with contextlib.suppress(OSError):
                    old.move(self._target)
                raise
            old.remove()

    def discard(self) -> None:
        """Remove the hidden folder."""
        if not self._is_whole:
            self._folder.remove()


class ObjectPublication:
    """Where nothing is renamed: files of names of their own, and markers that come last."""

    notes = ()  # nothing is left beside it

    def __init__(self, path: str, target: Location, *, overwrite: bool) -> None:
        """Make sure that the place is free and may be written to.

        Raises:
            IrissparkError: Something is there already, or nothing can be written there.
        """
        self.uri = target.uri
        self._path, self._target, self._overwrite = path, target, overwrite
        self._written: set[str] = set()
        self._adopted: list[str] = []
        self._is_whole = False
        with _saying(path):
            _check_free(path, target, overwrite=overwrite)
            target.parent.probe()

    def attempts(self, name: str) -> Location:
        """Give the folder itself: each attempt's file has a name of its own."""
        return self._target / name

    def adopt(self, name: str, parts: Mapping[str, str]) -> None:
        """Remember which files count."""
        self._adopted.append(name)
        self._written |= {f"{name}/{part}" for part in parts}

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Take the marker of the results before away, put files there, then the markers.

        Raises:
            IrissparkError: They cannot be written, or another run was first.
        """
        with _saying(self._path), self._alone():
            if not self._overwrite and (self._target / SUCCESS).exists:
                raise _taken(self._path)
            (self._target / SUCCESS).remove()
            (self._target / _LAST).remove()
            marked = {**{f"{name}/{SUCCESS}": b"" for name in self._adopted}, **files}
            for name in sorted(marked, key=lambda name: name == _LAST):
                if name == _LAST:
                    self._remove_others({*self._written, *marked})
                self._put(name, marked[name])
            self._put(SUCCESS, b"")
        self._is_whole = True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one run at a time put its results there: the one whose claim is the oldest.

        The others wait until its claim is gone, or so old that its run must have been killed, and
        make theirs younger meanwhile, so that the store's clock tells how old the first one is.

        Raises:
            IrissparkError: There is always another run.
        """
        claim = self._target / f"{_CLAIM}{secrets.token_hex(8)}"
        give_up = time.monotonic() + _LONGEST_WAIT.total_seconds()
        try:
            for attempt in itertools.count(1):
                if self._goes_first(claim):
                    break
                if attempt == _QUIET_ATTEMPTS:
                    say(
                        f"another run puts its results at -outputPath {self._path}; waiting for "
                        "it, up to 15 minutes if it was killed"
                    )
                if time.monotonic() > give_up:
                    raise _taken(self._path)
            yield
        finally:
            claim.remove()

    def _goes_first(self, claim: Location) -> bool:
        """Make a claim, or make it younger, and tell whether it is the oldest.

        The store's clock tells whole seconds. After more than one, all claims of the same second
        can be seen, and each run sees the same first one.
        """
        self._put(claim.name, b"")
        self._written.discard(claim.name)
        time.sleep(_SETTLED_SECONDS)
        claims = [info for info in self._target.children() if info.base_name.startswith(_CLAIM)]
        own = next(info.mtime for info in claims if info.base_name == claim.name)
        at_work = [info for info in claims if own - info.mtime < _LONGEST_PUBLICATION]
        first = min(at_work, key=lambda info: (info.mtime, info.base_name))
        return str(first.base_name) == claim.name

    def _put(self, name: str, content: bytes) -> None:
        with replacing(self._target / name) as stream:
            stream.write(content)
        self._written.add(name)

    def _names(self) -> set[str]:
        selector = FileSelector(self._target.path, allow_not_found=True, recursive=True)
        found = self._target.filesystem.get_file_info(selector)
        return {
            info.path.partition(f"{self._target.path.strip('/')}/")[2]
            for info in found
            if info.type == FileType.File
        }

    def _remove_others(self, kept: set[str]) -> None:
        """Remove the results before, and files of attempts that do not count."""
        for name in sorted(self._names() - kept):
            if name.startswith(_CLAIM):  # of a run at work, or long dead
                continue
            (self._target / name).remove()

    def discard(self) -> None:
        """Remove what this run has put there."""
        if not self._is_whole:
            for name in self._written:
                (self._target / name).remove()


def open_publication(path: str, target: Location, *, overwrite: bool) -> Publication:
    """Get ready to publish results at a place.

    Args:
        path: As the user named it.
        target: Where that leads.
        overwrite: Whether what is there may be replaced.

    Raises:
        IrissparkError: It may not, or nothing can be written there.
    """
    if target.is_local:
        return LocalPublication(path, target, overwrite=overwrite)
    if target.path == "/":
        raise IrissparkError(f"-outputPath {path}: name a folder in it")
    kind = RenamedPublication if target.renames else ObjectPublication
    return kind(path, target, overwrite=overwrite)


def publish_beside(path: str, place: Locate, files: Mapping[str, bytes]) -> str:
    """Publish files in a folder of their own, under the first free name.

    Args:
        path: The name; a number goes behind it where it is taken.
        place: From a path to where it leads.
        files: The files.

    Returns:
        The folder's URI.

    Raises:
        IrissparkError: It cannot be written.
    """
    names = (path if number == 1 else f"{path}-{number}" for number in itertools.count(1))
    name = next(name for name in names if not place(name).exists)
    publication = open_publication(name, place(name), overwrite=False)
    publication.publish(files)
    return publication.uri


def _check_free(path: str, target: Location, *, overwrite: bool) -> None:
    if not overwrite and target.exists:
        raise IrissparkError(
            f"-outputPath {path} exists; name another folder, or pass -overwrite true to replace it"
        )


def _left_beside(path: str, target: Location) -> tuple[str, ...]:
    """Say where a run has left results that was stopped between two renames, or behind both.

    It may also be at work just now, and be done in a moment.
    """
    handler = getattr(target.filesystem, "handler", None)
    if handler is None:
        return ()
    beginning = _beside(target, "old", "").name
    found = handler.names_beginning(target.parent.path, beginning)
    numbers = [name[-_DIGITS:] for name in found if re.fullmatch(_NUMBER, name[len(beginning) :])]
    kept = [(_beside(target, "old", number), "old") for number in numbers]
    kept += [(_beside(target, "new", number), "new") for number in numbers]
    return tuple(
        f"a run was stopped while it put its results at -outputPath {path}; {WHOLE[kind]} are in "
        f"{place}: move them to where you want them, or delete them"
        for place, kind in kept
        if place.exists
    )


def _beside(target: Location, kind: str, number: str) -> Location:
    return target.parent / f".{target.name}-{kind}-{number}"


def _taken(path: str) -> IrissparkError:
    return IrissparkError(
        f"-outputPath {path} exists now, though it did not at the start: another run was first, "
        "and this one's results are not kept; name another folder, or pass -overwrite true"
    )


def _rename_parts(folder: Location, parts: Mapping[str, str]) -> None:
    for attempt, name in parts.items():
        try:
            (folder / _ATTEMPTS / attempt).move(folder / name)
        except OSError as error:
            raise OSError(error.errno, reason(error), attempt) from error
    (folder / _ATTEMPTS).remove()
    (folder / SUCCESS).create().close()


def _remove_at_exit(folder: Location) -> None:
    """Let the JVM, which outlives a driver that is killed, remove what is left."""
    handler = getattr(folder.filesystem, "handler", None)
    if handler is not None:
        handler.remove_at_exit(folder.path)


@contextlib.contextmanager
def _saying(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IrissparkError(f"-outputPath {path} cannot be written: {reason(error)}") from error
