"""CSV as everyone above ``data/csv`` sees it: the first of the readers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from irisspark.data import first_rows
from irisspark.data.bad_rows import BadRow
from irisspark.data.cells import is_number
from irisspark.data.columns import Columns, Head
from irisspark.data.csv import advice, first_lines
from irisspark.data.csv.backslashes import likely_width, record_end, with_doubled_quotes
from irisspark.data.csv.blocks import BLOCK_BYTES, count_lines, read_blocks
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.kinds import check_text
from irisspark.data.csv.reading import read_batches
from irisspark.data.csv.records import UTF8_BOM
from irisspark.data.reader import Batch
from irisspark.data.splits import Split, cut
from irisspark.errors import DataError
from irisspark.storage.opening import DataFile, Opener

_HEAD_BYTES = 64 << 10
_MIN_ROWS, _MAX_ROWS = 3, 20
_MAX_SHOWN = 6
# A block of a wide table holds a hundred rows, more or less: each of its columns costs a little,
# however few rows it has.
_BYTES_PER_ROW, _MIN_BYTES, _MAX_BYTES = 100 * 6, 4 << 20, 16 << 20


@dataclass(frozen=True)
class CsvReader:
    """Reads CSV that is written as ``csv`` says; positions are offsets of lines, in bytes.

    ``show_values`` says whether messages may hold the contents of cells.
    """

    csv: CsvFormat = field(default_factory=CsvFormat)
    show_values: bool = True

    @property
    def position_name(self) -> str:
        """A row is found by where its line begins."""
        return "offset"

    def head(self, files: Sequence[DataFile], open_file: Opener) -> Head:
        """Read the header, and the first rows, which may stand in a later file.

        Raises:
            DataError: There are no rows, or they are not text in UTF-8, or one column where
                another delimiter would make more, or of another width than the first line.
        """
        path, names = "", None
        rows: list[tuple[str, ...]] = []
        for index, file in enumerate(files):
            found = self._first_lines(file, index, open_file) if file.size else None
            if found is not None:
                path, names = path or file.path, names or found.names
                rows += found.rows
            if rows:
                break
        if not rows:
            raise DataError(_empty(files, has_header=names is not None))
        head = Head(path, len(names or rows[0]), names, tuple(rows))
        widths = {head.num_columns, *map(len, rows)}
        if widths == {1} and (hint := self.hint(head)):
            raise DataError(f"{path} has one column where {hint}")
        _check_width(head)
        return head

    def _first_lines(self, file: DataFile, index: int, open_file: Opener) -> Head | None:
        """Read the header and the first rows of a file; None where it has neither."""
        data, csv = b"", self.csv
        split = Split(file, index, 0, None)
        found: Head | None = None
        for sample in itertools.islice(read_blocks(split, open_file, _HEAD_BYTES, len), 1):
            check_text(file.path, sample.data)  # a file that is no text may have no line ends
        for block in read_blocks(split, open_file, _HEAD_BYTES, record_end(csv)):
            data += block.data
            found = self._parse_head(data, file.path)
            if found is not None and len(found.rows) >= _MIN_ROWS:
                break
        return found

    def _parse_head(self, data: bytes, path: str) -> Head | None:
        text = data.removeprefix(UTF8_BOM)
        if b'\\"' in text:
            text = with_doubled_quotes(text, likely_width(text, self.csv), self.csv)
        records = first_lines.records_of(text, self.csv)
        if len(records):
            first_lines.check_separator(records[0], self.csv, path)
        find = first_lines.find_header if self.csv.header else first_lines.first_row
        start = find(records, self.csv)
        cells = [*first_lines.cells_from(records, start, self.csv, _MAX_ROWS + 1)]
        if not cells:
            return None
        names = cells.pop(0) if self.csv.header else None
        rows = tuple(tuple(map(self._plain, row)) for row in cells[:_MAX_ROWS])
        return Head(path, len(names or cells[0]), names, rows)

    def _plain(self, cell: str) -> str:
        """Write a number with a decimal point, and leave any other text as it is."""
        plain = self.csv.with_point(cell)
        return plain if is_number(plain) else cell

    def check(self, head: Head, columns: Columns, num_classes: int) -> str | None:
        """Refuse a first row that reads like a header, and names that read like a row.

        Returns:
            What the first line is taken for, where it may be either; else None.

        Raises:
            DataError: There is one of these.
        """
        first = head.names or head.rows[0]
        shown = f" ({_shown(first)})" if self.show_values else ""
        if head.names is None:
            return _check_first_row(head, columns, num_classes, shown)
        return _check_names(head.names, head, columns, num_classes, shown)

    def hint(self, head: Head) -> str | None:
        """Name the delimiter that would give more columns, or one too many at each line's end."""
        hint = first_lines.delimiter_hint(head.names or head.rows[0], self.csv.delimiter)
        if hint is not None:
            return f"its rows are split at {hint}"
        if head.num_columns > 1 and not any(row[-1].strip() for row in head.rows):
            return f"each line ends in {self.csv.delimiter!r}, so its last column is empty"
        return None

    def advice(self, row: BadRow, columns: Columns) -> str | None:
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
        if block_bytes is None:
            hundred_rows = columns.num_columns * _BYTES_PER_ROW
            is_wide = hundred_rows > _MIN_BYTES
            block_bytes = min(hundred_rows, _MAX_BYTES) if is_wide else BLOCK_BYTES
        return read_batches(split, columns, self.csv, open_file, block_bytes)

    def count_lines(self, split: Split, open_file: Opener, positions: Sequence[int]) -> list[int]:
        """Count the lines of a split that end before each of some positions of its file."""
        return count_lines(split, open_file, positions)


def _empty(files: Sequence[DataFile], *, has_header: bool) -> str:
    names = ", ".join(file.path for file in files[:3]) + (", ..." if len(files) > 3 else "")
    what = "a header and no rows" if has_header else "no rows"
    return f"the data is empty: {names} {'holds' if len(files) == 1 else 'hold'} {what}"


def _check_width(head: Head) -> None:
    """Refuse a first line that is of another width than all those below it, which agree.

    Raises:
        DataError: It is.
    """
    below = head.rows if head.names is not None else head.rows[1:]
    widths = {len(row) for row in below}
    if len(widths) != 1 or head.num_columns in widths:
        return
    (width,) = widths
    if head.names is not None:
        hint = "take it out if it is a title, else write a name for each column"
        if width == head.num_columns + 1:
            hint += "; R leaves out the name of the row names, pandas that of the index"
        raise DataError(
            f"{head.path}: the header has {_columns(head.num_columns)} where the rows below it "
            f"have {width}: {hint}"
        )
    if len(below) > 1:
        raise DataError(
            f"{head.path}: the first line has {_columns(head.num_columns)} where the lines below "
            f"it have {width}: if it is a title or a header that does not fit, take it out"
        )


def _check_first_row(head: Head, columns: Columns, num_classes: int, shown: str) -> str | None:
    first, below = head.rows[0], first_rows.rows_of_width(head, columns.num_columns)[1:]
    if first_rows.looks_like_names(first, below, columns, num_classes):
        raise DataError(f"{head.path}: line 1 looks like a header{shown}: pass -header true")
    if not first_rows.may_be_names(first, below, columns):
        return None
    return (
        f"{head.path}: line 1{shown} is read as a row of data; if it is a header, pass -header true"
    )


def _check_names(
    names: Sequence[str], head: Head, columns: Columns, num_classes: int, shown: str
) -> str | None:
    below = first_rows.rows_of_width(head, columns.num_columns)
    if first_rows.looks_like_row(names, below, columns):
        raise DataError(
            f"{head.path}: line 1 looks like a row of data{shown}, which -header true "
            "takes for names: leave -header true out"
        )
    are_names = first_rows.looks_like_names(names, below, columns, num_classes)
    if are_names or not first_rows.may_be_row(names, below, columns):
        return None
    return (
        f"{head.path}: line 1{shown} is taken for names, as -header true says; if it "
        "is a row of data, leave -header true out"
    )


def _shown(cells: Sequence[str]) -> str:
    more = ", ..." if len(cells) > _MAX_SHOWN else ""
    return ", ".join(cells[:_MAX_SHOWN]) + more


def _columns(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"
