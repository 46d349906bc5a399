"""One file of the input, and how it is opened on the machine that reads it."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, cast

import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from irisspark.errors import DataError
from irisspark.storage import signatures
from irisspark.storage.location import Location, reason
from irisspark.storage.ranges import RangeStream

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".zst")
_SIGNATURE_BYTES = 4


@dataclass(frozen=True)
class DataFile:
    """One file of the input.

    Attributes:
        path: Absolute path on the machines that read it, a URI, or the bare name of a shipped file.
        size: Bytes on disk.
        shipped: True for a file that ``--files`` brought to every machine.
        keys: Names and values of the partition folders that it lies in, as of ``year=2024``.
        location: Where it lies, as whoever reads it opens it; None on the disk of each machine.
        modified: When it was last changed, in nanoseconds; None where nobody has looked.
        planned: When somebody looked, in nanoseconds.
        carried: True where no worker can open it, and Spark carries its bytes there.
    """

    path: str
    size: int
    shipped: bool = False
    keys: tuple[tuple[str, str], ...] = ()
    location: Location | None = field(default=None, hash=False)
    modified: int | None = None
    planned: int = 0
    carried: bool = False

    @property
    def compressed(self) -> bool:
        """True where the name says that the bytes must be decompressed, so cannot be cut."""
        return self.path.lower().endswith(COMPRESSED_SUFFIXES)


Opener = Callable[[DataFile, int | None], IO[bytes]]
"""Opens a file on this machine, to be read up to about a position, None for its end."""


def opener(resolve: Callable[[str], str]) -> Opener:
    """Make the function that opens a ``DataFile`` on this machine.

    Args:
        resolve: From the name of a shipped file to its path here (``SparkFiles.get``).
    """

    def open_file(file: DataFile, end: int | None = None) -> IO[bytes]:
        path = resolve(file.path) if file.shipped else file.path
        try:
            if file.location is not None:
                return decompressed(path, open_ranges(file.location, end))
            return decompressed(path, cast(IO[bytes], Location(LocalFileSystem(), path).open()))
        except OSError as error:
            raise DataError(_open_message(file, path, error)) from error

    return open_file


def check_unchanged(file: DataFile) -> None:
    """Make sure that a file is the one that was cut into splits.

    A copy of it on another machine's disk may be older or younger than the one that was looked at,
    but no younger than the looking.

    Raises:
        DataError: It was changed since, so that rows may be missing or stand there twice.
    """
    if file.modified is None or file.shipped:
        return
    location = file.location or Location(LocalFileSystem(), file.path)
    try:
        info = location.info()
    except OSError as error:
        raise DataError(f"cannot read {file.path}: {reason(error)}") from error
    is_same = info.mtime_ns == file.modified
    if file.location is None:
        is_same = is_same or (info.mtime_ns or 0) <= file.planned
    if info.size != file.size or not is_same:
        raise changed(file, info.size)


def changed(file: DataFile, size: int | None) -> DataError:
    """Make the error that a run ends with where a file is not what it was, but of another size."""
    return DataError(
        f"{file.path} was changed while the run read it ({file.size} bytes at the start, "
        f"{size} now); run again once it is whole"
    )


def open_ranges(location: Location, end: int | None = None) -> IO[bytes]:
    """Open a file on another machine, in ranges that are asked for again where a request fails."""
    # Of what Arrow asks through Python, it would copy each range on its way back.
    handler = getattr(location.filesystem, "handler", None)
    file = location.open() if handler is None else handler.open_here(location.path)
    return cast(IO[bytes], RangeStream(lambda at, size: file.read_at(size, at), file.size(), end))


def decompressed(path: str, stream: IO[bytes]) -> IO[bytes]:
    """Decompress a file; of those named as compressed what is in them decides, not which name.

    Some tools decompress what they fetch, and leave the name as it was.
    """
    if not path.lower().endswith(COMPRESSED_SUFFIXES):
        return stream
    start = stream.read(_SIGNATURE_BYTES)
    stream.seek(0)
    if start.startswith(signatures.GZIP):
        return cast(IO[bytes], gzip.open(stream, "rb"))
    if start.startswith(signatures.BZIP2):
        return cast(IO[bytes], bz2.open(stream, "rb"))
    if start.startswith(signatures.ZSTD):
        return cast(IO[bytes], pa.CompressedInputStream(stream, "zstd"))
    return stream


def _open_message(file: DataFile, path: str, error: OSError) -> str:
    import socket

    said = f"cannot open the data file {path} on {socket.gethostname()}: {reason(error)}"
    if file.location is not None:
        return said
    hint = (
        "a worker cannot read what --files shipped"
        if file.shipped
        else "every worker must see the path: ship the file with --files, "
        "or put it on a disk that all machines share"
    )
    return f"{said}; {hint}"
