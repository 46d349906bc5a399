"""What is said to the user on the way, a line each."""

from __future__ import annotations

import contextlib
import sys


def say(message: str) -> None:
    """Print a line on standard error; the end of a terminal or a JVM is no reason to fail."""
    with contextlib.suppress(OSError):
        print(f"irisspark: {message}", file=sys.stderr, flush=True)
