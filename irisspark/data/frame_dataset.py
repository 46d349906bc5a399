"""A Spark DataFrame as the data of an evaluation or a training: columns by name, computed once."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, TypeVar

from irisspark.data import frame_pieces
from irisspark.data.columns import ColumnChoice, Selector
from irisspark.data.dataset import Dataset, DataSettings, fitted
from irisspark.data.frame_pieces import PackedColumn, PieceReader, PieceReport
from irisspark.data.parquet.fields import fields_of
from irisspark.data.parquet.footers import Footer
from irisspark.data.parquet.parquet_file import opened
from irisspark.data.parquet.parquet_reader import ParquetReader
from irisspark.data.splits import Split, TaskSplits
from irisspark.data.spreading import Run
from irisspark.errors import DataError, IrissparkError
from irisspark.startup.job_errors import cause
from irisspark.storage.opening import DataFile

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import DataFrame

    from irisspark.model.spec import ModelSpec
    from irisspark.startup.session import Session

T = TypeVar("T")

_ARRAYS = ("array<", "vector")


@dataclass(frozen=True)
class FrameChoice:
    """What the columns of a DataFrame are for, by their names.

    Attributes:
        labels: The label's column, or several in the order of the model's outputs.
        features: The features of a model with one input, in its order; one alone may hold arrays.
        inputs: Names and columns of each of several inputs; None for those of their names.
        names_features: True where the user names the features.
    """

    labels: tuple[str, ...]
    features: tuple[str, ...]
    inputs: tuple[tuple[str, tuple[str, ...]], ...] | None = None
    names_features: bool = False


def choose_columns(
    data: DataFrame,
    label: str | int | Sequence[str | int] | None,
    features: Sequence[str | int] | str | None,
    keep: Sequence[str | int] | str | None,
    inputs: Mapping[str, Sequence[str | int] | str] | None,
) -> FrameChoice:
    """Hold what the user says of the columns against those that a DataFrame has.

    A number is a column's place, negative from the end.

    Raises:
        DataError: There is no such column, two have the same name, or one has two roles.
    """
    repeated = [name for name, times in Counter(data.columns).items() if times > 1]
    if repeated:
        raise DataError(f"the DataFrame has several columns of the name {repeated[0]!r}")
    if label is None:
        raise DataError("label=None: only irisspark.predict takes a DataFrame without labels")
    targets, kept = _names(label, data), _names(keep or (), data)
    if not targets or len(set(targets)) < len(targets):
        raise DataError(f"label={label!r}: it names no column, or one twice")
    what = "the label" if len(targets) == 1 else "a label"
    others = tuple(name for name in data.columns if name not in (*targets, *kept))
    taken = others if features is None else _names(features, data)
    by_input = {name: _names(of, data) for name, of in (inputs or {}).items()}
    for name in (*targets, *kept):
        if name in taken or any(name in of for of in by_input.values()):
            role = what if name in targets else "kept"
            raise DataError(f"column '{name}' is a feature, and {role}: it can be only one of them")
    if both := set(targets).intersection(kept):
        raise DataError(f"column '{min(both)}' is {what}, and kept: it can be only one of them")
    if not taken:
        raise DataError("no column is left for the features")
    named = tuple(by_input.items()) if inputs is not None else None
    return FrameChoice(targets, taken, named, names_features=features is not None)


def _names(said: Sequence[str | int] | str | int, data: DataFrame) -> tuple[str, ...]:
    chosen = (said,) if isinstance(said, str | int) else said
    return tuple(_name(one, data) for one in chosen)


def _name(said: str | int, data: DataFrame) -> str:
    if isinstance(said, str) and said in data.columns:
        return said
    if isinstance(said, int) and -len(data.columns) <= said < len(data.columns):
        return str(data.columns[said])
    shown = said if isinstance(said, int) else f"'{said}'"
    raise DataError(f"the DataFrame has no column {shown}; it has {', '.join(data.columns)}")


@dataclass(frozen=True, eq=False)
class Pieces:
    """The rows of a DataFrame, kept by Spark.

    Attributes:
        session: The open session.
        rdd: Of (number of rows, content), a piece each, in the partitions of the DataFrame.
        num_partitions: How many there are.
        reports: Of all pieces, in the order of their rows.
        files: The pieces as files, as ``reports``.
        held: The piece that was fetched last, by its place among them.
    """

    session: Session
    rdd: RDD[Any]
    num_partitions: int
    reports: tuple[PieceReport, ...]
    files: tuple[DataFile, ...]
    held: dict[int, bytes] = field(default_factory=dict, repr=False)

    def tasks(self) -> list[TaskSplits]:
        """Make a task of each partition, of an empty one too."""
        splits: list[list[Split]] = [[] for _ in range(self.num_partitions)]
        for index, (file, report) in enumerate(zip(self.files, self.reports, strict=True)):
            splits[report.partition].append(Split(file, index, 0, report.num_rows))
        return [TaskSplits(index, tuple(members)) for index, members in enumerate(splits)]

    def spread(self, tasks: Sequence[TaskSplits], run: Run[T]) -> RDD[T]:
        """Give what a function makes of each task, where its pieces lie."""
        by_partition = {task.index: task for task in tasks}
        expected = {index: self._expected(index) for index in by_partition}

        def run_pieces(partition: int, pieces: Iterator[tuple[int, bytes]]) -> Iterator[T]:
            reader = PieceReader(iter(pieces), expected[partition])
            yield from run(iter([by_partition[partition]]), reader.opener)
            reader.end()

        return self.rdd.mapPartitionsWithIndex(run_pieces)

    def _expected(self, partition: int) -> list[tuple[DataFile, str]]:
        known = zip(self.files, self.reports, strict=True)
        return [(file, one.digest) for file, one in known if one.partition == partition]

    def open_here(self, file: DataFile, end: int | None = None) -> IO[bytes]:
        """Open a piece on the driver.

        Raises:
            DataError: It is not what it was.
        """
        index = self.files.index(file)
        return frame_pieces.opened_piece(self._fetch(index), self.reports[index].digest)

    def _fetch(self, index: int) -> bytes:
        if index in self.held:
            return self.held[index]
        partition = self.reports[index].partition
        place = index - next(i for i, one in enumerate(self.reports) if one.partition == partition)
        rdd, context = self.rdd, self.session.context

        def take(pieces: Iterator[tuple[int, bytes]]) -> list[bytes]:
            return [content for at, (_, content) in enumerate(pieces) if at == place]

        job = functools.partial(context.runJob, rdd, take, [partition])
        found: list[bytes] = self.session.run(job, "fetch the first rows of the DataFrame")
        self.held.clear()  # one at a time: the first is asked for more than once
        self.held[index] = found[0] if found else b""
        return self.held[index]


@dataclass(frozen=True)
class FrameDataset(Dataset):
    """The rows of a DataFrame.

    Attributes:
        pieces: Where they are.
    """

    pieces: Pieces | None = field(default=None, compare=False)

    def tasks(self, parallelism: int) -> list[TaskSplits]:
        """Make a task of each partition of the DataFrame."""
        assert self.pieces is not None
        return self.pieces.tasks()

    def spread(self, session: Session, tasks: list[TaskSplits], run: Run[T]) -> RDD[T]:
        """Give what a function makes of each task, on a worker."""
        assert self.pieces is not None
        return self.pieces.spread(tasks, run)


@contextlib.contextmanager
def frame_dataset(
    session: Session, settings: DataSettings, spec: ModelSpec, data: DataFrame, choice: FrameChoice
) -> Iterator[Dataset]:
    """Compute a DataFrame once, keep its rows for a while, and hold them against the model.

    Raises:
        DataError: There are no rows, or they do not fit.
        IrissparkError: It cannot be computed.
    """
    inputs = columns_of_inputs(choice, spec, data)
    columns = _packed(choice, inputs, spec, dict(data.dtypes))
    pieces = _computed(session, data, columns)
    try:
        settings = replace(settings, columns=_choice(settings.columns, choice, inputs, columns))
        make = functools.partial(FrameDataset, pieces=pieces)
        reader = _reader(pieces)
        yield fitted(session, settings, spec, pieces.files, reader, pieces.open_here, make)
    except Exception as error:  # of a job that a worker has ended
        if isinstance(error, IrissparkError) or frame_pieces.CHANGED not in str(error):
            raise
        raise DataError(frame_pieces.CHANGED) from error
    finally:
        pieces.rdd.unpersist()


def columns_of_inputs(
    choice: FrameChoice, spec: ModelSpec, data: DataFrame
) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    """Say which columns each of several inputs takes; None for a model with one.

    Raises:
        DataError: There is no such input, or no column for one.
    """
    if not spec.inputs:
        if choice.inputs is not None:
            raise DataError("inputs: the model has one input; features names its columns")
        return None
    said = dict(choice.inputs or ())
    names = [one.name for one in spec.inputs]
    if choice.names_features:
        raise DataError(
            f"features: the columns of the model's inputs ({', '.join(names)}) are named "
            "with inputs"
        )
    if strange := [name for name in said if name not in names]:
        raise DataError(f"inputs: the model has no input {strange[0]!r}; it has {', '.join(names)}")
    missing = [name for name in names if name not in said and name not in data.columns]
    if missing:
        raise DataError(
            f"the model's input {missing[0]!r} has no column of its name: the DataFrame has "
            f"{', '.join(data.columns)}; pass inputs={{{missing[0]!r}: COLUMN}}"
        )
    return tuple((name, said.get(name, (name,))) for name in names)


def _packed(
    choice: FrameChoice,
    inputs: tuple[tuple[str, tuple[str, ...]], ...] | None,
    spec: ModelSpec,
    types: Mapping[str, str],
) -> tuple[PackedColumn, ...]:
    """Say which columns are read, each once, and how wide arrays are; the labels are the last."""
    if inputs is None:
        groups = [(choice.features, _size(spec.input_shape))]
    else:
        sizes = {one.name: one.size for one in spec.inputs}
        groups = [(columns, sizes[name]) for name, columns in inputs]
    found: dict[str, PackedColumn] = {}
    for columns, size in groups:
        for name in columns:
            found[name] = PackedColumn(name, _width(name, types[name], len(columns), size))
    for label in choice.labels:
        if types[label].startswith(_ARRAYS):
            raise DataError(f"column '{label}' is {types[label]}: a label is one value")
        if label in found:
            raise DataError(f"column '{label}' is a label, and a feature")
    return (*found.values(), *map(PackedColumn, choice.labels))


def _size(shape: Sequence[int | None]) -> int | None:
    size = 1
    for length in shape:
        if length is None:
            return None
        size *= length
    return size


def _width(name: str, kind: str, num_columns: int, size: int | None) -> int | None:
    if not kind.startswith(_ARRAYS):
        return None
    if num_columns > 1:
        raise DataError(
            f"column '{name}' is {kind}: arrays are the features as a whole, with no other column"
        )
    if size is None:
        raise DataError(
            f"column '{name}' is {kind}, and the model's input has no fixed size: name columns of "
            "single numbers"
        )
    return size


def _choice(
    said: ColumnChoice,
    choice: FrameChoice,
    inputs: tuple[tuple[str, tuple[str, ...]], ...] | None,
    columns: Sequence[PackedColumn],
) -> ColumnChoice:
    """Name columns by their places in the pieces, whatever their names look like."""
    places: dict[str, tuple[Selector, ...]] = {}
    start = 0
    for column in columns:
        places[column.name] = tuple(range(start, start + len(column.names)))
        start += len(column.names)
    by_input = tuple(
        (name, tuple(place for one in of for place in places[one])) for name, of in inputs or ()
    )
    features = (
        None if by_input else tuple(place for one in choice.features for place in places[one])
    )
    labels = tuple(range(start - len(choice.labels), start))
    label = labels if len(labels) > 1 else labels[0]
    return replace(said, label=label, features=features, keep=(), inputs=by_input or None)


def _computed(session: Session, data: DataFrame, columns: tuple[PackedColumn, ...]) -> Pieces:
    from pyspark import StorageLevel

    def pack(batches: Iterator[Any]) -> Iterator[Any]:
        return frame_pieces.pack(batches, columns)

    plain = _with_arrays(data, [column.name for column in columns])
    try:
        rows = session.run(
            lambda: plain.mapInArrow(pack, frame_pieces.SCHEMA).rdd, "plan the DataFrame"
        )
        pieces = rows.map(tuple).persist(StorageLevel.MEMORY_AND_DISK)
        reported = pieces.mapPartitionsWithIndex(frame_pieces.report)
        found: list[PieceReport] = session.run(reported.collect, "read the DataFrame")
    except IrissparkError:
        raise
    except Exception as error:
        if not hasattr(error, "getErrorClass") and not hasattr(error, "java_exception"):
            raise
        raise IrissparkError(f"the DataFrame cannot be computed: {cause(error)}") from error
    if not found:
        raise DataError("the data is empty: the DataFrame has no rows")
    return Pieces(session, pieces, pieces.getNumPartitions(), tuple(found), _files(found))


def _with_arrays(data: DataFrame, names: Sequence[str]) -> DataFrame:
    """Take the columns of these names, vectors of Spark's ML as arrays."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql.functions import col

    types = dict(data.dtypes)
    quoted = {name: col(f"`{name.replace('`', '``')}`") for name in names}
    return data.select(
        *(
            vector_to_array(one).alias(name) if types[name] == "vector" else one
            for name, one in quoted.items()
        )
    )


def _files(reports: Sequence[PieceReport]) -> tuple[DataFile, ...]:
    times, files = Counter[int](), []
    for one in reports:
        piece = f", piece {times[one.partition]}" if times[one.partition] else ""
        times[one.partition] += 1
        files.append(DataFile(f"the DataFrame (partition {one.partition}{piece})", one.num_bytes))
    return tuple(files)


def _reader(pieces: Pieces) -> ParquetReader:
    with opened(pieces.files[0], pieces.open_here) as parquet:
        schema = parquet.schema_arrow.remove_metadata()
    known = zip(pieces.files, pieces.reports, strict=True)
    footers = tuple(Footer(file.path, schema, (one.num_rows,)) for file, one in known)
    return ParquetReader(fields_of(pieces.files, footers), footers)
