"""Starts the driver beside the JVM, which takes a second to start Python."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from irisspark.startup import addresses, handover


def start_early(archive: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Start the driver; it ends with this process, which is to become spark-submit.

    Args:
        archive: irisspark.zip.
        environ: What the driver is started with.

    Returns:
        What to add to the environment of spark-submit; nothing where the driver does not start.
    """
    alive, kept = os.pipe()
    path = ""
    os.set_inheritable(kept, True)  # spark-submit keeps it open until its end
    try:
        listening, path = addresses.listen("driver")
        with listening:
            _start(archive, environ, path, listening, alive)
    except OSError:  # spark-submit's own Python will do
        os.close(kept)
        if path:
            addresses.remove(path)
        return {}
    finally:
        os.close(alive)
    return {handover.EARLY_DRIVER: path}


def _start(
    archive: Path,
    environ: Mapping[str, str],
    path: str,
    listening: socket.socket,
    alive: int,
) -> None:
    descriptors = (listening.fileno(), alive)
    given = {
        handover.EARLY_DRIVER: path,
        handover.EARLY_DRIVER_DESCRIPTORS: ",".join(map(str, descriptors)),
        "PYTHONHASHSEED": "0",  # as spark-submit says to its own Python
        # One BLAS thread, as the driver has that spark-submit's own Python becomes.
        "OMP_NUM_THREADS": environ.get("OMP_NUM_THREADS", "1"),
    }
    # Python that has only begun would tell of Ctrl-C with traces; this one ends with spark-submit.
    ctrl_c = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        subprocess.Popen(
            [sys.executable, str(archive)], env={**environ, **given}, pass_fds=descriptors
        )
    finally:
        signal.signal(signal.SIGINT, ctrl_c)
