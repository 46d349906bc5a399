"""What the value of an option may look like: from its text to a typed value.

A reader raises ``ValueError`` with what it expected; ``options`` adds the option and the value.
White space around a number or a choice, as scripts leave it, has no meaning.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from irisspark.errors import without_password

ColumnItem = int | str | tuple[int, int]
"""A column: its index (negative from the end), its header name, or an inclusive range."""

LARGEST = 2**31 - 1
_OF_HIVE = "\x01"

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_RANGE = re.compile(r"(\d+)-(\d+)", re.ASCII)
_ONLY_DIGITS_AND_SIGNS = re.compile(r"[\d\s.:+-]+", re.ASCII)
_LIST_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^",][^,]*)?)(,|\Z)')
_REQUIREMENT = re.compile(r"([^<>=:]*[^\s<>=:])\s*(>=|<=|>|<|:)\s*([^\s<>=:]+)")
_FRACTIONS = frozenset({"accuracy", "precision", "recall", "f1"})


@dataclass(frozen=True)
class Requirement:
    """What a result must reach, or else the exit code is 3.

    Attributes:
        metric: ``accuracy``, ``precision``, ``recall``, ``f1``, or a path in metrics.json.
        comparison: One of ``>=``, ``>``, ``<=``, ``<``.
        value: A finite number.
    """

    metric: str
    comparison: str
    value: float

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        return f"{self.metric}{self.comparison}{self.value!r}"


@dataclass(frozen=True)
class Fill:
    """What stands in for missing numbers.

    Attributes:
        column: Where; None for every feature.
        number: Finite.
    """

    column: ColumnItem | None
    number: float

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        return (
            f"{self.number!r}"
            if self.column is None
            else f"{item_text(self.column)}={self.number!r}"
        )


@dataclass(frozen=True)
class InputColumns:
    """The columns of one of a model's inputs, or outputs, in its order."""

    name: str
    columns: tuple[ColumnItem, ...]

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        return f"{self.name}={','.join(item_text(column) for column in self.columns)}"


def shown(value: object) -> str:
    """Quote a value for a message: control characters escaped, passwords in URIs hidden, cut."""
    text = repr(without_password(str(value)))
    return text if len(text) <= 120 else f"{text[:90]}...{text[-20:]}"


def read_bool(text: str) -> bool:
    """Read ``true`` or ``false`` in any case."""
    text = text.strip()
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def read_text(text: str) -> str:
    """Take any text but an empty one."""
    if not text.strip():
        raise ValueError("expected a text that is not empty")
    return text


def whole_number(low: int, high: int = LARGEST) -> Callable[[str], int]:
    """Make a reader of whole numbers from low to high, both included."""
    limits = f"{low} or more" if high == LARGEST else f"from {low} to {high}"

    def read(text: str) -> int:
        number = _read_whole(text)
        if number is None or not low <= number <= high:
            raise ValueError(f"expected a whole number, {limits}")
        return number

    return read


def read_seed(text: str) -> int:
    """Read a seed, 0 to 2**31 - 1."""
    try:
        return whole_number(0)(text)
    except ValueError:
        raise ValueError(f"expected a whole number from 0 to {LARGEST}") from None


def read_fraction(text: str) -> float:
    """Read a number in [0, 1)."""
    number = _read_decimal(text)
    if number is None or not 0 <= number < 1:
        raise ValueError("expected a number from 0 up to, but not, 1")
    return number


def read_rate(text: str) -> float:
    """Read a finite number above 0."""
    number = _read_decimal(text)
    if number is None or number <= 0:
        raise ValueError("expected a number above 0")
    return number


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a reader that takes one of the choices, in exactly that spelling."""

    def read(text: str) -> str:
        text = text.strip()
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return read


def read_delimiter(text: str) -> str:
    r"""Read one ASCII character that can part fields; ``tab`` or ``\t``; Hive's own, ``\001``."""
    if text.lower() in ("tab", "\\t"):
        return "\t"
    if text.lower() in (_OF_HIVE, "\\001", "\\x01", "\\u0001"):
        return _OF_HIVE
    if len(text) != 1 or not text.isascii():
        raise ValueError("expected one ASCII character, or tab")
    if text == "t":
        raise ValueError(
            r"a letter cannot part fields (did the shell take the backslash of \t? "
            "write tab)"
        )
    if text.isalnum() or text == '"' or (not text.isprintable() and text != "\t"):
        raise ValueError("a letter, digit, quote or control character cannot part fields")
    return text


def read_label_index(
    text: str,
) -> int | str | tuple[ColumnItem, ...] | tuple[InputColumns, ...] | None:
    """Read a column index, a header name (in double quotes where it looks like a number), or none.

    Several columns are a list as ``read_columns`` has it: ``4-6``, ``price,sold``. Those of several
    outputs stand behind their names, as ``read_inputs`` has it: ``price=4,sold=5``.

    Returns:
        A column, or several; None for ``none``: there is no label, the run only predicts.
    """
    if text.strip().lower() == "none":
        return None
    if "=" in text and '"' not in text:
        return _read_outputs(text)
    if _WHOLE.fullmatch(text.strip()):
        return _column_index(text)
    if "," in text or _RANGE.fullmatch(text.strip()):
        return _single(read_columns(text))
    if len(text) > 2 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return read_text(text)


def _read_outputs(text: str) -> tuple[InputColumns, ...]:
    expected = "output=column with commas in between, as price=4,sold=5"
    outputs = _read_named(text, "output", expected)
    repeated = repeated_column([column for one in outputs for column in one.columns])
    if repeated is not None:
        raise ValueError(f"column {repeated} is listed twice")
    return outputs


def _single(columns: tuple[ColumnItem, ...]) -> int | str | tuple[ColumnItem, ...]:
    """Take one column out of its list."""
    first = columns[0]
    if len(columns) > 1:
        return columns
    if isinstance(first, tuple):
        return first[0] if first[0] == first[1] else columns
    return first


def read_columns(text: str) -> tuple[ColumnItem, ...]:
    """Read ``0-3,7`` or header names, the names in double quotes where they hold a comma.

    Raises:
        ValueError: An item is neither, or a column stands in the list twice.
    """
    items = tuple(item if quoted else _column_item(item) for item, quoted in _list_items(text))
    repeated = repeated_column(items)
    if repeated is not None:
        raise ValueError(f"column {repeated} is listed twice")
    return items


def read_class_names(text: str) -> tuple[str, ...]:
    """Read the names of two or more classes, in double quotes where they hold a comma.

    Raises:
        ValueError: A name is empty, or two stand for one class (``2`` and ``2.0`` do).
    """
    names = tuple(item for item, _ in _list_items(text))
    # LabelCodes takes names that are the same number for the same class.
    numbers = (_read_decimal(name.strip()) for name in names)
    repeated = _repeated(names) or _repeated(number for number in numbers if number is not None)
    if repeated:
        raise ValueError(f"class {repeated[0]} is listed twice")
    if len(names) < 2:
        raise ValueError("expected two classes or more, with commas between them")
    return names


def read_missing(text: str) -> tuple[str, ...]:
    """Read the texts that mean a missing number; nothing between two commas is the empty cell."""
    return tuple(item.strip() for item in text.split(","))


def read_inputs(text: str) -> tuple[InputColumns, ...]:
    """Read ``age=0,thal=thal,pixels=10-300,302``: the columns of each input, by its name.

    An item without ``=`` belongs to the input before it.

    Raises:
        ValueError: No input stands before an item, an item is no column, or an input is repeated.
    """
    return _read_named(text, "input", "input=column with commas in between, as age=0,pixels=1-9")


def _read_named(text: str, what: str, expected: str) -> tuple[InputColumns, ...]:
    found: list[tuple[str, list[ColumnItem]]] = []
    for item in text.split(","):
        name, equals, column = item.rpartition("=")
        if equals:
            found.append((name.strip(), []))
        if not found or not found[-1][0] or not column.strip():
            raise ValueError(f"expected {expected}")
        found[-1][1].append(_column_item(column.strip()))
    if repeated := _repeated(name for name, _ in found):
        raise ValueError(f"the {what} {repeated[0]} is listed twice")
    return tuple(InputColumns(name, tuple(columns)) for name, columns in found)


def read_fills(text: str) -> tuple[Fill, ...]:
    """Read a number, or ``age=40,dose=0``: what stands in for the missing ones of which column.

    Raises:
        ValueError: It is neither, or a column is listed twice.
    """
    if (number := _read_decimal(text.strip())) is not None:
        return (Fill(None, number),)
    fills = tuple(_read_fill(item) for item in text.split(","))
    repeated = repeated_column([fill.column for fill in fills if fill.column is not None])
    if repeated is not None:
        raise ValueError(f"column {repeated} is listed twice")
    return fills


def _read_fill(item: str) -> Fill:
    column, equals, value = item.rpartition("=")
    number = _read_decimal(value.strip())
    if not equals or not column.strip() or number is None:
        raise ValueError("expected a number, or column=number with commas in between")
    return Fill(_column_item(column.strip()), number)


def read_requirements(text: str) -> tuple[Requirement, ...]:
    """Read ``accuracy>=0.8,f1:0.75``; a colon means at least."""
    return tuple(_read_requirement(item.strip()) for item in text.split(","))


def repeated_column(items: Sequence[ColumnItem]) -> str | None:
    """Name a column that is there twice, as far as that shows without the file's header."""
    spans = sorted(_span(item) for item in items if not isinstance(item, str))
    overlaps = (str(later[0]) for first, later in pairwise(spans) if later[0] <= first[1])
    return next(overlaps, None) or next(iter(_repeated(header_names(items))), None)


def item_text(item: ColumnItem | Requirement | Fill | InputColumns) -> str:
    """Write an item of a list, a range as ``0-3``."""
    return f"{item[0]}-{item[1]}" if isinstance(item, tuple) else str(item)


def labels_by_output(label_index: object) -> tuple[InputColumns, ...]:
    """Give the columns of labels of each output; none where they are not named by output."""
    items = label_index if isinstance(label_index, tuple) else ()
    return tuple(item for item in items if isinstance(item, InputColumns))


def header_names(items: Iterable[ColumnItem]) -> list[str]:
    """Pick the header names among columns."""
    return [item for item in items if isinstance(item, str)]


def _span(item: int | tuple[int, int]) -> tuple[int, int]:
    return (item, item) if isinstance(item, int) else item


def _repeated(values: Iterable[str | float]) -> list[str]:
    return [shown(value) for value, times in Counter(values).items() if times > 1]


def _read_whole(text: str) -> int | None:
    # Python refuses, with a message of its own, to read numbers of thousands of digits.
    text = text.strip()
    return int(text) if len(text) <= 20 and _WHOLE.fullmatch(text) else None


def _read_decimal(text: str) -> float | None:
    text = text.strip()
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


def _list_items(text: str) -> Iterator[tuple[str, bool]]:
    """Split at commas outside of double quotes: (item, whether it stood in quotes)."""
    position, comma = 0, ","
    while comma:
        match = _LIST_ITEM.match(text, position)
        if match is None:
            raise ValueError("a double quote is not closed, or has text beside it")
        quoted, plain, comma = match.groups()
        position = match.end()
        item = quoted.replace('""', '"') if quoted is not None else (plain or "").strip()
        if not item:
            raise ValueError("an item of the list is empty")
        yield item, quoted is not None


def _column_index(text: str) -> int:
    number = _read_whole(text)
    if number is None or abs(number) > LARGEST:
        raise ValueError(f"no file has a column {shown(text)}")
    return number


def _column_item(item: str) -> ColumnItem:
    if _WHOLE.fullmatch(item):
        return _column_index(item)
    match = _RANGE.fullmatch(item)
    if match:
        first, last = (_column_index(end) for end in match.groups())
        if first > last:
            raise ValueError(
                f"the range {item} runs backwards (a name that looks like a range "
                "goes in double quotes: '\"2-1\"')"
            )
        return first, last
    if _ONLY_DIGITS_AND_SIGNS.fullmatch(item):
        raise ValueError(f"{shown(item)} is no column (like 7), range (like 0-3) or header name")
    return item


def _read_requirement(item: str) -> Requirement:
    match = _REQUIREMENT.fullmatch(item)
    if match is None:
        if re.search(r"[<>=:]", item):
            raise ValueError(
                "expected a metric, one of >= > <= < :, and a number, like 'accuracy>=0.8'"
            )
        metric = item or "accuracy"
        raise ValueError(
            f"{shown(item)} has no comparison; quote it for the shell, which takes an "
            f"unquoted > for itself: '{metric}>=0.8', or write {metric}:0.8"
        )
    metric, comparison, limit = match.groups()
    value = _read_decimal(limit)
    if value is None:
        raise ValueError(f"{shown(limit)} is not a number")
    if metric in _FRACTIONS and not 0 <= value <= 1:
        raise ValueError(f"{metric} lies between 0 and 1, not at {limit}")
    return Requirement(metric, ">=" if comparison == ":" else comparison, value)
