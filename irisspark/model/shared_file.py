"""A model's file on its way to the workers: to each machine once, and in pieces."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

PIECE_BYTES = 32 << 20
"""What the JVM holds at once of a file that it takes in; the rest may lie on its disk."""


@dataclass(frozen=True)
class SharedFile:
    """The bytes of a file as Spark hands them out.

    Attributes:
        pieces: A broadcast each, in order.
    """

    pieces: tuple[Broadcast[bytes], ...]

    def __call__(self) -> bytes:
        """Give the bytes, on a worker, which keeps none of them."""
        whole = io.BytesIO()
        for piece in self.pieces:
            whole.write(piece.value)
            # pyspark keeps the value for as long as the worker lives: a second copy of the model.
            piece.__dict__.pop("_value", None)
        return whole.getvalue()

    def release(self) -> None:
        """Take them away from all machines."""
        for piece in self.pieces:
            piece.destroy()


def share_file(context: SparkContext, file: bytes) -> SharedFile:
    """Hand the bytes of a file out to the workers."""
    starts = range(0, len(file), PIECE_BYTES)
    return SharedFile(
        tuple(context.broadcast(file[start : start + PIECE_BYTES]) for start in starts)
    )
