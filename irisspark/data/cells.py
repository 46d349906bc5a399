"""What the text of a cell may stand for: a number, or no value at all."""

from __future__ import annotations

import re

NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(NUMBER_PATTERN)
_MAX_SHOWN_CHARS = 60
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# What pandas reads as missing, without the spellings of NaN (those are "not finite"), and what
# files of UCI, SAS, Hive and spreadsheets hold.
MISSING_TEXTS = frozenset(
    [
        *("", "na", "n/a", "#n/a", "#n/a n/a", "<na>", "null", "none", "#na"),
        *("?", "-", "--", ".", "n.a.", "nil", "\\n", "(null)", "<null>"),
    ]
)
"""In lower case."""
_NOT_FINITE = frozenset(["nan", "inf", "infinity"])
TRUE_TEXTS, FALSE_TEXTS = (
    tuple(spell(text) for spell in (str.lower, str.title, str.upper)) for text in ("true", "false")
)
"""How pandas, Spark and spreadsheets write booleans."""

_OTHER_POINT = str.maketrans(",.", ".,")


def parse_number(text: str) -> float | None:
    """Read a decimal number as ``pyarrow.csv`` would; None for anything else, nan and inf too."""
    stripped = text.strip(" \t")
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def number_of(text: str) -> float | None:
    """Give the number that a cell stands for, 1 and 0 for booleans; None for anything else."""
    stripped = text.strip(" \t")
    if stripped in TRUE_TEXTS or stripped in FALSE_TEXTS:
        return float(stripped in TRUE_TEXTS)
    return parse_number(stripped)


def is_number(text: str) -> bool:
    """Tell whether a cell stands for a number, booleans among them."""
    return number_of(text) is not None


def is_word(text: str) -> bool:
    """Tell whether a cell holds neither a number, however it is written, nor a missing value."""
    bare = text.strip(" \t'")
    is_not_finite = bare.lower().lstrip("+-") in _NOT_FINITE
    is_like_number = is_number(bare) or parse_number(bare.replace(",", ".")) is not None
    return not (is_not_finite or is_like_number or is_missing(text))


def shorten(text: str) -> str:
    """Cut a text to what a message can show: in a line, and nothing that a terminal obeys."""
    begin = text[: _MAX_SHOWN_CHARS + 1]
    shown = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), begin)
    return shown if len(shown) <= _MAX_SHOWN_CHARS else shown[: _MAX_SHOWN_CHARS - 3] + "..."


def is_missing(text: str) -> bool:
    """Tell whether a cell's text stands for no value."""
    return text.strip().lower() in MISSING_TEXTS


def is_missing_label(text: str) -> bool:
    """Tell whether a label's text stands for no value; not a number is none either."""
    return is_missing(text) or text.strip().lower() == "nan"


def with_point(text: str, decimal: str) -> str:
    """Write a number with a decimal point; where that is a comma, one with a point gets a comma."""
    return text if decimal == "." else text.translate(_OTHER_POINT)


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are text in UTF-8."""
    return decode(data) is not None


def decode(cell: bytes) -> str | None:
    """Give the text of a cell; None where it is not UTF-8."""
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return None
