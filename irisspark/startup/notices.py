"""What is said to the user on the way, a line each."""

from __future__ import annotations

import contextlib
import sys

from irisspark.errors import printable


def say(message: str, *more: str) -> None:
    """Print a line on standard error, or several that belong together.

    The end of a terminal or of a JVM is no reason to fail.
    """
    lines = "\n".join(map(printable, (f"irisspark: {message}", *more)))
    with contextlib.suppress(OSError):
        print(lines, file=sys.stderr, flush=True)
