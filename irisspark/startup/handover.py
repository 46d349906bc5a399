"""One process takes another's place: its streams, environment, folder and arguments.

The process that would have to import TensorFlow first asks one that has it imported already, over
a Unix socket, and waits for its end. The streams themselves travel (``SCM_RIGHTS``), so whatever
started the asking process reads and writes as if that one had done the work.

    asking                          listening
    facts                  ->
                           <-       ready
    confirmed, streams     ->
                           <-       begun
                           <-       what it has to say at the end, and its end

Each of these waits has a limit, but the last. Whatever ends or is silent before *begun* leaves
nothing behind, and the asking process does the work itself.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EARLY_DRIVER = "IRISSPARK_EARLY_DRIVER"
"""The variable with the address of a driver that was started before its time."""
EARLY_DRIVER_DESCRIPTORS = "IRISSPARK_EARLY_DRIVER_DESCRIPTORS"
"""The variable that tells such a driver where it listens, and whom it waits for."""

_MAX_MESSAGE_BYTES = 1 << 20
_STANDARD_STREAMS = (0, 1, 2)
_READY, _CONFIRMED, _BEGUN = b"1", b"2", b"3"

# Spark sets PYTHONPATH, which travels, and PYTHONUNBUFFERED, which changes nothing here.
_READ_AT_START = re.compile(
    r"PYTHON(?!PATH$|UNBUFFERED$)|LC_|LANG|TZ$|OMP_|TF_|XLA_|CUDA_|LD_|MALLOC_"
)

ANSWER_SECONDS = 10.0
"""How long a process waits for another that has nothing to do but to answer."""


@dataclass(frozen=True)
class Request:
    """What a process that asks hands over.

    Attributes:
        connection: To that process; it waits for what is sent there, and for its end.
        facts: What it says of itself: ``environ``, ``cwd``, ``argv``, ``path``, ``python``,
            and the ``encodings`` of its streams.
    """

    connection: socket.socket
    facts: dict[str, Any]

    def fits(self, began_with: Mapping[str, str]) -> bool:
        """Tell whether the process that asks runs this Python, in this version and as this one.

        Args:
            began_with: The environment that this process began with. What Python, the libraries of
                numbers and the locale read of it when they start has to be the same.
        """
        theirs = {"OMP_NUM_THREADS": "1"} | self.facts["environ"]
        return bool(self.facts["python"] == _python()) and (
            _read_at_start(theirs) == _read_at_start(began_with)
        )


def ask(path: str, seconds: float = ANSWER_SECONDS) -> socket.socket | None:
    """Ask the process that listens at ``path`` to take the place of this one, and wait for it.

    Ctrl-C is for that process from then on.

    Args:
        path: A Unix socket.
        seconds: After which the other process is given up.

    Returns:
        The connection to it once it has taken over; None where nobody does, and nothing was done.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _is_taken_over(connection, path, time.monotonic() + seconds):
        connection.settimeout(None)
        return connection
    connection.close()
    signal.signal(signal.SIGINT, before)
    return None


def _is_taken_over(connection: socket.socket, path: str, deadline: float) -> bool:
    streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", _STANDARD_STREAMS))]
    try:
        _limit(connection, deadline)
        connection.connect(path)
        connection.sendall(json.dumps(_facts()).encode() + b"\n")
        if _receive_byte(connection, deadline) != _READY:
            return False
    except OSError:
        return False
    try:
        # Only now: in the queue of a process that is silent they would outlive this one.
        connection.sendmsg([_CONFIRMED], streams)
        return _receive_byte(connection, deadline) == _BEGUN
    except OSError:
        return _has_begun_after_all(connection)


def _has_begun_after_all(connection: socket.socket) -> bool:
    """Close the connection, so that the other process cannot begin; it may have right before."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
        return connection.recv(1) == _BEGUN
    return False


def _limit(connection: socket.socket, deadline: float) -> None:
    connection.settimeout(max(deadline - time.monotonic(), 1e-3))


def _receive_byte(connection: socket.socket, deadline: float) -> bytes:
    _limit(connection, deadline)
    return connection.recv(1)


def _facts() -> dict[str, Any]:
    return {
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "argv": sys.argv,
        "path": sys.path,
        "python": _python(),
        "encodings": [
            [getattr(stream, name, None) for name in ("encoding", "errors")]  # None: it is closed
            for stream in (sys.stdin, sys.stdout, sys.stderr)
        ],
    }


def _read_at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if _READ_AT_START.match(name)}


def _python() -> list[str]:
    return [sys.version, sys.prefix]


def wait_for(connection: socket.socket) -> bytes:
    """Wait until the other process ends, and give what it has sent on the way."""
    received = b""
    with connection, contextlib.suppress(OSError):
        while part := connection.recv(64):
            received += part
    return received


def receive(connection: socket.socket, seconds: float = ANSWER_SECONDS) -> Request:
    """Read what a process that asks hands over.

    Raises:
        EOFError: It has ended, or only looked whether somebody listens.
        TimeoutError: It is silent.
    """
    deadline = time.monotonic() + seconds
    data = b""
    while not data.endswith(b"\n"):
        _limit(connection, deadline)
        more = connection.recv(_MAX_MESSAGE_BYTES)
        if not more:
            raise EOFError("the process that asked has ended")
        data += more
    return Request(connection, json.loads(data))


def take_over(
    request: Request,
    *,
    kept: Collection[str] = (),
    forced: Mapping[str, str] | None = None,
    with_descriptors: bool = True,
) -> Sequence[int]:
    """Take the place of the process that asked, which waits from now on.

    Where this raises, that process has not been told that it began, and does the work itself.

    Args:
        request: What it handed over.
        kept: Names in this environment that stay, where that process has none of them.
        forced: What this environment says whatever that process's does.
        with_descriptors: Take its standard streams as 0, 1 and 2 as well; False leaves that to
            ``take_descriptors``.

    Returns:
        Descriptors of its standard streams, in this process.

    Raises:
        OSError: It has ended, is silent, or stands in a folder that is gone.
    """
    streams = _receive_streams(request.connection)
    if with_descriptors:
        take_descriptors(streams)
        streams = _STANDARD_STREAMS
    _open_streams(streams, request.facts["encodings"])
    environ = request.facts["environ"] | (forced or {})
    for name in os.environ.keys() - environ.keys() - set(kept):
        del os.environ[name]
    os.environ.update(environ)
    os.chdir(request.facts["cwd"])
    sys.argv = request.facts["argv"]
    request.connection.sendall(_BEGUN)
    request.connection.settimeout(None)
    return streams


def _receive_streams(connection: socket.socket) -> tuple[int, ...]:
    descriptors = array.array("i")
    size = len(_STANDARD_STREAMS) * descriptors.itemsize
    _limit(connection, time.monotonic() + ANSWER_SECONDS)
    connection.sendall(_READY)
    data, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(size))
    for _, _, content in ancillary:
        descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if data != _CONFIRMED or len(descriptors) != len(_STANDARD_STREAMS):
        raise ConnectionError("the process that asked has given up")
    return tuple(descriptors)


def _open_streams(
    streams: Sequence[int], encodings: Sequence[tuple[str | None, str | None]]
) -> None:
    files = [
        os.fdopen(
            stream, mode, buffering=buffering, encoding=encoding, errors=errors, closefd=False
        )
        for stream, mode, buffering, (encoding, errors) in zip(
            streams, "rww", (-1, 1, 1), encodings, strict=True
        )
    ]
    sys.stdin, sys.stdout, sys.stderr = files


def take_descriptors(streams: Sequence[int]) -> None:
    """Make the standard streams of the process that asked 0, 1 and 2 of this one."""
    for stream, descriptor in zip(_STANDARD_STREAMS, streams, strict=True):
        os.dup2(descriptor, stream)
