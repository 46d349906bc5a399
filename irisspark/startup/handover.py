"""One process takes another's place: its streams, environment, folder and arguments.

The process that would have to import TensorFlow first asks one that has it imported already, over
a Unix socket, and waits for its end. The streams themselves travel (``SCM_RIGHTS``), so whatever
started the asking process reads and writes as if that one had done the work.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

EARLY_DRIVER = "IRISSPARK_EARLY_DRIVER"
"""The variable with the address of a driver that was started before its time."""
EARLY_DRIVER_DESCRIPTORS = "IRISSPARK_EARLY_DRIVER_DESCRIPTORS"
"""The variable that tells such a driver where it listens, and whom it waits for."""

_MAX_MESSAGE_BYTES = 1 << 20
_STANDARD_STREAMS = (0, 1, 2)
_ACCEPTED = b"1"


@dataclass(frozen=True)
class Request:
    """What a process that asks hands over.

    Attributes:
        connection: To that process; it waits for what is sent there, and for its end.
        facts: What it says of itself: ``environ``, ``cwd``, ``argv``, ``path``, ``python``.
        streams: Descriptors of its standard streams, in this process.
    """

    connection: socket.socket
    facts: dict[str, Any]
    streams: tuple[int, ...]

    @property
    def fits(self) -> bool:
        """True where the process that asks runs this Python, in this version."""
        return bool(self.facts["python"] == _python())


def ask(path: str) -> socket.socket | None:
    """Ask the process that listens at ``path`` to take the place of this one, and wait for it.

    Ctrl-C is for that process from then on.

    Returns:
        The connection to it once it has taken over; None where nobody does, and nothing was done.
    """
    streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", _STANDARD_STREAMS))]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        connection.connect(path)
        message = json.dumps(_facts()).encode() + b"\n"
        sent = connection.sendmsg([message], streams)
        connection.sendall(message[sent:])
        if connection.recv(1) == _ACCEPTED:
            return connection
    except OSError:
        pass
    connection.close()
    signal.signal(signal.SIGINT, before)
    return None


def _facts() -> dict[str, Any]:
    return {
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "argv": sys.argv,
        "path": sys.path,
        "python": _python(),
    }


def _python() -> list[str]:
    return [sys.version, sys.prefix]


def wait_for(connection: socket.socket) -> bytes:
    """Wait until the other process ends, and give what it has sent on the way."""
    received = b""
    with connection, contextlib.suppress(OSError):
        while part := connection.recv(64):
            received += part
    return received


def receive(connection: socket.socket) -> Request:
    """Read what a process that asks hands over.

    Raises:
        EOFError: It has ended.
    """
    descriptors = array.array("i")
    size = len(_STANDARD_STREAMS) * descriptors.itemsize
    data, ancillary, _, _ = connection.recvmsg(_MAX_MESSAGE_BYTES, socket.CMSG_LEN(size))
    for _, _, content in ancillary:
        descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    while not data.endswith(b"\n"):
        more = connection.recv(_MAX_MESSAGE_BYTES)
        if not more:
            raise EOFError("the process that asked has ended")
        data += more
    return Request(connection, json.loads(data), tuple(descriptors))


def take_over(
    request: Request,
    *,
    kept: Collection[str] = (),
    forced: Mapping[str, str] | None = None,
    with_descriptors: bool = True,
) -> None:
    """Take the place of the process that asked, which waits from now on.

    Args:
        request: What it handed over.
        kept: Names in this environment that stay, where that process has none of them.
        forced: What this environment says whatever that process's does.
        with_descriptors: Take its standard streams as 0, 1 and 2 as well; False leaves that to
            ``take_descriptors``.
    """
    streams = request.streams
    if with_descriptors:
        take_descriptors(request)
        streams = _STANDARD_STREAMS
    sys.stdin = os.fdopen(streams[0], closefd=False)
    sys.stdout = os.fdopen(streams[1], "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(streams[2], "w", buffering=1, closefd=False, errors="backslashreplace")
    environ = request.facts["environ"] | (forced or {})
    for name in os.environ.keys() - environ.keys() - set(kept):
        del os.environ[name]
    os.environ.update(environ)
    os.chdir(request.facts["cwd"])
    sys.argv = request.facts["argv"]
    request.connection.sendall(_ACCEPTED)


def take_descriptors(request: Request) -> None:
    """Make the standard streams of the process that asked 0, 1 and 2 of this one."""
    for stream, descriptor in zip(_STANDARD_STREAMS, request.streams, strict=True):
        os.dup2(descriptor, stream)
