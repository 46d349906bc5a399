"""A file that takes the place of the one before it as a whole, or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from irisspark.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def replacing(file: Location) -> Iterator[pa.NativeFile]:
    """Open a stream whose bytes become the file where the block ends without an error.

    Raises:
        OSError: It cannot be written; the file before it is there as it was.
    """
    part = file.parent / f".{file.name}-{uuid.uuid4().hex}"
    try:
        with part.create() as stream:
            yield stream
        _reach_the_disk(part)
        part.move(file)
    except BaseException:
        part.remove()
        raise


def _reach_the_disk(file: Location) -> None:
    """Let no power cut leave a file behind that has its name and not its bytes."""
    descriptor = os.open(file.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
