"""The errors a person at the keyboard may see, and the exit code of each.

A message says what was found, where, and what to do. Every argument goes to
``super().__init__``, so that an error survives pickling between processes.
"""

from __future__ import annotations

import re
import sys
from typing import ClassVar

MAX_LINE_CHARS = 300
# Control characters, and letters that nobody sees: blanks of other kinds, and none of any width.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]"
)

LOST_LETTERS = (
    "letters that are not ASCII do not reach irisspark, since the locale of spark-submit is not "
    "UTF-8; set LC_ALL=C.UTF-8, or start it with submit.sh, which does"
)


class IrissparkError(Exception):
    """A run that cannot go on, for a reason that the user can act on."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Give the message in one line, whatever names and cells it shows."""
        return printable(super().__str__())

    @property
    def lines(self) -> list[str]:
        """The message as lines for the terminal: one."""
        return [str(self)]


class OptionsError(IrissparkError):
    """The command line is wrong, in a line for each problem; Spark has not been started."""

    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        """Give the message, a line for each problem."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The message as lines for the terminal: one for each problem."""
        return [printable(line) for line in Exception.__str__(self).split("\n")]


class ModelError(IrissparkError):
    """The model file, or the model in it, cannot be used."""


class DataError(IrissparkError):
    """The data cannot be found, read, or fed to the model."""


class TrainingError(IrissparkError):
    """The training cannot begin, go on, or be saved."""


def printable(text: str) -> str:
    """Write what nobody sees as escapes: a path or a cell of the user's may hold a line end."""
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


def has_all_letters() -> bool:
    """Tell whether the locale that this process was started with is UTF-8.

    Python takes ``C`` for UTF-8 by itself, and Java does not.
    """
    return not sys.flags.utf8_mode and sys.getfilesystemencoding() == "utf-8"


def missing_package(error: ImportError) -> str:
    """Say that the Python of the driver lacks a package, and which Python that is."""
    return (
        f"{first_line(error)}: the Python that runs the driver, {sys.executable}, lacks what "
        "irisspark needs; set PYSPARK_PYTHON to a Python in which its requirements are installed"
    )


def first_line(error: BaseException) -> str:
    """Give what an error of Java, TensorFlow, Keras or Python says, in a line of a message.

    Keras wraps an error in others that show whole configurations: the innermost one counts.
    """
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage()) if java is not None else str(error)
    text = getattr(error, "message", None) or text
    innermost = text.rsplit("Exception encountered: ", 1)[-1]
    lines = (line.strip() for line in innermost.splitlines())
    return next((line for line in lines if line), type(error).__name__)[:MAX_LINE_CHARS]


def without_password(text: str) -> str:
    """Hide the secret in ``scheme://user:secret@host``."""
    return re.sub(r"(://[^/@:,\s]+:)[^@,\s]+@", r"\1***@", text)
