"""Questions about the data that need a pass over it and no model."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from irisspark.batches import Columns, read_batches
from irisspark.batches.bad_rows import is_missing
from irisspark.splits import BLOCK_BYTES, Opener, count_lines
from irisspark.workers.scanning import Group


def count_lines_before(
    groups: Iterable[Group], file_index: int, offset: int, open_file: Opener
) -> Iterator[int]:
    """Count the line ends of the groups' splits that lie before an offset of one file."""
    for group in groups:
        for split in group.splits:
            if split.file_index == file_index:
                yield count_lines(split, open_file, offset)


def find_labels(
    groups: Iterable[Group], columns: Columns, open_file: Opener, max_blocks: int | None = None
) -> Iterator[frozenset[str]]:
    """Find the distinct labels of each group, as stripped text; missing ones are left out.

    With ``max_blocks`` no more blocks are read of each split.
    """
    assert columns.label is not None
    label_only = replace(columns, features=(), label=None, labels=None, keep=(columns.label,))
    for group in groups:
        found: set[str] = set()
        for split in group.splits:
            batches = read_batches(split, label_only, open_file, BLOCK_BYTES)
            for batch in islice(batches, max_blocks):
                found.update(batch.kept[0].unique().to_pylist())
        yield frozenset(text.strip() for text in found if not is_missing(text))
