"""How a CSV is written, whatever its columns are for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV is written.

    Attributes:
        delimiter: One ASCII character.
        header: True where the first line of each file is a header.
        multi_line: True where quoted fields may hold line breaks.
    """

    delimiter: str = ","
    header: bool = False
    multi_line: bool = False
