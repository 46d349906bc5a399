"""Temporary folders, and what killed processes left of them.

Whether a process still holds a folder is known on its own machine alone: the locks of some storages
that machines share hold no further, and a socket's file leads nowhere on another one. So the
names have the machine in them, and what other machines made is left alone for a week.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_HELD = "irisspark-held-"
_TAG_DIGITS = 6
_WEEK_SECONDS = 7 * 24 * 3600.0


@functools.cache
def machine() -> str:
    """Name this machine, from its start to its end, in six digits: its containers share it."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        name = socket.gethostname()
    return hashlib.sha256(name.encode()).hexdigest()[:_TAG_DIGITS]


def may_be_in_use(folder: Path, tag: str) -> bool:
    """Tell whether a folder may be in use on another machine, where nobody can ask.

    Args:
        folder: The folder.
        tag: What its name says of the machine that made it.

    Raises:
        OSError: It is gone.
    """
    return tag != machine() and time.time() - folder.lstat().st_mtime < _WEEK_SECONDS


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Make a folder that is removed at the end of the block, or by the next run of this user.

    Raises:
        OSError: It cannot be made.
    """
    _clear_once()
    with tempfile.TemporaryDirectory(prefix=prefix(_HELD)) as folder:
        held = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a storage without locks
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        finally:
            os.close(held)


def clear() -> None:
    """Remove this user's folders with something in them that no process holds."""
    for folder in own_folders(_HELD):
        with contextlib.suppress(OSError):
            if any(folder.iterdir()):
                _remove_abandoned(folder)


_clear_once = functools.cache(clear)


def prefix(kind: str) -> str:
    """Give the beginning of the names of this machine's folders of a kind."""
    return f"{kind}{machine()}-"


def own_folders(kind: str) -> Iterator[Path]:
    """Go through this user's temporary folders of a kind, but for those of other machines' runs."""
    for folder in Path(tempfile.gettempdir()).glob(f"{kind}{'[0-9a-f]' * _TAG_DIGITS}-*"):
        with contextlib.suppress(OSError):  # it is gone by now
            tag = folder.name[len(kind) :][:_TAG_DIGITS]
            if folder.lstat().st_uid == os.geteuid() and not may_be_in_use(folder, tag):
                yield folder


def _remove_abandoned(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
