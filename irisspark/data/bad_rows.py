"""The rows that cannot be used: how many of each kind, and which came first.

A bad row is data, not an exception: workers count and return it, and the driver decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WRONG_COLUMNS = "wrong number of columns"
NOT_A_NUMBER = "not a number"
MISSING = "missing"
NOT_FINITE = "not finite"
UNKNOWN_LABEL = "unknown label"
NO_MARK = "neither 0 nor 1"
NOT_ONE_HOT = "not one-hot"
BROKEN_QUOTES = "broken quotes"
BAD_ENCODING = "bad encoding"
REPEATED_HEADER = "repeated header"
COMMENT = "comment"
REASONS = (
    WRONG_COLUMNS,
    NOT_A_NUMBER,
    MISSING,
    NOT_FINITE,
    UNKNOWN_LABEL,
    NO_MARK,
    NOT_ONE_HOT,
    BROKEN_QUOTES,
    BAD_ENCODING,
    REPEATED_HEADER,
    COMMENT,
)

MAX_SAMPLED_ROWS = 10
WHOLE_LINE = -1


@dataclass(frozen=True, order=True)
class BadRow:
    """A row that cannot be used. Rows order as they stand in the input.

    Attributes:
        file_index: Place of its file in the input.
        position: Its place in the file: what orders rows, as ``Batch.positions``.
        reason: One of ``REASONS``.
        column: Index of the offending column, -1 where the whole line is at fault.
        value: The offending text, shortened; the number of columns for ``WRONG_COLUMNS``.
    """

    file_index: int
    position: int
    reason: str
    column: int
    value: str


@dataclass(frozen=True)
class BadRows:
    """Bad rows counted by reason, with the first ten of the input; ``+`` adds two of them up."""

    counts: dict[str, int] = field(default_factory=dict)
    first: tuple[BadRow, ...] = ()

    @property
    def total(self) -> int:
        """How many rows are bad."""
        return sum(self.counts.values())

    def only(self, reason: str, column: int) -> BadRows:
        """Give those of the first ones that are bad for a reason, in a column."""
        first = tuple(row for row in self.first if (row.reason, row.column) == (reason, column))
        return BadRows({reason: len(first)} if first else {}, first)

    def __add__(self, other: BadRows) -> BadRows:
        """Add the bad rows of two parts of the input up."""
        counts = {
            reason: self.counts.get(reason, 0) + other.counts.get(reason, 0)
            for reason in sorted({*self.counts, *other.counts})
        }
        return BadRows(counts, tuple(sorted(self.first + other.first)[:MAX_SAMPLED_ROWS]))
