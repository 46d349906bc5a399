"""Files that a worker hands over to Spark, to be written with a client that only a JVM has.

A worker writes a file as it would anywhere, and its bytes wait on the temporary disk, without a
name, so that nothing is left of a worker that dies. When all of a task is written they go to the
executor beside it (``FileParts.java``), and then, once they are where they belong, what the task
gives back.
"""

from __future__ import annotations

import io
import pickle
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, TypeVar

import pyarrow as pa
from pyarrow.fs import FileInfo, FileType, PyFileSystem

from irisspark.storage.arrow_handlers import RemoteFiles
from irisspark.storage.java_errors import os_error
from irisspark.storage.location import Location

T = TypeVar("T")

_PIECE_BYTES = 1 << 20
_NAME, _MORE, _RESULT, _FAILURE = b"N", b"M", b"R", b"F"


@dataclass(eq=False)
class Spool(RemoteFiles):
    """A filesystem for a worker that writes; what it has written is there to be handed over."""

    files: dict[str, IO[bytes]] = field(default_factory=dict)

    def get_type_name(self) -> str:
        """Name the kind for Arrow."""
        return "handed over"

    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        """Ask which files are written, and not yet handed over."""
        kinds = (FileType.File if path in self.files else FileType.NotFound for path in paths)
        return [FileInfo(path, kind) for path, kind in zip(paths, kinds, strict=True)]

    def delete_file(self, path: str) -> None:
        """Forget a file."""
        self.files.pop(path).close()

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        """Open a file to write it from its beginning."""
        self.files[path] = tempfile.TemporaryFile(prefix="irisspark-")  # noqa: SIM115
        return pa.PythonFile(_Output(self.files[path]), mode="w")

    def _refuse(self, *_: object, **__: object) -> Any:
        """Do nothing but write: a worker cannot see what is there."""
        raise OSError("what is handed over to Spark can only be written")

    copy_file = move = open_here = _refuse
    create_dir = delete_dir = get_file_info_selector = _refuse


class _Output(io.RawIOBase):
    """A file whose bytes stay when it is closed."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            where = f"in {tempfile.gettempdir()}, where it waits for an executor"
            raise OSError(f"{error.strerror} {where}") from error


def handed_over(folder: Location) -> Location:
    """Let a folder that no worker can open be one where workers write, to hand over."""
    return replace(folder, elsewhere=PyFileSystem(Spool()))


def hand_over(results: Iterator[T], folder: Location) -> Iterator[bytes]:
    """Give the files that a worker has written in a folder, each before the result that names it.

    Args:
        results: What tasks give, which write as they are asked for it.
        folder: What ``handed_over`` has made, as it has arrived.
    """
    files = folder.filesystem.handler.files
    files.clear()  # what a task before this one has left, which has failed
    for result in results:
        for path in list(files):
            yield _NAME + path.encode()
            with files.pop(path) as file:
                file.seek(0)
                while piece := file.read(_PIECE_BYTES):
                    yield _MORE + piece
        yield _RESULT + pickle.dumps(result)


def written(answers: Iterator[bytes], failed: Callable[[T, OSError], T]) -> Iterator[T]:
    """Give the results behind their files.

    Args:
        answers: What ``FileParts.java`` gives.
        failed: Makes the result of a task whose files could not be written.
    """
    for answer in answers:
        kind, content = answer[:1], answer[1:]
        if kind == _RESULT:
            yield pickle.loads(content)
            continue
        (length,) = struct.unpack_from(">i", content)
        name, _, text = content[4 : 4 + length].decode().partition("\n")
        yield failed(pickle.loads(content[4 + length :]), os_error(name, text))
