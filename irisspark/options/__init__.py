"""argv -> frozen ``Options``: every flag, alias, default and cross-check."""

from __future__ import annotations

from irisspark.options.checks import lost_letters, names_data, notes
from irisspark.options.help import help_text
from irisspark.options.parsing import as_mapping, parse
from irisspark.options.table import Options
from irisspark.options.values import Requirement

__all__ = [
    "Options",
    "Requirement",
    "as_mapping",
    "help_text",
    "lost_letters",
    "names_data",
    "notes",
    "parse",
]
