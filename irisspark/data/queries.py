"""Questions about the data that need a pass over it and no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from irisspark.data.cells import is_missing
from irisspark.data.columns import Columns
from irisspark.data.reader import Reader
from irisspark.data.splits import TaskSplits
from irisspark.errors import DataError
from irisspark.storage.opening import Opener


def count_lines_before(
    tasks: Iterable[TaskSplits],
    positions: Mapping[int, Sequence[int]],
    reader: Reader,
    open_file: Opener,
) -> Iterator[tuple[int, list[int]]]:
    """Count the line ends that lie before some positions.

    Args:
        tasks: What to read.
        positions: By the index of a file; a file that is not there is not read.
        reader: Knows what a line is.
        open_file: Opens a file on this machine.

    Yields:
        (index of the file, a count for each of its positions), one a split.
    """
    for task in tasks:
        for split in task.splits:
            wanted = positions.get(split.file_index, ())
            if wanted and split.start < max(wanted):
                yield split.file_index, reader.count_lines(split, open_file, wanted)


@dataclass(frozen=True)
class FoundLabels:
    """The labels of a task.

    Attributes:
        labels: Distinct, as stripped text; missing ones are left out.
        failures: (file index, start of the split, message) where the data could not be read.
    """

    labels: frozenset[str]
    failures: tuple[tuple[int, int, str], ...] = ()


def find_labels(
    tasks: Iterable[TaskSplits],
    reader: Reader,
    columns: Columns,
    open_file: Opener,
    max_batches: int | None = None,
) -> Iterator[FoundLabels]:
    """Find the distinct labels of each task.

    With ``max_batches`` no more batches are read of each split. A failure is returned and not
    raised, as that of an evaluation is.
    """
    assert columns.label is not None
    label_only = replace(columns, features=(), label=None, targets=None, keep=(columns.label,))
    for task in tasks:
        found: set[str] = set()
        failures: tuple[tuple[int, int, str], ...] = ()
        for split in task.splits:
            batches = reader.read(split, label_only, open_file)
            try:
                for batch in islice(batches, max_batches):
                    found.update(batch.kept[0].unique().to_pylist())
            except DataError as error:
                failures = ((split.file_index, split.start, str(error)),)
                break
        labels = frozenset(text.strip() for text in found if not is_missing(text))
        yield FoundLabels(labels, failures)
