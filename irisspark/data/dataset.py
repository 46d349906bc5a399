"""The data of a run: its files, its columns, and the jobs that ask something about all of it."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from irisspark.data import explain, queries
from irisspark.data.bad_rows import MISSING, UNKNOWN_LABEL, BadRow, BadRows
from irisspark.data.cells import parse_number, with_point
from irisspark.data.columns import ColumnChoice, Columns, Head, resolve
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.first_rows import (
    describe_counter,
    describe_one_hot,
    describe_text,
    one_hot_columns,
    text_features,
)
from irisspark.data.holdout import Holdout
from irisspark.data.parquet.parquet_file import is_parquet
from irisspark.data.reader import Batch, LineReader, Reader
from irisspark.data.splits import Split, TaskSplits, cut, deal
from irisspark.data.spreading import Run, spread
from irisspark.data.targets import (
    JointTargets,
    LabelCodes,
    Marks,
    OneHot,
    Quantities,
    Targets,
    numeric_class_names,
)
from irisspark.errors import DataError
from irisspark.model.output import JointMeaning, LabelsMeaning, Meaning, RegressionMeaning
from irisspark.startup.meter import Work
from irisspark.startup.notices import say
from irisspark.storage.finding import find_data
from irisspark.storage.locating import for_workers, locator
from irisspark.storage.opening import DataFile, Opener, opener

if TYPE_CHECKING:
    from pyspark import RDD

    from irisspark.model.spec import ModelSpec
    from irisspark.startup.session import Session

T = TypeVar("T")

TASK_BYTES = 128 << 20
"""What a worker reads and predicts in a second or two, so that starting a task does not count."""
_MIN_SPLIT_BYTES = 1 << 20
_MAX_COLLECTED_TASKS = 64
_FIRST_ROW_BLOCK_BYTES, _FIRST_ROW_BYTES = 64 << 10, 16 << 20
_AMBIGUOUS_CLASSES = 2
"""A column of two that are one-hot is as good a label as both."""


@dataclass(frozen=True)
class DataSettings:
    """What the user says about the data.

    Attributes:
        path: Where it is: a shipped name, a file, folder or glob, or several with commas.
        csv: How it is written.
        columns: What its columns are for.
        show_values: Whether messages may hold the contents of cells.
    """

    path: str
    csv: CsvFormat = field(default_factory=CsvFormat)
    columns: ColumnChoice = field(default_factory=ColumnChoice)
    show_values: bool = True


@dataclass(frozen=True)
class Dataset:
    """The rows of a run.

    Attributes:
        files: In the order of their rows.
        reader: Reads them.
        columns: What each column is for.
        open_file: Opens one of the files, here or on a worker.
        class_names: The classes in the order of the model's outputs, None where neither the user
            nor the labels name them.
        named_classes: True where the user names the classes.
        holdout: The rows that an evaluation is limited to, None for all.
        show_values: Whether messages may hold the contents of cells.
        note: A line for the user on how the data is read.
        class_names_by_output: ``class_names`` of each of several outputs whose labels are named.
    """

    files: tuple[DataFile, ...]
    reader: Reader
    columns: Columns
    open_file: Opener
    class_names: tuple[str, ...] | None
    named_classes: bool = False
    holdout: Holdout | None = None
    show_values: bool = True
    note: str | None = None
    class_names_by_output: tuple[tuple[str, ...] | None, ...] = ()

    def by_output(self) -> tuple[Dataset, ...]:
        """Give the dataset as each output sees it: with its own labels, and its own classes."""
        targets = self.columns.targets
        if not isinstance(targets, JointTargets):
            return (self,)
        found = zip(self.columns.outputs, targets.parts, self.class_names_by_output, strict=True)
        own = ((_of_labels(self, labels), one, names) for (_, labels), (one, _), names in found)
        return tuple(
            replace(
                dataset,
                columns=replace(dataset.columns, targets=one),
                class_names=names,
                class_names_by_output=(),
            )
            for dataset, one, names in own
        )

    def judging(self, column: int) -> Dataset:
        """Give the dataset as the output sees it whose labels a column holds, or as it is."""
        found = (one for one in self.by_output() if column in one.columns.labels)
        return next(found, self)

    @property
    def num_bytes(self) -> int:
        """Bytes of all files on disk."""
        return sum(file.size for file in self.files)

    @property
    def decimal(self) -> str:
        """What stands before the digits of a fraction."""
        return self.reader.csv.decimal if isinstance(self.reader, CsvReader) else "."

    @property
    def target_names(self) -> tuple[str, ...] | None:
        """What the targets are called: the classes, or the columns of labels that are numbers.

        In data without names, or with one name twice, these are ``col_0`` and so on, and of labels
        of 0 and 1 the number alone, as Deeplearning4j has it.
        """
        columns = self.columns
        if self.class_names is not None or columns.targets is None or columns.targets.of_classes:
            return self.class_names
        before = "" if isinstance(columns.targets, Marks) else "col_"
        numbered = tuple(f"{before}{place}" for place in range(len(columns.labels)))
        return _distinct_names(columns) or numbered

    def tasks(self, parallelism: int) -> list[TaskSplits]:
        """Cut the files into tasks, and leave out those that would have no splits."""
        num_tasks = _num_tasks(self.num_bytes, parallelism)
        splits = self.reader.cut(self.files, max(self.num_bytes / num_tasks, 1))
        if not self._reads_in_order:
            splits = _whole_where_carried(splits)
        return _dealt(splits, num_tasks)

    @property
    def _reads_in_order(self) -> bool:
        """Whether splits are ranges of bytes, read from their beginning to their end."""
        return self.reader.position_name == "offset"

    def spread(self, session: Session, tasks: list[TaskSplits], run: Run[T]) -> RDD[T]:
        """Give what a function makes of each task, on a worker."""
        return spread(session, tasks, self.open_file, run, here_and_there=not self._reads_in_order)


def _distinct_names(columns: Columns) -> tuple[str, ...] | None:
    """Give the names of the columns of labels; None where one has none, or that of another."""
    names = tuple(columns.names[c].strip() if columns.names else "" for c in columns.labels)
    return names if all(names) and len(set(names)) == len(names) else None


def _whole_where_carried(splits: Sequence[Split]) -> list[Split]:
    """Put the splits of a file together that comes to a worker as a whole."""
    carried = (split.file.carried for split in splits)
    return [
        replace(split, start=0, end=None) if is_carried else split
        for split, is_carried in zip(splits, carried, strict=True)
        if not is_carried or split.start == 0
    ]


def _num_tasks(num_bytes: int, parallelism: int) -> int:
    """Choose a number of tasks: none tiny where there is enough, none so large that it lags."""
    rounds = num_bytes // (TASK_BYTES * parallelism)
    return max(1, min(parallelism, num_bytes // _MIN_SPLIT_BYTES), rounds * parallelism)


def _dealt(splits: Sequence[Split], num_tasks: int) -> list[TaskSplits]:
    dealt = enumerate(deal(splits, num_tasks))
    return [TaskSplits(index, members) for index, members in dealt if members]


def open_dataset(session: Session, settings: DataSettings, spec: ModelSpec) -> Dataset:
    """Find the data and hold it against what the user says of it, and against the model.

    Raises:
        DataError: There is none, it cannot be read, or it does not fit.
    """
    place = locator(session)
    found = find_data(settings.path, session.shipped, session.resolve, place)
    files = tuple(_for_workers(session, file) for file in found)
    _tell_of_carried(files)
    open_file = opener(session.resolve)
    return fitted(session, settings, spec, files, _reader(files, open_file, settings), open_file)


def fitted(
    session: Session,
    settings: DataSettings,
    spec: ModelSpec,
    files: tuple[DataFile, ...],
    reader: Reader,
    open_file: Opener,
    make: Callable[..., Dataset] = Dataset,
) -> Dataset:
    """Hold data that is found against what the user says of it, and against the model.

    Args:
        session: The open session.
        settings: What the user says.
        spec: The model.
        files: The data.
        reader: Reads it.
        open_file: Opens one of the files on the driver.
        make: Makes the dataset of its fields.

    Raises:
        DataError: It does not fit.
    """
    choice = settings.columns
    head = reader.head(files, open_file)
    columns = resolve(choice, head, spec.input_dtype, spec.inputs)
    _check_width(head, columns, spec, choice, reader)
    note = reader.check(head, columns, 0 if columns.more_labels else spec.output.num_classes)
    _check_kinds(head, columns, spec)
    names = choice.class_names
    if names is not None:
        check_class_names(names, spec.output)
    dataset = make(
        files,
        reader,
        columns,
        open_file,
        names,
        named_classes=names is not None,
        show_values=settings.show_values,
        note=note,
    )
    if columns.label is None:
        return dataset
    if isinstance(spec.output, JointMeaning):
        return _with_joint_targets(session, dataset, head, spec, spec.output)
    return _with_targets(session, dataset, head, spec)


def _with_targets(session: Session, dataset: Dataset, head: Head, spec: ModelSpec) -> Dataset:
    """Say what the labels of a dataset become, and what their classes are called."""
    columns, names = dataset.columns, dataset.class_names
    targets = _targets_of_numbers(columns, spec.output)
    if targets is None:
        names = names or _class_names(session, dataset, head, spec)
        targets = LabelCodes(names, dataset.decimal)
    elif isinstance(targets, OneHot):
        names = names or _one_hot_names(columns)
    return replace(dataset, columns=replace(columns, targets=targets), class_names=names)


def _with_joint_targets(
    session: Session, dataset: Dataset, head: Head, spec: ModelSpec, output: JointMeaning
) -> Dataset:
    """Say what the labels of several outputs become, each as by itself."""
    by_output = []
    for part, (_, labels) in zip(output.parts, dataset.columns.outputs, strict=True):
        alone = _of_labels(dataset, labels)
        own = replace(spec, output=part.meaning)
        _check_kinds(head, alone.columns, own)
        by_output.append(_with_targets(session, alone, head, own))
    targets = []
    for one in by_output:
        assert one.columns.targets is not None
        assert not isinstance(one.columns.targets, JointTargets)
        targets.append((one.columns.targets, len(one.columns.labels)))
    columns = replace(dataset.columns, targets=JointTargets(tuple(targets)))
    class_names = tuple(one.class_names for one in by_output)
    return replace(dataset, columns=columns, class_names_by_output=class_names)


def _of_labels(dataset: Dataset, labels: Sequence[int]) -> Dataset:
    """Give a dataset with some of its labels alone."""
    columns = replace(dataset.columns, label=labels[0], more_labels=tuple(labels[1:]), outputs=())
    return replace(dataset, columns=columns)


def _targets_of_numbers(columns: Columns, output: Meaning) -> Targets | None:
    """Say what labels become that are numbers; None where they are the texts of classes."""
    if isinstance(output, RegressionMeaning):
        return Quantities(columns.gaps)
    if isinstance(output, LabelsMeaning):
        return Marks(columns.gaps)
    return OneHot(columns.gaps) if columns.more_labels else None


def _one_hot_names(columns: Columns) -> tuple[str, ...]:
    """Name the classes by their columns; 0, 1 and so on where these have no names of their own."""
    return _distinct_names(columns) or numeric_class_names(len(columns.labels))


def _for_workers(session: Session, file: DataFile) -> DataFile:
    if file.location is None:
        return file
    location = for_workers(session, file.location)
    return replace(file, location=location, carried=not location.travels)


def _tell_of_carried(files: Sequence[DataFile]) -> None:
    carried = next((file for file in files if file.carried), None)
    if carried is not None and carried.location is not None:
        say(
            f"Spark's executors read {carried.location.root} for the workers, which cannot: "
            f"{carried.location.obstacle}"
        )


def check_class_names(names: Sequence[str], output: Meaning) -> None:
    """Hold the classes that the user names against the model's output.

    Raises:
        DataError: It has others, or none.
    """
    if isinstance(output, JointMeaning):
        raise DataError("-classNames: it is of one output, and several are taken; leave it out")
    if isinstance(output, RegressionMeaning):
        raise DataError(f"-classNames: the model is a regression ({output.why})")
    if isinstance(output, LabelsMeaning):
        raise DataError(f"-classNames: the model tells labels, and no classes ({output.why})")
    if len(names) != output.num_classes:
        raise DataError(
            f"-classNames gives {len(names)} names, but the model has {output.num_classes} classes"
        )


def _reader(files: Sequence[DataFile], open_file: Opener, settings: DataSettings) -> Reader:
    """Choose the reader by what the first file holds.

    Raises:
        DataError: It cannot be opened, or is damaged.
    """
    first = next((file for file in files if file.size), None)
    if first is not None and is_parquet(first, open_file):
        from irisspark.data.parquet.parquet_reader import open_parquet

        return open_parquet(files, open_file)
    for file in files:
        if file.keys:
            name, value = file.keys[-1]
            raise DataError(
                f"{file.path} lies in a partition folder, {name}={value}, which makes a column "
                "of Parquet alone: name the files themselves, in quotes: '.../*/*.csv'"
            )
    return CsvReader(settings.csv, settings.show_values)


def _check_width(
    head: Head, columns: Columns, spec: ModelSpec, choice: ColumnChoice, reader: Reader
) -> None:
    try:
        spec.row_shape(len(columns.features))
    except DataError as error:
        what = "the label" if not columns.more_labels else "a label"
        left_out = [f"column {label} is {what}" for label in columns.labels]
        left_out += [f"column {c} is kept" for c in columns.keep]
        taken = f"{head.path} has {columns.num_columns} columns"
        if left_out:
            taken += f", of which {' and '.join(left_out)}"
        if choice.features is not None:
            taken += f"; -featureIndices takes {len(columns.features)} of them"
        hints = (
            describe_one_hot(head, columns, spec.output.num_classes),
            describe_counter(head, columns),
            describe_text(head, columns),
            reader.hint(head),
        )
        for hint in hints:
            taken += f"; {hint}" if hint is not None else ""
        raise DataError(f"{error}: {taken}") from None


def _check_kinds(head: Head, columns: Columns, spec: ModelSpec) -> None:
    """Refuse columns of text where the model takes numbers, and a label in several columns.

    Raises:
        DataError: There are such.
    """
    for column in text_features(head, columns) if columns.inputs else ():
        dtype = columns.dtype_of(column)
        raise DataError(
            f"{head.path}: {columns.name(column)} holds text, but {columns.taker(column)} takes "
            f"numbers ({dtype}): name another column with -inputs, or write numbers in it"
        )
    if (hint := describe_text(head, columns)) is not None:
        raise DataError(f"{head.path}: the model takes numbers, but {hint}")
    if len(columns.labels) != 1 or spec.output.num_classes <= _AMBIGUOUS_CLASSES:
        return
    span = one_hot_columns(head, columns, spec.output.num_classes)
    if span is None or columns.label not in span:
        return
    if set(span).isdisjoint((*columns.features, *columns.keep)):
        raise DataError(f"{head.path}: {describe_one_hot(head, columns, spec.output.num_classes)}")


def _class_names(
    session: Session, dataset: Dataset, head: Head, spec: ModelSpec
) -> tuple[str, ...]:
    """Name the classes: texts in sorted order where all labels are texts, else numbers."""
    assert dataset.columns.label is not None
    num_classes = spec.output.num_classes
    numbers = numeric_class_names(num_classes)
    row = head.rows[0]
    is_whole = len(row) == dataset.columns.num_columns
    if is_whole and parse_number(row[dataset.columns.label]) is not None:
        return numbers
    found = _first_labels(dataset, head, num_classes)
    if len(found.labels) != num_classes:
        found = _find_labels(session, dataset, num_classes)
    labels = sorted(found.labels)
    if len(labels) == num_classes and all(parse_number(label) is None for label in labels):
        return tuple(labels)
    codes = LabelCodes(numbers)
    if any(codes.encode(label) is not None for label in labels):
        return numbers  # the first row is a bad one; so are those whose labels are no numbers
    bad = found.undecoded if labels or found.undecoded.total else found.bad
    if bad.total and bad.first[0].reason != MISSING:
        raise bad_row_error(session, dataset, bad)
    if not labels:
        label = dataset.columns.name(dataset.columns.label)
        raise DataError(f"{head.path}: the label, {label}, is missing in every row")
    raise DataError(explain.unknown_labels(labels, num_classes, show_values=dataset.show_values))


def _first_labels(dataset: Dataset, head: Head, num_classes: int) -> queries.FoundLabels:
    """Find the labels at the beginning of the first file.

    Where they are as many as the model has classes they are all the labels that the data may have,
    and save the pass over it: any other label is a bad row.
    """
    index = next(i for i, file in enumerate(dataset.files) if file.path == head.path)
    task = TaskSplits(0, (Split(dataset.files[index], index, 0, None),))
    found = queries.find_labels(
        [task],
        dataset.reader,
        dataset.columns,
        dataset.open_file,
        max(explain.MAX_LABELS, num_classes),
        max_batches=1,
    )
    return _plain(_all_labels(found), dataset)


def first_good_row(dataset: Dataset) -> Batch | None:
    """Read the first good row; None where there is none near the beginning of the data.

    Raises:
        DataError: The data cannot be read.
    """
    read_bytes = 0
    for split in dataset.reader.cut(dataset.files, math.inf):
        batches = dataset.reader.read(
            split, dataset.columns, dataset.open_file, _FIRST_ROW_BLOCK_BYTES
        )
        for batch in batches:
            if len(batch):
                return batch.where(np.arange(len(batch)) == 0)
            read_bytes += batch.piece.read_bytes
            if read_bytes > _FIRST_ROW_BYTES:
                return None
    return None


def find_labels(session: Session, dataset: Dataset, num_classes: int) -> list[str]:
    """Find the distinct labels of the rows that are good otherwise, sorted, in one pass.

    Of a column with far more than there are classes only the first are found:
    ``queries.FoundLabels``.
    """
    return sorted(_find_labels(session, dataset, num_classes).labels)


def _find_labels(session: Session, dataset: Dataset, num_classes: int) -> queries.FoundLabels:
    limit = max(explain.MAX_LABELS, num_classes)
    reader, columns = dataset.reader, dataset.columns

    def find(tasks: Iterator[TaskSplits], open_file: Opener) -> Iterator[queries.FoundLabels]:
        return queries.find_labels(tasks, reader, columns, open_file, limit)

    tasks = dataset.tasks(session.parallelism)
    found = dataset.spread(session, tasks, find)
    work = Work("find the labels", dataset.num_bytes)
    if len(tasks) > _MAX_COLLECTED_TASKS:
        return _plain(_checked(session.run(lambda: found.treeReduce(operator.add), work)), dataset)
    return _plain(_all_labels(session.run(found.collect, work)), dataset)


def _plain(found: queries.FoundLabels, dataset: Dataset) -> queries.FoundLabels:
    """Write labels that are numbers with a decimal point."""
    if dataset.decimal == ".":
        return found
    pointed = {text: with_point(text, dataset.decimal) for text in found.labels}
    labels = (text if parse_number(p) is None else p for text, p in pointed.items())
    return replace(found, labels=frozenset(labels))


def _all_labels(found: Iterable[queries.FoundLabels]) -> queries.FoundLabels:
    return _checked(functools.reduce(operator.add, found, queries.FoundLabels()))


def _checked(total: queries.FoundLabels) -> queries.FoundLabels:
    if total.failures:
        raise DataError(total.failures[0][2])
    return total.without_lone_minus()


def find_lines(session: Session, dataset: Dataset, rows: Sequence[BadRow]) -> list[int]:
    """Find the line numbers of bad rows, from 1: one pass over what lies before them."""
    positions: dict[int, list[int]] = {}
    for row in rows:
        positions.setdefault(row.file_index, []).append(row.position)
    lines = {index: [1] * len(places) for index, places in positions.items()}
    if any(row.position for row in rows):
        reader = cast(LineReader, dataset.reader)

        def count(
            tasks: Iterator[TaskSplits], open_file: Opener
        ) -> Iterator[tuple[int, list[int]]]:
            return queries.count_lines_before(tasks, positions, reader, open_file)

        tasks = _tasks_before(session, dataset, positions)
        counted = dataset.spread(session, tasks, count)
        for index, counts in session.run(counted.collect, "find the lines of bad rows"):
            lines[index] = [a + b for a, b in zip(lines[index], counts, strict=True)]
    return [lines[row.file_index][positions[row.file_index].index(row.position)] for row in rows]


def _tasks_before(
    session: Session, dataset: Dataset, positions: Mapping[int, Sequence[int]]
) -> list[TaskSplits]:
    """Cut what lies before the last position of each file into tasks of about equal size."""
    indices = sorted(positions)
    files = tuple(dataset.files[index] for index in indices)
    num_bytes = sum(file.size for file in files)
    num_tasks = _num_tasks(num_bytes, session.parallelism)
    wanted = [
        replace(split, file_index=indices[split.file_index])
        for split in cut(files, max(num_bytes / num_tasks, 1))
        if split.start < max(positions[indices[split.file_index]])
    ]
    return _dealt(wanted, max(1, min(session.parallelism, len(wanted))))


def describe(session: Session, dataset: Dataset, row: BadRow) -> str:
    """Say where a bad row is and what is wrong with it, in one line."""
    return describe_all(session, dataset, [row])[0]


def describe_all(session: Session, dataset: Dataset, rows: Sequence[BadRow]) -> tuple[str, ...]:
    """Describe bad rows, a line each; lines are counted in one pass for all of them."""
    if not rows:
        return ()
    columns, files = dataset.columns, dataset.files
    lines: Sequence[int | None] = [None] * len(rows)
    if dataset.reader.position_name != "row":
        lines = find_lines(session, dataset, rows)
    numbered = zip(rows, lines, strict=True)
    return tuple(
        f"{explain.place(row, files[row.file_index].path, line, columns)}: "
        f"{explain.fault(row, columns, show_values=dataset.show_values)}"
        for row, line in numbered
    )


def bad_row_error(session: Session, dataset: Dataset, bad: BadRows) -> DataError:
    """Make the error that a run ends with at its first bad row."""
    row = bad.first[0]
    dataset = dataset.judging(row.column)
    message = describe(session, dataset, row)
    hint = dataset.reader.advice(row, dataset.columns)
    codes = dataset.columns.targets
    if row.reason == UNKNOWN_LABEL and isinstance(codes, LabelCodes):
        message += f"; {hint}" if hint is not None else ""
        num_classes = len(codes.class_names)
        found = find_labels(session, dataset, num_classes)
        labels = explain.unknown_labels(found, num_classes, show_values=dataset.show_values)
        return DataError(f"{message}; {labels}")
    return DataError(f"{message}; {hint}")


def check_labels(session: Session, dataset: Dataset, bad: BadRows) -> None:
    """Refuse labels that may be classes, unless ``-classNames`` says what the classes are.

    Labels 1 to 3 for three classes would otherwise lose a class as bad rows, and shift the others.
    A text among labels that are numbers is a bad row and no more.

    Raises:
        DataError: There are such labels.
    """
    if dataset.named_classes or not bad.counts.get(UNKNOWN_LABEL):
        return
    for one in dataset.by_output():
        if isinstance(one.columns.targets, LabelCodes):
            _check_labels(session, one, bad, one.columns.targets)


def _check_labels(session: Session, dataset: Dataset, bad: BadRows, codes: LabelCodes) -> None:
    """Refuse labels of one output that may be classes."""
    num_classes = len(codes.class_names)
    labels = find_labels(session, dataset, num_classes)
    strange = [text for text in labels if LabelCodes(codes.class_names).encode(text) is None]
    has_text_classes = any(parse_number(name) is None for name in codes.class_names)
    if has_text_classes or any(parse_number(text) is not None for text in strange):
        found = explain.unknown_labels(labels, num_classes, show_values=dataset.show_values)
        raise DataError(
            f"{bad.counts[UNKNOWN_LABEL]} rows have labels that are no class; {found}; or, to "
            f"leave rows with other labels out, pass -classNames {','.join(codes.class_names)}"
        )
