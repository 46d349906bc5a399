"""Unix sockets in folders that only this user may enter, and what killed processes left of them."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

from irisspark.temporary import own_folders, prefix

_KIND = "irisspark-"
_UNFINISHED = "~"
_NAMES = {"driver", "server"}
_STALE_SECONDS = 60.0


def listen(name: str) -> tuple[socket.socket, str]:
    """Listen at a socket in a new folder, and clear those that nobody listens at any more.

    Args:
        name: One of those that are known to be cleared.

    Returns:
        The socket, and its path.

    Raises:
        OSError: The folder cannot be made, or the path is longer than a socket's may be.
    """
    assert name in _NAMES
    clear()
    path = str(Path(tempfile.mkdtemp(prefix=prefix(_KIND))) / name)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path + _UNFINISHED)
        listening.listen()
        os.rename(path + _UNFINISHED, path)  # so that whoever finds it there is answered
    except OSError:
        listening.close()
        remove(path)
        raise
    return listening, path


def remove(path: str) -> None:
    """Remove a socket and its folder, where they are still there."""
    for name in (path, path + _UNFINISHED):
        with contextlib.suppress(OSError):
            os.unlink(name)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def clear() -> None:
    """Remove this user's folders of sockets at which nobody listens: processes were killed."""
    for folder in own_folders(_KIND):
        with contextlib.suppress(OSError):
            _clear_one(folder)


def _clear_one(folder: Path) -> None:
    names = {path.name.removesuffix(_UNFINISHED) for path in folder.iterdir()}
    if not names <= _NAMES:
        return
    is_old = time.time() - folder.lstat().st_mtime > _STALE_SECONDS
    for path in folder.iterdir():
        if path.name in _NAMES and not _is_answered(path):
            is_old = True
        if is_old and not _is_answered(path):
            path.unlink()
    if is_old:
        folder.rmdir()


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:  # its queue is full, for example
            return True
    return True
