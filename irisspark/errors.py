"""The errors a person at the keyboard may see, and the exit code of each.

A message says what was found, where, and what to do. Every argument goes to
``super().__init__``, so that an error survives pickling between processes.
"""

from typing import ClassVar


class IrissparkError(Exception):
    """A run that cannot go on, for a reason that the user can act on."""

    exit_code: ClassVar[int] = 1


class OptionsError(IrissparkError):
    """The command line is wrong; Spark has not been started."""

    exit_code: ClassVar[int] = 2


class ModelError(IrissparkError):
    """The model file, or the model in it, cannot be used."""


class DataError(IrissparkError):
    """The data cannot be found, read, or fed to the model."""


class TrainingError(IrissparkError):
    """The training cannot begin, go on, or be saved."""
