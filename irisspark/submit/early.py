"""Starts the driver beside the JVM, which takes a second to start Python."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from irisspark.startup import handover


def start_early(archive: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Start the driver; it ends with this process, which is to become spark-submit.

    Args:
        archive: irisspark.zip.
        environ: What the driver is started with.

    Returns:
        What to add to the environment of spark-submit; nothing where the driver does not start.
    """
    alive, kept = os.pipe()
    os.set_inheritable(kept, True)  # spark-submit keeps it open until its end
    try:
        folder = tempfile.mkdtemp(prefix="irisspark-")
        try:
            path = os.path.join(folder, "driver")
            _start(archive, environ, path, alive)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError:  # spark-submit's own Python will do
        os.close(kept)
        return {}
    finally:
        os.close(alive)
    return {handover.EARLY_DRIVER: path}


def _start(archive: Path, environ: Mapping[str, str], path: str, alive: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()
        descriptors = (listening.fileno(), alive)
        given = {
            handover.EARLY_DRIVER: path,
            handover.EARLY_DRIVER_DESCRIPTORS: ",".join(map(str, descriptors)),
            "PYTHONHASHSEED": "0",  # as spark-submit says to its own Python
            # One BLAS thread, as the driver has that spark-submit's own Python becomes.
            "OMP_NUM_THREADS": environ.get("OMP_NUM_THREADS", "1"),
        }
        subprocess.Popen(
            [sys.executable, str(archive)], env={**environ, **given}, pass_fds=descriptors
        )
