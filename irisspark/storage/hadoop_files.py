"""Hadoop's own ``FileSystem`` on the driver, through py4j, as a filesystem of Arrow's.

What an administrator has set up for Hadoop holds here by itself: tickets and tokens, pairs of name
nodes, endpoints and credentials. Every call goes to the JVM and its bytes through a socket as text,
so this is for names, sizes, small reads and results; workers read rows in ways of their own.
"""

from __future__ import annotations

import contextlib
import errno
import io
import posixpath
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileType

from irisspark.storage.arrow_handlers import RemoteFiles, SeekableInput
from irisspark.storage.java_errors import os_error

_CALL_BYTES = 512 << 10
_PIECE_BYTES = 64 << 20


class HadoopFiles(RemoteFiles):
    """A filesystem of Hadoop's, for paths below its root.

    Args:
        jvm: The JVM as py4j shows it.
        conf: Hadoop's configuration in it.
        filesystem: Its ``org.apache.hadoop.fs.FileSystem``.
        root: The URI of its root, without the last slash.
    """

    def __init__(self, jvm: Any, conf: Any, filesystem: Any, root: str) -> None:
        """Take what the JVM has."""
        self._jvm, self._conf, self._filesystem, self._root = jvm, conf, filesystem, root

    def _path(self, path: str) -> Any:
        # Three parts: a single text would be parsed, and a colon in a name refused.
        scheme, _, authority = self._root.partition("://")
        return self._jvm.org.apache.hadoop.fs.Path(scheme, authority or None, path)

    def __eq__(self, other: object) -> bool:
        """Tell whether another one has the same root."""
        return isinstance(other, HadoopFiles) and other._root == self._root

    def __hash__(self) -> int:
        """Hash the root."""
        return hash(self._root)

    def get_type_name(self) -> str:
        """Name the kind for Arrow."""
        return "hadoop"

    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        """Ask what is at some places."""
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> FileInfo:
        with asking_java(), contextlib.suppress(FileNotFoundError):
            return _file_info(path, self._status(path))
        return FileInfo(path, FileType.NotFound)

    def _status(self, path: str) -> Any:
        with asking_java():
            return self._filesystem.getFileStatus(self._path(path))

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        """List what a folder holds."""
        try:
            with asking_java():
                found = list(self._filesystem.listStatus(self._path(selector.base_dir)))
        except FileNotFoundError:
            if selector.allow_not_found:
                return []
            raise
        infos = []
        for status in found:
            path = posixpath.join(selector.base_dir, status.getPath().getName())
            infos.append(_file_info(path, status))
            if selector.recursive and status.isDirectory():
                infos += self.get_file_info_selector(FileSelector(path, recursive=True))
        return infos

    def names_beginning(self, folder: str, beginning: str) -> list[str]:
        """Find names in a folder, of which there may be too many to ask for each."""
        pattern = re.sub(r"([\\*?{}\[\],^])", r"\\\1", posixpath.join(folder, beginning)) + "*"
        with asking_java():
            found = self._filesystem.globStatus(self._path(pattern)) or ()
            return sorted(str(status.getPath().getName()) for status in found)

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder, and those above it."""
        with asking_java():
            self._filesystem.mkdirs(self._path(path))

    def delete_dir(self, path: str) -> None:
        """Remove a folder with all that it holds."""
        with asking_java():
            self._filesystem.delete(self._path(path), True)

    def delete_file(self, path: str) -> None:
        """Remove a file."""
        with asking_java():
            self._filesystem.delete(self._path(path), False)

    def remove_at_exit(self, path: str) -> None:
        """Let the JVM remove what is at a place when it ends, if anything is there then."""
        with asking_java():
            self._filesystem.deleteOnExit(self._path(path))

    def move(self, src: str, dest: str) -> None:
        """Give a file or folder another place, in place of a file there, but of no folder.

        ``FileSystem.rename`` would move it into a folder that is there, and answers no in place of
        saying why.
        """
        hadoop = self._jvm.org.apache.hadoop.fs
        kind = hadoop.Options.Rename.OVERWRITE
        with asking_java():
            source = self._filesystem.getFileStatus(self._path(src))
            if source.isDirectory():
                kind = hadoop.Options.Rename.NONE
            options = self._jvm.java.lang.reflect.Array.newInstance(kind.getClass(), 1)
            options[0] = kind
            context = hadoop.FileContext.getFileContext(self._filesystem.getUri(), self._conf)
            context.rename(self._path(src), self._path(dest), options)

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file, byte by byte."""
        with self.open_input_stream(src) as source, self.open_output_stream(dest, None) as target:
            while piece := source.read(_PIECE_BYTES):
                target.write(piece)

    def open_here(self, path: str) -> SeekableInput:
        """Open a file to read ranges of its bytes, without Arrow between."""
        status = self._status(path)
        if status.isDirectory():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with asking_java():
            stream = self._filesystem.open(self._path(path))
        return _JavaInput(self._jvm, stream, int(status.getLen()))

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        """Open a file to write it from its beginning."""
        return pa.PythonFile(_JavaOutput(self._jvm, self._filesystem, self._path(path)), mode="w")


class _JavaInput(SeekableInput):
    """A file that the JVM reads."""

    def __init__(self, jvm: Any, stream: Any, size: int) -> None:
        super().__init__(size)
        self._jvm, self._stream = jvm, stream

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._num_to_read(size)
        if not wanted:
            return b""
        with asking_java():
            self._stream.seek(self._place)
            few = wanted <= _CALL_BYTES
            data = bytes(self._stream.readNBytes(wanted)) if few else self._by_file(wanted)
        if len(data) != wanted:
            raise OSError(f"the file ends before byte {self._place + wanted}")
        self._place += wanted
        return data

    def _by_file(self, size: int) -> bytes:
        """Let the JVM write to a file, which is read faster than its socket by far."""
        with tempfile.NamedTemporaryFile(prefix="irisspark-") as file:
            target = self._jvm.java.io.FileOutputStream(file.name)
            try:
                self._jvm.org.apache.commons.io.IOUtils.copyLarge(self._stream, target, 0, size)
            finally:
                target.close()
            return file.read()

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(Exception):
                self._stream.close()
        super().close()


class _JavaOutput(io.RawIOBase):
    """A file that the JVM writes once all of it is known; without an error it is there whole."""

    def __init__(self, jvm: Any, filesystem: Any, path: Any) -> None:
        super().__init__()
        self._jvm, self._filesystem, self._path = jvm, filesystem, path
        self._spool = tempfile.NamedTemporaryFile(prefix="irisspark-")  # noqa: SIM115
        self._is_whole = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._is_whole, before = False, self._is_whole
        num_bytes = self._spool.write(data)
        self._is_whole = before
        return num_bytes

    def close(self) -> None:
        """Let the JVM write the file, but no part of one for which there was no room here."""
        if self.closed:
            return
        super().close()
        with self._spool, asking_java():
            if not self._is_whole:
                return
            self._spool.flush()
            local = self._jvm.org.apache.hadoop.fs.Path("file", None, self._spool.name)
            self._filesystem.copyFromLocalFile(False, True, local, self._path)


def _file_info(path: str, status: Any) -> FileInfo:
    modified = int(status.getModificationTime()) * 1_000_000
    if status.isDirectory():
        return FileInfo(path, FileType.Directory, mtime_ns=modified)
    return FileInfo(path, FileType.File, size=int(status.getLen()), mtime_ns=modified)


@contextlib.contextmanager
def asking_java() -> Iterator[None]:
    """Say what Java throws as Python does, in one line."""
    from py4j.protocol import Py4JError, Py4JJavaError

    try:
        yield
    except Py4JJavaError as error:
        raise _os_error(error.java_exception) from error
    except Py4JError as error:
        raise OSError(f"Spark's JVM does not answer: {error}") from error


def _os_error(thrown: Any) -> OSError:
    """Make the error that Python would raise of one that Java has thrown."""
    name = str(thrown.getClass().getSimpleName())
    return os_error(name, str(thrown.getLocalizedMessage() or name))
