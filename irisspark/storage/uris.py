"""What can be told of a path by its text: no place is looked at, and nothing of Arrow imported."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

_ELSEWHERE = "the machine that the cluster chooses"


def split_root(path: str) -> tuple[str, str]:
    """Part a URI behind its authority; a path without a scheme, or of a disk, has no root."""
    uri = re.match(r"(?!file:)[a-z][a-z0-9+.-]+:(?://[^/]*)?(?=/|$)", path, re.IGNORECASE)
    return (uri[0], path[uri.end() :]) if uri else ("", path)


def is_on_this_disk(path: str) -> bool:
    """Tell whether a path is one of this machine, as far as can be known before Spark runs."""
    if split_root(path)[0]:
        return False
    has_settings = any(os.environ.get(name) for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"))
    return path.lower().startswith("file:") or not has_settings


def local_path(path: str) -> str:
    """Take the ``file:`` off a URI, whose ``?`` is one of a pattern, and ``~`` for the home folder.

    A shell puts the home folder there itself, but for a ``~`` in quotes or behind ``=``.
    """
    uri = re.fullmatch(r"file:(?://[^/]*)?(.*)", path, re.DOTALL | re.IGNORECASE)
    if uri:
        return unquote(uri[1])
    is_home = path.startswith("~") and not os.path.lexists(path.split("/")[0])
    return os.path.expanduser(path) if is_home else path


def lost_results(path: str | None, *, on_this_disk: bool) -> str | None:
    """Say that a driver in cluster mode leaves its results where nobody looks; None: it does not.

    Args:
        path: ``-outputPath``; ``file:`` says that the user knows of all machines' own disks.
        on_this_disk: Whether that is a folder of the driver's machine.
    """
    if path is None:
        return f"the report is printed on {_ELSEWHERE}; -outputPath on a storage of all keeps it"
    if path.lower().startswith("file:") or not on_this_disk:
        return None
    return (
        f"-outputPath {path} is a folder on {_ELSEWHERE}; name one on HDFS or an object store, or "
        "one that all machines share, as file:///..."
    )
