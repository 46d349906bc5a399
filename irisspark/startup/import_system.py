"""What is changed about how Python finds modules, for what is to be imported and for archives."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from zipimport import ZipImportError, zipimporter


class _Hiding(MetaPathFinder):
    """Says to the thread that made it that some packages are not installed, and to no other."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextlib.contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Let packages be not installed for what this thread imports in the block."""
    hiding = _Hiding(names)
    sys.meta_path.insert(0, hiding)
    try:
        yield
    finally:
        sys.meta_path.remove(hiding)


class KeptArchive(zipimporter):
    """An importer of a zip or jar whose table of contents is read once.

    Spark calls ``importlib.invalidate_caches()`` in the driver for each archive that it adds, and
    up to 4.0 in every task of a worker. It makes Python 3.10-3.12 read the whole table again for
    each package in each archive on the path. Archives that were there before do not change, and
    modules in them stay importable.
    """

    def invalidate_caches(self) -> None:
        """Keep the table."""


def keep_archives() -> None:
    """Read the tables of the archives that are on the path no more."""
    for path, importer in list(sys.path_importer_cache.items()):
        if type(importer) is zipimporter:
            with contextlib.suppress(ZipImportError):  # a context that was stopped took its copy
                sys.path_importer_cache[path] = KeptArchive(path)
