"""The blocks of whole lines that a worker reads from a byte range of a file.

A line belongs to the split in which its first byte lies, so any cut of a file, down to one byte a
split, hands every line to exactly one worker (the convention of Hadoop's ``TextInputFormat``).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import IO

from irisspark.data.splits import Split
from irisspark.errors import DataError, first_line
from irisspark.storage.opening import Opener, check_unchanged

BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 1 << 30
_TAIL_BYTES = 64 << 10


@dataclass(frozen=True)
class Block:
    """Whole lines of one file. ``offset`` is where the first byte of ``data`` lies in it."""

    file_index: int
    offset: int
    data: bytes


Cutter = Callable[[bytes], int]


def read_blocks(
    split: Split,
    open_file: Opener,
    block_bytes: int = BLOCK_BYTES,
    last_line_end: Cutter | None = None,
) -> Generator[Block, None, None]:
    """Read the lines whose first byte lies in the split, as blocks of about ``block_bytes``.

    Args:
        split: The byte range.
        open_file: Opens the file of the split on this machine.
        block_bytes: How much to read at a time; a block grows to hold a longer line.
        last_line_end: From bytes to the offset behind the last whole record in them, 0 for none.
            The default knows lines; another one may know records with quoted line breaks.

    Raises:
        DataError: The file cannot be read, its compressed bytes are damaged, or one line is
            longer than 1 GiB.
    """
    find_end = last_line_end or end_of_last_line
    try:
        with open_file(split.file, split.end) as stream:
            yield from _read_lines(split, stream, block_bytes, find_end)
        check_unchanged(split.file)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        # EOFError: gzip and bz2 of a truncated file; ValueError: pyarrow of a damaged zstd
        if split.file.compressed and getattr(error, "errno", None) is None:
            raise DataError(
                f"cannot read {split.file.path}: it is damaged, or was cut off "
                f"({first_line(error)}): fetch it or write it again"
            ) from error
        raise DataError(f"cannot read {split.file.path}: {error}") from error


def read_ahead(blocks: Generator[Block, None, None]) -> Iterator[Block]:
    """Read the next block while the caller works on this one; in a thread, one block ahead.

    Raises:
        DataError: As reading without it does, in the same place.
    """
    with ThreadPoolExecutor(1, "read ahead") as reader:
        coming = reader.submit(next, blocks, None)
        try:
            while (block := coming.result()) is not None:
                coming = reader.submit(next, blocks, None)
                yield block
        finally:
            wait([coming])  # only then may the file be closed
            blocks.close()


def _read_lines(
    split: Split, stream: IO[bytes], block_bytes: int, find_end: Cutter
) -> Iterator[Block]:
    offset, buffer = _first_line(split, stream)
    limit = split.end
    if limit is not None and offset >= limit:
        return
    while True:
        missing = block_bytes if limit is None else limit - offset - len(buffer)
        # A long line doubles what is read of it, so that looking for its end stays linear.
        chunk = stream.read(max(min(block_bytes, missing), len(buffer), _least(block_bytes)))
        buffer += chunk
        end = 0 if limit is None else _end_of_line(buffer, limit - offset - 1)
        if end or not chunk:
            if buffer:
                yield Block(split.file_index, offset, buffer[:end] if end else buffer)
            return
        if limit is None or offset + len(buffer) < limit or len(buffer) > 2 * block_bytes:
            end = find_end(buffer)
        if end:
            yield Block(split.file_index, offset, buffer[:end])
        offset, buffer = offset + end, buffer[end:]
        if len(buffer) > MAX_LINE_BYTES:
            raise DataError(
                f"{split.file.path}: the line that starts at byte {offset} is longer than 1 GiB"
            )


def _least(block_bytes: int) -> int:
    """How much to read at least where the end of a split's last line is looked for."""
    return min(block_bytes, _TAIL_BYTES)


def _end_of_line(buffer: bytes, position: int) -> int:
    """Find the offset behind the line feed at ``position`` or later, 0 where there is none."""
    if position >= len(buffer):
        return 0
    return buffer.find(b"\n", max(position, 0)) + 1


def _first_line(split: Split, stream: IO[bytes]) -> tuple[int, bytes]:
    """Go to the first line that starts in the split: its offset, and what is read of it already."""
    if split.start == 0:
        return 0, b""
    stream.seek(split.start - 1)  # a line that starts at split.start has its line end just before
    position = split.start - 1
    while split.end is None or position < split.end:
        chunk = stream.read(_TAIL_BYTES)
        newline = chunk.find(b"\n")
        if newline >= 0:
            return position + newline + 1, chunk[newline + 1 :]
        if not chunk:
            break
        position += len(chunk)
    return sys.maxsize, b""


def end_of_last_line(data: bytes) -> int:
    """Find the offset behind the last line end in ``data``, 0 where there is none.

    A lone carriage return ends a line only where no line feed does, as in files of old Macs.
    """
    newline = data.rfind(b"\n")
    if newline >= 0:
        return newline + 1
    carriage_return = data.rfind(b"\r", 0, len(data) - 1)  # the last byte may be half of a CRLF
    return carriage_return + 1


def count_lines(split: Split, open_file: Opener, offsets: Sequence[int]) -> list[int]:
    """Count the line ends of the split that lie before each of some offsets of its file."""
    counts = [0] * len(offsets)
    for block in read_blocks(split, open_file):
        if block.offset >= max(offsets):
            break
        in_block = _count_line_ends(block.data)
        for index, offset in enumerate(offsets):
            if offset >= block.offset + len(block.data):
                counts[index] += in_block
            elif offset > block.offset:
                counts[index] += _count_line_ends(block.data[: offset - block.offset])
    return counts


def _count_line_ends(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
