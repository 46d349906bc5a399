"""What the text of a cell may stand for: a number, or no value at all."""

from __future__ import annotations

import re

NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(NUMBER_PATTERN)
_MAX_SHOWN_CHARS = 60

# What pandas reads as missing, without the spellings of NaN (those are "not finite").
_MISSING_TEXTS = frozenset(["", "na", "n/a", "#n/a", "#n/a n/a", "<na>", "null", "none", "#na"])


def parse_number(text: str) -> float | None:
    """Read a decimal number as ``pyarrow.csv`` would; None for anything else, nan and inf too."""
    stripped = text.strip(" \t")
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def shorten(text: str) -> str:
    """Cut a text to what a message can show."""
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 3] + "..."


def is_missing(text: str) -> bool:
    """Tell whether a cell's text stands for no value."""
    return text.strip().lower() in _MISSING_TEXTS


def decode(cell: bytes) -> str | None:
    """Give the text of a cell; None where it is not UTF-8."""
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return None
