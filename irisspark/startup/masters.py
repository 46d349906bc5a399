"""What a Spark master may be called."""

from __future__ import annotations

import re

_MASTERS = (
    r"local",
    r"local\[(\*|0*[1-9]\d*)(\s*,\s*\d+)?\]",
    r"local-cluster\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]",
    r"spark://.+",
    r"k8s://.+",
    r"yarn",
)


def master_problem(master: str) -> str | None:
    """Say what is wrong with the URL of a master; None for one that Spark 4 can read."""
    if any(re.fullmatch(pattern, master) for pattern in _MASTERS):
        return None
    return (
        f"--master {master}: no Spark master; it is one of local[*] or local[N] (this machine), "
        "spark://HOST:PORT, k8s://https://HOST:PORT and yarn"
    )
