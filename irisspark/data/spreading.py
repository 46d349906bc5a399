"""Tasks over the rows of files, spread over the cluster: whoever opens the files there."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from irisspark.data.splits import Split, TaskSplits
from irisspark.storage.carried import CarriedRange, Carrier, request, without_place
from irisspark.storage.opening import Opener

if TYPE_CHECKING:
    from pyspark import RDD

    from irisspark.startup.session import Session

T = TypeVar("T")
Run = Callable[[Iterator[TaskSplits], Opener], Iterator[T]]
"""Gives something for tasks, whose files it opens with what it is handed, in their order."""


def spread(
    session: Session,
    tasks: list[TaskSplits],
    open_file: Opener,
    run: Run[T],
    *,
    here_and_there: bool = False,
) -> RDD[T]:
    """Give what a function makes of each task, on a worker.

    A worker opens the files itself where it can; else Spark carries their bytes to it.

    Args:
        session: The open session.
        tasks: A partition each; each split is opened at most once, and in their order.
        open_file: Opens a file on a worker, where it can.
        run: The function.
        here_and_there: True for files that are not read from the beginning of a split to its end,
            and cut in other units than bytes.
    """
    if not any(split.file.carried for task in tasks for split in task.splits):
        return session.spread(tasks).mapPartitions(lambda shares: run(shares, open_file))
    from irisspark.storage.java_tasks import carry

    ranges = functools.partial(_ranges, here_and_there=here_and_there)
    requests = [_request(task, ranges(task)) for task in tasks]

    def run_carried(pieces: Iterator[bytes]) -> Iterator[T]:
        for head in pieces:
            task, ranges = pickle.loads(head)
            carrier = Carrier(pieces, ranges, open_file)
            yield from run(iter([task]), carrier.open_file)
            carrier.end()

    return carry(session, requests).mapPartitions(run_carried)


def _ranges(task: TaskSplits, *, here_and_there: bool) -> list[CarriedRange]:
    return [_range(split, here_and_there) for split in task.splits if split.file.carried]


def _range(split: Split, here_and_there: bool) -> CarriedRange:
    if here_and_there:
        return CarriedRange(split.file, 0, None, here_and_there)
    # With the byte before it, which tells whether a line begins with it.
    return CarriedRange(split.file, max(split.start - 1, 0), split.end)


def _request(task: TaskSplits, ranges: Sequence[CarriedRange]) -> bytes:
    splits = tuple(replace(split, file=without_place(split.file)) for split in task.splits)
    for_worker = replace(task, splits=splits), [one.for_worker for one in ranges]
    return request(pickle.dumps(for_worker), ranges)
