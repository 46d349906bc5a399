"""What a model's path names: one file or folder, or the two files of a pair."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

INDEX_SUFFIX = ".weights.json"
"""Ends the name of the list that Keras 3 writes of weights that are cut into several files."""


def files_of(path: str, exists: Callable[[str], bool] = os.path.exists) -> tuple[str, ...]:
    """Give the places that a path names: itself, or ``model.json`` and the weights to it.

    A name, and that of any folder, may have commas in it: a pair is cut where both sides exist.

    Args:
        path: As the user gave it.
        exists: Whether there is such a file.
    """
    if "," not in path or exists(path):
        return (path,)
    for first, second in _cuts(path):
        if exists(first) and exists(second):
            return _ordered(first, second)
    return (path,)


def missing_of(path: str, exists: Callable[[str], bool] = os.path.exists) -> str:
    """Give the part of a path that is not there: of a pair that half exists, the other half."""
    for first, second in _cuts(path):
        if exists(first):
            return second
        if exists(second):
            return first
    return path


def sources_of(path: str) -> Iterator[str]:
    """List the files that hold a model, in a fixed order: those of a folder are all it holds."""
    for place in files_of(path):
        if not os.path.isdir(place):
            yield place
            continue
        for folder, folders, names in os.walk(place):
            folders.sort()
            yield from (os.path.join(folder, name) for name in sorted(names))


def _cuts(path: str) -> Iterator[tuple[str, str]]:
    for place, char in enumerate(path):
        if char == ",":
            yield path[:place].rstrip(), path[place + 1 :].lstrip()


def _ordered(first: str, second: str) -> tuple[str, str]:
    """The configuration first, which is JSON as the list of shards is."""
    swap = _is_json(second) and not _is_json(first)
    return (second, first) if swap else (first, second)


def _is_json(path: str) -> bool:
    return path.lower().endswith(".json") and not path.lower().endswith(INDEX_SUFFIX)
