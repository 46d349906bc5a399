"""Bytes of a split -> Arrow -> numpy: the one way in which rows enter irisspark."""

from irisspark.batches.bad_rows import BadRow, BadRows
from irisspark.batches.columns import Columns, LabelCodes
from irisspark.batches.reading import Batch, parse_block, parse_blocks, read_batches, record_end

__all__ = [
    "BadRow",
    "BadRows",
    "Batch",
    "Columns",
    "LabelCodes",
    "parse_block",
    "parse_blocks",
    "read_batches",
    "record_end",
]
