"""The footers of all files: their columns and row groups, read once on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import pyarrow as pa

from irisspark.data.parquet.parquet_file import opened
from irisspark.storage.opening import DataFile, Opener

_NUM_THREADS = 16


@dataclass(frozen=True)
class Footer:
    """What the end of a file says about it.

    Attributes:
        path: Of the file.
        schema: Its columns, as Arrow has them.
        group_rows: Rows of each row group.
    """

    path: str
    schema: pa.Schema
    group_rows: tuple[int, ...]


def read_footers(files: Sequence[DataFile], open_file: Opener) -> tuple[Footer | None, ...]:
    """Read the footers of files; None for a file of no bytes.

    Raises:
        DataError: One is no Parquet file, or a damaged one.
    """
    with ThreadPoolExecutor(_NUM_THREADS, "footers") as readers:
        return tuple(readers.map(_read_footer, files, repeat(open_file)))


def _read_footer(file: DataFile, open_file: Opener) -> Footer | None:
    if not file.size:
        return None
    with opened(file, open_file) as parquet:
        metadata = parquet.metadata
        group_rows = (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        return Footer(file.path, parquet.schema_arrow.remove_metadata(), tuple(group_rows))
