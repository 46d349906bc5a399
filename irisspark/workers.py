"""What runs in Spark's Python workers: it takes an iterator and names no Spark type."""

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from irisspark.batches import Batch, read_batches
from irisspark.batches.bad_rows import BadRows, is_missing
from irisspark.batches.columns import Columns
from irisspark.errors import DataError
from irisspark.metrics import EvalCounts, Tally
from irisspark.model_spec import ModelSpec
from irisspark.quiet import import_tensorflow
from irisspark.splits import BLOCK_BYTES, Opener, Split, count_lines

Array = npt.NDArray[Any]
Predict = Callable[[Array, Array], tuple[Array, Array | None]]


@dataclass(frozen=True)
class Group:
    """The splits of one task; ``index`` orders the tasks as the input orders their rows."""

    index: int
    splits: tuple[Split, ...]


@dataclass(frozen=True)
class EvaluationTask:
    """What a worker has to know beside the model and its splits.

    Attributes:
        columns: Which column is what.
        top_n: N of the top-N accuracy.
        num_threads: Threads that TensorFlow may use (``spark.task.cpus``).
        stop_at_bad_row: True where the first bad row ends the run, so no more need be read.
        block_bytes: How much is read at a time.
    """

    columns: Columns
    top_n: int = 1
    num_threads: int = 1
    stop_at_bad_row: bool = True
    block_bytes: int = BLOCK_BYTES


@dataclass(frozen=True)
class WorkerStats:
    """What a task took; ``+`` adds seconds and bytes up and keeps the larger peak of memory."""

    read_bytes: int = 0
    parse_seconds: float = 0.0
    predict_seconds: float = 0.0
    model_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, other: "WorkerStats") -> "WorkerStats":
        """Add two tasks' stats up."""
        return WorkerStats(
            self.read_bytes + other.read_bytes,
            self.parse_seconds + other.parse_seconds,
            self.predict_seconds + other.predict_seconds,
            self.model_seconds + other.model_seconds,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


@dataclass(frozen=True)
class Outcome:
    """What a task gives back; ``+`` makes one outcome of two, the same in any order.

    Attributes:
        counts: The counts of the good rows; None for a task without rows.
        bad: The bad rows.
        failures: (task index, message) of tasks that could not read their data. A failure is
            returned and not raised: a task that raises is run four times, and prints its trace.
        stats: What it took.
    """

    counts: EvalCounts | None = None
    bad: BadRows = field(default_factory=BadRows)
    failures: tuple[tuple[int, str], ...] = ()
    stats: WorkerStats = field(default_factory=WorkerStats)

    def __add__(self, other: "Outcome") -> "Outcome":
        """Merge two outcomes."""
        if self.counts is None or other.counts is None:
            counts = self.counts or other.counts
        else:
            counts = self.counts + other.counts
        return Outcome(
            counts,
            self.bad + other.bad,
            tuple(sorted(self.failures + other.failures)),
            self.stats + other.stats,
        )


def evaluate(
    groups: Iterable[Group], spec: ModelSpec, task: EvaluationTask, open_file: Opener
) -> Iterator[Outcome]:
    """Evaluate the model on the rows of each group of splits.

    Args:
        groups: The groups of this partition.
        spec: The model.
        task: What to read, and how.
        open_file: Opens a file on this machine.

    Yields:
        One outcome a group that has splits.
    """
    for group in groups:
        if group.splits:
            yield _evaluate_group(group, spec, task, open_file)


def _evaluate_group(
    group: Group, spec: ModelSpec, task: EvaluationTask, open_file: Opener
) -> Outcome:
    started = time.perf_counter()
    predict = predictor(spec, len(task.columns.features), task.num_threads)
    model_seconds = time.perf_counter() - started
    scan = Scan(group, task, open_file)
    tally = Tally(
        num_classes=spec.output.num_classes,
        top_n=task.top_n,
        probabilities=spec.output.probabilities,
        partition=group.index,
    )
    failures: tuple[tuple[int, str], ...] = ()
    predict_seconds = 0.0
    try:
        for features, labels, num_rows in fixed_blocks(scan, spec.block_rows):
            started = time.perf_counter()
            output, losses = predict(features, labels)
            decoded = spec.output.decode(output[:num_rows])
            tally.add(
                labels[:num_rows],
                decoded.y_pred,
                decoded.scores,
                None if losses is None else losses[:num_rows],
            )
            predict_seconds += time.perf_counter() - started
    except DataError as error:
        failures = ((group.index, str(error)),)
    stats = WorkerStats(
        scan.read_bytes, scan.seconds, predict_seconds, model_seconds, peak_memory_bytes()
    )
    return Outcome(tally.counts, scan.bad, failures, stats)


class Scan:
    """The batches of a group of splits, with what reading them found out on the way."""

    def __init__(self, group: Group, task: EvaluationTask, open_file: Opener) -> None:
        """Get ready; nothing is read before the first batch is asked for."""
        self._group = group
        self._task = task
        self._open_file = open_file
        self.bad = BadRows()
        self.read_bytes = 0
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Read the batches, up to the first bad row where the task stops there."""
        for split in self._group.splits:
            started = time.perf_counter()
            for batch in read_batches(
                split, self._task.columns, self._open_file, self._task.block_bytes
            ):
                self.seconds += time.perf_counter() - started
                self.read_bytes += len(batch.block.data)
                self.bad += batch.bad
                if self.bad.total and self._task.stop_at_bad_row:
                    return
                yield batch
                started = time.perf_counter()
            self.seconds += time.perf_counter() - started


def fixed_blocks(batches: Iterable[Batch], block_rows: int) -> Iterator[tuple[Array, Array, int]]:
    """Regroup batches into blocks of exactly ``block_rows`` rows, the last one padded with zeros.

    Keras predicts a row differently in the last digits in a block of another shape, so all rows
    are predicted in blocks of one shape.

    Yields:
        (features [block_rows, num_features], labels int64 [block_rows], rows that count). The
        arrays are only valid until the next block is asked for.
    """
    features: Array | None = None
    labels = np.zeros(block_rows, dtype=np.int64)
    filled = 0
    for batch in batches:
        if features is None:
            features = np.zeros((block_rows, batch.features.shape[1]), dtype=batch.features.dtype)
        taken = 0
        while taken < len(batch):
            count = min(block_rows - filled, len(batch) - taken)
            features[filled : filled + count] = batch.features[taken : taken + count]
            if batch.labels is not None:
                labels[filled : filled + count] = batch.labels[taken : taken + count]
            filled, taken = filled + count, taken + count
            if filled == block_rows:
                yield features, labels, block_rows
                filled = 0
    if features is not None and filled:
        features[filled:] = 0
        labels[filled:] = 0
        yield features, labels, filled


_PREDICTORS: dict[tuple[str, int], Predict] = {}


def predictor(spec: ModelSpec, num_features: int, num_threads: int) -> Predict:
    """Give the compiled function of a model, built once in this process.

    It takes (features [block_rows, num_features], labels int64 [block_rows]) and gives
    (output [block_rows, units], losses float [block_rows] or None).
    """
    key = (spec.fingerprint, num_features)
    if key not in _PREDICTORS:
        _PREDICTORS.clear()  # one model at a time: a worker process may serve many runs
        _PREDICTORS[key] = _compile(spec, num_features, num_threads)
    return _PREDICTORS[key]


def _compile(spec: ModelSpec, num_features: int, num_threads: int) -> Predict:
    tf = import_tensorflow()
    use_threads(num_threads)
    model, loss = spec.build(), spec.build_loss()
    shape = (spec.block_rows, *spec.row_shape(num_features))
    num_units, target = spec.output.num_units, spec.output.target

    def run(features: Any, labels: Any) -> Any:
        output = tf.cast(model(tf.reshape(features, shape), training=False), "float32")
        if loss is None:
            return output, tf.zeros((0,))
        if target == "one_hot":
            y_true = tf.one_hot(labels, num_units)
        elif target == "binary":
            y_true = tf.cast(labels, "float32")[:, None]
        else:
            y_true = labels
        return output, loss(y_true, output)

    signature = [
        tf.TensorSpec((spec.block_rows, num_features), spec.input_dtype),
        tf.TensorSpec((spec.block_rows,), "int64"),
    ]
    compiled = tf.function(run, input_signature=signature)

    def predict(features: Array, labels: Array) -> tuple[Array, Array | None]:
        output, losses = compiled(tf.constant(features), tf.constant(labels))
        if loss is None:
            return output.numpy(), None
        return output.numpy(), losses.numpy().astype(np.float64) * spec.loss_weight + spec.penalty

    return predict


def use_threads(num_threads: int) -> None:
    """Keep TensorFlow to ``num_threads`` threads in this process, if it has not started yet."""
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != num_threads:
        try:
            threading.set_intra_op_parallelism_threads(num_threads)
            threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:
            return  # a worker process that was started with other settings


def peak_memory_bytes() -> int:
    """Give the largest resident set that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count_lines_before(
    groups: Iterable[Group], file_index: int, offset: int, open_file: Opener
) -> Iterator[int]:
    """Count the line ends of the groups' splits that lie before an offset of one file."""
    for group in groups:
        for split in group.splits:
            if split.file_index == file_index:
                yield count_lines(split, open_file, offset)


def find_labels(
    groups: Iterable[Group], columns: Columns, open_file: Opener
) -> Iterator[frozenset[str]]:
    """Find the distinct labels of each group, as stripped text; missing ones are left out."""
    assert columns.label is not None
    label_only = replace(columns, features=(), label=None, labels=None, keep=(columns.label,))
    for group in groups:
        found: set[str] = set()
        for split in group.splits:
            for batch in read_batches(split, label_only, open_file, BLOCK_BYTES):
                found.update(batch.kept[0].unique().to_pylist())
        yield frozenset(text.strip() for text in found if not is_missing(text))
