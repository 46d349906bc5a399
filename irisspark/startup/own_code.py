"""Which irisspark a process runs, and on what: driver and workers should run the same."""

from __future__ import annotations

import functools
import hashlib
import sys
import zipfile
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_NUMBERS_HANG_ON = ("numpy", "keras", "tensorflow")


def find_archive() -> Path | None:
    """Find the archive that this package was imported from; None in a checkout."""
    for folder in Path(__file__).parents:
        if folder.is_file():
            return folder.absolute()
    return None


def place() -> str:
    """Give where the package was imported from."""
    return str(find_archive() or _PACKAGE)


@functools.cache
def code_digest() -> str:
    """Give a digest of the package's source, the same in an archive and out of it."""
    archive = find_archive()
    sums = _sums_of_archive(archive) if archive else _sums_of_folder()
    return hashlib.sha256(repr(sorted(sums)).encode()).hexdigest()


def _sums_of_archive(archive: Path) -> list[tuple[str, int]]:
    """Read the checksums that an archive holds; only its table of contents is read for it."""
    with zipfile.ZipFile(archive) as opened:
        return [
            (info.filename.removeprefix(f"{_PACKAGE.name}/"), info.CRC)
            for info in opened.infolist()
            if info.filename.startswith(f"{_PACKAGE.name}/") and info.filename.endswith(".py")
        ]


def _sums_of_folder() -> list[tuple[str, int]]:
    paths = _PACKAGE.rglob("*.py")
    return [(p.relative_to(_PACKAGE).as_posix(), zlib.crc32(p.read_bytes())) for p in paths]


def versions() -> dict[str, str]:
    """Give the versions of what numbers hang on, as this process imports it, where it is known."""
    found = {"Python": ".".join(map(str, sys.version_info[:2]))}
    return found | {name: v for name in _NUMBERS_HANG_ON if (v := _version(name)) is not None}


def _version(name: str) -> str | None:
    if (module := sys.modules.get(name)) is not None:
        return getattr(module, "__version__", None)
    try:
        return metadata.version(name)  # an import of TensorFlow would take seconds
    except metadata.PackageNotFoundError:
        return None


def difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> tuple[str, str] | None:
    """List which versions differ between two processes, of those that both know.

    Returns:
        Theirs and ours, for a person; None where none does.
    """
    names = [name for name in ours if theirs.get(name, ours[name]) != ours[name]]
    if not names:
        return None
    return _listed(names, theirs), _listed(names, ours)


def _listed(names: list[str], found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {found[name]}" for name in names)
