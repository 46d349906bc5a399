"""Watches the start of a context, in which Spark waits for its cluster without a limit."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from irisspark.startup.executors import NOTICE_SECONDS, Limit
from irisspark.startup.notices import say
from irisspark.startup.yarn import YarnApplication

if TYPE_CHECKING:
    from types import TracebackType

    from pyspark import SparkConf


class StartWatch:
    """Says after a while what the start waits for, and ends it at the user's limit.

    Attributes:
        problem: Why it has ended the start, None: it has not.
    """

    def __init__(self, conf: SparkConf, limit: Limit) -> None:
        """Take the conf of the context, which this thread opens."""
        from pyspark import SparkContext

        self.problem: str | None = None
        self._master, self._limit = str(conf.get("spark.master")), limit
        self._yarn = YarnApplication(conf) if self._master.startswith("yarn") else None
        self._opener = SparkContext._jvm.java.lang.Thread.currentThread()
        self._is_over = threading.Event()

    def __enter__(self) -> StartWatch:
        """Begin to watch; a local master waits for nobody, and its driver may fork."""
        if not self._master.startswith("local"):
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Watch no longer."""
        self._is_over.set()

    def _watch(self) -> None:
        limit = self._limit.seconds
        if not 0 < limit <= NOTICE_SECONDS and not self._is_over_after(NOTICE_SECONDS):
            self._tell("waiting on")
        if limit and not self._is_over_after(limit):
            self._end()

    def _is_over_after(self, seconds: float) -> bool:
        return self._is_over.wait(seconds - self._limit.waited())

    def _tell(self, more: str) -> None:
        message = self._describe()
        if not self._is_over.is_set():
            say(f"{message}; {more}")

    def _end(self) -> None:
        message = self._describe()
        if self._is_over.is_set():
            return
        self.problem = f"{message}; ended by -waitFor {self._limit.seconds}"
        if self._yarn is not None:
            with contextlib.suppress(Exception):  # YARN does not answer, so it has nothing to end
                self._yarn.kill()
        self._opener.interrupt()

    def _describe(self) -> str:
        state = f"{self._master} has not answered"
        if self._yarn is not None:
            with contextlib.suppress(Exception):  # the limit stands, whatever cannot be asked
                state = self._yarn.describe()
        return f"Spark has not started after {self._limit.waited():.0f} s: {state}"
