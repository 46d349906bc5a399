"""argv -> frozen ``Options``; everything that is wrong with a command line is found in one pass.

The table of options is ``table``, what their values look like ``values``, what they
say about each other ``checks``, the help page ``help``.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from irisspark.errors import OptionsError, without_password
from irisspark.options.checks import cross_check
from irisspark.options.spark_names import OPTION_KEYS, OTHERS, SWITCHES
from irisspark.options.table import BY_NAME, OPTIONS, Option, Options
from irisspark.options.values import item_text, shown

# Word processors, and notebooks that went through one, make long dashes of a dash.
_LONG_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_OPTION = re.compile(rf"((?:--?|[{_LONG_DASHES}]{{1,2}})[A-Za-z][^=\s]*)(?:=(.*))?", re.DOTALL)
_SPARKS_OWN = OPTION_KEYS.keys() | OTHERS | SWITCHES
_LOWER_NAMES = {name.lstrip("-").lower(): name for name in BY_NAME}


class _Given(NamedTuple):
    """A piece of the command line: an option with its value, or a stray word without a name."""

    name: str
    value: str | None


def parse(argv: Sequence[str]) -> Options:
    """Read a command line; ``-help`` and ``-version`` win over everything that is wrong with it.

    Raises:
        OptionsError: Its message has a line for every problem, naming the option and the value.
    """
    argv = split_words(argv)
    values: dict[str, Any] = {option.field: option.default for option in OPTIONS}
    asked = {option.field: True for word in argv if (option := _flag(word))}
    if asked:
        return Options(**values | asked)
    reader = _Reader()
    reader.read(argv)
    options = Options(**values | reader.values)
    problems = [*reader.problems, *cross_check(options, frozenset(reader.unresolved))]
    if problems:
        raise OptionsError("\n".join(problems))
    return options


def split_words(argv: Sequence[str]) -> list[str]:
    """Take words apart that hold an option with its value, or a whole command line.

    Airflow and Kubernetes hand them over so, for who writes ``["-modelPath m.h5"]``. A line end
    behind a word is that of a script from Windows, or of a block of YAML.
    """
    return [piece for word in argv for piece in _split_word(word.rstrip("\r\n") or word)]


def _split_word(word: str) -> list[str]:
    name, *rest = word.split(maxsplit=1)[:2] or [word]
    if not rest or _one_dash(name.partition("=")[0]) not in BY_NAME:
        return [name] if _one_dash(name.partition("=")[0]) in BY_NAME else [word]
    if _names_options(rest[0]):
        try:
            return shlex.split(word)
        except ValueError:  # a quote that is not closed
            return word.split()
    return [word.strip()] if "=" in name else [name, rest[0].rstrip()]


def _unquoted(value: str, option: Option) -> str:
    """Take the quotes off a path; around the name of a column they have a meaning."""
    quoted = re.fullmatch(r"""(['"])([^'"]+)\1""", value)
    return quoted[2] if option.metavar == "PATH" and quoted else value


def _names_options(text: str) -> bool:
    return any(_one_dash(piece.partition("=")[0]) in BY_NAME for piece in text.split())


def as_mapping(options: Options) -> dict[str, object]:
    """Give every option that is not a flag by its name without the dash, for JSON.

    Returns:
        Strings, numbers, booleans, None and lists of these; ranges and requirements as the command
        line has them, passwords in URIs hidden.
    """
    return {
        option.name.lstrip("-"): _json_value(getattr(options, option.field))
        for option in OPTIONS
        if option.metavar
    }


def _json_value(value: object) -> object:
    if isinstance(value, tuple):
        return [item if isinstance(item, int | str) else item_text(item) for item in value]
    return without_password(value) if isinstance(value, str) else value


class _Reader:
    """Goes over the words of a command line once and keeps what it finds.

    Attributes:
        values: Field to value, for every option that could be read.
        unresolved: Fields that the person meant to give, but whose value is not known.
        problems: A line each.
    """

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.unresolved: set[str] = set()
        self.problems: list[str] = []
        self._seen: dict[str, list[_Given]] = {}

    def read(self, argv: Sequence[str]) -> None:
        last = ""
        for is_option, group in groupby(_pieces(argv), key=lambda piece: bool(piece.name)):
            pieces = list(group)
            if is_option:
                for piece in pieces:
                    self._read_option(piece)
                last = _as_typed(pieces[-1])
            else:
                self._report_strays([piece.value or "" for piece in pieces], last)
        self._report_repeated()

    def _read_option(self, given: _Given) -> None:
        option = BY_NAME.get(_one_dash(given.name))
        if option is None:
            self._report_unknown(given)
            return
        self._seen.setdefault(option.field, []).append(given)
        try:
            if given.value is None:
                raise ValueError(f"needs a value: {option.metavar}")
            self.values[option.field] = option.read(_unquoted(given.value, option))
        except ValueError as error:
            self.unresolved.add(option.field)
            self.problems.append(f"{_as_typed(given)}: {error}")

    def _report_unknown(self, given: _Given) -> None:
        problem = f"{_as_typed(given)}: unknown option"
        nearest = _nearest(given.name)
        if "--" + given.name.lstrip("-") in _SPARKS_OWN:
            problem += "; Spark's own options stand before irisspark.zip"
        elif nearest:
            problem += f"; did you mean {nearest}?"
            self.unresolved.add(BY_NAME[nearest].field)
        self.problems.append(problem)

    def _report_strays(self, words: list[str], last: str) -> None:
        listed = ", ".join(shown(word) for word in words[:5])
        more = f" and {len(words) - 5} more" if len(words) > 5 else ""
        stray = "stray word" if len(words) == 1 else "stray words"
        where = f" after {last}: quote a value that has spaces or a * in it" if last else ""
        self.problems.append(f"{listed}{more}: {stray}{where}")

    def _report_repeated(self) -> None:
        for field, given in self._seen.items():
            if len(given) > 1:
                self.unresolved.add(field)
                listed = ", ".join(_as_typed(piece) for piece in given)
                self.problems.append(f"{listed}: one option, given {len(given)} times")


def _pieces(argv: Sequence[str]) -> Iterator[_Given]:
    words = deque(argv)
    while words:
        word = words.popleft()
        match = _OPTION.fullmatch(word)
        if match is None:
            yield _Given("", word)
            continue
        name, value = match.groups()
        if (
            value is None
            and words
            and not _begins_an_option(words[0], BY_NAME.get(_one_dash(name)))
        ):
            value = words.popleft()
        yield _Given(name, value)


def _begins_an_option(word: str, before: Option | None) -> bool:
    """Whether a word is the next option, not the value of the one before (None: an unknown one)."""
    match = _OPTION.fullmatch(word)
    if match is None:
        return False
    name = match.group(1)
    if before is None or name.lstrip("-" + _LONG_DASHES).lower() in _LOWER_NAMES:
        return True
    try:
        before.read(word)
    except ValueError:
        return _nearest(name) is not None
    return False


def _flag(word: str) -> Option | None:
    match = _OPTION.fullmatch(word)
    option = BY_NAME.get(_one_dash(match.group(1))) if match else None
    return option if option and not option.metavar else None


def _one_dash(name: str) -> str:
    return name[1:] if name.startswith("--") else name


def _nearest(name: str) -> str | None:
    """Find the valid name that a misspelt one was probably meant to be."""
    bare = name.lstrip("-" + _LONG_DASHES).lower()
    begun = [valid for valid in _LOWER_NAMES if valid.startswith(bare)]
    close = [bare] if bare in _LOWER_NAMES else difflib.get_close_matches(bare, _LOWER_NAMES, n=1)
    if not close and len(begun) == 1:
        close = begun
    return _LOWER_NAMES[close[0]] if close else None


def _as_typed(given: _Given) -> str:
    return given.name if given.value is None else f"{given.name} {shown(given.value)}"
