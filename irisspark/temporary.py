"""Temporary folders, and what killed processes left of them."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "irisspark-held-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Make a folder that is removed at the end of the block, or by the next run of this user.

    Raises:
        OSError: It cannot be made.
    """
    _clear_once()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        held = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a storage without locks
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        finally:
            os.close(held)


def clear() -> None:
    """Remove this user's folders with something in them that no process holds."""
    for folder in own_folders(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if any(folder.iterdir()):
                _remove_abandoned(folder)


_clear_once = functools.cache(clear)


def own_folders(pattern: str) -> Iterator[Path]:
    """Go through this user's temporary folders of such a name."""
    for folder in Path(tempfile.gettempdir()).glob(pattern):
        with contextlib.suppress(OSError):  # it is gone by now
            if folder.lstat().st_uid == os.geteuid():
                yield folder


def _remove_abandoned(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
