"""How variables travel: to the workers once a round, and back averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from irisspark.training.averaging import (
    ChunkLayout,
    WeightedChunk,
    average,
    average_chunks,
    put_together,
    take_chunk,
)
from irisspark.training.worker.learning import REPORT

if TYPE_CHECKING:
    from pyspark import RDD, Broadcast, SparkContext

Array = npt.NDArray[Any]

MAX_COLLECTED_BYTES = 64 << 20
"""Above this, all workers' variables together are averaged on the cluster, chunk by chunk."""

_CRASHED = ("exited unexpectedly", "Connection reset", "EOFException", "Broken pipe")
_ATTEMPTS = 4


@dataclass(frozen=True)
class Shared:
    """Variables on their way to the workers: a broadcast a chunk."""

    broadcasts: tuple[Broadcast[list[Array]], ...]

    def chunks(self) -> Iterator[list[Array]]:
        """Give the chunks, on a worker, holding one at a time."""
        for broadcast in self.broadcasts:
            yield broadcast.value
            # pyspark keeps the value for as long as the worker lives: a second copy of the model.
            broadcast.__dict__.pop("_value", None)

    def release(self) -> None:
        """Take them away from all machines."""
        for broadcast in self.broadcasts:
            broadcast.destroy()


def share(context: SparkContext, layout: ChunkLayout, variables: Sequence[Array]) -> Shared:
    """Hand variables out to the workers."""
    numbers = range(len(layout.chunks))
    return Shared(
        tuple(context.broadcast(take_chunk(layout, chunk, variables)) for chunk in numbers)
    )


def gather(
    pairs: RDD[tuple[int, Any]], layout: ChunkLayout, check: Callable[[list[Any]], None]
) -> list[Array]:
    """Run a round and average what the workers learned.

    Args:
        pairs: What ``training.worker.learning.train_round`` gives.
        layout: How the variables are cut.
        check: Is given the reports, and raises where the round failed.

    Returns:
        The averaged variables.
    """
    if layout.num_bytes * pairs.getNumPartitions() <= MAX_COLLECTED_BYTES:
        return _gather_here(pairs, layout, check)
    return _gather_on_cluster(pairs, layout, check)


def _gather_here(
    pairs: RDD[tuple[int, Any]], layout: ChunkLayout, check: Callable[[list[Any]], None]
) -> list[Array]:
    collected = survive_crashes(pairs.collect)
    check([value for key, value in collected if key == REPORT])
    chunks = [
        average(
            [value for key, value in collected if key == chunk and isinstance(value, WeightedChunk)]
        )
        for chunk in range(len(layout.chunks))
    ]
    return list(put_together(layout, chunks))


def _gather_on_cluster(
    pairs: RDD[tuple[int, Any]], layout: ChunkLayout, check: Callable[[list[Any]], None]
) -> list[Array]:
    num_chunks = len(layout.chunks)
    # The reports, whose key is -1, come together in a partition behind those of the chunks.
    keyed = pairs.partitionBy(num_chunks + 1, lambda key: key % (num_chunks + 1))
    summed = keyed.mapPartitions(average_chunks)
    context = pairs.context

    def fetch(partition: int) -> list[tuple[int, Any]]:
        items: list[tuple[int, Any]]
        items = survive_crashes(lambda: context.runJob(summed, lambda items: items, [partition]))
        return items

    try:
        check([value for _, value in fetch(num_chunks)])
        chunks = (fetch(chunk)[0][1] for chunk in range(num_chunks))
        return [np.array(variable) for variable in put_together(layout, chunks)]
    finally:
        # Else the disks fill up: Spark removes a shuffle's files when Java collects its garbage.
        summed._jrdd.rdd().cleanShuffleDependencies(False)


def survive_crashes(job: Callable[[], Any]) -> Any:
    """Run a job again whose worker process died: Spark itself does not in local mode.

    A job gives the same result each time, so nothing is lost but time.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return job()
        except Exception as error:
            if attempt == _ATTEMPTS or not any(sign in str(error) for sign in _CRASHED):
                raise
    raise AssertionError("unreachable")
