"""CSV as everyone above ``data/csv`` sees it: the first of the readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from irisspark.data.bad_rows import BadRow
from irisspark.data.columns import Columns, Head
from irisspark.data.csv import advice, first_lines
from irisspark.data.csv.blocks import BLOCK_BYTES, count_lines, read_blocks
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.reading import read_batches, record_end
from irisspark.data.reader import Batch
from irisspark.data.splits import Split, cut
from irisspark.errors import DataError
from irisspark.storage.opening import DataFile, Opener

_HEAD_BYTES = 64 << 10


@dataclass(frozen=True)
class CsvReader:
    """Reads CSV that is written as ``csv`` says; positions are offsets of lines, in bytes."""

    csv: CsvFormat = field(default_factory=CsvFormat)

    def head(self, files: Sequence[DataFile], open_file: Opener) -> Head:
        """Read the header, and the first two rows, which may stand in a later file.

        Raises:
            DataError: There are no rows, or they are not text in UTF-8, or one column where
                another delimiter would make more.
        """
        path, first = "", None
        rows: list[tuple[str, ...]] = []
        for index, file in enumerate(files):
            records = self._first_records(file, index, open_file) if file.size else []
            if first is None and records:
                path, first = file.path, records[0]
            rows += records[self.csv.header :]
            if rows and (len(rows) > 1 or self.csv.header):
                break
        if first is None or not rows:
            raise DataError(_empty(files, has_header=first is not None))
        head = Head(path, len(first), first if self.csv.header else None, tuple(rows[:2]))
        if len(first) == 1 and (hint := self.hint(head)):
            raise DataError(f"{path} has one column where {hint}")
        return head

    def _first_records(
        self, file: DataFile, index: int, open_file: Opener
    ) -> list[tuple[str, ...]]:
        """Read the first two records of a file, fewer where it has no more."""
        data, records = b"", list[tuple[str, ...]]()
        split, end = Split(file, index, 0, None), record_end(self.csv)
        for block in read_blocks(split, open_file, _HEAD_BYTES, end):
            if not data:
                first_lines.check_encoding(file.path, block.data)
            data += block.data
            records = first_lines.read_records(data, self.csv, 2)
            if len(records) > 1:
                break
        return records

    def check(self, head: Head, columns: Columns) -> None:
        """Refuse a first row that reads like a header.

        Raises:
            DataError: It does.
        """
        if self.csv.header or not first_lines.looks_like_header(head.rows[0], columns):
            return
        cells = head.rows[0]
        shown = ", ".join(cells[:6]) + (", ..." if len(cells) > 6 else "")
        raise DataError(f"{head.path}: line 1 looks like a header ({shown}): pass -header true")

    def hint(self, head: Head) -> str | None:
        """Name the delimiter that would give more columns."""
        hint = first_lines.delimiter_hint(head.names or head.rows[0], self.csv.delimiter)
        return None if hint is None else f"its rows are split at {hint}"

    def advice(self, row: BadRow, columns: Columns) -> str:
        """Say what to do about a bad row."""
        return advice.advice(row, columns, self.csv)

    def cut(self, files: Sequence[DataFile], split_bytes: float) -> list[Split]:
        """Cut files into splits; one whose records may span lines is not cut."""
        return cut(files, split_bytes, whole_files=self.csv.multi_line)

    def read(
        self, split: Split, columns: Columns, open_file: Opener, block_bytes: int | None = None
    ) -> Iterator[Batch]:
        """Read the rows of a split in their order.

        Raises:
            DataError: The file cannot be read on this machine, or its header is another one.
        """
        return read_batches(split, columns, self.csv, open_file, block_bytes or BLOCK_BYTES)

    def count_lines(self, split: Split, open_file: Opener, positions: Sequence[int]) -> list[int]:
        """Count the lines of a split that end before each of some positions of its file."""
        return count_lines(split, open_file, positions)


def _empty(files: Sequence[DataFile], *, has_header: bool) -> str:
    names = ", ".join(file.path for file in files[:3]) + (", ..." if len(files) > 3 else "")
    what = "a header and no rows" if has_header else "no rows"
    return f"the data is empty: {names} {'holds' if len(files) == 1 else 'hold'} {what}"
