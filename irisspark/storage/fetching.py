"""Files of other machines, copied to this one while something works on them that needs a path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from pyarrow.fs import copy_files

from irisspark.errors import IrissparkError, ModelError
from irisspark.storage.location import Location, reason
from irisspark.temporary import temporary_folder

_PIECE_BYTES = 64 << 20


@contextlib.contextmanager
def on_this_disk(parts: Sequence[str | Location]) -> Iterator[str]:
    """Give the paths of files and folders on this disk, with commas between, while they are needed.

    What an error inside the block says of a copy, it says of the place that was copied.

    Raises:
        ModelError: One cannot be read.
    """
    if not any(isinstance(part, Location) for part in parts):
        yield ",".join(map(str, parts))
        return
    with temporary_folder() as folder:
        paths = [_fetch(part, folder) for part in parts]
        try:
            yield ",".join(paths)
        except IrissparkError as error:
            text = str(error)
            for path, part in zip(paths, parts, strict=True):
                text = text.replace(path, str(part))
            raise type(error)(text) from error


def _fetch(location: str | Location, folder: str) -> str:
    if isinstance(location, str):
        return location
    path = os.path.join(folder, location.name)
    try:
        if location.is_folder:
            copy_files(location.path, path, source_filesystem=location.filesystem)
        else:
            _copy(location, path)
    except OSError as error:
        raise ModelError(f"-modelPath {location}: {reason(error)}") from error
    return path


def _copy(location: Location, path: str) -> None:
    with location.open() as source, open(path, "wb") as target:
        while piece := source.read(_PIECE_BYTES):
            target.write(piece)
