"""Each run compares the workers' first predictions with the driver's; nothing wrong gets past."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from in_process import InProcessSession

from irisspark import cli
from irisspark.data.dataset import Dataset, open_dataset
from irisspark.data.holdout import LastRows
from irisspark.data.splits import TaskSplits, cut
from irisspark.errors import ModelError
from irisspark.evaluation import comparison
from irisspark.evaluation.comparison import RANDOM
from irisspark.evaluation.evaluating import EvaluationResult, evaluate
from irisspark.model import keras_file, loading
from irisspark.options import Options, parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.imports import import_tensorflow

import_tensorflow()

pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")

NUM_ROWS, NUM_FEATURES = 90, 6


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    labels = np.arange(NUM_ROWS) % 3
    features = rng.normal(5, 2, size=(NUM_ROWS, NUM_FEATURES)) + labels[:, None]
    return np.column_stack([features.round(4), labels])


@pytest.fixture
def data(rows, tmp_path) -> Path:
    path = tmp_path / "data.csv"
    np.savetxt(path, rows, fmt=["%.4f"] * NUM_FEATURES + ["%d"], delimiter=",")
    return path


@pytest.fixture(scope="module")
def model_path(rows, tmp_path_factory) -> Path:
    import keras

    normalization = keras.layers.Normalization()
    normalization.adapt(rows[:, :-1])
    layers = [normalization, keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
    return save(tmp_path_factory.mktemp("model") / "m.keras", layers)


def save(path: Path, layers: list) -> Path:
    import keras

    model = keras.Sequential([keras.Input((NUM_FEATURES,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(path)
    return path


@dataclasses.dataclass(frozen=True)
class Regrouped(Dataset):
    num_tasks: int = 1

    def tasks(self, parallelism: int) -> list[TaskSplits]:
        splits = cut(self.files, max(self.num_bytes / self.num_tasks, 1))
        return [TaskSplits(index, (split,)) for index, split in enumerate(splits)]


class Job:
    """An evaluation in this process, of which the test may change what the workers are given."""

    def __init__(self, model: Path, data: Path, *words: str) -> None:
        self.options: Options = parse(["-modelPath", str(model), "-dataPath", str(data), *words])
        self.session = InProcessSession()
        self.model = loading.load(str(model), trust=self.options.trust_model)
        self.dataset = open_dataset(self.session, data_settings(self.options), self.model.spec)

    def run(self, spec=None, dataset: Dataset | None = None) -> EvaluationResult:
        model = SimpleNamespace(network=self.model.network, spec=spec or self.model.spec)
        return evaluate(
            self.session, model, dataset or self.dataset, evaluate_settings(self.options)
        )

    def copied_by(self, way: Callable) -> EvaluationResult:
        """Run with workers whose copy of the model was made in some other way."""
        network = keras_file.from_bytes(self.model.spec.file, trusted=False)
        return self.run(self.model.spec.with_file(keras_file.to_bytes(way(network))))

    def cut_into(self, num_tasks: int) -> EvaluationResult:
        fields = {f.name: getattr(self.dataset, f.name) for f in dataclasses.fields(self.dataset)}
        return self.run(dataset=Regrouped(**fields, num_tasks=num_tasks))


def test_a_sound_copy_passes_with_32_rows_compared(model_path, data):
    found = Job(model_path, data).run().comparison
    assert found.num_rows == 32
    assert found.largest_difference < 1e-6
    assert found.note is None


def test_one_weight_off_by_one_percent_ends_the_run(model_path, data):
    def spoil(network):
        kernel = network.layers[-1].kernel
        values = kernel.numpy()
        values[np.unravel_index(np.abs(values).argmax(), values.shape)] *= 1.01
        kernel.assign(values)
        return network

    with pytest.raises(ModelError, match=r"m\.keras predicts something else .* good row \d+"):
        Job(model_path, data).copied_by(spoil)


def test_a_normalization_that_is_lost_on_the_way_ends_the_run(model_path, data, monkeypatch):
    def from_configuration_and_weights(network):
        import keras

        copy = keras.models.model_from_json(network.to_json())
        copy.set_weights(network.get_weights())
        return copy

    def without(network):
        import keras

        return keras.Sequential([keras.Input((NUM_FEATURES,)), *network.layers[1:]])

    for way in (from_configuration_and_weights, without):
        network = keras_file.from_bytes(Job(model_path, data).model.spec.file, trusted=False)
        copy = way(network)
        job = Job(model_path, data)
        spec = dataclasses.replace(job.model.spec, digest=way.__name__)
        monkeypatch.setattr(type(spec), "build", lambda _, copy=copy: copy)
        with pytest.raises(ModelError, match="predicts something else"):
            job.run(spec)


def test_two_columns_exchanged_on_the_worker_end_the_run(model_path, data, monkeypatch):
    from irisspark.evaluation.worker import counting

    def exchanged(task, plan, open_file, scan=counting.Scan):
        columns = plan.columns
        first, second, *rest = columns.features
        swapped = dataclasses.replace(columns, features=(second, first, *rest))
        return scan(task, dataclasses.replace(plan, columns=swapped), open_file)

    monkeypatch.setattr(counting, "Scan", exchanged)
    with pytest.raises(ModelError, match=r"read other numbers than the driver.* feature 0 of good"):
        Job(model_path, data).run()


def test_rows_that_a_worker_leaves_out_end_the_run(model_path, data, monkeypatch):
    from irisspark.evaluation.worker import counting

    class Fewer(counting.Scan):
        def __iter__(self):
            for batch in super().__iter__():
                yield batch.where(np.arange(len(batch)) != 3)

    monkeypatch.setattr(counting, "Scan", Fewer)
    with pytest.raises(ModelError, match="31 rows where the driver reads 32"):
        Job(model_path, data).run()


@pytest.mark.parametrize("num_tasks", [1, 2, 13, 90, 200])
def test_rows_of_several_tasks_are_put_together_in_order(model_path, data, num_tasks):
    assert Job(model_path, data).cut_into(num_tasks).comparison.num_rows == 32


def test_rows_of_several_files_are_compared(model_path, data, tmp_path):
    lines = data.read_text().splitlines(keepends=True)
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, first in enumerate(range(0, NUM_ROWS, 10)):
        (folder / f"part-{number}.csv").write_text("".join(lines[first : first + 10]))
    assert Job(model_path, folder).run().comparison.num_rows == 32


def test_bad_rows_before_the_good_ones_are_passed_over(model_path, data):
    first, *others = data.read_text().splitlines(keepends=True)
    data.write_text(first + "1,2,oops,4,5,6,0\n" * 40_000 + "".join(others))
    result = Job(model_path, data, "-badRows", "skip").run()
    assert (result.comparison.num_rows, result.bad.total) == (32, 40_000)


def test_fewer_rows_are_compared_where_there_are_no_more(model_path, data):
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:5]))
    assert Job(model_path, data).run().comparison.num_rows == 5


def test_a_random_model_is_noted_and_does_not_fail(data, tmp_path):
    import keras

    shaken = keras.layers.Lambda(lambda x: x + __import__("keras").random.normal((1, 3)))
    layers = [keras.layers.Dense(3), shaken, keras.layers.Softmax()]
    path = save(tmp_path / "random.keras", layers)
    found = Job(path, data, "-trustModel", "true").run().comparison
    assert (found.num_rows, found.largest_difference) == (32, None)
    assert found.note == RANDOM


def test_dropout_that_is_called_in_training_is_as_still_as_in_keras_predict(data, tmp_path):
    import keras

    inputs = keras.Input((NUM_FEATURES,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(8)(inputs), training=True)
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(hidden))
    model.save(tmp_path / "m.keras")
    assert Job(tmp_path / "m.keras", data).run().comparison.note is None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_precisions_pass(data, tmp_path, policy):
    import keras

    layers = [keras.layers.Dense(64, "relu", dtype=policy) for _ in range(3)]
    path = save(tmp_path / "m.keras", [*layers, keras.layers.Dense(3, "softmax", dtype=policy)])
    assert Job(path, data).run().comparison.num_rows == 32


def test_half_precision_does_not_hide_a_lost_layer(data, tmp_path):
    import keras

    layers = [keras.layers.Dense(16, "relu", dtype="mixed_float16"), keras.layers.Rescaling(0.1)]
    path = save(tmp_path / "m.keras", [*layers, keras.layers.Dense(3, "softmax")])

    def without_rescaling(network):
        kept = [layer for layer in network.layers if not isinstance(layer, keras.layers.Rescaling)]
        return keras.Sequential([keras.Input((NUM_FEATURES,)), *kept])

    with pytest.raises(ModelError, match="predicts something else"):
        Job(path, data).copied_by(without_rescaling)


def test_a_badly_scaled_model_is_no_false_alarm(data, tmp_path):
    import keras

    wide = keras.initializers.RandomNormal(stddev=300.0, seed=1)
    layers = [keras.layers.Dense(256, "relu", kernel_initializer=wide) for _ in range(3)]
    path = save(tmp_path / "m.keras", [*layers, keras.layers.Dense(3)])
    assert Job(path, data).run().comparison.num_rows == 32


def test_a_model_of_fixed_batches_is_compared(data, tmp_path):
    import keras

    inputs = keras.Input(batch_shape=(7, NUM_FEATURES))
    keras.Model(inputs, keras.layers.Dense(3, "softmax")(inputs)).save(tmp_path / "m.keras")
    assert Job(tmp_path / "m.keras", data).run().comparison.num_rows == 32


def last_bits_of(network):
    """Round every weight another way, which is what another processor's sums come to."""
    rng = np.random.default_rng(9)
    for variable in network.weights:
        up = rng.integers(0, 2, variable.shape).astype(bool)
        value = variable.numpy()
        variable.assign(np.where(up, np.nextafter(value, np.float32(np.inf)), value))
    return network


def test_other_roundings_of_a_badly_scaled_model_are_no_false_alarm(data, tmp_path, monkeypatch):
    import keras

    # What is left of large sums that cancel each other is mostly rounding.
    total, remainder = np.ones((NUM_FEATURES, 2), "float32"), np.float32([[1, 2, -3], [-1, -2, 3]])
    model = keras.Sequential(
        [keras.Input((NUM_FEATURES,)), keras.layers.Rescaling(1e6), keras.layers.Dense(2),
         keras.layers.Dense(3)]
    )  # fmt: skip
    total += np.float32(1e-6) * np.arange(NUM_FEATURES, dtype="float32")[:, None]
    model.set_weights([total, np.zeros(2, "float32"), remainder, np.zeros(3, "float32")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save(tmp_path / "m.keras")
    weights = [v.numpy() for v in Job(tmp_path / "m.keras", data).model.network.weights]
    job = Job(tmp_path / "m.keras", data)
    assert job.copied_by(last_bits_of).comparison.num_rows == 32
    for one, other in zip(weights, job.model.network.weights, strict=True):
        np.testing.assert_array_equal(one, other.numpy())
    monkeypatch.setattr(comparison, "_ROUNDINGS", 0)
    with pytest.raises(ModelError, match="predicts something else"):
        job.copied_by(last_bits_of)


def test_a_wrong_weight_is_no_rounding(data, tmp_path):
    import keras

    wide = keras.initializers.RandomNormal(stddev=300.0, seed=1)
    layers = [keras.layers.Dense(256, "relu", kernel_initializer=wide) for _ in range(3)]
    path = save(tmp_path / "m.keras", [*layers, keras.layers.Dense(3)])

    def spoil(network):
        kernel = network.layers[-1].kernel
        kernel.assign(kernel * np.float32(1.001))
        return network

    with pytest.raises(ModelError, match="predicts something else"):
        Job(path, data).copied_by(spoil)


def test_integers_that_are_looked_up_are_not_shaken(data, tmp_path):
    import keras

    lookup = keras.layers.IntegerLookup(vocabulary=list(range(40)), output_mode="multi_hot")
    inputs = keras.Input((NUM_FEATURES,))
    outputs = keras.layers.Dense(3, "softmax")(lookup(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    lines = [",".join([*(c.split(".")[0] for c in line.split(",")[:-1]), "1"])
             for line in data.read_text().splitlines()]  # fmt: skip
    data.write_text("\n".join(lines))

    def spoil(network):
        network.layers[-1].bias.assign([1e-3, 0, 0])
        return network

    with pytest.raises(ModelError, match="predicts something else"):
        Job(tmp_path / "m.keras", data).copied_by(spoil)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_infinities_are_compared_without_a_warning(value):
    one = np.array([[value, 1.0]])
    assert comparison._close(one, one, comparison.TOLERANCE)
    assert comparison._largest(one, one) == 0.0
    assert not comparison._close(one, np.array([[3.0, 1.0]]), comparison.TOLERANCE)
    assert not comparison._close(np.array([[np.nan, 1.0]]), one, comparison.TOLERANCE)


@pytest.mark.parametrize("multi_line", ["false", "true"])
def test_rows_held_out_at_the_end_of_a_large_file_are_compared(
    model_path, data, monkeypatch, multi_line
):
    lines = data.read_text().splitlines(keepends=True)
    data.write_text("".join(lines) * 40)
    monkeypatch.setattr(comparison, "_MAX_READ_BYTES", 1)
    monkeypatch.setattr(comparison, "_MIN_BLOCK_BYTES", 100)
    job = Job(model_path, data, "-multiLine", multi_line)
    place = len("".join(lines)) * 39
    result = job.run(dataset=dataclasses.replace(job.dataset, holdout=LastRows(0, place)))
    assert result.scores.rows == NUM_ROWS
    found = result.comparison
    if multi_line == "false":
        assert (found.num_rows > 0, found.note) == (True, None)
    else:  # which is read from the beginning: that must end somewhere, and is said
        assert (found.num_rows, found.largest_difference) == (0, None)
        assert "were not compared" in found.note


def test_rows_with_line_breaks_in_quotes_are_compared(model_path, data):
    lines = data.read_text().splitlines(keepends=True)
    data.write_text("".join(f'"a\n{number}",{line}' for number, line in enumerate(lines)))
    result = Job(model_path, data, "-multiLine", "true", "-featureIndices", "1-6").run()
    assert (result.scores.rows, result.comparison.num_rows) == (NUM_ROWS, 32)


def test_steps_of_a_recurrent_layer_are_no_steps_of_python():
    import keras

    inner = keras.Sequential([keras.Input((5, 1)), keras.layers.Bidirectional(keras.layers.GRU(2))])
    model = keras.Sequential([keras.Input((5,)), keras.layers.Reshape((5, 1)), inner])
    called = comparison._callable(model)
    assert called is not model
    rows = np.arange(10, dtype="float32").reshape(2, 5)
    expected = model(rows, training=False)
    np.testing.assert_allclose(called(rows, training=False), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def command(model_path, data, tmp_path, monkeypatch):
    """Run the command line in this process: (exit code, what -outputPath holds)."""
    import contextlib

    @contextlib.contextmanager
    def here(**_):
        yield InProcessSession()

    def run(*words: str) -> tuple[int, dict]:
        monkeypatch.setattr(cli, "open_session", here)
        monkeypatch.setattr(InProcessSession, "spark_version", "none", raising=False)
        out = tmp_path / "out"
        code = cli.main(
            ["-modelPath", str(model_path), "-dataPath", str(data), "-outputPath", str(out), *words]
        )
        metrics = out / "metrics.json"
        return code, json.loads(metrics.read_text()) if metrics.exists() else {}

    return run


def test_metrics_say_how_many_rows_were_compared(command):
    code, metrics = command()
    assert code == 0
    assert metrics["run"]["comparison"]["rows"] == 32
    assert 0 <= metrics["run"]["comparison"]["largest_difference"] < 1e-6


@pytest.mark.parametrize("words", [(), ("-predictions", "true"), ("-badRows", "skip")])
def test_a_difference_publishes_nothing(command, tmp_path, monkeypatch, capfd, words):
    honest = loading.file_of

    def spoiled(model):
        model.layers[-1].bias.assign([0.0, 0.1, 0.0])
        try:
            return honest(model)
        finally:
            model.layers[-1].bias.assign([0.0, 0.0, 0.0])

    monkeypatch.setattr(loading, "file_of", spoiled)
    assert command(*words) == (1, {})
    assert "predicts something else than the model on the driver" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]
