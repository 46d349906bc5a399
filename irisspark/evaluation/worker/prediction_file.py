"""Writes the predictions of a task as one file, under a name that no other attempt has.

A task may run more than once at a time, and an attempt may die half-way. So each attempt writes a
file of its own and tells its name with the outcome; Spark takes one outcome a task, and the driver
publishes the files that those outcomes name and no others.
"""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irisspark.data.reader import Batch
from irisspark.data.scanning import OutputColumns, PredictionPlan
from irisspark.data.splits import Split
from irisspark.errors import DataError
from irisspark.evaluation.worker.problems import AnyDecoded
from irisspark.model.output import Decoded, JointMeaning, Meaning
from irisspark.storage.location import Location, reason

Array = npt.NDArray[Any]

_GROUP_BYTES = 16 << 20
_MIN_GROUP_ROWS, _MAX_GROUP_ROWS = 1 << 10, 1 << 17
_BYTES_PER_CELL = 8


@dataclass(frozen=True, order=True)
class PredictionFile:
    """The predictions that one attempt wrote.

    Attributes:
        index: The task, in the order of the input.
        name: The file in ``PredictionPlan.folder``.
        num_rows: Its rows.
        num_nan_rows: Those whose prediction is not a number.
        num_predicted: How many rows each class was given; empty where there are no classes.
    """

    index: int
    name: str
    num_rows: int
    num_nan_rows: int
    num_predicted: tuple[int, ...]


@dataclass(frozen=True)
class _Rows:
    """Rows that were read, without their features."""

    file_indices: Array
    positions: Array
    labels: Array | None
    kept: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, rows: slice) -> _Rows:
        return _Rows(
            self.file_indices[rows],
            self.positions[rows],
            None if self.labels is None else self.labels[rows],
            tuple(cells[rows] for cells in self.kept),
        )


class _TableFile(Protocol):
    """A file that tables of one schema are written to."""

    def write_table(self, table: pa.Table, num_rows: int) -> None:
        """Write a table, in pieces of at most so many rows."""

    def close(self) -> None:
        """End the file."""


def _parquet_file(place: Location, schema: pa.Schema) -> _TableFile:
    import pyarrow.parquet as pq

    # Without Arrow's own schema in the file texts read back as texts, not as categories.
    writer: _TableFile = pq.ParquetWriter(
        place.path,
        schema,
        filesystem=place.filesystem,
        use_dictionary=[field.name for field in schema if pa.types.is_dictionary(field.type)],
        store_schema=False,
    )
    return writer


class _CsvFile:
    """A CSV with a header, whose texts stand in quotes."""

    def __init__(self, place: Location, schema: pa.Schema) -> None:
        """Write the header."""
        import pyarrow.csv as pacsv

        self._stream = place.create()
        self._writer = pacsv.CSVWriter(self._stream, schema)

    def write_table(self, table: pa.Table, num_rows: int) -> None:
        """Write a table."""
        self._writer.write_table(table, num_rows)

    def close(self) -> None:
        """End the file."""
        self._writer.close()
        self._stream.close()


_FORMATS: dict[str, Callable[[Location, pa.Schema], _TableFile]] = {
    "parquet": _parquet_file,
    "csv": _CsvFile,
}


class _OfOutput:
    """What is predicted of one output, until it is written."""

    def __init__(self, columns: OutputColumns) -> None:
        self._columns = columns
        self._predicted: list[tuple[Array, Array]] = []
        self.counts = np.zeros(len(columns.class_values), dtype=np.int64)

    def add(self, output: Array, decoded: Decoded | None) -> Array:
        """Take the predictions of the next rows; mark those that are not numbers."""
        if decoded is None:
            self._predicted.append((self._of_one(output), output[:, :0]))
            is_nan: Array = ~np.isfinite(output).all(axis=1)
            return is_nan
        scores = decoded.scores if self._columns.probabilities else output
        self._predicted.append((decoded.y_pred, scores))
        if decoded.y_pred.ndim == 1:
            self.counts += np.bincount(decoded.y_pred, minlength=len(self.counts))
        # Of an infinite output there is no score: such a row fails with a label, too.
        is_nan = ~np.isfinite(decoded.scores).all(axis=1)
        return is_nan

    def take(self, labels: Array | None) -> dict[str, Any]:
        """Give the columns of all that was taken, with their labels, and begin anew."""
        y_pred = np.concatenate([classes for classes, _ in self._predicted])
        scores = np.concatenate([scores for _, scores in self._predicted])
        self._predicted = []
        names = self._columns
        found = {} if labels is None else self._named(names.labels, labels)
        found |= self._named(names.predictions, y_pred)
        return found | {name: scores[:, i] for i, name in enumerate(names.scores)}

    def _of_one(self, output: Array) -> Array:
        """Take the one number of a row out of its row."""
        return output[:, 0] if len(self._columns.predictions) == 1 else output

    def _named(self, names: tuple[str, ...], values: Array) -> dict[str, Any]:
        """Give the columns of classes or numbers, [rows] or [rows, names], by their names."""
        by_column = [values] if values.ndim == 1 else values.T
        found = zip(names, by_column, strict=True)
        return {name: self._classes(of_name) for name, of_name in found}

    def _classes(self, codes: Array) -> pa.Array:
        values = self._columns.class_values
        if not values:  # they are numbers themselves
            return pa.array(codes)
        if isinstance(values[0], int):
            return pa.array(np.array(values, dtype=np.int64)[codes])
        return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(values, pa.utf8()))


class PredictionWriter:
    """Pairs the rows that a task reads with what the model puts out for them, in their order."""

    def __init__(
        self, plan: PredictionPlan, index: int, splits: tuple[Split, ...], meaning: Meaning
    ) -> None:
        """Get ready; the file is made with the first rows.

        Args:
            plan: Where to, and the columns.
            index: The task's place in the input.
            splits: What the task reads.
            meaning: What the model's output means.
        """
        self._plan = plan
        self._meaning = meaning
        self._outputs = [_OfOutput(columns) for columns in plan.outputs]
        self._index = index
        self._paths = {split.file_index: split.file.path for split in splits}
        self._name = f"part-{index:05d}-{uuid.uuid4().hex}.{plan.format}"
        self._place = plan.folder / self._name
        self._file: _TableFile | None = None
        self._read: list[_Rows] = []
        self._num_pending = 0
        self._num_rows = 0
        self._num_nan_rows = 0
        num_cells = sum(len(one.scores) for one in plan.outputs) + 2 * len(plan.kept) + 4
        affordable = _GROUP_BYTES // (_BYTES_PER_CELL * num_cells)
        self._group_rows = max(_MIN_GROUP_ROWS, min(_MAX_GROUP_ROWS, affordable))

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand batches on, and remember of their rows what belongs beside a prediction."""
        for batch in batches:
            file_indices = np.full(len(batch), batch.piece.file_index, dtype=np.int32)
            self._read.append(_Rows(file_indices, batch.positions, batch.labels, batch.kept))
            yield batch

    def add(self, output: Array, decoded: AnyDecoded) -> None:
        """Take the predictions of the next rows.

        Args:
            output: [rows, units], what the model put out.
            decoded: The classes that it means; None where it is a number; of several outputs each
                one's.

        Raises:
            DataError: The file cannot be written.
        """
        self._num_pending += len(output)
        self._num_rows += len(output)
        meaning = self._meaning
        shares = meaning.outputs_of(output) if isinstance(meaning, JointMeaning) else [output]
        of_each = decoded if isinstance(decoded, tuple) else (decoded,)
        are_nan = [
            one.add(units, classes)
            for one, units, classes in zip(self._outputs, shares, of_each, strict=True)
        ]
        self._num_nan_rows += int(np.logical_or.reduce(are_nan).sum())
        if self._num_pending >= self._group_rows:
            self._write_group()

    def close(self) -> PredictionFile | None:
        """Write what is left; None where there were no rows.

        Raises:
            DataError: The file cannot be written.
        """
        if self._num_pending:
            self._write_group()
        if self._file is None:
            return None
        with _said_as_data_error(self._plan.folder):
            self._file.close()
        counts = tuple(count for one in self._outputs for count in one.counts.tolist())
        return PredictionFile(self._index, self._name, self._num_rows, self._num_nan_rows, counts)

    def discard(self) -> None:
        """Take back what was written."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._place.remove()

    def _write_group(self) -> None:
        table = self._table()
        with _said_as_data_error(self._plan.folder):
            if self._file is None:
                self._file = _FORMATS[self._plan.format](self._place, table.schema)
            self._file.write_table(table, len(table))

    def _table(self) -> pa.Table:
        rows, num_rows = _joined(self._read), self._num_pending
        self._read, rows = [rows[num_rows:]], rows[:num_rows]
        self._num_pending = 0
        columns: dict[str, Any] = dict(zip(self._plan.kept, rows.kept, strict=True))
        for one, labels in zip(self._outputs, self._labels(rows), strict=True):
            columns |= one.take(labels)
        columns["file"] = self._files(rows.file_indices)
        columns[self._plan.position] = rows.positions
        return pa.table(columns)

    def _labels(self, rows: _Rows) -> list[Array | None]:
        """Give the labels of rows, those of each output."""
        meaning = self._meaning
        if rows.labels is None or not isinstance(meaning, JointMeaning):
            return [rows.labels] * len(self._outputs)
        shares = zip(meaning.parts, meaning.labels_of(rows.labels), strict=True)
        return [part.labels_of(own) for part, own in shares]

    def _files(self, file_indices: Array) -> pa.Array:
        known = np.array(sorted(self._paths), dtype=np.int32)
        paths = pa.array([self._paths[index] for index in known.tolist()], pa.utf8())
        codes = np.searchsorted(known, file_indices).astype(np.int32)
        return pa.DictionaryArray.from_arrays(codes, paths)


def _joined(parts: list[_Rows]) -> _Rows:
    labels = [part.labels for part in parts if part.labels is not None]
    return _Rows(
        np.concatenate([part.file_indices for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate(labels) if labels else None,
        tuple(pa.concat_arrays(cells) for cells in zip(*(p.kept for p in parts), strict=True)),
    )


@contextlib.contextmanager
def _said_as_data_error(folder: Location) -> Iterator[None]:
    """Say what went wrong with writing as an error that ends the run without a retry."""
    try:
        yield
    except OSError as error:
        hint = "; every worker must see that folder" if folder.is_local else ""
        raise DataError(
            f"cannot write predictions to {folder} on {socket.gethostname()}: {reason(error)}{hint}"
        ) from error
