"""Parquet as everyone above ``data/parquet`` sees it: the second of the readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from irisspark.data.bad_rows import UNKNOWN_LABEL, BadRow
from irisspark.data.columns import Columns, Head
from irisspark.data.parquet.field_kinds import NOTHING, NUMBERS, TEXT, is_nested, kind_of
from irisspark.data.parquet.fields import Field, check_schemas, fields_of
from irisspark.data.parquet.footers import Footer, read_footers
from irisspark.data.parquet.parquet_file import opened
from irisspark.data.parquet.row_groups import STREAM_BYTES, read_batches
from irisspark.data.reader import Batch
from irisspark.data.splits import Split
from irisspark.data.targets import as_label_texts
from irisspark.errors import DataError
from irisspark.storage.opening import DataFile, Opener

_MAX_HEAD_ROWS = 20
_OF_FEATURES = (NUMBERS, NOTHING)
_OF_LABELS = (NUMBERS, TEXT, NOTHING)


@dataclass(frozen=True)
class ParquetReader:
    """Reads Parquet; positions are the numbers of rows in their file, from 0.

    Attributes:
        fields: The columns.
        footers: Of each file, on the driver alone.
    """

    fields: tuple[Field, ...]
    footers: tuple[Footer | None, ...]

    @property
    def position_name(self) -> str:
        """A row is found by its number."""
        return "row"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what workers do not need."""
        return {**vars(self), "footers": ()}

    def head(self, files: Sequence[DataFile], open_file: Opener) -> Head:
        """Read the first rows of the first file that has any.

        Raises:
            DataError: The file is damaged.
        """
        file = next(f for f, footer in zip(files, self.footers, strict=True) if footer)
        kinds = [kind_of(field.type) for field in self.fields]
        shown = [f for f, kind in zip(self.fields, kinds, strict=True) if kind in _OF_LABELS]
        names = [field.name for field in shown if not field.is_key]
        with opened(file, open_file, buffer_size=STREAM_BYTES) as parquet:
            batch = next(parquet.iter_batches(_MAX_HEAD_ROWS, columns=names, use_threads=False))
        texts = {
            field.name: _texts(
                field.key_cells(file, len(batch)) if field.is_key else batch.column(field.name)
            )
            for field in shown
        }
        blank = [""] * len(batch)
        return Head(
            file.path,
            len(self.fields),
            tuple(field.name for field in self.fields),
            tuple(zip(*(texts.get(field.name, blank) for field in self.fields), strict=True)),
            tuple("" if kind in _OF_FEATURES else kind for kind in kinds),
        )

    def check(self, head: Head, columns: Columns, num_classes: int) -> str | None:
        """Refuse a label that is neither number nor text, and files whose columns are others.

        Raises:
            DataError: There is one of these.
        """
        for column in (*columns.keep, *columns.texts, *columns.labels):
            type_ = self.fields[column].type
            is_fine = column in columns.keep or kind_of(type_) in _OF_LABELS
            if is_nested(type_) or not is_fine:
                what = "the label" if column in columns.labels else "a kept column"
                what = columns.taker(column) if column in columns.texts else what
                raise DataError(
                    f"{head.path}: {columns.name(column)} holds {kind_of(type_)}, which {what} "
                    "cannot be"
                )
        check_schemas(self.fields, columns, self.footers)
        return None

    def hint(self, head: Head) -> str | None:
        """Nothing is read in another way than it was written."""
        return None

    def advice(self, row: BadRow, columns: Columns) -> str | None:
        """Say what to do about a bad row."""
        if row.reason == UNKNOWN_LABEL:
            return None
        return "mend the row, or pass -badRows skip to leave such rows out"

    def cut(self, files: Sequence[DataFile], split_bytes: float) -> list[Split]:
        """Make splits of whole row groups, which may be larger than ``split_bytes``."""
        return [
            Split(file, index, start, end)
            for index, (file, footer) in enumerate(zip(files, self.footers, strict=True))
            if footer is not None
            for start, end in _spans(footer.group_rows, split_bytes / max(file.size, 1))
        ]

    def read(
        self, split: Split, columns: Columns, open_file: Opener, block_bytes: int | None = None
    ) -> Iterator[Batch]:
        """Read the rows of a split in their order.

        Raises:
            DataError: The file cannot be read on this machine.
        """
        return read_batches(split, columns, self.fields, open_file, block_bytes)


def open_parquet(files: Sequence[DataFile], open_file: Opener) -> ParquetReader:
    """Make the reader of some files, by their footers.

    Raises:
        DataError: One is no Parquet file, or damaged, or there are no rows in any of them.
    """
    footers = read_footers(files, open_file)
    footers = tuple(footer if footer and any(footer.group_rows) else None for footer in footers)
    if not any(footers):
        names = ", ".join(file.path for file in files[:3]) + (", ..." if len(files) > 3 else "")
        verb = "holds" if len(files) == 1 else "hold"
        raise DataError(f"the data is empty: {names} {verb} no rows")
    return ParquetReader(fields_of(files, footers), footers)


def _texts(cells: pa.Array) -> list[str]:
    try:
        return [text or "" for text in as_label_texts(cells).to_pylist()]
    except pa.ArrowInvalid:  # bytes that are no text
        return [""] * len(cells)


def _spans(group_rows: Sequence[int], share: float) -> Iterator[tuple[int, int]]:
    """Give the ranges of rows of neighbouring row groups that make about a share of a file."""
    start = end = 0
    wanted = share * sum(group_rows)
    for num_rows in group_rows:
        if end > start and end + num_rows / 2 > start + wanted:
            yield start, end
            start = end
        end += num_rows
    if end > start:
        yield start, end
