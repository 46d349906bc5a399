"""What filesystems have in common that Arrow asks through Python: streams, and what none offers."""

from __future__ import annotations

import io

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystemHandler


class RemoteFiles(FileSystemHandler):  # type: ignore[misc]
    """A filesystem on other machines; whoever adds one gives it the methods that differ."""

    def normalize_path(self, path: str) -> str:
        """Leave a path as it is."""
        return path

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Remove what a folder holds."""
        selector = FileSelector(path, allow_not_found=missing_dir_ok)
        for info in self.get_file_info_selector(selector):
            self.delete_dir(info.path)

    def delete_root_dir_contents(self) -> None:
        """Refuse to remove everything."""
        raise OSError("the root of a filesystem is not emptied")

    def open_here(self, path: str) -> SeekableInput:
        """Open a file to read ranges of its bytes, without Arrow between."""
        raise OSError("nothing is read there")

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Open a file to read ranges of its bytes."""
        return pa.PythonFile(self.open_here(path), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """Open a file to read it from its beginning."""
        return self.open_input_file(path)

    def open_append_stream(self, path: str, metadata: object) -> pa.NativeFile:
        """Refuse: nothing here appends."""
        raise OSError("nothing is appended to a file")


class SeekableInput(io.RawIOBase):
    """A file of a known size; a subclass reads what lies at its place."""

    def __init__(self, size: int) -> None:
        """Begin at the first byte; ``size`` is that of the file."""
        super().__init__()
        self._size, self._place = size, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Give the offset of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset; nothing is asked for before it is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def size(self) -> int:
        """Give the number of the file's bytes."""
        return self._size

    def read_at(self, size: int, offset: int) -> bytes:
        """Read a range."""
        self.seek(offset)
        return self.read(size)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read into a buffer, as those ask who unpack what is compressed."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _num_to_read(self, size: int | None) -> int:
        """Count the bytes that ``read(size)`` gives: fewer than that only at the end."""
        left = max(self._size - self._place, 0)
        return left if size is None or size < 0 else min(size, left)
