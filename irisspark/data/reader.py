"""What a reader of a file format does for everyone above it: rows -> batches of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irisspark.data.bad_rows import BadRow, BadRows
from irisspark.data.columns import Columns, Head
from irisspark.data.gaps import FilledCells
from irisspark.data.splits import Split
from irisspark.storage.opening import DataFile, Opener

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """The piece of a file that a batch was read from.

    Attributes:
        file_index: Place of the file in the input.
        start: Position of its beginning.
        end: Position behind it; no row of a later batch of the file lies before it.
        read_bytes: What was read, after decompression.
        read_seconds: What waiting for these bytes took.
    """

    file_index: int
    start: int
    end: int
    read_bytes: int = 0
    read_seconds: float = 0.0


@dataclass(frozen=True)
class Batch:
    """The good rows of one piece of a file.

    Attributes:
        features: [rows, num_features] in the dtype of the model's input.
        labels: [rows] as ``Columns.targets`` makes them; None where the data has no label column.
        kept: The cells of ``Columns.keep``, one Arrow array each, text where the file is text.
        piece: Where the rows come from.
        find_positions: Gives int64 [rows], the positions of all good rows of the piece.
        bad: The other rows of the piece, counted.
        filled: The missing numbers of the good rows of the piece that something stands in for.
        taken: int64 [rows], which good rows of the piece these are; None for all of them.
    """

    features: Array
    labels: Array | None
    kept: tuple[pa.Array, ...]
    piece: Piece
    find_positions: Callable[[], Ints]
    bad: BadRows = field(default_factory=BadRows)
    filled: FilledCells = field(default_factory=FilledCells)
    taken: Ints | None = None

    def __len__(self) -> int:
        """Count the good rows."""
        return len(self.features)

    @cached_property
    def positions(self) -> Ints:
        """int64 [rows]: what orders the rows of a file, and no more. Found when asked for."""
        positions = self.find_positions()
        return positions if self.taken is None else positions[self.taken]

    def where(self, mask: npt.NDArray[np.bool_]) -> Batch:
        """Give the good rows where ``mask``, bool [rows], is True; the bad ones stay counted."""
        taken = np.arange(len(self), dtype=np.int64) if self.taken is None else self.taken
        return replace(
            self,
            features=self.features[mask],
            labels=None if self.labels is None else self.labels[mask],
            kept=tuple(cells.filter(pa.array(mask)) for cells in self.kept),
            taken=taken[mask],
        )


class Reader(Protocol):
    """Reads files of one format, on the driver and on workers."""

    @property
    def position_name(self) -> str:
        """What a position is called: ``offset``, in bytes, or ``row``, the row's number."""

    def head(self, files: Sequence[DataFile], open_file: Opener) -> Head:
        """Read the beginning of the data.

        Raises:
            DataError: There are no rows, or what is there is not of this format.
        """

    def check(self, head: Head, columns: Columns, num_classes: int) -> str | None:
        """Hold the beginning of the data against what the columns are for.

        Returns:
            A line for the user on what is taken for what, where it may be either; else None.

        Raises:
            DataError: The data is read in another way than it was written.
        """

    def hint(self, head: Head) -> str | None:
        """Say what may be the matter where the data has too few or too many columns."""

    def advice(self, row: BadRow, columns: Columns) -> str | None:
        """Say what to do about a bad row; None for a label of which nothing more is known."""

    def cut(self, files: Sequence[DataFile], split_bytes: float) -> list[Split]:
        """Cut files into splits of about ``split_bytes``, in input order; empty ones give none."""

    def read(
        self, split: Split, columns: Columns, open_file: Opener, block_bytes: int | None = None
    ) -> Iterator[Batch]:
        """Read the rows of a split in their order.

        Args:
            split: What to read; every row belongs to one split, however the files are cut.
            columns: What each column is for.
            open_file: Opens the file of the split on this machine.
            block_bytes: How much to read for a batch; None for what suits the data.

        Raises:
            DataError: The file cannot be read on this machine, or is not like the first one.
        """


class LineReader(Reader, Protocol):
    """Reads text, whose positions are offsets, and whose rows a person finds by their lines."""

    def count_lines(self, split: Split, open_file: Opener, positions: Sequence[int]) -> list[int]:
        """Count the lines of a split that end before each of some positions of its file."""
