"""Files cut into byte ranges, and these dealt to tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from irisspark.storage.opening import DataFile


@dataclass(frozen=True)
class Split:
    """The range ``[start, end)`` of a file; ``end`` is None for "to the end of the file".

    ``file_index`` is the place of the file in the input: (file_index, position) orders all rows.
    Positions, ``start`` and ``end`` are in the same unit, which is a byte for text.
    """

    file: DataFile
    file_index: int
    start: int
    end: int | None


@dataclass(frozen=True)
class TaskSplits:
    """The splits of one task; ``index`` orders the tasks as the input orders their rows."""

    index: int
    splits: tuple[Split, ...]

    def from_place(self, place: tuple[int, int]) -> TaskSplits:
        """Leave out what lies before the (file index, position) of a row, as far as can be."""
        return replace(self, splits=tuple(self._cut_at(*place)))

    def _cut_at(self, file_index: int, position: int) -> Iterator[Split]:
        for split in self.splits:
            if split.file_index == file_index and split.end is not None:
                if split.end > position:
                    yield replace(split, start=max(split.start, position))
            elif split.file_index >= file_index:
                yield split


def cut(files: Sequence[DataFile], split_bytes: float, *, whole_files: bool = False) -> list[Split]:
    """Cut files into splits of about ``split_bytes``, in input order; empty files give none."""
    splits: list[Split] = []
    for index, file in enumerate(files):
        if file.size == 0:
            continue
        if file.compressed or whole_files:
            splits.append(Split(file, index, 0, None))
            continue
        num_splits = max(1, round(file.size / split_bytes))
        bounds = [file.size * i // num_splits for i in range(num_splits + 1)]
        splits += [Split(file, index, start, end) for start, end in pairwise(bounds) if end > start]
    return splits


def deal(splits: Sequence[Split], num_tasks: int) -> list[tuple[Split, ...]]:
    """Deal splits to ``num_tasks`` tasks of about equal bytes, neighbours together.

    Tasks may be empty where there are fewer splits than tasks.
    """
    sizes = [_split_bytes(split) for split in splits]
    total = max(sum(sizes), 1)
    tasks: list[list[Split]] = [[] for _ in range(num_tasks)]
    before = 0
    for split, size in zip(splits, sizes, strict=True):
        middle = before + size / 2
        tasks[min(int(middle * num_tasks / total), num_tasks - 1)].append(split)
        before += size
    return [tuple(members) for members in tasks]


def _split_bytes(split: Split) -> int:
    return (split.file.size if split.end is None else split.end) - split.start
