"""How a CSV is written, whatever its columns are for."""

from __future__ import annotations

from dataclasses import dataclass

from irisspark.data.cells import with_point

_OTHER_POINT_BYTES = bytes.maketrans(b",.", b".,")


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV is written.

    Attributes:
        delimiter: One ASCII character.
        header: True where the first line of each file is a header.
        multi_line: True where quoted fields may hold line breaks.
        decimal: What stands before the digits of a fraction, a point or a comma.
    """

    delimiter: str = ","
    header: bool = False
    multi_line: bool = False
    decimal: str = "."

    def with_point(self, text: str) -> str:
        """Write a number with a decimal point; one that was written with it gets a comma."""
        return with_point(text, self.decimal)

    def with_points(self, texts: bytes) -> bytes:
        """Do the same to the bytes of many numbers."""
        return texts if self.decimal == "." else texts.translate(_OTHER_POINT_BYTES)
