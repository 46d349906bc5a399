"""The workers' daemon as a fork of the driver, on a local master.

Driver and workers are on one machine there, and both need TensorFlow, whose import takes seconds of
processor time. So the driver, once it has imported it, forks a *fork server*, which runs no op and
waits at a Unix socket. The daemon that Spark starts (``worker_daemon``) hands over to a fork of the
fork server, which serves Spark in its place. It may ask before there is one: it waits then. Where
anything is amiss, the daemon imports TensorFlow itself, as it does on a cluster.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from irisspark.startup import addresses, handover

VARIABLE = "IRISSPARK_FORK_SERVER"
ANSWER_SECONDS = 20.0  # a daemon waits that long for the driver's imports, and no longer


class ForkServer:
    """The place where daemons ask, and the process that serves them once it is started."""

    def __init__(self) -> None:
        """Listen at a socket in a folder that only this user may enter."""
        self._listening, self.path = addresses.listen("server")
        # The fork server sees this pipe end when the driver does, however it ends.
        self._alive, kept = os.pipe()
        self._kept: int | None = kept
        self._pid: int | None = None

    def start(self, serve: Callable[[], None]) -> None:
        """Fork the fork server off this process, which has imported what the workers need.

        Where TensorFlow has run already nobody will serve, and daemons that ask are told so: its
        threads would not survive the fork. The same goes for a machine that has no process left.

        Args:
            serve: What a fork of the fork server does in the place of Spark's daemon.
        """
        kept = self._kept
        assert kept is not None
        with contextlib.suppress(OSError):
            if not _has_run_tensorflow():
                self._pid = os.fork()
            if self._pid == 0:
                try:
                    os.close(kept)
                    _run_fork_server(self._listening, self._alive, serve)
                finally:
                    os._exit(1)
        os.close(self._alive)
        self._listening.close()

    def kill(self) -> None:
        """End the fork server and the daemons that it forked, whatever they are doing."""
        if self._pid is None:
            return
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children")
        with contextlib.suppress(OSError):
            for pid in (*map(int, children.read_text().split()), self._pid):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Take away the socket and its folder, and end the fork server."""
        self._listening.close()
        addresses.remove(self.path)
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None
        if self._pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            self._pid = None


def reserve() -> ForkServer | None:
    """Make a fork server, None where processes do not fork well or cannot listen.

    On macOS a process that has used Apple's frameworks is killed when it forks.
    """
    if sys.platform != "linux":
        return None
    try:
        return ForkServer()
    except OSError:  # the path of a socket may not be longer than a hundred bytes
        return None


def _has_run_tensorflow() -> bool:
    module = sys.modules.get("tensorflow.python.eager.context")
    if module is None:
        return True  # not imported, so there is nothing to share
    context = getattr(module, "_context", None)
    return context is not None and bool(getattr(context, "_initialized", True))


def _run_fork_server(listening: socket.socket, alive: int, serve: Callable[[], None]) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then ends
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _leave_descriptors_of_the_driver({listening.fileno(), alive})
    gc.freeze()
    while True:
        ready = select.select([listening.fileno(), alive], [], [])[0]
        if alive in ready:
            os._exit(0)
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):  # a daemon without an answer goes on itself
            if os.fork() == 0:
                try:
                    listening.close()
                    os.close(alive)
                    _become_daemon(connection, serve)
                finally:
                    os._exit(1)


def _leave_descriptors_of_the_driver(kept: set[int]) -> None:
    """Close what was inherited: the driver's pipes would not end with it, nor its sockets."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept | {0, 1, 2}:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _become_daemon(connection: socket.socket, serve: Callable[[], None]) -> NoReturn:
    """Take the place of the daemon that asked, and serve; the connection's end tells it of ours."""
    handover.take_over(handover.receive(connection))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    serve()
    os._exit(0)


def hand_over() -> bool:
    """Let a fork of the fork server serve in the place of this process, and wait for its end.

    Returns:
        False where there is no fork server: nothing has been done then.
    """
    path = os.environ.get(VARIABLE)
    is_there = path and os.path.exists(path)
    connection = handover.ask(path, ANSWER_SECONDS) if path and is_there else None
    if connection is None:
        return False
    handover.wait_for(connection)
    return True
