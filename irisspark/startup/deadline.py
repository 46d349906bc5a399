"""An end for work in C code that may never return, and that keeps Python from taking notice."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

# Says each line when its time is over. The end of its input, which is this process's, ends all, and
# brings the line for that.
_SAY = """
crash=$1
shift
(
    while [ $# -gt 1 ]; do
        sleep "$1"
        printf '%s\\n' "$2" >&2
        shift 2
    done
    kill -KILL 0
) &
cat >/dev/null
[ -z "$crash" ] || printf '%s\\n' "$crash" >&2
kill -KILL 0
"""
_GRACE_SECONDS = 1.0


@contextlib.contextmanager
def deadline(
    seconds: float, message: str, *, notice: tuple[float, str] | None = None, crash: str = ""
) -> Iterator[None]:
    """End the process with exit code 1, and a line on standard error, if the block takes longer.

    A thread or a signal of Python's would wait for C code that holds its lock, as h5py does; the
    timer of ``faulthandler`` does not. Within the block no other timer of that kind may be set.

    Args:
        seconds: How long the block may take.
        message: What is said then.
        notice: What is said before, and after how many seconds.
        crash: What is said where the process ends within the block, as C code may bring about.
    """
    early, note = notice or (0.0, "")
    lines = [(early, note)] if notice else []
    watcher = _say_after(crash, [*lines, (seconds - early, message)])
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


def _say_after(crash: str, lines: Sequence[tuple[float, str]]) -> subprocess.Popen[bytes] | None:
    """Start what says lines, each so many seconds after the one before.

    Returns:
        None where no process can be started, and nothing is said.
    """
    words = [word for seconds, line in lines for word in (f"{seconds:.15g}", line)]
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SAY, "sh", crash, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=_stderr(),
            start_new_session=True,  # to end it with all that it has started
        )
    except OSError:
        return None


def _stderr() -> int | None:
    """Give where Python's errors go: descriptor 2 may lead elsewhere, as during an import."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _end(watcher: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(watcher.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        watcher.communicate()
