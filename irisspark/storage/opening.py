"""One file of the input, and how it is opened on the machine that reads it."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, cast

import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from irisspark.errors import DataError
from irisspark.storage import signatures
from irisspark.storage.location import Location, reason

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".zst")
_SIGNATURE_BYTES = 4


@dataclass(frozen=True)
class DataFile:
    """One file of the input.

    Attributes:
        path: Absolute path on the machines that read it, or the bare name of a shipped file.
        size: Bytes on disk.
        shipped: True for a file that ``--files`` brought to every machine.
        filesystem: Where the path lies; that of the machine itself where the file was shipped.
    """

    path: str
    size: int
    shipped: bool = False
    filesystem: FileSystem = field(default_factory=LocalFileSystem, hash=False)

    @property
    def compressed(self) -> bool:
        """True where the name says that the bytes must be decompressed, so cannot be cut."""
        return self.path.lower().endswith(COMPRESSED_SUFFIXES)


Opener = Callable[[DataFile], IO[bytes]]


def opener(resolve: Callable[[str], str]) -> Opener:
    """Make the function that opens a ``DataFile`` on this machine.

    Args:
        resolve: From the name of a shipped file to its path here (``SparkFiles.get``).
    """

    def open_file(file: DataFile) -> IO[bytes]:
        path = resolve(file.path) if file.shipped else file.path
        try:
            return _open_decompressed(Location(file.filesystem, path))
        except OSError as error:
            raise DataError(_open_message(file, path, error)) from error

    return open_file


def _open_decompressed(location: Location) -> IO[bytes]:
    """Open a file; of those named as compressed what is in them decides, not which name it is.

    Some tools decompress what they fetch, and leave the name as it was.
    """
    stream = cast(IO[bytes], location.open())
    if not location.path.lower().endswith(COMPRESSED_SUFFIXES):
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

    hint = (
        "a worker cannot read what --files shipped"
        if file.shipped
        else "every worker must see the path: ship the file with --files, "
        "or put it on a disk that all machines share"
    )
    return f"cannot open the data file {path} on {socket.gethostname()}: {reason(error)}; {hint}"
