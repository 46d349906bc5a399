r"""Patterns of paths as Spark reads them: ``*``, ``?``, ``[a-z]``, ``[^a]``, ``{a,b}``, ``\*``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MAGIC = re.compile(r"[*?\[\]{}\\]")


def is_pattern(text: str) -> bool:
    """Tell whether a text may mean other texts."""
    return _MAGIC.search(text) is not None


def split_list(text: str) -> list[str]:
    """Split at commas, but for those in braces that are closed."""
    parts, begin = [], 0
    for position in _outer_commas(text):
        parts.append(text[begin:position])
        begin = position + 1
    return [*parts, text[begin:]]


def _outer_commas(text: str) -> Iterator[int]:
    position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == "{":
            position = _closing(text, position) or position
        elif text[position] == ",":
            yield position
        position += 1


def _closing(text: str, opening: int) -> int | None:
    """Find the brace that closes the one at ``opening``."""
    depth, position = 0, opening
    while position < len(text):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if not depth:
            return position
        position += 2 if text[position] == "\\" else 1
    return None


def expand_braces(text: str) -> list[str]:
    """Give the patterns without braces that one with braces means: ``a{b,c/d}`` two."""
    opening = re.search(r"(?<!\\)\{", text)
    closing = _closing(text, opening.start()) if opening else None
    if opening is None or closing is None:
        return [text]
    before, after = text[: opening.start()], text[closing + 1 :]
    inner = split_list(text[opening.end() : closing])
    return [one for choice in inner for one in expand_braces(before + choice + after)]


def name_matcher(pattern: str) -> re.Pattern[str] | None:
    """Make a matcher of one folder's names; None for a pattern that means one name alone."""
    if not re.search(r"[*?\[]", re.sub(r"\\.", "", pattern)):
        return None
    return re.compile("".join(_translate(pattern)), re.DOTALL)


def literal_name(pattern: str) -> str:
    """Give the one name that a pattern without a matcher means."""
    return re.sub(r"\\(.)", r"\1", pattern)


def _translate(pattern: str) -> Iterator[str]:
    pieces = re.compile(
        r"\\(?P<escaped>.)|\[(?P<other>[!^]?)(?P<members>\]?[^\]]+)\]|(?P<one>.)", re.S
    )
    for piece in pieces.finditer(pattern):
        if piece["members"] is not None:
            members = re.sub(r"([\\\[&~|])", r"\\\1", piece["members"])
            yield f"[{'^' if piece['other'] else ''}{members}]"
        elif piece["one"] in ("*", "?"):
            yield ".*" if piece["one"] == "*" else "."
        else:
            yield re.escape(piece["escaped"] or piece["one"])
