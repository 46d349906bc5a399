"""Writes a ``.tar.gz`` on all cores; the same members give the same bytes.

Spark and Hadoop unpack this format everywhere, and keep its modes. Pieces are compressed side by
side, each as a gzip file of its own: to ``gzip -d`` and to Java a row of such files is one.
"""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, cast

from irisspark.bundle.device_code import WithoutDeviceCode

_PIECE_BYTES = 4 * 2**20
_READ_BYTES = 2**20
_LEVEL = 1  # more takes several times as long, and saves a tenth
_GZIP = 31  # zlib's word for gzip's header, and the largest window


@dataclass(frozen=True)
class Member:
    """A file of a tarball.

    Attributes:
        name: Its path there.
        content: What it holds: bytes, or those of a file on disk but for its code for GPUs.
        is_executable: It may be run.
    """

    name: str
    content: bytes | Path
    is_executable: bool = False


def write_tarball(out: BinaryIO, members: Iterable[Member]) -> None:
    """Write members in their order, whatever their times, owners and modes on disk.

    Raises:
        OSError: A file cannot be read, or ``out`` not be written.
    """
    with _Gzip(out) as zipped:
        into = cast(IO[bytes], zipped)
        with tarfile.TarFile(
            fileobj=into, mode="w", format=tarfile.GNU_FORMAT, copybufsize=_READ_BYTES
        ) as tar:
            for member in members:
                _add(tar, member)


def _add(tar: tarfile.TarFile, member: Member) -> None:
    info = tarfile.TarInfo(member.name)
    info.mode = 0o755 if member.is_executable else 0o644
    if isinstance(member.content, bytes):
        info.size = len(member.content)
        tar.addfile(info, io.BytesIO(member.content))
        return
    with member.content.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, cast(IO[bytes], WithoutDeviceCode(file)))


class _Gzip:
    """Compresses what is written to it in threads, a few pieces ahead of the disk."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._buffer, self._num_bytes = out, bytearray(), 0
        num_threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(num_threads)
        self._ahead = 2 * num_threads
        self._pending: deque[Future[bytes]] = deque()

    def __enter__(self) -> _Gzip:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._pool:
            if kind is None:
                self._compress(len(self._buffer))
                self._write(until=0)

    def tell(self) -> int:
        """Say how many bytes were written, before they were compressed."""
        return self._num_bytes

    def write(self, data: bytes) -> int:
        """Take bytes, and hand over whole pieces."""
        self._buffer += data
        self._num_bytes += len(data)
        while len(self._buffer) >= _PIECE_BYTES:
            self._compress(_PIECE_BYTES)
            self._write(until=self._ahead)
        return len(data)

    def _compress(self, size: int) -> None:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._pending.append(self._pool.submit(_compress, piece))

    def _write(self, until: int) -> None:
        while len(self._pending) > until:
            self._out.write(self._pending.popleft().result())


def _compress(piece: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(piece) + compressor.flush()
