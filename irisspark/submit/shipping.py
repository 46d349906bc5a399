"""Local files of a job that runs on other machines: what ``--files`` ships, and by what names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from irisspark.errors import OptionsError
from irisspark.options.parsing import split_words
from irisspark.options.table import BY_FIELD, BY_NAME

_PATH_FIELDS = ("model_path", "data_path")
_OPTION = re.compile(r"-?(-[A-Za-z]\w*)(=.*)?", re.DOTALL)
_MEANS_SOMETHING_TO_FILES = re.compile(r"[,#*?\[\]{}]")


@dataclass(frozen=True)
class Shipment:
    """A job's words after its local files were given to ``--files``.

    Attributes:
        args: The runner's words, with shipped files by the names that the workers know.
        files: The value of ``--files``, None: there is nothing to add to the user's own.
    """

    args: tuple[str, ...]
    files: str | None


def ship(args: Sequence[str], already_shipped: str) -> Shipment:
    """Find the model and the data files that are on this machine, and ship them.

    Folders, globs and URIs stay as they are: the user says by them where all machines look.

    Args:
        args: The runner's words; relative paths are relative to the working directory.
        already_shipped: What the user's own ``--files`` lists.

    Raises:
        OptionsError: Two files have the same name, or ``--files`` cannot take a name.
    """
    args = split_words(args)
    entries = {_name_of(entry): entry for entry in already_shipped.split(",") if entry}
    num_before = len(entries)
    words = list(args)
    given = set()
    for position, name, prefix, value in _find_path_values(args):
        given.add(BY_NAME[name].field)
        words[position] = prefix + ",".join(_ship_value(name, value, entries))
    for field in _PATH_FIELDS:
        if field not in given:
            _ship_value(BY_FIELD[field].name, str(BY_FIELD[field].default), entries)
    files = ",".join(entries.values()) if len(entries) > num_before else None
    return Shipment(tuple(words), files)


def read_option(args: Sequence[str], field: str) -> str | None:
    """Give the value of one of the runner's options as it was typed, None: it is not there."""
    values = [value for _, name, _, value in _find_values(args) if BY_NAME[name].field == field]
    return values[-1] if values else None


def _find_path_values(args: Sequence[str]) -> Iterator[tuple[int, str, str, str]]:
    return (found for found in _find_values(args) if BY_NAME[found[1]].field in _PATH_FIELDS)


def _find_values(args: Sequence[str]) -> Iterator[tuple[int, str, str, str]]:
    """Yield position, option, what stands before the value in the same word, and the value."""
    for position, word in enumerate(args):
        match = _OPTION.fullmatch(word)
        if match is None or match[1] not in BY_NAME:
            continue
        if match[2] is not None:
            yield position, match[1], word[: match.start(2) + 1], match[2][1:]
        elif position + 1 < len(args):
            yield position + 1, match[1], "", args[position + 1]


def _ship_value(option: str, value: str, entries: dict[str, str]) -> list[str]:
    parts = [value] if os.path.isfile(value) else value.split(",")
    parts = [os.path.expanduser(part) for part in parts]
    return [_ship_file(option, part, entries) if os.path.isfile(part) else part for part in parts]


def _ship_file(option: str, path: str, entries: dict[str, str]) -> str:
    name, absolute = os.path.basename(path), os.path.abspath(path)
    if _MEANS_SOMETHING_TO_FILES.search(absolute):
        raise OptionsError(
            f"{option} {path}: --files cannot ship a path with any of , # * ? [ ] {{ }} in it; "
            "rename the file, or copy it to a storage that all machines read"
        )
    other = entries.setdefault(name, absolute)
    if _local_path(other) != os.path.realpath(absolute):
        raise OptionsError(
            f"{option} {path}: --files ships {other} under the same name; rename one of the two"
        )
    return name


def _name_of(entry: str) -> str:
    """Give the name of an entry of ``--files``: what follows a #, else the last part."""
    path, _, alias = entry.partition("#")
    return alias or os.path.basename(path)


def _local_path(entry: str) -> str:
    path = entry.partition("#")[0]
    return os.path.realpath(unquote(urlsplit(path).path) if path.startswith("file:") else path)
