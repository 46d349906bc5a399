"""Each run proves its model: the driver predicts the first rows itself, and compares.

The driver reads the rows with the workers' own code and predicts them with the model as it was
opened from the user's file; the task that holds these rows returns what it read and predicted. No
rule can foresee every layer, but a copy that computes something else does not get past this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from irisspark.data.reader import Batch
from irisspark.data.scanning import Sample, Scan, ScanPlan
from irisspark.data.splits import TaskSplits
from irisspark.errors import ModelError, first_line
from irisspark.model.forward import blocks_of, compile_model, parts_of
from irisspark.model.keras_private import layers_of

if TYPE_CHECKING:
    import keras

    from irisspark.data.dataset import Dataset
    from irisspark.model.spec import ModelSpec

Array = npt.NDArray[Any]

NUM_ROWS = 32
_MAX_READ_BYTES = 64 << 20
_BYTES_PER_CELL = 16
_MIN_BLOCK_BYTES = 64 << 10
TOLERANCE = (1e-5, 1e-6)
"""Relative, and absolute for a row whose largest output is 0.1 or more: for smaller outputs the
absolute part shrinks with them."""
HALF_TOLERANCE = (2e-2, 2e-2)
"""The same where layers compute with 16 bits."""
_ROUNDINGS = 3
_FLOAT32_ROUNDING = 2.0**-23
_NOISE_MARGIN = 8
NOT_COMPARED = (
    "the workers' predictions were not compared with the driver's: no good row lies in the first "
    f"{_MAX_READ_BYTES >> 20} MiB"
)
RANDOM = "the model is random: it predicts the same rows differently each time"


@dataclass(frozen=True)
class Comparison:
    """What came of comparing the workers' predictions with the driver's.

    Attributes:
        num_rows: Rows that were compared.
        largest_difference: Of any output of any row, absolute; None for a random model, and where
            there was nothing to compare.
        note: What the user should know, None for nothing.
    """

    num_rows: int
    largest_difference: float | None
    note: str | None = None


class Reference:
    """The first good rows, and what the driver's own model predicts for them.

    Attributes:
        last_place: (file index, position) of the last of these rows; None where there are none.
    """

    def __init__(
        self,
        network: keras.Model,
        spec: ModelSpec,
        dataset: Dataset,
        tasks: Sequence[TaskSplits],
        plan: ScanPlan,
    ) -> None:
        """Read the rows, and begin to predict them in a thread.

        Args:
            network: As opened from the user's file, or as trained.
            spec: What the workers build.
            dataset: The rows.
            tasks: As the workers are given them.
            plan: What the workers are told.

        Raises:
            DataError: The data cannot be read.
        """
        self._network, self._spec = network, spec
        self._features, self.last_place = _first_rows(dataset, tasks, plan)
        self._num_features = len(dataset.columns.features)
        self._output: Array | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._predict, name="comparison", daemon=True)
        if len(self._features):
            self._thread.start()

    def rows_in(self, num_bytes: int) -> float:
        """Estimate how many rows so many bytes hold, by the first ones; 0 where they do not say."""
        rows = len(self._features)
        if self.last_place is None or self.last_place[0] or rows < NUM_ROWS:
            return 0.0
        return num_bytes * (rows - 1) / max(self.last_place[1], 1)

    def _predict(self) -> None:
        try:
            self._output = self._predict_alone()
        except Exception as error:
            self._error = error

    def _predict_alone(self) -> Array:
        """Predict the rows by calling the model, one operation after the other."""
        call, spec, network = _callable(self._network), self._spec, self._network
        outputs = []
        for block, filled in blocks_of(self._features, spec.batch_rows or len(self._features)):
            features = parts_of(block) if spec.has_texts else block
            inputs = spec.arrange(network, features, -1, self._num_features)
            outputs.append(np.asarray(call(inputs, training=False))[:filled])
        output: Array = np.concatenate(outputs).astype("float32")
        return output

    def _compiled(self) -> Callable[[], Array]:
        """Give what predicts the rows as workers do: compiled, in blocks of their shape."""
        predict = compile_model(self._network, None, self._spec, self._num_features)
        blocks = blocks_of(self._features, self._spec.block_rows)
        return lambda: np.concatenate([predict(b, None)[0][:filled] for b, filled in blocks])

    def compare(self, samples: Sequence[Sample], source: str) -> Comparison:
        """Hold what the workers read and predicted against the driver's.

        Args:
            samples: What the tasks returned, in the order of the input.
            source: The model's file, for the message.

        Raises:
            ModelError: The workers read or predicted something else.
        """
        if not len(self._features):
            return Comparison(0, None, NOT_COMPARED)
        self._thread.join()
        if self._error is not None:
            raise ModelError(
                f"the model of {source} cannot predict the first rows: {first_line(self._error)}"
            ) from self._error
        assert self._output is not None
        read = np.concatenate([s.features for s in samples]) if samples else self._features[:0]
        if not _same_bits(read, self._features):
            raise ModelError(_other_rows(read, self._features))
        predicted = np.concatenate([sample.output for sample in samples])
        return self._compare_output(predicted, self._output, source)

    def _compare_output(self, predicted: Array, output: Array, source: str) -> Comparison:
        tolerance = HALF_TOLERANCE if self._spec.half_precision else TOLERANCE
        if _close(predicted, output, tolerance):
            return Comparison(len(output), _largest(predicted, output))
        if not _close(self._predict_alone(), output, tolerance):
            return Comparison(len(output), None, RANDOM)
        # A badly scaled model differs by the way it is computed alone: then so does the driver's.
        predict = self._compiled()
        compiled = predict()
        noise = _rounding_noise(self._network, predict, compiled)
        noise = np.maximum(_distance(compiled, output), noise)
        if not _close(predicted, compiled, tolerance, _NOISE_MARGIN * noise):
            raise ModelError(_other_predictions(predicted, compiled, source))
        return Comparison(len(output), _largest(predicted, compiled))


def _callable(network: keras.Model) -> Callable[..., Any]:
    """Give a model's call; as a graph where a loop over steps would go through Python."""
    import keras
    import tensorflow as tf

    call: Callable[..., Any] = network
    if any(isinstance(layer, keras.layers.RNN) for layer in layers_of(network)):
        call = tf.function(network, autograph=False)
    return call


def _rounding_noise(network: keras.Model, predict: Callable[[], Array], output: Array) -> Array:
    """Measure how far ``output`` moves when float32 is rounded another way, [rows, 1].

    Other processors add up in another order. A change of each weight by its last bit is as much,
    and unlike one of the features it leaves integers, and what is looked up by them, alone.
    """
    rng = np.random.default_rng(0)
    kept = [(v, v.numpy()) for v in network.variables if "float" in v.dtype]
    noise = np.zeros((len(output), 1))
    try:
        for _ in range(_ROUNDINGS):
            for variable, value in kept:
                signs = rng.choice([-_FLOAT32_ROUNDING, _FLOAT32_ROUNDING], size=value.shape)
                variable.assign((value * (1 + signs)).astype(value.dtype))
            moved = _distance(predict(), output).max(axis=-1, keepdims=True)
            noise = np.maximum(noise, moved)
    finally:
        for variable, value in kept:
            variable.assign(value)
    return noise


def _first_rows(
    dataset: Dataset, tasks: Sequence[TaskSplits], plan: ScanPlan
) -> tuple[Array, tuple[int, int] | None]:
    """Read the features of the first good rows, and find where the last of them is."""
    columns = dataset.columns
    none = np.empty((0, len(columns.numbers)), dtype=columns.dtype)
    no_texts = [np.empty(0, dtype=object)] * len(columns.texts)
    found: list[Array] = [columns.rows(none, no_texts)]
    num_rows, last_place = 0, None
    for batch in _first_batches(dataset, tasks, plan):
        taken = min(NUM_ROWS - num_rows, len(batch))
        if taken:
            found.append(batch.features[:taken])
            last_place = (batch.piece.file_index, int(batch.positions[taken - 1]))
        num_rows += taken
        if num_rows == NUM_ROWS:
            break
    return np.concatenate(found), last_place


def _first_batches(
    dataset: Dataset, tasks: Sequence[TaskSplits], plan: ScanPlan
) -> Iterator[Batch]:
    """Read what the workers read, in small blocks, and not without end."""
    wide = dataset.columns.num_columns * NUM_ROWS * _BYTES_PER_CELL
    reading = plan.reading_only(max(_MIN_BLOCK_BYTES, wide))
    first_place = (0, 0) if plan.holdout is None else plan.holdout.first_place
    read_bytes = 0
    for task in tasks:
        scan = Scan(task.from_place(first_place), reading, dataset.open_file)
        for batch in scan:
            yield batch
            read_bytes += batch.piece.read_bytes
            if read_bytes > _MAX_READ_BYTES:
                return
        if scan.bad.total and plan.stop_at_bad_row:
            return


def _same_bits(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.names is not None:
        return all(map(_same_bits, parts_of(one), parts_of(other)))
    if one.dtype.kind == "O":
        return bool((one == other).all())
    return one.tobytes() == other.tobytes()


def _close(
    one: Array, other: Array, tolerance: tuple[float, float], noise: Array | float = 0.0
) -> bool:
    """Tell whether two outputs are the same but for rounding; NaN is the same as NaN."""
    if one.shape != other.shape:
        return False
    relative, absolute = tolerance
    mine, theirs = one.astype(np.float64), other.astype(np.float64)
    # Among many classes every output is small: a row's largest one is its measure.
    size = np.nan_to_num(np.abs(theirs), posinf=0.0)
    scale = size.max(axis=-1, keepdims=True)
    allowed = np.minimum(absolute, relative * scale) + relative * size
    near = _distance(mine, theirs) <= np.maximum(allowed, noise)
    return bool((near | (np.isnan(mine) & np.isnan(theirs))).all())


def _distance(one: Array, other: Array) -> Array:
    """Give |one - other| in float64: 0 for equal infinities, infinity where one is no number."""
    mine, theirs = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.where(mine == theirs, 0.0, np.abs(mine - theirs))
    distance: Array = np.nan_to_num(difference, nan=np.inf, posinf=np.inf)
    return distance


def _largest(one: Array, other: Array) -> float:
    """Give the largest difference of numbers, leaving out those that are none."""
    distance = _distance(one, other)
    return float(distance[np.isfinite(distance)].max(initial=0.0))


def _other_rows(read: Array, own: Array) -> str:
    start = "the workers read other numbers than the driver from the same rows: "
    if read.shape != own.shape:
        what = f"{len(read)} rows where the driver reads {len(own)} first good ones"
    elif read.dtype.names is not None:
        what = f"good row {int(np.argmax(read != own)) + 1} holds something else"
    else:
        row, column = np.argwhere(read != own)[0] if (read != own).any() else (0, 0)
        what = (
            f"feature {column} of good row {row + 1} is {read[row, column]}, not {own[row, column]}"
        )
    return f"{start}{what}; {_ADVICE}"


def _other_predictions(predicted: Array, output: Array, source: str) -> str:
    if predicted.shape != output.shape:
        return (
            f"the workers' copy of {source} puts out {predicted.shape[1:]} for a row, the model on "
            f"the driver {output.shape[1:]}; {_ADVICE}"
        )
    distance = _distance(predicted, output)
    row, unit = np.unravel_index(int(distance.argmax()), distance.shape)
    return (
        f"the workers' copy of {source} predicts something else than the model on the driver: "
        f"output {unit} of good row {row + 1} is {predicted[row, unit]:.9g}, "
        f"not {output[row, unit]:.9g}; {_ADVICE}"
    )


_ADVICE = (
    "nothing was written, since one of the two is wrong; look whether driver and workers have the "
    "same versions of Python, TensorFlow and Keras, and processors of the same kind, and if so, "
    "please report this model"
)
