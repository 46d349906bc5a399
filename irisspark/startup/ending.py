"""A run that is told to end: by Ctrl-C, SIGTERM, the end of its terminal or of its JVM.

Each raises ``SignalReceived`` in the main thread, so that what is half done is taken away as after
an error. Where that takes more than some seconds, as native code or a Spark that hangs may, the
process ends all the same; what it leaves is cleared by the next run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

END_SECONDS = 8.0

_POLL_SECONDS = 1.0
_SOON_SECONDS = 0.05
_JAVA_ERRORS = "Py4J"
_MEANINGS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "its terminal was closed",
}


class SignalReceived(KeyboardInterrupt):
    """The run was told to end.

    Attributes:
        exit_code: What a shell gives a process that the signal ended.
    """

    def __init__(self, number: int) -> None:
        """Name the signal."""
        super().__init__(_MEANINGS[signal.Signals(number)])
        self.exit_code = 128 + number


_received: SignalReceived | None = None
_is_lost = False
_parent = os.getppid()
_is_watching = False


def received_signal(error: BaseException) -> SignalReceived | None:
    """Give the signal to end that this process has received; None where there is none.

    Args:
        error: One of Java may be the first that is seen of the end of the JVM, which takes some
            seconds, and brings about any error: so that end is waited for.
    """
    chain = (error, error.__cause__)
    if any(type(one).__name__.startswith(_JAVA_ERRORS) for one in chain):
        with contextlib.suppress(SignalReceived):
            deadline = time.monotonic() + 3 * _POLL_SECONDS
            while _received is None and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS / 20)
    return _received


def listen(leave: Callable[[int], object]) -> None:
    """Raise ``SignalReceived`` in the main thread, which calls this, at the first signal to end.

    Args:
        leave: Is given the exit code where the process ends without having come to its end.
    """
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(read, True)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in _MEANINGS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # so does nohup
            signal.signal(number, _tell)
    threading.Thread(target=_end_late, args=(read, leave), daemon=True).start()
    if _is_jvm(_parent):
        end_with_parent()


def stop_listening() -> None:
    """Raise no signal any more: the run has come to its end, and has a code.

    An end that waits for somebody, as for who reads its output, still ends with the signal.
    """
    for number in _MEANINGS:
        if signal.getsignal(number) is _tell:
            signal.signal(number, lambda *_: None)


def _tell(number: int, _: object) -> None:
    global _received, _is_lost
    if _received is None:  # a second signal, as a terminal and ``timeout`` send, changes nothing
        _received = SignalReceived(number)
        _silence()
        raise _received
    if _is_lost:
        _is_lost = False
        raise _received


def _silence() -> None:
    """Print no trace any more: py4j, threads and finalizers would tell of the end itself."""
    logging.disable()
    threading.excepthook = lambda _: None
    sys.excepthook = lambda *_: None
    sys.unraisablehook = _raise_again


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise ``SignalReceived`` once more where a finalizer or a callback had it, and it is lost."""
    received = _received
    if received is None or unraisable.exc_value is not received:
        return

    def raise_again() -> None:
        global _is_lost
        _is_lost = True
        os.kill(os.getpid(), received.exit_code - 128)

    # In a while, from another thread: this is still the finalizer, out of which nothing is raised.
    timer = threading.Timer(_SOON_SECONDS, raise_again)
    timer.daemon = True
    timer.start()


def _end_late(signals: int, leave: Callable[[int], object]) -> NoReturn:
    """Wait for a signal in a thread, which runs when the main one is in native code."""
    number = 0
    while number not in _MEANINGS:
        number = os.read(signals, 1)[0]
    time.sleep(END_SECONDS)
    leave(128 + number)
    os._exit(128 + number)


def end_with_parent() -> None:
    """End with the JVM that started this process: where it was killed nobody takes the results.

    That is for a process whose JVM is its parent: a shell may end before what it has started.
    """
    global _is_watching
    if _is_watching:
        return
    _is_watching = True
    threading.Thread(target=_end_with, args=(_parent,), daemon=True).start()


def end() -> None:
    """End this process as SIGTERM does."""
    os.kill(os.getpid(), signal.SIGTERM)


def _is_jvm(pid: int) -> bool:
    """Tell whether a process is a JVM by its name, where the system tells it."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "java"
    except OSError:
        return False


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    end()
