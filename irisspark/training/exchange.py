"""How variables travel back from the workers, averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from irisspark.training.averaging import (
    ChunkLayout,
    WeightedChunk,
    average,
    average_chunks,
    put_together,
)
from irisspark.training.worker.learning import REPORT

if TYPE_CHECKING:
    from pyspark import RDD

    from irisspark.startup.session import Session

Array = npt.NDArray[Any]

MAX_COLLECTED_BYTES = 64 << 20
"""Above this, all workers' variables together are averaged on the cluster, chunk by chunk."""


def gather(
    session: Session,
    pairs: RDD[tuple[int, Any]],
    layout: ChunkLayout,
    check: Callable[[list[Any]], None],
    what: str,
) -> list[Array]:
    """Run a round and average what the workers learned.

    Args:
        session: Runs the jobs.
        pairs: What ``training.worker.learning.train_round`` gives.
        layout: How the variables are cut.
        check: Is given the reports, and raises where the round failed.
        what: What the round is, for a person.

    Returns:
        The averaged variables.
    """
    if layout.num_bytes * pairs.getNumPartitions() <= MAX_COLLECTED_BYTES:
        return _gather_here(session, pairs, layout, check, what)
    return _gather_on_cluster(session, pairs, layout, check, what)


def _gather_here(
    session: Session,
    pairs: RDD[tuple[int, Any]],
    layout: ChunkLayout,
    check: Callable[[list[Any]], None],
    what: str,
) -> list[Array]:
    collected = session.run(pairs.collect, what)
    check([value for key, value in collected if key == REPORT])
    chunks = [
        average(
            [value for key, value in collected if key == chunk and isinstance(value, WeightedChunk)]
        )
        for chunk in range(len(layout.chunks))
    ]
    return list(put_together(layout, chunks))


def _gather_on_cluster(
    session: Session,
    pairs: RDD[tuple[int, Any]],
    layout: ChunkLayout,
    check: Callable[[list[Any]], None],
    what: str,
) -> list[Array]:
    num_chunks = len(layout.chunks)
    # The reports, whose key is -1, come together in a partition behind those of the chunks.
    keyed = pairs.partitionBy(num_chunks + 1, lambda key: key % (num_chunks + 1))
    summed = keyed.mapPartitions(average_chunks)
    context = pairs.context

    def fetch(partition: int) -> list[tuple[int, Any]]:
        return session.run(lambda: context.runJob(summed, lambda items: items, [partition]), what)

    try:
        check([value for _, value in fetch(num_chunks)])
        chunks = (fetch(chunk)[0][1] for chunk in range(num_chunks))
        return [np.array(variable) for variable in put_together(layout, chunks)]
    finally:
        # Else the disks fill up: Spark removes a shuffle's files when Java collects its garbage.
        summed._jrdd.rdd().cleanShuffleDependencies(False)
