"""A file that takes the place of the one before it as a whole, or not at all."""

from __future__ import annotations

import mmap
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from irisspark.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def replacing(file: Location) -> Iterator[pa.NativeFile | IO[bytes]]:
    """Open a stream whose bytes become the file where the block ends without an error.

    Raises:
        OSError: It cannot be written; the file before it is there as it was.
    """
    if not file.renames:
        with _at_once(file) as spool:
            yield spool
        return
    part = file.parent / f".{file.name}-{uuid.uuid4().hex}"
    try:
        with part.create() as stream:
            yield stream
        if part.is_local:
            _reach_the_disk(part)
        part.move(file)
    except BaseException:
        part.remove()
        raise


@contextmanager
def _at_once(file: Location) -> Iterator[IO[bytes]]:
    """Gather the bytes here first: an object store has an object whole once all are sent.

    A stream there that is closed after half of them would leave half an object.
    """
    with tempfile.TemporaryFile() as spool:
        yield spool
        spool.flush()
        size = spool.tell()
        data = mmap.mmap(spool.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        with file.create() as stream:
            stream.write(data)


def _reach_the_disk(file: Location) -> None:
    """Let no power cut leave a file behind that has its name and not its bytes."""
    descriptor = os.open(file.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
