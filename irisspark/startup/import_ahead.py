"""Imports TensorFlow in a thread, which a disk that does not answer may hold up for ever."""

from __future__ import annotations

import contextlib
import sys
import threading

from irisspark.errors import IrissparkError
from irisspark.startup.deadline import deadline
from irisspark.startup.imports import import_tensorflow

SAY_SECONDS = 60.0
GIVE_UP_SECONDS = 600.0

_GRACE_SECONDS = 5.0


def importing_ahead() -> threading.Thread:
    """Make the thread that imports it; what goes wrong there shows where it is needed.

    After a while a line says that the import is slow. Where it never ends and keeps Python's lock,
    so that nobody else sees it, the process ends with a line.
    """

    def import_ahead() -> None:
        notice = f"TensorFlow is still being imported after {SAY_SECONDS:.0f} s, {_where()}"
        with (
            deadline(
                GIVE_UP_SECONDS + _GRACE_SECONDS,
                f"irisspark: {_never()}",
                notice=(SAY_SECONDS, f"irisspark: {notice}; waiting on"),
            ),
            contextlib.suppress(Exception),
        ):
            import_tensorflow()

    return threading.Thread(target=import_ahead, daemon=True)


def wait_for_import(importing: threading.Thread | None) -> None:
    """Wait for the end of that thread, if there is one and it has begun.

    Raises:
        IrissparkError: It has not ended.
    """
    if importing is None or not importing.is_alive():
        return
    importing.join(GIVE_UP_SECONDS)
    if importing.is_alive():
        raise IrissparkError(_never())


def _never() -> str:
    return f"TensorFlow could not be imported within {GIVE_UP_SECONDS:.0f} s, {_where()}"


def _where() -> str:
    return f"from {sys.prefix}: its disk is very slow, or does not answer"
