"""Questions about the data that need a pass over it and no model."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import islice

from irisspark.data.bad_rows import BAD_ENCODING, BadRows
from irisspark.data.cells import is_missing_label
from irisspark.data.columns import Columns
from irisspark.data.explain import MAX_LABELS, label_order
from irisspark.data.reader import LineReader, Reader
from irisspark.data.splits import TaskSplits
from irisspark.data.targets import as_label_texts
from irisspark.errors import DataError
from irisspark.storage.opening import Opener


def count_lines_before(
    tasks: Iterable[TaskSplits],
    positions: Mapping[int, Sequence[int]],
    reader: LineReader,
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


_PLUS, _MINUS = "+", "-"


@dataclass(frozen=True)
class FoundLabels:
    """The labels of some rows; ``+`` adds two of them up.

    Attributes:
        labels: Distinct, as stripped text, of rows that are good otherwise; missing ones are left
            out. Of more than ``limit`` the first ones by ``label_order``, and one more.
        undecoded: Rows whose label is no text in UTF-8.
        bad: All rows that are bad, whatever their label.
        failures: (file index, start of the split, message) where the data could not be read.
        limit: More labels than that are no classes, but a column of names or numbers.
    """

    labels: frozenset[str] = frozenset()
    undecoded: BadRows = field(default_factory=BadRows)
    bad: BadRows = field(default_factory=BadRows)
    failures: tuple[tuple[int, int, str], ...] = ()
    limit: int = MAX_LABELS

    def without_lone_minus(self) -> FoundLabels:
        """Take a minus for a missing label where, all in all, there is no plus beside it."""
        if _PLUS in self.labels:
            return self
        return replace(self, labels=self.labels - {_MINUS})

    def __add__(self, other: FoundLabels) -> FoundLabels:
        """Add the labels of two parts of the data up."""
        limit = max(self.limit, other.limit)
        labels = _first_labels(self.labels | other.labels, limit)
        failures = tuple(sorted(self.failures + other.failures))
        undecoded, bad = self.undecoded + other.undecoded, self.bad + other.bad
        return FoundLabels(frozenset(labels), undecoded, bad, failures, limit)


def find_labels(
    tasks: Iterable[TaskSplits],
    reader: Reader,
    columns: Columns,
    open_file: Opener,
    limit: int = MAX_LABELS,
    max_batches: int | None = None,
) -> Iterator[FoundLabels]:
    """Find the distinct labels of each task.

    The features are read, too: lines whose features are no numbers, as headers and titles in the
    middle of a file are, have no label.

    Of more than ``limit`` the first ones are kept, as ``FoundLabels`` tells.

    With ``max_batches`` no more batches are read of each split. A failure is returned and not
    raised, as that of an evaluation is.
    """
    assert columns.label is not None
    label = columns.label
    as_text = replace(columns, label=None, targets=None, keep=(label,))
    for task in tasks:
        texts: Set[str] = frozenset()
        undecoded, bad = BadRows(), BadRows()
        failures: tuple[tuple[int, int, str], ...] = ()
        for split in task.splits:
            batches = reader.read(split, as_text, open_file)
            try:
                for batch in islice(batches, max_batches):
                    found = as_label_texts(batch.kept[0].unique().drop_null())
                    texts |= {text.strip() for text in found.to_pylist()}
                    if len(texts) > 2 * limit:
                        texts = _first_labels(_without_missing(texts), limit)
                    undecoded += batch.bad.only(BAD_ENCODING, label)
                    bad += batch.bad
            except DataError as error:
                failures = ((split.file_index, split.start, str(error)),)
                break
        labels = _first_labels(_without_missing(texts), limit)
        yield FoundLabels(frozenset(labels), undecoded, bad, failures, limit)


def _first_labels(labels: Set[str], limit: int) -> Set[str]:
    """Keep the first labels by ``label_order``: those of the parts' first ones, however cut."""
    if len(labels) <= limit:
        return labels
    return set(heapq.nsmallest(limit + 1, labels, key=label_order))


def _without_missing(labels: Set[str]) -> Set[str]:
    """Leave missing ones out, but for a minus, which is a class if there is a plus anywhere."""
    return {text for text in labels if text == _MINUS or not is_missing_label(text)}
