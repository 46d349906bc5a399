"""Which irisspark a process runs: driver and workers must run the same."""

from __future__ import annotations

import functools
import hashlib
import zipfile
import zlib
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


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
