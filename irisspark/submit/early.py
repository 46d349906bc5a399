"""Starts the driver beside the JVM, which takes a second to start Python."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from irisspark import handover


def start_early(archive: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Start the driver; it ends with this process, which is to become spark-submit.

    Args:
        archive: irisspark.zip.
        environ: What spark-submit is started with.

    Returns:
        What to add to the environment of spark-submit; nothing where the driver does not start.
    """
    folder = tempfile.mkdtemp(prefix="irisspark-")
    path = os.path.join(folder, "driver")
    alive, kept = os.pipe()
    os.set_inheritable(kept, True)  # spark-submit keeps it open until its end
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        try:
            listening.bind(path)
            listening.listen()
            descriptors = (listening.fileno(), alive)
            given = {handover.EARLY_DRIVER_DESCRIPTORS: ",".join(map(str, descriptors))}
            # One BLAS thread, as spark-submit's own Python has.
            given |= {"OMP_NUM_THREADS": environ.get("OMP_NUM_THREADS", "1")}
            given |= {handover.EARLY_DRIVER: path}
            subprocess.Popen(
                [sys.executable, str(archive)], env={**environ, **given}, pass_fds=descriptors
            )
        except OSError:
            os.close(kept)
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
            return {}
        finally:
            os.close(alive)
    return {handover.EARLY_DRIVER: path}
