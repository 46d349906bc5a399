"""An end for work in C code that may never return, and that keeps Python from taking notice."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
from collections.abc import Iterator

# Says a line when the time is over; the end of its input, which is this process's, ends it too.
_SAY = 'timeout "$1" cat >/dev/null; [ $? -ne 124 ] || echo "$2" >&2'
_GRACE_SECONDS = 1.0


@contextlib.contextmanager
def deadline(seconds: float, message: str) -> Iterator[None]:
    """End the process with exit code 1, and a line on standard error, if the block takes longer.

    A thread or a signal of Python's would wait for C code that holds its lock, as h5py does; the
    timer of ``faulthandler`` does not. Within the block no other timer of that kind may be set.

    Args:
        seconds: How long the block may take.
        message: What is said then.
    """
    watcher = _say_after(seconds, message)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # for its trace
            faulthandler.dump_traceback_later(seconds + _GRACE_SECONDS, exit=True, file=nowhere)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
    finally:
        if watcher is not None:
            _end(watcher)


def _say_after(seconds: float, message: str) -> subprocess.Popen[bytes] | None:
    """Start what says the message; None where no process can be started, and nothing is said."""
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SAY, "sh", f"{seconds:.3f}", message],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # to end it with all that it has started
        )
    except OSError:
        return None


def _end(watcher: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(watcher.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        watcher.communicate()
