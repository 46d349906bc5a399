"""The data of a run: its files, its columns, and the jobs that ask something about all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irisspark.data import queries
from irisspark.data.csv import explain, schema
from irisspark.data.csv.columns import Columns, LabelCodes, parse_number
from irisspark.data.csv.examine import UNKNOWN_LABEL, BadRow, BadRows
from irisspark.data.csv.reading import record_end
from irisspark.data.holdout import Holdout
from irisspark.data.splits import Split, TaskSplits, cut, group, read_blocks
from irisspark.errors import DataError
from irisspark.storage.finding import find_data
from irisspark.storage.opening import DataFile, Opener, opener

if TYPE_CHECKING:
    from irisspark.model.spec import ModelSpec
    from irisspark.options import Options
    from irisspark.startup.session import Session

TASK_BYTES = 128 << 20
"""What a worker reads and predicts in a second or two, so that starting a task does not count."""
_MIN_SPLIT_BYTES = 1 << 20
_HEAD_BYTES = 64 << 10


@dataclass(frozen=True)
class Dataset:
    """The rows of a run.

    Attributes:
        files: In the order of their rows.
        columns: Which column is what.
        open_file: Opens one of the files, here or on a worker.
        class_names: The classes in the order of the model's outputs, None where neither the options
            nor the labels name them.
        named_classes: True where the options name the classes.
        holdout: The rows that an evaluation is limited to, None for all.
    """

    files: tuple[DataFile, ...]
    columns: Columns
    open_file: Opener
    class_names: tuple[str, ...] | None
    named_classes: bool = False
    holdout: Holdout | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of all files on disk."""
        return sum(file.size for file in self.files)

    def groups(self, parallelism: int) -> list[TaskSplits]:
        """Cut the files into tasks: none tiny while there is enough, none so large that it lags."""
        size = self.num_bytes
        rounds = size // (TASK_BYTES * parallelism)
        num_groups = max(1, min(parallelism, size // _MIN_SPLIT_BYTES), rounds * parallelism)
        splits = cut(self.files, max(size / num_groups, 1), whole_files=self.columns.multi_line)
        grouped = [members for members in group(splits, num_groups) if members]
        return [TaskSplits(index, members) for index, members in enumerate(grouped)]


def open_dataset(session: Session, options: Options, spec: ModelSpec) -> Dataset:
    """Find the data and hold it against the options and the model.

    Raises:
        DataError: There is none, it cannot be read, or it does not fit.
    """
    files = tuple(find_data(options.data_path, session.shipped, session.resolve))
    open_file = opener(session.resolve)
    head = _read_head(files, open_file, options)
    columns = schema.resolve(
        head,
        label_index=options.label_index,
        feature_indices=options.feature_indices,
        keep_columns=options.keep_columns,
        class_names=options.class_names,
        delimiter=options.delimiter,
        header=options.header,
        multi_line=options.multi_line,
        dtype=spec.input_dtype,
    )
    _check_width(head, columns, spec, options)
    if schema.looks_like_header(head, columns):
        shown = ", ".join(head.first[:6]) + (", ..." if len(head.first) > 6 else "")
        raise DataError(f"{head.path}: line 1 looks like a header ({shown}): pass -header true")
    names = options.class_names
    if names is not None and len(names) != spec.output.num_classes:
        raise DataError(
            f"-classNames gives {len(names)} names, but the model has "
            f"{spec.output.num_classes} classes"
        )
    dataset = Dataset(files, columns, open_file, names, names is not None)
    if columns.label is None:
        return dataset
    names = names or _class_names(session, dataset, head, spec)
    return replace(dataset, columns=replace(columns, labels=LabelCodes(names)), class_names=names)


def _read_head(files: tuple[DataFile, ...], open_file: Opener, options: Options) -> schema.Head:
    """Read the first record of the data and the first row, which may stand in a later file."""
    head: schema.Head | None = None
    for index, file in enumerate(files):
        records = _first_records(file, index, open_file, options) if file.size else []
        if head is None and records:
            row = records[1] if len(records) > 1 else None
            head = schema.Head(file.path, records[0], row)
        elif head is not None and head.row is None and records[options.header :]:
            head = replace(head, row=records[options.header])
        if head is not None and head.row is not None:
            break
    if head is not None and (head.row is not None or not options.header):
        return head
    names = ", ".join(file.path for file in files[:3]) + (", ..." if len(files) > 3 else "")
    what = "no rows" if head is None else "a header and no rows"
    raise DataError(f"the data is empty: {names} {'holds' if len(files) == 1 else 'hold'} {what}")


def _first_records(
    file: DataFile, index: int, open_file: Opener, options: Options
) -> list[tuple[str, ...]]:
    """Read the first two records of a file, fewer where it has no more."""
    template = Columns(1, (), delimiter=options.delimiter, multi_line=options.multi_line)
    data, records = b"", list[tuple[str, ...]]()
    blocks = read_blocks(Split(file, index, 0, None), open_file, _HEAD_BYTES, record_end(template))
    for block in blocks:
        if not data:
            schema.check_encoding(file.path, block.data)
        data += block.data
        records = schema.read_records(data, options.delimiter, 2, multi_line=options.multi_line)
        if len(records) > 1:
            break
    return records


def _check_width(head: schema.Head, columns: Columns, spec: ModelSpec, options: Options) -> None:
    try:
        spec.row_shape(len(columns.features))
    except DataError as error:
        left_out = [f"column {columns.label} is the label"] if columns.label is not None else []
        left_out += [f"column {c} is kept" for c in columns.keep]
        taken = f"{head.path} has {columns.num_columns} columns"
        if left_out:
            taken += f", of which {' and '.join(left_out)}"
        if options.feature_indices is not None:
            taken += f"; -featureIndices takes {len(columns.features)} of them"
        if (hint := schema.delimiter_hint(head, columns.delimiter)) is not None:
            taken += f"; its rows are split at {hint}"
        raise DataError(f"{error}: {taken}") from None


def _class_names(
    session: Session, dataset: Dataset, head: schema.Head, spec: ModelSpec
) -> tuple[str, ...]:
    """Name the classes: numbers where the first label is one, else the texts in sorted order."""
    assert dataset.columns.label is not None
    num_classes = spec.output.num_classes
    numbers = schema.numeric_class_names(num_classes)
    row = head.row if dataset.columns.header else head.first
    is_whole = row is not None and len(row) == dataset.columns.num_columns
    if is_whole and row and parse_number(row[dataset.columns.label]) is not None:
        return numbers
    found = _first_labels(dataset, head)
    if len(found) != num_classes:
        found = find_labels(session, dataset)
    codes = LabelCodes(numbers)
    if not found:
        label = dataset.columns.name(dataset.columns.label)
        raise DataError(f"{head.path}: the label, {label}, is missing in every row")
    if len(found) == num_classes and any(parse_number(label) is None for label in found):
        return tuple(found)
    if any(codes.encode(label) is not None for label in found):
        return numbers  # the first row is a bad one; so are those whose labels are no numbers
    raise DataError(explain.unknown_labels(found, num_classes))


def _first_labels(dataset: Dataset, head: schema.Head) -> list[str]:
    """Find the labels at the beginning of the first file, sorted.

    Where they are as many as the model has classes they are all the labels that the data may have,
    and save the pass over it: any other label is a bad row.
    """
    index = next(i for i, file in enumerate(dataset.files) if file.path == head.path)
    members = TaskSplits(0, (Split(dataset.files[index], index, 0, None),))
    found = queries.find_labels([members], dataset.columns, dataset.open_file, max_blocks=1)
    return _all_labels(found)


def find_labels(session: Session, dataset: Dataset) -> list[str]:
    """Find the distinct labels of the data, sorted, in one distributed pass."""
    columns, open_file = dataset.columns, dataset.open_file
    groups = dataset.groups(session.parallelism)

    def find(members: Iterator[TaskSplits]) -> Iterator[queries.FoundLabels]:
        return queries.find_labels(members, columns, open_file)

    return _all_labels(session.run(session.spread(groups).mapPartitions(find).collect))


def _all_labels(found: Iterable[queries.FoundLabels]) -> list[str]:
    found = list(found)
    failures = sorted(failure for one in found for failure in one.failures)
    if failures:
        raise DataError(failures[0][2])
    return sorted({label for one in found for label in one.labels})


def find_lines(session: Session, dataset: Dataset, rows: Sequence[BadRow]) -> list[int]:
    """Find the line numbers of bad rows, from 1: one pass over what lies before them."""
    offsets: dict[int, list[int]] = {}
    for row in rows:
        offsets.setdefault(row.file_index, []).append(row.offset)
    lines = {index: [1] * len(places) for index, places in offsets.items()}
    if any(row.offset for row in rows):
        open_file = dataset.open_file

        def count(members: Iterator[TaskSplits]) -> Iterator[tuple[int, list[int]]]:
            return queries.count_lines_before(members, offsets, open_file)

        groups = _groups_before(session, dataset, offsets)
        for index, counts in session.run(session.spread(groups).mapPartitions(count).collect):
            lines[index] = [a + b for a, b in zip(lines[index], counts, strict=True)]
    return [lines[row.file_index][offsets[row.file_index].index(row.offset)] for row in rows]


def _groups_before(
    session: Session, dataset: Dataset, offsets: Mapping[int, Sequence[int]]
) -> list[TaskSplits]:
    """Cut what lies before the last offset of each file into tasks of about equal size."""
    indices = sorted(offsets)
    before = replace(
        dataset,
        files=tuple(dataset.files[index] for index in indices),
        columns=replace(dataset.columns, multi_line=False),  # line ends are counted in quotes, too
    )
    wanted = [
        replace(split, file_index=indices[split.file_index])
        for members in before.groups(session.parallelism)
        for split in members.splits
        if split.start < max(offsets[indices[split.file_index]])
    ]
    num_groups = max(1, min(session.parallelism, len(wanted)))
    dealt = enumerate(group(wanted, num_groups))
    return [TaskSplits(index, members) for index, members in dealt if members]


def describe(session: Session, dataset: Dataset, row: BadRow) -> str:
    """Say where a bad row is and what is wrong with it, in one line."""
    return describe_all(session, dataset, [row])[0]


def describe_all(session: Session, dataset: Dataset, rows: Sequence[BadRow]) -> tuple[str, ...]:
    """Describe bad rows, a line each; the lines' numbers are found in one pass for all of them."""
    if not rows:
        return ()
    columns, files = dataset.columns, dataset.files
    numbered = zip(rows, find_lines(session, dataset, rows), strict=True)
    return tuple(
        f"{explain.place(row, files[row.file_index].path, line, columns)}: "
        f"{explain.fault(row, columns)}"
        for row, line in numbered
    )


def bad_row_error(session: Session, dataset: Dataset, bad: BadRows, num_classes: int) -> DataError:
    """Make the error that a run ends with at its first bad row."""
    row = bad.first[0]
    message = describe(session, dataset, row)
    if row.reason == UNKNOWN_LABEL:
        found = find_labels(session, dataset)
        return DataError(f"{message}; {explain.unknown_labels(found, num_classes)}")
    hint = explain.advice(row, dataset.columns)
    return DataError(f"{message}; {hint}")


def check_labels(session: Session, dataset: Dataset, bad: BadRows, num_classes: int) -> None:
    """Refuse labels that may be classes, unless ``-classNames`` says what the classes are.

    Labels 1 to 3 for three classes would otherwise lose a class as bad rows, and shift the others.
    A text among labels that are numbers is a bad row and no more.

    Raises:
        DataError: There are such labels.
    """
    if dataset.named_classes or not bad.counts.get(UNKNOWN_LABEL):
        return
    codes = dataset.columns.labels
    assert codes is not None
    labels = find_labels(session, dataset)
    strange = [text for text in labels if codes.encode(text) is None]
    has_text_classes = any(parse_number(name) is None for name in codes.class_names)
    if has_text_classes or any(parse_number(text) is not None for text in strange):
        raise DataError(
            f"{bad.counts[UNKNOWN_LABEL]} rows have labels that are no class; "
            f"{explain.unknown_labels(labels, num_classes)}; or, to leave rows with other labels "
            f"out, pass -classNames {','.join(codes.class_names)}"
        )
