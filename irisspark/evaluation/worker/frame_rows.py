"""Predicts the rows of a Spark DataFrame, which come as Arrow's record batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irisspark.data.numbers import not_representable
from irisspark.errors import DataError
from irisspark.model.forward import blocks_of, predictor
from irisspark.model.inputs import ModelInput
from irisspark.model.output import OutputMeaning
from irisspark.model.spec import ModelSpec
from irisspark.startup.imports import import_tensorflow

Array = npt.NDArray[Any]

PROBLEM = "problem"
"""Name of the column that says why a row has no prediction."""
_NO_NUMBER = "the model's prediction is not a number"


@dataclass(frozen=True)
class FramePlan:
    """What to predict, and what the rows are called.

    Attributes:
        features: For each input of the model, in its order, the columns that it takes; one alone
            may hold arrays.
        kept: Columns that are carried into the predictions.
        scores: Names of the columns of the scores; none for a regression.
        class_values: What each class is called; empty for a regression.
        probabilities: Whether the scores are probabilities, and not the model's own output.
        skip: True where a row that cannot be predicted gets nulls; else it ends the job.
        num_threads: That a task may use.
    """

    features: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    scores: tuple[str, ...]
    class_values: tuple[str, ...] | tuple[int, ...]
    probabilities: bool
    skip: bool
    num_threads: int


def predict_frames(
    batches: Iterator[pa.RecordBatch], spec: ModelSpec, plan: FramePlan
) -> Iterator[pa.RecordBatch]:
    """Predict batches of rows, each with its kept columns beside its prediction.

    Raises:
        DataError: A row cannot be predicted, and the plan does not skip it.
    """
    import_tensorflow()
    for batch in batches:
        if batch.num_rows:
            yield _predicted(batch, spec, plan)


def _predicted(batch: pa.RecordBatch, spec: ModelSpec, plan: FramePlan) -> pa.RecordBatch:
    features, problems = _features(batch, spec, plan)
    good = np.array([problem is None for problem in problems])
    output = np.zeros((len(features), spec.output.num_units), dtype=np.float32)
    if good.any():
        output[good] = _output(features[good], spec, plan)
    for row in np.flatnonzero(~np.isfinite(output).all(axis=1)).tolist():
        output[row], good[row], problems[row] = 0.0, False, _NO_NUMBER
    if not plan.skip and not good.all():
        problem = next(problem for problem in problems if problem is not None)
        raise DataError(f"{problem}; bad_rows='skip' gives such rows nulls")
    columns: dict[str, Any] = {name: batch.column(name) for name in plan.kept}
    columns |= _columns(output, good, spec, plan)
    if plan.skip:
        columns[PROBLEM] = pa.array(problems, pa.utf8())
    return pa.RecordBatch.from_pydict(columns)


def _output(features: Array, spec: ModelSpec, plan: FramePlan) -> Array:
    num_features = sum(one.size for one in spec.inputs) or features.shape[1]
    predict = predictor(spec, num_features, plan.num_threads)
    blocks = blocks_of(features, spec.block_rows)
    return np.concatenate([predict(block, None)[0][:filled] for block, filled in blocks])


def _columns(output: Array, good: Array, spec: ModelSpec, plan: FramePlan) -> dict[str, Any]:
    missing = ~good
    if not isinstance(spec.output, OutputMeaning):
        return {"prediction": pa.array(output[:, 0].astype(np.float64), mask=missing)}
    decoded = spec.output.decode(output)
    scores = decoded.scores if plan.probabilities else output
    named = pa.array(plan.class_values).take(pa.array(decoded.y_pred, mask=missing))
    found: dict[str, Any] = {"prediction": named}
    for place, name in enumerate(plan.scores):
        found[name] = pa.array(scores[:, place].astype(np.float64), mask=missing)
    return found


def _features(
    batch: pa.RecordBatch, spec: ModelSpec, plan: FramePlan
) -> tuple[Array, list[str | None]]:
    """Give rows' features as the model takes them, and what is wrong with each row, if anything.

    A missing text is the empty text.
    """
    problems: list[str | None] = [None] * batch.num_rows
    if not spec.inputs:
        return _numbers(batch, plan.features[0], spec, None, problems), problems
    tables, texts = [], []
    for one, columns in zip(spec.inputs, plan.features, strict=True):
        if one.is_text:
            texts += [_texts(batch.column(name)) for name in columns]
        else:
            tables.append(_numbers(batch, columns, spec, one, problems))
    numbers = np.concatenate([np.zeros((batch.num_rows, 0), spec.input_dtype), *tables], axis=1)
    if not texts:
        return numbers, problems
    fields = [("numbers", numbers.dtype, numbers.shape[1:]), ("texts", "O", (len(texts),))]
    rows = np.zeros(batch.num_rows, fields)
    rows["numbers"], rows["texts"] = numbers, np.stack(texts, axis=1)
    return rows, problems


def _numbers(
    batch: pa.RecordBatch,
    columns: Sequence[str],
    spec: ModelSpec,
    one: ModelInput | None,
    problems: list[str | None],
) -> Array:
    """Give the numbers of an input, of the only one where None, and note the rows without."""
    dtype = spec.input_dtype if one is None else one.dtype
    first = batch.column(columns[0])
    if pa.types.is_list(first.type) or pa.types.is_large_list(first.type):
        table = _of_arrays(first, columns[0], spec, one)
    else:
        table = np.column_stack([_floats(batch.column(name)) for name in columns])
    is_bad = not_representable(table, np.dtype(dtype))
    for row in np.flatnonzero(is_bad.any(axis=1)).tolist():
        column = int(np.flatnonzero(is_bad[row])[0])
        where = columns[column] if len(columns) > 1 else columns[0]
        problems[row] = problems[row] or f"column '{where}' {_fault(table[row, column], dtype)}"
    with np.errstate(invalid="ignore", over="ignore"):  # of those that are bad
        return table.astype(spec.input_dtype)


def _fault(value: float, dtype: str) -> str:
    if np.isfinite(value):
        return f"holds {value:.12g}, which the model's input ({dtype}) cannot hold"
    return "is missing, not finite, or not as long as it should be"


def _texts(column: pa.Array) -> Array:
    """Give texts as bytes, as those of files are."""
    filled = column.cast(pa.utf8()).fill_null("").cast(pa.binary())
    return np.array([*filled.to_pylist(), None], dtype=object)[:-1]


def _floats(column: pa.Array) -> Array:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _of_arrays(column: pa.Array, name: str, spec: ModelSpec, one: ModelInput | None) -> Array:
    """Lay arrays out as rows; one that is missing or of another length becomes NaN."""
    rows = [None if row is None else np.asarray(row, np.float64) for row in column.to_pylist()]
    lengths = [len(row) for row in rows if row is not None]
    shape = spec.input_shape if one is None else one.shape
    known = [size for size in shape if size is not None]
    width = int(np.prod(known)) if len(known) == len(shape) else max(lengths, default=0)
    if one is None:
        try:
            spec.row_shape(width)
        except DataError as error:
            raise DataError(f"column '{name}': {error}") from None
    table = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        if row is not None and len(row) == width:
            table[place] = row
    return table
