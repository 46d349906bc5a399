"""One Parquet file, opened through the storage: what goes wrong in it is said in a line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from irisspark.data.csv.kinds import kind_of
from irisspark.errors import DataError, first_line
from irisspark.storage.opening import DataFile, Opener, check_unchanged

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_MAGIC, _ENCRYPTED_MAGIC = b"PAR1", b"PARE"
_CUT_SHORT = ("magic bytes not found in footer", "smaller than the minimum file footer")
_SAMPLED_BYTES = 4096


def is_parquet(file: DataFile, open_file: Opener) -> bool:
    """Tell by its first bytes whether a file is Parquet.

    Raises:
        DataError: It cannot be opened, is encrypted, or is called Parquet and is something else.
    """
    if file.compressed:
        return False
    with open_file(file, None) as stream:
        start = stream.read(_SAMPLED_BYTES)
    if start.startswith(_MAGIC):
        return True
    if start.startswith(_ENCRYPTED_MAGIC) and b"\x00" in start:
        raise DataError(f"{file.path} is an encrypted Parquet file: write it without encryption")
    if file.path.lower().endswith((".parquet", ".parq")):
        kind = kind_of(start)
        what = f" but {kind}" if kind else ": if it is a CSV, give it a name that ends in .csv"
        raise DataError(f"{file.path} is no Parquet file{what}")
    return False


@contextlib.contextmanager
def opened(file: DataFile, open_file: Opener, **settings: Any) -> Iterator[pq.ParquetFile]:
    """Open a file, and say what goes wrong with it as long as it is open.

    Args:
        file: The file.
        open_file: Opens it on this machine.
        settings: What ``pyarrow.parquet.ParquetFile`` is told.

    Raises:
        DataError: It cannot be opened, is damaged, or no Parquet file.
    """
    import pyarrow.parquet as pq

    if file.compressed:
        raise DataError(_among_parquet(file, "compressed as a whole: decompress it"))
    with contextlib.closing(open_file(file, None)) as stream:
        try:
            with pq.ParquetFile(stream, page_checksum_verification=True, **settings) as parquet:
                yield parquet
            check_unchanged(file)
        except pa.ArrowNotImplementedError as error:
            raise DataError(f"cannot read {file.path}: {first_line(error)}") from error
        except (pa.ArrowException, OSError, EOFError) as error:
            raise DataError(_fault(file, stream, first_line(error))) from error


def _fault(file: DataFile, stream: IO[bytes], what: str) -> str:
    if any(mark in what for mark in _CUT_SHORT):
        stream.seek(0)
        start = stream.read(_SAMPLED_BYTES)
        if not start.startswith(_MAGIC):
            return _among_parquet(file, kind_of(start) or "none: if it is a CSV, leave it out")
        what = "it ends before its footer, as where a copy was cut short"
    return f"{file.path} is a damaged Parquet file: {what}; copy or write it again"


def _among_parquet(file: DataFile, kind: str) -> str:
    return (
        f"{file.path} stands among Parquet files and is {kind} "
        "(the files of one -dataPath are all Parquet, or all CSV)"
    )
