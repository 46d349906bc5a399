"""The workers' daemon as a fork of the driver, on a local master.

Driver and workers are on one machine there, and both need TensorFlow, whose import takes seconds of
processor time. So the driver, once it has imported it, forks a *nursery*, which runs no op and
waits at a Unix socket. The daemon that Spark starts (``worker_daemon``) hands its standard streams
to the nursery, and a fork of the nursery serves Spark in its place. Where anything is amiss, the
daemon imports TensorFlow itself, as it does on a cluster.
"""

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "IRISSPARK_NURSERY"
_ANSWER_SECONDS = 10.0
_MAX_REQUEST_BYTES = 1 << 20
_STANDARD_STREAMS = (0, 1, 2)


def reserve() -> str:
    """Choose where the nursery will listen: a socket in a folder that only this user may enter."""
    return str(Path(tempfile.mkdtemp(prefix="irisspark-")) / "nursery")


def start(path: str, serve: Callable[[], None]) -> None:
    """Fork the nursery off this process, which has imported what the workers need.

    Does nothing where TensorFlow has run already: its threads would not survive the fork.

    Args:
        path: What ``reserve`` gave.
        serve: What a fork of the nursery does in the place of Spark's daemon.
    """
    if not hasattr(os, "fork") or _has_run_tensorflow():
        return
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen()
    # The nursery sees this pipe end when the driver does, however it ends.
    alive, kept = os.pipe()
    if os.fork() == 0:
        try:
            os.close(kept)
            _run_nursery(listening, alive, serve)
        finally:
            os._exit(1)
    os.close(alive)
    listening.close()


def stop(path: str) -> None:
    """Take away the socket and its folder."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def _has_run_tensorflow() -> bool:
    module = sys.modules.get("tensorflow.python.eager.context")
    if module is None:
        return True  # not imported, so there is nothing to share
    context = getattr(module, "_context", None)
    return context is not None and bool(getattr(context, "_initialized", True))


def _run_nursery(listening: socket.socket, alive: int, serve: Callable[[], None]) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then ends
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _leave_descriptors_of_the_driver({listening.fileno(), alive})
    gc.freeze()
    while True:
        ready = select.select([listening.fileno(), alive], [], [])[0]
        if alive in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork() == 0:
            try:
                listening.close()
                os.close(alive)
                _become_daemon(connection, serve)
            finally:
                os._exit(1)
        connection.close()


def _leave_descriptors_of_the_driver(kept: set[int]) -> None:
    """Close what was inherited: the driver's pipes would not end with it, nor its sockets."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in _STANDARD_STREAMS:
        os.dup2(nowhere, descriptor)
    for name in os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"):
        if int(name) not in kept and int(name) not in _STANDARD_STREAMS:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _become_daemon(connection: socket.socket, serve: Callable[[], None]) -> NoReturn:
    """Take over the streams, arguments and environment of the process that asked, and serve."""
    request, descriptors = _receive(connection)
    for stream, descriptor in zip(_STANDARD_STREAMS, descriptors, strict=True):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.sendall(b"1")  # and it stays open: its end tells the asking process of ours
    serve()
    os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    descriptors = array.array("i")
    size = len(_STANDARD_STREAMS) * descriptors.itemsize
    data, ancillary, _, _ = connection.recvmsg(_MAX_REQUEST_BYTES, socket.CMSG_LEN(size))
    for _, _, content in ancillary:
        descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    while not data.endswith(b"\n"):
        more = connection.recv(_MAX_REQUEST_BYTES)
        if not more:
            raise EOFError("the daemon that asked has ended")
        data += more
    return json.loads(data), list(descriptors)


def hand_over() -> bool:
    """Let a fork of the nursery serve in the place of this process, and wait for its end.

    Returns:
        False where there is no nursery, or it does not answer: nothing has been done then.
    """
    path = os.environ.get(VARIABLE)
    if not path or not os.path.exists(path):
        return False
    request = {"environ": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv}
    streams = array.array("i", _STANDARD_STREAMS)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(path)
            message = json.dumps(request).encode() + b"\n"
            sent = connection.sendmsg([message], rights)
            connection.sendall(message[sent:])
            if not connection.recv(1):
                return False
        except OSError:
            return False
        connection.settimeout(None)
        with contextlib.suppress(OSError):
            connection.recv(1)
    return True
