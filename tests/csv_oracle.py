"""What Python's own ``csv`` makes of some bytes: the reference for ``irisspark.data.csv``."""

import csv
import gzip
import io
import re
from pathlib import Path

from irisspark.data.bad_rows import BadRows
from irisspark.data.columns import Columns
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.reader import Batch
from irisspark.data.splits import Split
from irisspark.storage.opening import DataFile, Opener, opener

open_local: Opener = opener(str)
PLAIN = CsvFormat()


def csv_rows(data: bytes, delimiter: str = ",", *, multi_line: bool = False) -> list[list[str]]:
    """Read all rows with Python's csv module, blank lines left out."""
    text = data.decode("utf-8-sig")
    # The csv module reads lines; a record that spans lines is only there with multi_line.
    if multi_line:
        return [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row
        ]
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    return [row for line in lines for row in csv.reader([line], delimiter=delimiter)]


def data_file(path: Path, data: bytes) -> DataFile:
    if path.suffix == ".gz":
        data = gzip.compress(data)
    path.write_bytes(data)
    return DataFile(str(path), len(data))


def read_splits(
    files: list[DataFile],
    columns: Columns,
    csv: CsvFormat = PLAIN,
    *,
    split_bytes: float = 1e9,
    block_bytes: int = 4 << 20,
    open_file: Opener = open_local,
) -> list[Batch]:
    reader = CsvReader(csv)
    splits = reader.cut(files, split_bytes)
    return [b for s in splits for b in reader.read(s, columns, open_file, block_bytes)]


def read_whole(file: DataFile, columns: Columns, block_bytes: int = 4 << 20) -> list[Batch]:
    return list(CsvReader().read(Split(file, 0, 0, None), columns, open_local, block_bytes))


def parse(data: bytes, columns: Columns, csv: CsvFormat = PLAIN) -> Batch:
    """Parse the bytes of a whole file as one batch."""
    split = Split(DataFile("a.csv", len(data)), 0, 0, len(data))
    (batch,) = CsvReader(csv).read(split, columns, lambda *_: io.BytesIO(data), len(data) + 1)
    return batch


Row = tuple[int, int, tuple[float, ...], int | None, tuple[str, ...]]


def rows_of(batches: list[Batch]) -> list[Row]:
    """List (file, offset, features, label, kept) of every good row."""
    rows: list[Row] = []
    for batch in batches:
        kept = [column.to_pylist() for column in batch.kept]
        for i, features in enumerate(batch.features.tolist()):
            label = None if batch.labels is None else int(batch.labels[i])
            place = (batch.piece.file_index, int(batch.positions[i]))
            rows.append((*place, tuple(features), label, tuple(texts[i] for texts in kept)))
    return rows


def bad_of(batches: list[Batch]) -> BadRows:
    total = BadRows()
    for batch in batches:
        total += batch.bad
    return total
