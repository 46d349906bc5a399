"""The driver, started before its time.

spark-submit starts the driver's Python when its JVM is up, and only then would TensorFlow be
imported. So submit.sh starts a driver of its own beside the JVM, with an address where it listens.
The Python that spark-submit starts hands over to it: by then it has imported most of what it needs.
Where there is no such driver, or it does not fit, that Python goes on itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from irisspark.startup import addresses, handover
from irisspark.startup.import_ahead import importing_ahead
from irisspark.startup.imports import DEFAULTS, FORCED
from irisspark.startup.notices import say

_WAIT_SECONDS = 300.0  # for spark-submit's Python, which a large --packages may hold up


def hand_over() -> int | None:
    """Let a driver that was started early run in the place of this process.

    Returns:
        Its exit code, None where there is no such driver: nothing has been done then.
    """
    path = os.environ.get(handover.EARLY_DRIVER)
    connection = handover.ask(path) if path else None
    if connection is None:
        return None
    code = handover.wait_for(connection)
    if code:
        return int(code)
    say("the driver's process was killed; look at the memory of this machine")
    return 1


def wait(descriptors: str) -> socket.socket:
    """Import what takes seconds, and take the place of the process that asks.

    Args:
        descriptors: Of the listening socket, and of the pipe that ends with spark-submit.

    Returns:
        Where the exit code goes. Does not return where spark-submit ends first.
    """
    began_with = dict(os.environ)
    # Ctrl-C, which is ignored from the start, ends spark-submit, whose end is seen here.
    signal.signal(signal.SIGTERM, lambda *_: _end())
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: _end())
    listening_descriptor, alive = map(int, descriptors.split(","))
    taken = threading.Event()
    threading.Thread(target=_end_with_spark_submit, args=(alive, taken), daemon=True).start()
    importing = importing_ahead()
    importing.start()
    import irisspark.cli  # noqa: F401  # meanwhile

    request = _take_request(listening_descriptor)
    if request is None or not request.fits(began_with):
        _end()
    taken.set()
    try:
        # The import leads descriptor 2 away and back again, so it is left alone meanwhile.
        streams = handover.take_over(request, kept=DEFAULTS, forced=FORCED, with_descriptors=False)
    except OSError:
        _end()  # the process that asked goes on itself
    _remove_address()
    threading.Thread(target=_take_descriptors, args=(importing, streams), daemon=True).start()
    threading.Thread(target=_end_with_requester, args=(request.connection,), daemon=True).start()
    sys.path[:] = request.facts["path"]
    return request.connection


def _take_request(listening_descriptor: int) -> handover.Request | None:
    """Wait for the process that asks; None: nobody does."""
    with socket.socket(fileno=listening_descriptor) as listening:
        listening.settimeout(_WAIT_SECONDS)
        try:
            while True:
                connection, _ = listening.accept()
                with contextlib.suppress(OSError, EOFError):
                    return handover.receive(connection)
                connection.close()
        except OSError:
            return None


def _end() -> NoReturn:
    _remove_address()
    os._exit(0)


def _take_descriptors(importing: threading.Thread, streams: Sequence[int]) -> None:
    importing.join()
    handover.take_descriptors(streams)


def _end_with_spark_submit(alive: int, taken: threading.Event) -> None:
    os.read(alive, 1)
    if not taken.is_set():
        _end()
    os.kill(os.getpid(), signal.SIGTERM)  # it was killed: nobody takes the results


def _end_with_requester(connection: socket.socket) -> None:
    """End the run where the process that asked is killed in the middle of it."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _remove_address() -> None:
    addresses.remove(os.environ[handover.EARLY_DRIVER])
