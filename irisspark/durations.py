"""Durations as people read them."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Write a duration: ``42 s``, ``3 min 5 s`` or ``2 h 30 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
