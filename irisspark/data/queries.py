"""Questions about the data that need a pass over it and no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from irisspark.data.csv.columns import Columns
from irisspark.data.csv.examine import is_missing
from irisspark.data.csv.reading import read_batches
from irisspark.data.splits import BLOCK_BYTES, TaskSplits, count_lines
from irisspark.errors import DataError
from irisspark.storage.opening import Opener


def count_lines_before(
    groups: Iterable[TaskSplits], offsets: Mapping[int, Sequence[int]], open_file: Opener
) -> Iterator[tuple[int, list[int]]]:
    """Count the line ends that lie before some offsets.

    Args:
        groups: What to read.
        offsets: By the index of a file; a file that is not there is not read.
        open_file: Opens a file on this machine.

    Yields:
        (index of the file, a count for each of its offsets), one a split.
    """
    for group in groups:
        for split in group.splits:
            wanted = offsets.get(split.file_index, ())
            if wanted and split.start < max(wanted):
                yield split.file_index, count_lines(split, open_file, wanted)


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
    groups: Iterable[TaskSplits], columns: Columns, open_file: Opener, max_blocks: int | None = None
) -> Iterator[FoundLabels]:
    """Find the distinct labels of each group.

    With ``max_blocks`` no more blocks are read of each split. A failure is returned and not raised,
    as that of an evaluation is.
    """
    assert columns.label is not None
    label_only = replace(columns, features=(), label=None, labels=None, keep=(columns.label,))
    for group in groups:
        found: set[str] = set()
        failures: tuple[tuple[int, int, str], ...] = ()
        for split in group.splits:
            batches = read_batches(split, label_only, open_file, BLOCK_BYTES)
            try:
                for batch in islice(batches, max_blocks):
                    found.update(batch.kept[0].unique().to_pylist())
            except DataError as error:
                failures = ((split.file_index, split.start, str(error)),)
                break
        labels = frozenset(text.strip() for text in found if not is_missing(text))
        yield FoundLabels(labels, failures)
