"""What C++ prints, which goes to file descriptors whatever ``sys.stderr`` is."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def leading(*descriptors: int, to: int | None = None) -> Iterator[dict[int, int]]:
    """Let descriptors lead elsewhere meanwhile; one that is closed stays so.

    Args:
        descriptors: Of this process.
        to: Another one; None leads nowhere.

    Yields:
        Copies of what they were, valid as long.
    """
    sink = os.open(os.devnull, os.O_WRONLY) if to is None else os.dup(to)
    saved = {descriptor: os.dup(descriptor) for descriptor in filter(_is_open, descriptors)}
    try:
        for descriptor in saved:
            os.dup2(sink, descriptor)
        yield saved
    finally:
        for descriptor, copy in saved.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(sink)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def silent_errors() -> Iterator[None]:
    """Hide what C++ prints to standard error; Python's own still goes where it went."""
    with leading(2) as saved:
        if not saved:
            yield
            return
        own = sys.stderr
        with os.fdopen(os.dup(saved[2]), "w", buffering=1, errors="backslashreplace") as kept:
            sys.stderr = kept
            try:
                yield
            finally:
                if sys.stderr is kept:
                    sys.stderr = own
