"""What an import has to tell the person at the keyboard, collected while it works."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """Conversions that were made, counted, and notes on what was left out.

    The one mutable object of an import: every stage adds to it, nobody reads it before the end.
    """

    _conversions: Counter[str] = field(default_factory=Counter)
    _notes: dict[str, None] = field(default_factory=dict)

    def converted(self, what: str) -> None:
        """Count one conversion, such as ``Convolution2D -> Conv2D``."""
        self._conversions[what] += 1

    def note(self, what: str) -> None:
        """Remember a sentence for the user once, however often it is said."""
        self._notes[what] = None

    @property
    def conversions(self) -> tuple[str, ...]:
        """The conversions in the order they were first made, and how often."""
        return tuple(f"{w} ({n} times)" if n > 1 else w for w, n in self._conversions.items())

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes in the order they were first made."""
        return tuple(self._notes)
