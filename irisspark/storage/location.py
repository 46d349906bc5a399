"""Where a path that the user names lies: on which filesystem, and by what name there."""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

if TYPE_CHECKING:
    import pyarrow as pa

# What is asked for by such a name cannot be there; the names of a list, taken for one, are long.
_NOWHERE = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP})


@dataclass(frozen=True)
class Location:
    """A place of a filesystem; it pickles, and means the same on every machine that sees it.

    What cannot be done raises ``OSError``, of which ``reason`` tells a person.

    Attributes:
        filesystem: Arrow's.
        path: The absolute path there, parted by ``/``.
    """

    filesystem: FileSystem
    path: str

    def __truediv__(self, name: str) -> Location:
        """Give the place of a name below this folder."""
        return replace(self, path=posixpath.join(self.path, name))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> Location:
        """The folder above."""
        return replace(self, path=posixpath.dirname(self.path))

    @property
    def uri(self) -> str:
        """The path as a URI."""
        return f"file://{quote(self.path)}"

    def info(self) -> FileInfo:
        """Ask what is there, of what size; where nothing is, the type says so."""
        try:
            with _naming_in_utf8():
                return self.filesystem.get_file_info(self.path)
        except OSError as error:
            if error.errno in _NOWHERE:
                return FileInfo("", type=FileType.NotFound)
            raise

    @property
    def exists(self) -> bool:
        """True where anything is there."""
        return bool(self.info().type != FileType.NotFound)

    @property
    def is_folder(self) -> bool:
        """True where a folder is there."""
        return bool(self.info().type == FileType.Directory)

    def children(self) -> list[FileInfo]:
        """List what the folder holds, by name."""
        with _naming_in_utf8():
            found = self.filesystem.get_file_info(FileSelector(self.path))
            return sorted(found, key=lambda info: str(info.base_name))

    def open(self) -> pa.NativeFile:
        """Open the file to read ranges of its bytes."""
        with _naming_in_utf8():
            return self.filesystem.open_input_file(self.path)

    def create(self) -> pa.NativeFile:
        """Open the file to write it from its beginning."""
        return self.filesystem.open_output_stream(self.path)

    def make_folder(self) -> None:
        """Make the folder, and those above it; it may be there."""
        self.filesystem.create_dir(self.path, recursive=True)

    def move(self, to: Location) -> None:
        """Give a file or folder another place on the same filesystem, in place of a file there."""
        self.filesystem.move(self.path, to.path)

    def remove(self) -> None:
        """Remove a file, or a folder with all that it holds, as far as that can be."""
        with suppress(OSError):
            if self.is_folder:
                self.filesystem.delete_dir(self.path)
            else:
                self.filesystem.delete_file(self.path)


def locate(path: str) -> Location:
    """Find out where a path lies; relative ones are relative to the working directory."""
    return Location(LocalFileSystem(), os.path.abspath(local_path(path)))


def local_path(path: str) -> str:
    """Take the ``file:`` off a URI, whose ``?`` is one of a pattern, and ``~`` for the home folder.

    A shell puts the home folder there itself, but for a ``~`` in quotes or behind ``=``.
    """
    uri = re.fullmatch(r"file:(?://[^/]*)?(.*)", path, re.DOTALL | re.IGNORECASE)
    if uri:
        return unquote(uri[1])
    is_home = path.startswith("~") and not os.path.lexists(path.split("/")[0])
    return os.path.expanduser(path) if is_home else path


def reason(error: OSError) -> str:
    """Say why something failed, without the path, which Arrow puts into the same text."""
    return os.strerror(error.errno) if error.errno else (error.strerror or str(error))


def may_read(location: Location) -> bool:
    """Tell whether this process may read the file that is there."""
    return os.access(location.path, os.R_OK)


def unwritable(location: Location) -> str | None:
    """Give the path that keeps a folder from being made there; None where none does."""
    existing = location
    while not os.path.lexists(existing.path):
        existing = existing.parent
    writable = existing.is_folder and os.access(existing.path, os.W_OK | os.X_OK)
    return None if writable else existing.path


@contextmanager
def _naming_in_utf8() -> Iterator[None]:
    """Let Arrow's own error over a name that is not UTF-8 be an ``OSError``."""
    try:
        yield
    except UnicodeError as error:
        raise OSError(errno.EILSEQ, "a name there is not UTF-8") from error
