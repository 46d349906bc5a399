"""Shared objects without their code for a GPU: more than half of what TensorFlow's pack to."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

# Where CUDA's compiler puts machine code of GPUs; nothing that runs on a CPU reads them.
_SECTIONS = frozenset({b".nv_fatbin", b"__nv_relfatbin"})
_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, the least significant byte first
_HEADER = struct.Struct("<40xQ10xHHH")  # of the section table: its offset, its entries, its names
_ENTRY = struct.Struct("<I20xQQ24x")  # of a section: its name, offset and size


@dataclass(frozen=True)
class Range:
    """A range of bytes in a file."""

    start: int
    end: int


def find_device_code(file: BinaryIO) -> list[Range]:
    """Find the ranges of a file that hold code for a GPU; none in what is no shared object."""
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        return []
    offset, entry_size, num_entries, names_index = _HEADER.unpack(head)
    if entry_size != _ENTRY.size or names_index >= num_entries:
        return []
    file.seek(offset)
    entries = list(_ENTRY.iter_unpack(file.read(entry_size * num_entries)))
    _, names_offset, names_size = entries[names_index]
    file.seek(names_offset)
    names = file.read(names_size)
    return [
        Range(start, start + size)
        for name, start, size in entries
        if names[name:].split(b"\0", 1)[0] in _SECTIONS
    ]


class WithoutDeviceCode:
    """Reads a file with zeros for its code for GPUs: offsets stay, and zeros pack to nothing."""

    def __init__(self, file: BinaryIO) -> None:
        """Take a file that is open at its beginning."""
        self._file, self._ranges, self._position = file, find_device_code(file), 0
        file.seek(0)

    def read(self, size: int) -> bytes:
        """Read up to so many bytes; none at the end of the file."""
        piece = self._file.read(size)
        for each in self._ranges:
            start = max(each.start - self._position, 0)
            end = min(each.end - self._position, len(piece))
            if start < end:
                piece = piece[:start] + bytes(end - start) + piece[end:]
        self._position += len(piece)
        return piece
