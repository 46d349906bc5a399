"""Some of the points (label, prediction) of a regression, to be drawn: the same however cut.

Of all the points that differ those with the smallest hashes are kept, each with the number of its
rows. What is kept in the end was never left out on the way, so these numbers are exact, and samples
add up in any order (bottom-k sketches; Cohen and Kaplan 2007). The hash is of the point itself: to
find a row's place in a file would take longer than all else that is counted of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.scattering import mix

Points = npt.NDArray[np.void]
FloatArray = npt.NDArray[np.floating[Any]]

POINT = np.dtype([("hash", "<u8"), ("label", "<f8"), ("prediction", "<f8"), ("rows", "<i8")])
"""A point as it crosses machines; a sample is the bytes of an array of them, by their hashes."""

MAX_POINTS = 2000
"""Points of a column: more cover each other on a page."""
_MAX_OF_ALL, _MIN_POINTS = 16_000, 20
_ODD = np.uint64(0xD6E8FEB86659FD93)  # so that label and prediction are no one number alone


def sample_size(num_columns: int) -> int:
    """Say how many points of each of some columns are kept."""
    return max(_MIN_POINTS, min(MAX_POINTS, _MAX_OF_ALL // num_columns))


class PointSampler:
    """Keeps a sample of the points that pass by; ``points`` is the result."""

    def __init__(self, size: int) -> None:
        """Begin with no points, to keep at most ``size`` of them."""
        self._size = size
        self._kept = np.zeros(0, POINT)
        self._waiting: list[Points] = []
        self._num_waiting = 0

    def add(self, labels: FloatArray, predictions: FloatArray) -> None:
        """Let points pass by: float64 [rows] each, finite."""
        labels, predictions = labels + 0.0, predictions + 0.0  # of two zeros one
        hashes = mix(labels.view(np.uint64) * _ODD ^ predictions.view(np.uint64))
        if len(self._kept) == self._size:
            near = np.flatnonzero(hashes <= self._kept["hash"][-1])
            hashes, labels, predictions = hashes[near], labels[near], predictions[near]
        found = np.empty(len(hashes), POINT)
        found["hash"], found["label"], found["prediction"] = hashes, labels, predictions
        found["rows"] = 1
        self._waiting.append(found)
        self._num_waiting += len(found)
        if self._num_waiting >= self._size:  # to put a few in order takes as long as many
            self._put_in_order()

    def _put_in_order(self) -> None:
        self._kept = _smallest(np.concatenate([self._kept, *self._waiting]), self._size)
        self._waiting, self._num_waiting = [], 0

    @property
    def points(self) -> bytes:
        """The sample so far."""
        self._put_in_order()
        return self._kept.tobytes()


def _smallest(points: Points, size: int) -> Points:
    """Make one of equal points, and keep those with the smallest hashes, in their order."""
    if not len(points):
        return points
    ordered = points[np.argsort(points["hash"], kind="stable")]
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered["hash"][1:] != ordered["hash"][:-1]
    firsts = np.flatnonzero(is_first)
    kept = ordered[firsts]
    kept["rows"] = np.add.reduceat(ordered["rows"], firsts)
    return kept[:size]


def added(one: tuple[bytes, ...], two: tuple[bytes, ...], size: int) -> tuple[bytes, ...]:
    """Give the samples of both sets of rows, column by column."""
    if not one or not two:
        return one or two
    return tuple(
        _smallest(np.concatenate([opened(a), opened(b)]), size).tobytes()
        for a, b in zip(one, two, strict=True)
    )


def opened(sample: bytes) -> Points:
    """Give the points of a sample, [points] of ``POINT``."""
    return np.frombuffer(sample, POINT)
