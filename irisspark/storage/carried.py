"""Bytes of files that Spark carries to a worker, from a client of Hadoop's that only a JVM has.

An executor reads ranges of files (``FileRanges.java``) and hands them to its worker in the order in
which they were asked for, a few pieces at a time. What the worker opens is a stream of them, which
goes forwards and once. Parquet is read here and there, so its file is first put on the disk.
"""

from __future__ import annotations

import io
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, cast

from irisspark.errors import DataError
from irisspark.storage.arrow_handlers import SeekableInput
from irisspark.storage.location import reason
from irisspark.storage.opening import DataFile, Opener, changed, decompressed

_COPY_BYTES = 1 << 20
_MORE, _LAST, _FAILURE, _CHANGE = b"M", b"L", b"F", b"C"


@dataclass(frozen=True)
class CarriedRange:
    """A range of a file, as an executor reads it and as a worker opens it.

    Attributes:
        file: The file.
        start: The first byte.
        end: Behind the last byte but for what its last line has behind it; None for the whole file.
        here_and_there: True where the worker reads it in another order than from its beginning.
    """

    file: DataFile
    start: int
    end: int | None
    here_and_there: bool = False

    @property
    def for_worker(self) -> CarriedRange:
        """The same without what only a process with a JVM knows of the file."""
        return replace(self, file=without_place(self.file))


def without_place(file: DataFile) -> DataFile:
    """Take off a carried file what a worker cannot have, and an executor looks after."""
    return replace(file, location=None, modified=None) if file.carried else file


def request(head: bytes, ranges: Sequence[CarriedRange]) -> bytes:
    """Write down for ``FileRanges.java`` what a worker needs.

    Args:
        head: What it is to be told first.
        ranges: What follows.
    """
    return b"".join([_sized(head), struct.pack(">i", len(ranges)), *map(_packed, ranges)])


def _packed(one: CarriedRange) -> bytes:
    file = one.file
    assert file.location is not None and file.modified is not None
    scheme, _, authority = file.location.root.partition("://")
    texts = (scheme, authority, file.location.path)
    end = -1 if one.end is None else one.end
    # A filesystem of Hadoop's counts in milliseconds.
    numbers = (file.size, file.modified // 1_000_000, one.start, end)
    return b"".join(_sized(text.encode()) for text in texts) + struct.pack(">4q", *numbers)


def _sized(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


class Carrier:
    """Opens files from the pieces of their ranges that an executor sends."""

    def __init__(
        self, pieces: Iterator[bytes], ranges: Sequence[CarriedRange], open_here: Opener
    ) -> None:
        """Get ready; nothing is read before a file is opened.

        Args:
            pieces: What ``FileRanges.java`` gives, behind the head.
            ranges: What was asked for.
            open_here: Opens what is not carried.
        """
        self._pieces, self._coming, self._open_here = pieces, iter(ranges), open_here
        self._contents: Iterator[bytes] = iter(())

    def open_file(self, file: DataFile, end: int | None = None) -> IO[bytes]:
        """Open a file whose turn it is, as an ``Opener`` does.

        Raises:
            DataError: It cannot be read.
        """
        if not file.carried:
            return self._open_here(file, end)
        for one in self._coming:
            for _ in self._contents:  # what nobody has read of the range before
                pass
            self._contents = self._contents_of(one)
            if (one.file, one.end) == (file, end):
                return self._opened(one)
        raise AssertionError(f"{file.path} was not asked for")

    def _opened(self, one: CarriedRange) -> IO[bytes]:
        stream = _Forwards(self._contents, one.start, one.file.size)
        if not one.here_and_there:
            return decompressed(one.file.path, cast(IO[bytes], stream))
        try:
            copy = tempfile.TemporaryFile(prefix="irisspark-")  # noqa: SIM115  # the caller closes it
            shutil.copyfileobj(cast(IO[bytes], stream), copy, _COPY_BYTES)
        except OSError as error:
            raise DataError(
                f"{one.file.path} is copied to {tempfile.gettempdir()} on {socket.gethostname()} "
                f"to be read there, which fails: {reason(error)}"
            ) from error
        copy.seek(0)
        return cast(IO[bytes], copy)

    def _contents_of(self, one: CarriedRange) -> Iterator[bytes]:
        for piece in self._pieces:
            kind, content = piece[:1], piece[1:]
            if kind == _FAILURE:
                name, _, text = content.decode().partition("\n")
                raise _failure(one.file, name, text)
            if kind == _CHANGE:
                raise changed(one.file, int(content))
            yield content
            if kind == _LAST:
                return

    def end(self) -> None:
        """Read on to the mark behind the last piece, without which Spark gives the worker up."""
        next(self._pieces, None)


def _failure(file: DataFile, name: str, text: str) -> DataError:
    from irisspark.storage.java_errors import os_error

    said = reason(os_error(name, text))
    return DataError(f"an executor on {socket.gethostname()} cannot read {file.path}: {said}")


class _Forwards(SeekableInput):
    """A stream of pieces, of which what is behind the last one that was read is gone."""

    def __init__(self, pieces: Iterator[bytes], start: int, size: int) -> None:
        super().__init__(size)
        self._pieces, self._begin, self._held = pieces, start, b""

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._num_to_read(size)
        if left and self._place < self._begin:
            raise io.UnsupportedOperation("what is carried is read once, and forwards")
        taken = []
        while left > 0:
            start = self._place - self._begin
            piece = self._held[start : start + left]
            if not piece:
                following = next(self._pieces, None)
                if following is None:
                    break
                self._begin, self._held = self._begin + len(self._held), following
                continue
            taken.append(piece)
            self._place += len(piece)
            left -= len(piece)
        return b"".join(taken) if len(taken) != 1 else taken[0]
