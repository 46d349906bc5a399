"""Weights and optimizer variables cut into chunks, and averaged chunk by chunk.

What a model and its optimizer hold can be larger than Spark lets a job bring back, or than one
message may be, so it travels in pieces. A small model is one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAX_CHUNK_BYTES = 64 << 20
MIN_CHUNK_BYTES = 4 << 20
_SUMMED_BYTES = 256 << 20  # what all workers' copies of one chunk may take while they are added up


@dataclass(frozen=True)
class Piece:
    """The flat values ``[start, stop)`` of one variable."""

    variable: int
    start: int
    stop: int


@dataclass(frozen=True)
class ChunkLayout:
    """How variables are cut: shapes and dtypes of all, and the pieces of each chunk."""

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    chunks: tuple[tuple[Piece, ...], ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of all variables together."""
        return sum(
            int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        )


@dataclass(frozen=True, eq=False)
class WeightedChunk:
    """One worker's values of one chunk, and the rows that they learned from."""

    partition: int
    num_rows: int
    arrays: list[Array]


def chunk_bytes(num_workers: int) -> int:
    """Give the size of a chunk: the more workers, the smaller, as it is added up in one place."""
    return max(MIN_CHUNK_BYTES, min(MAX_CHUNK_BYTES, _SUMMED_BYTES // num_workers))


def lay_out(variables: Sequence[Array], max_bytes: int) -> ChunkLayout:
    """Cut variables into chunks of at most ``max_bytes``, in order."""
    chunks: list[list[Piece]] = [[]]
    room = max_bytes
    for number, variable in enumerate(variables):
        start = 0
        while start < variable.size or (variable.size == 0 and start == 0):
            fitting = room // variable.itemsize
            if fitting == 0:
                chunks.append([])
                room = max_bytes
                continue
            stop = min(start + fitting, variable.size)
            chunks[-1].append(Piece(number, start, stop))
            room -= (stop - start) * variable.itemsize
            start = max(stop, 1)
    shapes = tuple(variable.shape for variable in variables)
    dtypes = tuple(variable.dtype.name for variable in variables)
    return ChunkLayout(shapes, dtypes, tuple(tuple(chunk) for chunk in chunks))


def take_chunk(layout: ChunkLayout, chunk: int, variables: Sequence[Array]) -> list[Array]:
    """Give the flat arrays of one chunk, as views."""
    return [
        np.asarray(variables[piece.variable]).reshape(-1)[piece.start : piece.stop]
        for piece in layout.chunks[chunk]
    ]


def put_together(layout: ChunkLayout, chunks: Iterable[Sequence[Array]]) -> Iterator[Array]:
    """Give the variables in their order, from chunks in theirs, holding one variable at a time."""
    whole: Array | None = None
    for pieces, arrays in zip(layout.chunks, chunks, strict=True):
        for piece, array in zip(pieces, arrays, strict=True):
            shape = layout.shapes[piece.variable]
            size = int(np.prod(shape, dtype=np.int64))
            if len(array) == size:
                yield array.reshape(shape)
                continue
            if whole is None:
                whole = np.empty(size, dtype=layout.dtypes[piece.variable])
            whole[piece.start : piece.stop] = array
            if piece.stop == size:
                yield whole.reshape(shape)
                whole = None


def average(parts: Sequence[WeightedChunk]) -> list[Array]:
    """Average the workers' values of a chunk, weighted by rows.

    Floats are summed in float64 in the order of partitions, never in the order of arrival. Whole
    numbers are counts of steps, or never change: of those the largest is taken.
    """
    parts = sorted(parts, key=lambda part: part.partition)
    if len(parts) == 1:
        return parts[0].arrays
    num_rows = sum(part.num_rows for part in parts)
    averaged = []
    for values in zip(*(part.arrays for part in parts), strict=True):
        if not _is_float(values[0]):
            averaged.append(np.maximum.reduce(list(values)))
            continue
        total = np.zeros(values[0].shape, dtype=np.float64)
        for part, value in zip(parts, values, strict=True):
            total += part.num_rows * value.astype(np.float64)
        averaged.append((total / num_rows).astype(values[0].dtype))
    return averaged


def _is_float(array: Array) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def average_chunks(
    parts: Iterable[tuple[int, Any]],
) -> Iterator[tuple[int, Any]]:
    """Average the chunks of one partition of the sum, one at a time; pass everything else on."""
    by_chunk: dict[int, list[WeightedChunk]] = {}
    for key, value in parts:
        if isinstance(value, WeightedChunk):
            by_chunk.setdefault(key, []).append(value)
        else:
            yield key, value
    for key in sorted(by_chunk):
        yield key, average(by_chunk.pop(key))
