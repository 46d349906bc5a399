"""A model's file on its way to the workers."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irisspark.startup.broadcasts import Shared, share

if TYPE_CHECKING:
    from pyspark import SparkContext

PIECE_BYTES = 32 << 20
"""What the JVM holds at once of a file that it takes in; the rest may lie on its disk."""


@dataclass(frozen=True)
class SharedFile:
    """The bytes of a file as Spark hands them out; called on a worker, it gives them.

    Attributes:
        shared: The pieces.
    """

    shared: Shared[bytes]

    def __call__(self) -> bytes:
        """Give the bytes; the worker keeps none of them."""
        whole = io.BytesIO()
        for piece in self.shared.pieces():
            whole.write(piece)
        return whole.getvalue()

    def release(self) -> None:
        """Take them away from all machines."""
        self.shared.release()


def share_file(context: SparkContext, file: bytes) -> SharedFile:
    """Hand the bytes of a file out to the workers."""
    starts = range(0, len(file), PIECE_BYTES)
    return SharedFile(share(context, (file[start : start + PIECE_BYTES] for start in starts)))
