"""Shows how far a job is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from irisspark.durations import duration_text

SHOW_AFTER_SECONDS = 1.0
"""What takes no longer is not worth a bar that flickers."""
SHOW_EVERY_SECONDS = 0.5
LINE_SECONDS = 30.0
LINE_SHARE = 0.1

_TERMINALS = ("/dev/pts/", "/dev/tty")
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Work:
    """What is done, and how much it is.

    Attributes:
        what: In words.
        num_bytes: Of the files that are read; 0 where nothing is.
        num_rows: 0 where they are not known.
        rows_are_estimated: True where ``num_rows`` is.
        expected_seconds: For what tells nothing of itself before its end; 0 where that is not known
            either.
    """

    what: str
    num_bytes: int = 0
    num_rows: float = 0.0
    rows_are_estimated: bool = True
    expected_seconds: float = 0.0

    def describe(self, share: float | None, seconds: float) -> str:
        """Say how far it is.

        Args:
            share: Of the work that is done; None where nobody knows.
            seconds: Since its start.
        """
        if share is None:
            return f"{self.what}, {duration_text(seconds)}"
        mark = "~" if self.expected_seconds else ""
        facts = [f"{mark}{share:.0%}"]
        if self.num_rows and share:
            about = "~" if self.rows_are_estimated or mark else ""
            facts.append(f"{about}{share * self.num_rows / seconds:,.0f} rows/s")
        if self.num_bytes and share:
            facts.append(f"{_size(share * self.num_bytes / seconds)}/s")
        if share:
            facts.append(f"{mark}{duration_text(seconds / share - seconds)} left")
        return f"{self.what}: {', '.join(facts)}"


class Meter:
    """Shows one work at a time; whoever asks while one is shown is not shown."""

    def __init__(self) -> None:
        """Begin with nothing to show."""
        self._lock = threading.RLock()
        self._work: Work | None = None
        self._started = 0.0

    @contextlib.contextmanager
    def showing(self, work: Work) -> Iterator[bool]:
        """Show a work while what is inside runs; gives whether it is the one that is shown."""
        with self._lock:
            is_mine = self._work is None
            if is_mine:
                self._work, self._started = work, time.monotonic()
                self._begin()
        try:
            yield is_mine
        finally:
            if is_mine:
                with self._lock:
                    self._work = None
                    self._clear()

    @contextlib.contextmanager
    def estimating(self, work: Work) -> Iterator[None]:
        """As ``showing``, for a work that tells nothing of itself, by the time that it takes."""
        has_ended = threading.Event()

        def show() -> None:
            wait = SHOW_AFTER_SECONDS
            while not has_ended.wait(wait):
                wait = SHOW_EVERY_SECONDS
                seconds = time.monotonic() - self._started
                expected = work.expected_seconds
                self.show(min(seconds / expected, 0.99) if expected else None)

        with self.showing(work):
            threading.Thread(target=show, daemon=True).start()
            try:
                yield
            finally:
                has_ended.set()

    def show(self, share: float | None) -> None:
        """Show how far the work is; nothing where it has ended, or has only begun."""
        with self._lock:
            seconds = time.monotonic() - self._started
            if self._work is None or seconds < SHOW_AFTER_SECONDS:
                return
            with contextlib.suppress(OSError):  # the end of a terminal is no reason to fail
                self._draw(self._work, share, seconds)

    def clear(self) -> None:
        """Take what is shown away, for a line that is said meanwhile."""
        with self._lock:
            self._clear()

    def _begin(self) -> None:
        """Get ready for another work."""

    def _draw(self, work: Work, share: float | None, seconds: float) -> None:
        """Show a work."""
        raise NotImplementedError

    def _clear(self) -> None:
        """Leave nothing behind."""


class Bar(Meter):
    """A line that is drawn over and over, by tqdm; nothing of it stays."""

    def __init__(self, stream: TextIO | None) -> None:
        """Draw on a terminal; None draws in a notebook."""
        super().__init__()
        self._stream = stream
        self._bar: Any = None

    def _draw(self, work: Work, share: float | None, seconds: float) -> None:
        text = work.describe(share, seconds).replace("{", "{{").replace("}", "}}")
        what, _, facts = text.rpartition(": ") if share is not None else ("", "", text)
        layout = f"{what} |{{bar:24}}| {facts}" if share is not None else facts
        if self._bar is None:
            # Its own thread, which draws a bar that stands still, is not wanted.
            self._bar = _bar_class(self._stream)(
                total=100, file=self._stream, leave=False, dynamic_ncols=True, bar_format=layout
            )
        self._bar.bar_format = layout
        self._bar.n = 100 * (share or 0.0)
        self._bar.refresh()

    def _clear(self) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()
            self._bar = None


class Lines(Meter):
    """Lines of a log: one after 30 seconds, and after a tenth of the work, whichever is later."""

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        super().__init__()
        self._stream = stream
        self._said_seconds = self._said_share = 0.0

    def _begin(self) -> None:
        self._said_seconds = self._said_share = 0.0

    def _draw(self, work: Work, share: float | None, seconds: float) -> None:
        if seconds - self._said_seconds < LINE_SECONDS:
            return
        if share is not None and share - self._said_share < LINE_SHARE:
            return
        self._said_seconds, self._said_share = seconds, share or 0.0
        print(f"irisspark: {work.describe(share, seconds)}", file=self._stream, flush=True)


def find_meter() -> Meter:
    """Choose how to show progress to whoever reads standard error."""
    if sys.stderr.isatty():
        return Bar(sys.stderr)
    if (terminal := terminal_of_parent()) is not None:
        return Bar(terminal)
    return Lines(sys.stderr)


def terminal_of_parent() -> TextIO | None:
    """Open the terminal that spark-submit's JVM writes errors to.

    The JVM starts Python with a pipe, and copies what comes through it line by line.
    """
    try:
        path = os.readlink(f"/proc/{os.getppid()}/fd/2")
        if path.startswith(_TERMINALS) and "JAVA" in _parents_program().upper():
            return open(path, "w", encoding="utf-8")
    except OSError:
        pass
    return None


def _parents_program() -> str:
    return os.path.basename(os.readlink(f"/proc/{os.getppid()}/exe"))


def _bar_class(stream: TextIO | None) -> Any:
    """Give tqdm's bar: of a notebook where it has the widgets, else of a terminal."""
    if stream is None:
        with contextlib.suppress(ImportError):
            import ipywidgets  # type: ignore[import-not-found]  # noqa: F401
            from tqdm.notebook import tqdm

            return tqdm
    from tqdm import tqdm as terminal_tqdm

    terminal_tqdm.monitor_interval = 0
    return terminal_tqdm


def _size(num_bytes: float) -> str:
    unit = 0
    while num_bytes >= 1000 and unit < len(_UNITS) - 1:
        num_bytes, unit = num_bytes / 1000, unit + 1
    return f"{num_bytes:.1f} {_UNITS[unit]}" if unit else f"{num_bytes:.0f} B"
