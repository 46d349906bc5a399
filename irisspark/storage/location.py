"""Where a path that the user names lies: on which filesystem, and by what name there."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pyarrow.fs import (
    FileInfo,
    FileSelector,
    FileSystem,
    FileType,
    LocalFileSystem,
)

from irisspark.storage.uris import local_path

if TYPE_CHECKING:
    import pyarrow as pa

# What is asked for by such a name cannot be there; the names of a list, taken for one, are long.
_NOWHERE = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP})

_OF_S3 = {
    "ACCESS_DENIED": "access is denied; look at the keys (fs.s3a.access.key) and their policy",
    "INVALID_ACCESS_KEY_ID": "the store does not know that access key; look at fs.s3a.access.key",
    "SIGNATURE_DOES_NOT_MATCH": "the secret does not fit the access key; look at fs.s3a.secret.key",
    "NO_SUCH_BUCKET": "there is no such bucket",
    "301": "the store sends the request to another region; look at fs.s3a.endpoint.region",
    "NETWORK_CONNECTION": "the store does not answer; look at fs.s3a.endpoint",
}
_WRONG_KEY = "the key does not fit the account; look at fs.azure.account.key"
_OF_AZURE = {"AuthorizationFailure": _WRONG_KEY, "AuthenticationFailed": _WRONG_KEY}


@dataclass(frozen=True)
class Location:
    """A place of a filesystem; it pickles, and means the same on every machine that sees it.

    What cannot be done raises ``OSError``, of which ``reason`` tells a person.

    Attributes:
        filesystem: Arrow's.
        path: The absolute path there, parted by ``/``.
        root: What a URI of the filesystem begins with: scheme and authority; empty for the disk of
            the machine itself.
        elsewhere: What stands in for the filesystem where the place arrives in another process;
            None for itself.
        renames: True where a folder is given another name in one step.
        obstacle: Why no process without a JVM can open the place; empty where one can.
    """

    filesystem: FileSystem
    path: str
    root: str = ""
    elsewhere: FileSystem | None = None
    renames: bool = True
    obstacle: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the filesystem that the other side can open."""
        filesystem = self.elsewhere or self.filesystem
        return Location, (filesystem, self.path, self.root, None, self.renames)

    def __truediv__(self, name: str) -> Location:
        """Give the place of a name below this folder, where ``..`` leads out of it."""
        return replace(self, path=posixpath.normpath(posixpath.join(self.path, name)))

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
        """The path as a URI, written as Hadoop does where it is not on the machine's disk."""
        return f"{self.root}{self.path}" if self.root else f"file://{quote(self.path)}"

    @property
    def is_local(self) -> bool:
        """True on the disk of the machine itself, or what looks like it."""
        return not self.root

    @property
    def travels(self) -> bool:
        """True where another process can open the place, too."""
        return not self.obstacle

    def __str__(self) -> str:
        """What a person calls the place: a path, or the whole URI where it is not on this disk."""
        return self.path if self.is_local else self.uri

    def info(self) -> FileInfo:
        """Ask what is there, of what size; where nothing is, the type says so."""
        try:
            with _naming_in_utf8():
                return self.filesystem.get_file_info(self.path)
        except OSError as error:
            if error.errno in _NOWHERE:
                return FileInfo("", type=FileType.NotFound)
            raise
        except ValueError:  # Arrow's, of what is no name there, as a list of names is none
            return FileInfo("", type=FileType.NotFound)

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
        # By itself Arrow would compress what is called *.gz once more.
        return self.filesystem.open_output_stream(self.path, compression=None)

    def make_folder(self) -> None:
        """Make the folder, and those above it; it may be there. An object store has none."""
        if not self.renames:
            return
        self.filesystem.create_dir(self.path, recursive=True)

    def move(self, to: Location) -> None:
        """Give a file or folder another place on the same filesystem, in place of a file there."""
        self.filesystem.move(self.path, to.path)

    def probe(self) -> None:
        """Make sure that files can be written in the folder, or that the folder can be made.

        Raises:
            OSError: They cannot.
        """
        self.make_folder()
        file = self / f".irisspark-{secrets.token_hex(4)}"
        with file.create() as stream:
            stream.write(b"\n")
        self.filesystem.delete_file(file.path)

    def remove(self) -> None:
        """Remove a file, or a folder with all that it holds, as far as that can be."""
        with suppress(OSError):
            if self.is_folder:
                self.filesystem.delete_dir(self.path)
            else:
                self.filesystem.delete_file(self.path)


Locate = Callable[[str], Location]
"""From a path as the user names it to its place; an empty one names the working directory."""


def locate(path: str) -> Location:
    """Take a path for one of this machine's disk, relative to the working directory."""
    return Location(LocalFileSystem(), os.path.abspath(local_path(path)))


def reason(error: OSError) -> str:
    """Say why something failed, without the path, which Arrow puts into the same text."""
    text = os.strerror(error.errno) if error.errno else (error.strerror or str(error))
    amazon = re.search(r"AWS Error (?:UNKNOWN \(HTTP status )?(\w+)\)? during \w+.*: (.*)", text)
    if amazon is not None:
        region = re.search("region is '(.*?)' while the bucket is located in '(.*?)'", amazon[2])
        if region is not None:
            return f"the bucket is in {region[2]}, not in {region[1]}; set fs.s3a.endpoint.region"
        said = re.sub(r" *\(Request ID: .*", "", amazon[2])
        return _OF_S3.get(amazon[1], f"{said} ({amazon[1]})")
    if (azure := re.search(r"Azure Error: \[(\w+)\]", text)) is not None:
        return _OF_AZURE.get(azure[1], text.splitlines()[0])
    return text.splitlines()[0] if text else type(error).__name__


def may_read(location: Location) -> bool:
    """Tell whether this process may read the file that is there, as far as asking tells."""
    return not location.is_local or os.access(location.path, os.R_OK)


def unwritable(location: Location) -> str | None:
    """Give the path that keeps a folder from being made on a disk; None where none does."""
    existing = location
    if not location.is_local:
        return None
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
