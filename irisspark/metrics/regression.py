"""Regression: moments that add up across machines, and every metric made from them once.

Sums of squares lose digits where the mean is large beside the deviation (a mean of 10**9 with a
deviation of 1 leaves none), so means and sums of squared deviations from them are kept, and merged
pairwise as Chan, Golub and LeVeque (1979) do. The means are told from a partition's first label,
whose digits they would lose otherwise. Names and conventions are scikit-learn's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.metrics.point_sample import PointSampler, added, sample_size

Place = tuple[int, int]
"""Where a row is: (index of its file, position in it)."""
PlaceOf = Callable[[int], Place]
FloatArray = npt.NDArray[np.floating[Any]]
Moments = npt.NDArray[np.float64]

BIN_RATIO = 1.02
"""Upper edge of a bin of absolute errors by its lower edge: a bin's middle is off by 1% at most."""
_NO_ERROR = np.int32(-(2**31))
_LOG_RATIO = math.log(BIN_RATIO)

# The rows of ``Moments``; the first two are the same in all columns.
_ROWS, _LOSS, _ABSOLUTE, _LARGEST = range(4)
_MEANS = slice(4, 7)  # of label, prediction, and prediction - label
_SQUARES = slice(7, 10)  # sums of the squared deviations from these means
_PRODUCTS = 10  # sum of the products of the deviations of label and prediction
_PIVOT = 11  # what is taken off labels and predictions before
_NUM_MOMENTS = 12


@dataclass(frozen=True)
class RegressionCounts:
    """What was counted about rows; ``+`` adds two of them up, in any order, to the same result.

    Attributes:
        num_columns: Columns of labels, and units of the output.
        nan_rows: Rows whose prediction is not finite; they are in none of the rest.
        moments: (partition, the bytes of float64 [_NUM_MOMENTS, num_columns]) pairs in order.
        error_bins: For each column (bin, rows) pairs in order, of the absolute errors.
        worst: For each column the largest absolute error and where its row is; the first of equal
            ones. None without rows.
        points: For each column some of its (label, prediction) pairs, to be drawn, as
            ``point_sample`` has them. None without rows.
    """

    num_columns: int
    nan_rows: int = 0
    moments: tuple[tuple[int, bytes], ...] = ()
    error_bins: tuple[tuple[tuple[int, int], ...], ...] = ()
    worst: tuple[tuple[float, Place], ...] = ()
    points: tuple[bytes, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        return sum(int(self._array(part)[_ROWS, 0]) for _, part in self.moments)

    def __add__(self, other: RegressionCounts) -> RegressionCounts:
        """Return the counts of both sets of rows.

        Raises:
            ValueError: The two are of models with different outputs.
        """
        if self.num_columns != other.num_columns:
            raise ValueError("counts of models with different outputs do not add up")
        if not self.error_bins or not other.error_bins:
            bins = self.error_bins or other.error_bins
        else:
            pairs = zip(self.error_bins, other.error_bins, strict=True)
            bins = tuple(_added(one, two) for one, two in pairs)
        moments = tuple(sorted(self.moments + other.moments))
        worst = _worse(self.worst, other.worst)
        nan_rows = self.nan_rows + other.nan_rows
        points = added(self.points, other.points, sample_size(self.num_columns))
        return RegressionCounts(self.num_columns, nan_rows, moments, bins, worst, points)

    def total(self) -> Moments:
        """Merge the partitions' moments in their order: float64 [_NUM_MOMENTS, num_columns]."""
        parts = [self._array(part) for _, part in self.moments]
        return reduce(_merged, parts, np.zeros((_NUM_MOMENTS, self.num_columns)))

    def _array(self, part: bytes) -> Moments:
        return np.frombuffer(part, dtype="<f8").reshape(_NUM_MOMENTS, self.num_columns)


def _added(
    one: tuple[tuple[int, int], ...], two: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    found = dict(one)
    for index, rows in two:
        found[index] = found.get(index, 0) + rows
    return tuple(sorted(found.items()))


def _worse(
    one: tuple[tuple[float, Place], ...], two: tuple[tuple[float, Place], ...]
) -> tuple[tuple[float, Place], ...]:
    """Give the larger error of each column, of equal ones the first."""
    if not one or not two:
        return one or two
    return tuple(max(a, b) if a[0] != b[0] else min(a, b) for a, b in zip(one, two, strict=True))


def _merged(one: Moments, two: Moments) -> Moments:
    """Give the moments of both sets of rows."""
    if not one[_ROWS, 0] or not two[_ROWS, 0]:
        return one if one[_ROWS, 0] else two
    merged = one + two
    merged[_LARGEST] = np.maximum(one[_LARGEST], two[_LARGEST])
    merged[_PIVOT] = one[_PIVOT]
    rows = merged[_ROWS]
    moved = two[_MEANS] - one[_MEANS]
    moved[:2] += two[_PIVOT] - one[_PIVOT]
    weight = one[_ROWS] * two[_ROWS] / rows
    merged[_MEANS] = one[_MEANS] + moved * (two[_ROWS] / rows)
    merged[_SQUARES] += moved**2 * weight
    merged[_PRODUCTS] += moved[0] * moved[1] * weight
    return merged


class RegressionTally:
    """Counts the blocks of one partition in place; ``counts`` is the frozen result."""

    def __init__(self, *, num_columns: int, partition: int) -> None:
        """Begin with no rows.

        Args:
            num_columns: Columns of labels, and units of the output.
            partition: Index of the partition, the place of its floats in the order of adding.
        """
        self._num_columns, self._partition = num_columns, partition
        self._moments = np.zeros((_NUM_MOMENTS, num_columns))
        self._nan_rows = 0
        self._bins: list[dict[int, int]] = [{} for _ in range(num_columns)]
        self._worst: tuple[tuple[float, Place], ...] = ()
        size = sample_size(num_columns)
        self._samplers = [PointSampler(size) for _ in range(num_columns)]

    def add(
        self,
        y_true: FloatArray,
        y_pred: FloatArray,
        losses: FloatArray | None,
        place_of: PlaceOf,
    ) -> None:
        """Count a block of rows.

        Args:
            y_true: float64 [rows, num_columns], finite.
            y_pred: float [rows, num_columns]; a row that is not finite counts as NaN.
            losses: float [rows], the model's own loss of each row; None where it has none.
            place_of: Gives the place of a row of the block, in the order of the input.
        """
        y_pred = y_pred.astype(np.float64)
        kept = np.isfinite(y_pred).all(axis=1)
        rows = np.flatnonzero(kept)
        if not kept.all():
            self._nan_rows += int(len(kept) - kept.sum())
            y_true, y_pred = y_true[kept], y_pred[kept]
            losses = None if losses is None else losses[kept]
        if not len(y_true):
            return
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is no metric
            errors = y_pred - y_true
            found = _moments_of(y_true, y_pred, errors, losses)
            self._moments = _merged(self._moments, found)
        absolute = np.abs(errors)
        for bins, column in zip(self._bins, absolute.T, strict=True):
            for index, count in zip(*_binned(column), strict=True):
                bins[index] = bins.get(index, 0) + count
        for sampler, *points in zip(self._samplers, y_true.T, y_pred.T, strict=True):
            sampler.add(*points)
        self._note_worst(absolute, rows, place_of)

    def _note_worst(
        self, absolute: FloatArray, rows: npt.NDArray[np.intp], place_of: PlaceOf
    ) -> None:
        """Keep the largest error of each column; to find a row's place takes time."""
        found = []
        for column, (row, of_column) in enumerate(
            zip(absolute.argmax(axis=0).tolist(), absolute.T, strict=True)
        ):
            error = float(of_column[row])
            if self._worst and self._worst[column][0] >= error:
                found.append(self._worst[column])
            else:
                found.append((error, place_of(int(rows[row]))))
        self._worst = tuple(found)

    @property
    def counts(self) -> RegressionCounts:
        """The counts so far; no rows have no entry in ``moments``."""
        part = (self._partition, self._moments.astype("<f8").tobytes())
        return RegressionCounts(
            self._num_columns,
            self._nan_rows,
            (part,) if self._moments[_ROWS, 0] else (),
            tuple(tuple(sorted(bins.items())) for bins in self._bins),
            self._worst,
            tuple(sampler.points for sampler in self._samplers) if self._worst else (),
        )


def _moments_of(
    y_true: FloatArray, y_pred: FloatArray, errors: FloatArray, losses: FloatArray | None
) -> Moments:
    found = np.zeros((_NUM_MOMENTS, y_true.shape[1]))
    found[_ROWS] = len(y_true)
    found[_LOSS] = math.nan if losses is None else losses.sum(dtype=np.float64)
    absolute = np.abs(errors)
    found[_ABSOLUTE], found[_LARGEST] = absolute.sum(axis=0), absolute.max(axis=0)
    found[_PIVOT] = pivot = y_true[0]
    values = np.stack([y_true - pivot, y_pred - pivot, errors])
    means = values.mean(axis=1)
    deviations = values - means[:, np.newaxis]
    found[_MEANS], found[_SQUARES] = means, (deviations**2).sum(axis=1)
    found[_PRODUCTS] = (deviations[0] * deviations[1]).sum(axis=0)
    return found


def _binned(absolute: FloatArray) -> tuple[list[int], list[int]]:
    """Give the bins of some absolute errors, and how many each has; no error has a bin alone."""
    indices = np.full(len(absolute), _NO_ERROR)
    some = absolute > 0
    logs = np.log(absolute[some]) / _LOG_RATIO
    indices[some] = np.floor(np.minimum(logs, 2**30)).astype(np.int32)
    bins, rows = np.unique(indices, return_counts=True)
    return bins.tolist(), rows.tolist()


@dataclass(frozen=True)
class ColumnScores:
    """Metrics of one column of labels; None where one does not exist, as without rows.

    Attributes:
        relative_squared_error: Sum of squared errors by that of the labels' squared deviations from
            their mean; infinite where the labels are all the same and are not met.
        pearson_r: Correlation of labels and predictions; None where either is constant.
        median_absolute_error: From bins, off by 1% of itself at most.
        max_error: The largest absolute error, as in scikit-learn.
        max_error_place: Where its row is, the first of equal ones.
    """

    mean_squared_error: float | None
    mean_absolute_error: float | None
    root_mean_squared_error: float | None
    relative_squared_error: float | None
    r2: float | None
    explained_variance: float | None
    pearson_r: float | None
    median_absolute_error: float | None
    max_error: float | None
    mean_label: float | None
    mean_prediction: float | None
    max_error_place: Place | None = None


@dataclass(frozen=True)
class RegressionScores:
    """Every metric of one evaluation.

    Attributes:
        column_names: Names of the columns of labels.
        rows: Rows that were evaluated.
        nan_rows: Rows without a finite prediction, in none of the metrics.
        loss: The model's own, a mean over rows.
        per_column: Metrics of each column.
        overall: Means over the columns, as scikit-learn's ``uniform_average``; the largest
            ``max_error``.
        paths: Of the files that ``max_error_place`` names, by their index.
        position_name: What a place in a file is.
    """

    column_names: tuple[str, ...]
    rows: int
    nan_rows: int
    loss: float | None
    per_column: tuple[ColumnScores, ...]
    overall: ColumnScores
    paths: Mapping[int, str] = field(default_factory=dict)
    position_name: str = "offset"

    def located(self, path_of: Callable[[int], str], position_name: str) -> RegressionScores:
        """Give the same with the paths of the files that the largest errors are in."""
        places = [one.max_error_place for one in self.per_column]
        paths = {place[0]: path_of(place[0]) for place in places if place is not None}
        return replace(self, paths=paths, position_name=position_name)


def score_regression(counts: RegressionCounts, column_names: Sequence[str]) -> RegressionScores:
    """Make every metric from the counts of all rows.

    Args:
        counts: The sum of what all workers counted.
        column_names: A name for each column of labels.
    """
    moments = counts.total()
    bins = counts.error_bins or ((),) * counts.num_columns
    columns = tuple(
        _score_column(moments[:, index], bins[index]) for index in range(counts.num_columns)
    )
    if counts.worst:
        pairs = zip(columns, counts.worst, strict=True)
        columns = tuple(replace(column, max_error_place=place) for column, (_, place) in pairs)
    rows = int(moments[_ROWS, 0])
    loss = float(moments[_LOSS, 0]) / rows if rows else math.nan
    return RegressionScores(
        column_names=tuple(column_names),
        rows=rows,
        nan_rows=counts.nan_rows,
        loss=loss if math.isfinite(loss) else None,
        per_column=columns,
        overall=_overall(columns),
    )


_NO_SCORES = ColumnScores(*[None] * 11)


def _score_column(
    moments: npt.NDArray[np.float64], bins: Sequence[tuple[int, int]]
) -> ColumnScores:
    rows, _, absolute, largest = moments[:4].tolist()
    if not rows:
        return _NO_SCORES
    mean_label, mean_prediction, bias = moments[_MEANS].tolist()
    label_squares, prediction_squares, error_squares = moments[_SQUARES].tolist()
    squared = error_squares + rows * bias * bias
    spread = math.sqrt(label_squares) * math.sqrt(prediction_squares)
    mse = squared / rows
    return ColumnScores(
        mean_squared_error=mse,
        mean_absolute_error=absolute / rows,
        root_mean_squared_error=math.sqrt(mse),
        relative_squared_error=_relative(squared, label_squares),
        r2=_explained(squared, label_squares),
        explained_variance=_explained(error_squares, label_squares),
        pearson_r=float(moments[_PRODUCTS]) / spread if spread else None,
        median_absolute_error=_median(bins, int(rows)),
        max_error=largest,
        mean_label=mean_label + float(moments[_PIVOT]),
        mean_prediction=mean_prediction + float(moments[_PIVOT]),
    )


def _relative(squared: float, label_squares: float) -> float:
    if label_squares:
        return squared / label_squares
    return math.inf if squared else 0.0


def _explained(unexplained: float, label_squares: float) -> float:
    """Give 1 - unexplained / all; of labels that are all the same 1 or 0, as scikit-learn does."""
    if label_squares:
        return 1.0 - unexplained / label_squares
    return 0.0 if unexplained else 1.0


def _median(bins: Sequence[tuple[int, int]], rows: int) -> float:
    """Give the mean of the one or two errors in the middle, each taken for its bin's middle."""
    middle = ((rows - 1) // 2, rows // 2)
    found = []
    for wanted in middle:
        seen = 0
        for index, count in bins:
            seen += count
            if seen > wanted:
                found.append(0.0 if index == _NO_ERROR else math.exp((index + 0.5) * _LOG_RATIO))
                break
    return math.fsum(found) / len(found)


def error_shares(bins: Sequence[tuple[int, int]]) -> tuple[Moments, Moments]:
    """Tell how many rows are off by how much at most.

    Args:
        bins: (bin, rows) pairs of a column, in order; there are some.

    Returns:
        The upper edges of the bins, float64 [bins], and the share of the rows up to each of them.
    """
    indices = np.array([index for index, _ in bins], np.float64)
    edges = np.where(indices == _NO_ERROR, 0.0, np.exp((indices + 1) * _LOG_RATIO))
    rows = np.cumsum([count for _, count in bins], dtype=np.float64)
    return edges, rows / rows[-1]


def _overall(columns: Sequence[ColumnScores]) -> ColumnScores:
    found = {
        name: (max if name == "max_error" else _mean)([getattr(c, name) for c in columns])
        if all(getattr(c, name) is not None for c in columns)
        else None
        for name in vars(columns[0])
        if name != "max_error_place"
    }
    places = [c.max_error_place for c in columns if c.max_error == found["max_error"]]
    known = [place for place in places if place is not None]
    return ColumnScores(**found, max_error_place=min(known, default=None))


def _mean(values: Sequence[float]) -> float:
    return math.inf if math.inf in values else math.fsum(values) / len(values)
