"""The door: of the archive, of ``python -m irisspark`` and of spark-submit's ``--py-files``."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    # Before the imports, which take time: Ctrl-C ends what has only begun, without a trace. The
    # early driver is started with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import atexit
import contextlib
import os
import socket
import sys

from irisspark import early_driver
from irisspark.errors import IrissparkError, missing_package
from irisspark.startup import ending, handover
from irisspark.startup.imports import prefer_unpacked_spark, settle_warnings

_OUTPUT_LOST = 120  # what Python itself ends with where its last output cannot be written


def _run(requester: socket.socket | None) -> None:
    """Run, tell the process that asked, and end."""

    def tell(code: int) -> None:
        if requester is not None:
            with contextlib.suppress(OSError):
                requester.sendall(str(code).encode())

    try:
        ending.listen(tell)
        from irisspark.cli import main

        code = main(sys.argv[1:])
        ending.stop_listening()
    except ending.SignalReceived as received:
        code = received.exit_code
    except ImportError as error:  # what ``cli`` itself is made of
        print(f"irisspark: {missing_package(error)}", file=sys.stderr)
        code = IrissparkError.exit_code
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or _OUTPUT_LOST
    tell(code)
    os._exit(code)  # Python would take TensorFlow's modules apart first, for a second


if __name__ == "__main__":
    settle_warnings()
    prefer_unpacked_spark()
    if descriptors := os.environ.pop(handover.EARLY_DRIVER_DESCRIPTORS, None):
        _run(early_driver.wait(descriptors))
    elif (code := early_driver.hand_over()) is not None:
        sys.exit(code)
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the early driver has it
        _run(None)
