"""HDFS on a worker: a client in Rust, without a JVM, as a filesystem of Arrow's.

The client has threads of its own, so a process that makes one may not fork any more: it is made
with the first call, in a worker, and kept there.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileType

from irisspark.storage.arrow_handlers import RemoteFiles, SeekableInput

if TYPE_CHECKING:
    import hdfs_native

# Its own default of 15 attempts, 15 s apart in the end, is three minutes of silence; that of 60 s
# for a data node that says nothing is twelve, as each is asked again.
_PATIENCE = {
    "dfs.client.socket-timeout": "20000",
    "dfs.client.failover.max.attempts": "6",
    "dfs.client.failover.sleep.max.millis": "4000",
}


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Say what a name node answers, which comes with its trace, as Python does."""
    try:
        yield
    except RuntimeError as error:
        found = re.search(r'RPCError\("[\w.$]*?(\w+)", "((?:[^"\\]|\\.)*)', str(error))
        kind, text = found.groups() if found else ("", str(error))
        line = re.split(r"\\n|\n", text)[0].replace('\\"', '"')
        line = re.sub(r'^\w+\("(.*?): \[\w+Proto \{.*', r"\1", line)  # all that is known of nodes
        raise (PermissionError if kind == "AccessControlException" else OSError)(line) from error


@dataclass(frozen=True)
class HdfsFiles(RemoteFiles):
    """HDFS, as a worker sees it.

    Attributes:
        root: The URI of its root, without the last slash: of a name node or a name service.
        settings: Hadoop's settings of it, which an executor need not have.
        user: Who the driver is there, where no ticket or token says so.
    """

    root: str
    settings: tuple[tuple[str, str], ...] = ()
    user: str | None = None

    @property
    def _client(self) -> hdfs_native.Client:
        return _client(self)

    def get_type_name(self) -> str:
        """Name the kind for Arrow."""
        return "hdfs"

    @_in_one_line()
    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        """Ask what is at some places."""
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> FileInfo:
        try:
            return _file_info(path, self._client.get_file_info(path))
        except FileNotFoundError:
            return FileInfo(path, FileType.NotFound)

    @_in_one_line()
    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        """List what a folder holds."""
        try:
            found = list(self._client.list_status(selector.base_dir, selector.recursive))
        except FileNotFoundError:
            if selector.allow_not_found:
                return []
            raise
        return [_file_info(_below(selector.base_dir, status.path), status) for status in found]

    @_in_one_line()
    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder."""
        self._client.mkdirs(path, create_parent=recursive)

    @_in_one_line()
    def delete_dir(self, path: str) -> None:
        """Remove a folder with all that it holds."""
        self._client.delete(path, recursive=True)

    @_in_one_line()
    def delete_file(self, path: str) -> None:
        """Remove a file."""
        self._client.delete(path)

    @_in_one_line()
    def move(self, src: str, dest: str) -> None:
        """Give a file or folder another place; nothing may be there."""
        self._client.rename(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        """Refuse: no worker copies."""
        raise OSError("a worker copies no files")

    @_in_one_line()
    def open_here(self, path: str) -> SeekableInput:
        """Open a file to read ranges of its bytes, without Arrow between."""
        return _Input(self._client.read(path))

    @_in_one_line()
    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        """Open a file to write it from its beginning."""
        from hdfs_native import WriteOptions

        return pa.PythonFile(_Output(self._client.create(path, WriteOptions(overwrite=True))), "w")


@functools.cache
def _client(files: HdfsFiles) -> hdfs_native.Client:
    try:
        import hdfs_native
    except ImportError as error:
        raise OSError(
            "the package hdfs-native is not installed there: pip install 'irisspark[hdfs]' on "
            "every machine"
        ) from error
    if files.user is not None:
        os.environ.setdefault("HADOOP_USER_NAME", files.user)
    return hdfs_native.Client(files.root, {**_PATIENCE, **dict(files.settings)})


class _Input(SeekableInput):
    """A file of which what follows what was read comes from the same stream of the client's.

    Such a stream is the client's fast way, and asks for a file's blocks and connections once.
    """

    def __init__(self, reader: hdfs_native.FileReader) -> None:
        super().__init__(len(reader))
        self._reader = reader
        self._stream: Iterator[bytes] | None = None
        self._rest = b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        before = self._place
        if super().seek(offset, whence) != before:
            self._stream, self._rest = None, b""
        return self._place

    @_in_one_line()
    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._num_to_read(size)
        try:
            data = self._read_on(wanted) if wanted else b""
        except BaseException:  # whoever asks again has a new stream
            self._stream, self._rest = None, b""
            raise
        self._place += len(data)
        return data

    def _read_on(self, wanted: int) -> bytes:
        if self._stream is None:
            left = self._size - self._place
            self._stream = iter(self._reader.read_range_stream(self._place, left))
        pieces, got = [self._rest], len(self._rest)
        while got < wanted and (piece := next(self._stream, None)):
            pieces.append(piece)
            got += len(piece)
        data = b"".join(pieces)
        self._rest = data[wanted:]
        return data[:wanted]


class _Output(io.RawIOBase):
    """A file that is written from its beginning."""

    def __init__(self, writer: hdfs_native.FileWriter) -> None:
        super().__init__()
        self._writer = writer

    def writable(self) -> bool:
        return True

    @_in_one_line()
    def write(self, data: Any, /) -> int:
        return self._writer.write(data)

    @_in_one_line()
    def close(self) -> None:
        if not self.closed:
            super().close()
            self._writer.close()


def _below(folder: str, path: str) -> str:
    """Give a path as one below the folder that was asked for, as a mount table shows it too."""
    return posixpath.join(folder, posixpath.basename(path))


def _file_info(path: str, status: Any) -> FileInfo:
    modified = int(status.modification_time) * 1_000_000
    if status.isdir:
        return FileInfo(path, FileType.Directory, mtime_ns=modified)
    return FileInfo(path, FileType.File, size=int(status.length), mtime_ns=modified)
