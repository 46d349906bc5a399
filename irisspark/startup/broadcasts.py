"""What is handed out to the workers in pieces, to each machine once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

T = TypeVar("T")


@dataclass(frozen=True)
class Shared(Generic[T]):
    """Pieces on their way to the workers.

    Attributes:
        broadcasts: One a piece, in order.
    """

    broadcasts: tuple[Broadcast[T], ...]

    def pieces(self) -> Iterator[T]:
        """Give the pieces, on a worker, which holds one at a time."""
        for broadcast in self.broadcasts:
            yield broadcast.value
            # pyspark keeps the value for as long as the worker lives: a second copy of the model.
            broadcast.__dict__.pop("_value", None)

    def release(self) -> None:
        """Take them away from all machines."""
        for broadcast in self.broadcasts:
            broadcast.destroy()


def share(context: SparkContext, pieces: Iterable[T]) -> Shared[T]:
    """Hand pieces out to the workers."""
    return Shared(tuple(context.broadcast(piece) for piece in pieces))
