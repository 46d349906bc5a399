"""Training on real Spark workers, held against Keras in one process."""

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from irisspark import cli
from irisspark.data.dataset import Dataset, open_dataset
from irisspark.data.splits import TaskSplits, cut
from irisspark.errors import DataError, ModelError, TrainingError
from irisspark.evaluation.evaluating import evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings, train_settings
from irisspark.startup.session import Session
from irisspark.training import exchange
from irisspark.training.running import TrainingResult, train

pytestmark = [
    pytest.mark.spark,
    # Keras remarks on optimizers that never made a step.
    pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning"),
]

Weights = tuple[np.ndarray, ...]


def write_csv(path: Path, features: np.ndarray, labels: np.ndarray) -> Path:
    rows = np.column_stack([features, labels])
    np.savetxt(path, rows, fmt=["%.6g"] * features.shape[1] + ["%d"], delimiter=",")
    return path


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    return rows[:, :-1].astype("float32"), rows[:, -1].astype("int64")


@pytest.fixture(scope="module")
def wine(tmp_path_factory) -> Path:
    features, labels = datasets.load_wine(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    order = np.random.default_rng(3).permutation(len(labels))
    folder = tmp_path_factory.mktemp("wine")
    return write_csv(folder / "wine.csv", features[order], labels[order])


def save_model(path: Path, layers: list, num_features: int = 13, **settings) -> Path:
    import keras

    model = keras.Sequential([keras.Input((num_features,)), *layers])
    if settings:
        model.compile(**settings)
    model.save(path)
    return path


def softmax_layers() -> list:
    import keras

    keras.utils.set_random_seed(5)  # a layer draws its seed when it is made
    return [
        keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(0.01)),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, "softmax"),
    ]


@pytest.fixture(scope="module")
def wine_model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "wine.keras"
    return save_model(
        path, softmax_layers(), optimizer="adam", loss="sparse_categorical_crossentropy"
    )


def weights_of(result: TrainingResult) -> list[np.ndarray]:
    """The trained weights, as a worker opens them."""
    return result.spec.build().get_weights()


class Run:
    """A training through the package, without the command line's door."""

    def __init__(self, session: Session, groups: int | None = None) -> None:
        self.session = session
        self.num_tasks = groups
        self.lines: list[str] = []
        self.say: Callable[[str], None] = lambda line: None

    def __call__(self, model_path: Path, data_path: Path, *words: str) -> TrainingResult:
        argv = ["-train", "true", "-modelPath", str(model_path), "-dataPath", str(data_path)]
        options = parse([*argv, *words])
        model = loading.load(options.model_path, loss=options.loss, training_seed=options.seed)
        dataset = open_dataset(self.session, data_settings(options), model.spec)
        if self.num_tasks is not None:
            dataset = regrouped(dataset, self.num_tasks)
        self.lines = []

        def say(line: str) -> None:
            self.lines.append(line)
            self.say(line)

        self.result = train(self.session, model, dataset, train_settings(options), say)
        self.network, self.options, self.dataset = model.network, options, dataset
        return self.result


@dataclasses.dataclass(frozen=True)
class _Regrouped(Dataset):
    num_tasks: int = 1

    def tasks(self, parallelism: int) -> list[TaskSplits]:
        splits = cut(self.files, max(self.num_bytes / self.num_tasks, 1))
        return [TaskSplits(index, (split,)) for index, split in enumerate(splits)]


def regrouped(dataset: Dataset, num_tasks: int) -> Dataset:
    fields = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)}
    return _Regrouped(**fields, num_tasks=num_tasks)


@pytest.fixture
def run(spark) -> Run:
    import keras

    keras.utils.set_random_seed(5)
    return Run(spark)


def assert_same(ours: Weights, theirs: Weights) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def assert_close(ours: Weights, theirs: list[np.ndarray], tolerance: float = 1e-6) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


# One worker is Keras


def test_one_worker_without_shuffling_is_keras_fit(run, wine, wine_model):
    import keras

    words = ["-workers", "1", "-shuffle", "false", "-epochs", "4", "-batchSizePerWorker", "16"]
    result = run(wine_model, wine, *words)
    model = keras.models.load_model(wine_model)
    history = model.fit(*read_csv(wine), batch_size=16, epochs=4, shuffle=False, verbose=0)
    assert_close(weights_of(result), model.get_weights())
    losses = [row["loss"] for row in result.history]
    assert losses == pytest.approx(history.history["loss"], abs=1e-5)


def test_one_worker_learns_from_named_inputs_as_keras_fit_does(run, tmp_path):
    import keras

    rng = np.random.default_rng(3)
    town = rng.integers(0, 5, 90) + 2**30
    table = np.column_stack([rng.normal(size=(90, 2)).round(5), town, rng.integers(0, 2, 90)])
    np.savetxt(
        tmp_path / "a.csv", table, fmt="%.10g", delimiter=",", header="x,y,town,z", comments=""
    )
    layers = keras.layers
    inputs = {
        "town": keras.Input((1,), dtype="int64", name="town"),
        "point": keras.Input((2,), name="point"),
    }
    known = layers.IntegerLookup(vocabulary=list(range(2**30, 2**30 + 5)))(inputs["town"])
    place = layers.Flatten()(layers.Embedding(6, 3)(known))
    hidden = layers.Dense(4, "tanh")(layers.concatenate([place, inputs["point"]]))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    model.save(tmp_path / "named.keras")
    result = run(
        tmp_path / "named.keras", tmp_path / "a.csv", "-header", "true", "-labelIndex", "z",
        "-inputs", "point=0-1", "-workers", "1", "-shuffle", "false", "-epochs", "3",
    )  # fmt: skip
    features = {"town": town.reshape(-1, 1), "point": table[:, :2].astype("float32")}
    model.fit(features, table[:, 3], batch_size=10, epochs=3, shuffle=False, verbose=0)
    assert_close(weights_of(result), model.get_weights())
    assert weights_of(result)[0].shape == (6, 3)


def test_filled_numbers_are_learned_from_as_if_they_stood_in_the_file(
    run, wine, wine_model, tmp_path
):
    rows = [line.split(",") for line in wine.read_text().splitlines()]
    for number, row in enumerate(rows):
        row[number % 13] = "NA" if number % 3 else "0.25"
    gaps, whole = tmp_path / "gaps.csv", tmp_path / "whole.csv"
    gaps.write_text("".join(",".join(row) + "\n" for row in rows))
    whole.write_text(gaps.read_text().replace("NA", "0.25"))
    words = ["-workers", "2", "-epochs", "1"]
    filled = weights_of(run(wine_model, gaps, *words, "-fillMissing", "0.25"))
    assert_same(filled, weights_of(run(wine_model, whole, *words)))


def test_averaging_more_often_than_once_an_epoch_changes_nothing_for_one_worker(
    run, wine, wine_model
):
    words = ["-workers", "1", "-epochs", "2", "-batchSizePerWorker", "16"]
    once = run(wine_model, wine, *words)
    often = run(wine_model, wine, *words, "-averagingFrequency", "5")
    assert_same(weights_of(once), weights_of(often))
    assert once.history[-1]["loss"] == pytest.approx(often.history[-1]["loss"], abs=1e-12)


def test_validation_with_the_last_rows_is_keras_validation_split(run, wine, wine_model):
    import keras

    words = ["-workers", "1", "-shuffle", "false", "-epochs", "3", "-batchSizePerWorker", "16"]
    result = run(wine_model, wine, *words, "-validationSplit", "0.3")
    model = keras.models.load_model(wine_model)
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    fit = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0}
    history = model.fit(*read_csv(wine), validation_split=0.3, **fit).history
    assert_close(weights_of(result), model.get_weights())
    for name in ("val_loss", "val_accuracy"):
        assert [row[name] for row in result.history] == pytest.approx(history[name], abs=1e-5)


# Several workers


def averaged(models_: list, rows: list[int]) -> list[list[np.ndarray]]:
    """Average weights and optimizer variables by hand; counters are equal or grow."""
    states = [
        [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]
        for model in models_
    ]
    return [
        np.average(values, axis=0, weights=rows)
        if np.asarray(values[0]).dtype.kind == "f"
        else np.max(values, axis=0)
        for values in zip(*states, strict=True)
    ]


def simulate(path: Path, shares: list[tuple[np.ndarray, np.ndarray]], epochs: int) -> list:
    """Average replicas that plain Keras trains, once an epoch."""
    import keras

    replicas = [keras.models.load_model(path) for _ in shares]
    for replica in replicas:
        replica.optimizer.build(replica.trainable_variables)
    rows = [len(labels) for _, labels in shares]
    for _ in range(epochs):
        for replica, share in zip(replicas, shares, strict=True):
            replica.fit(*share, batch_size=16, shuffle=False, verbose=0)
        values = averaged(replicas, rows)
        for replica in replicas:
            variables = (*replica.weights, *replica.optimizer.variables)
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
    return replicas[0].get_weights()


@pytest.mark.parametrize("workers", [2, 3])
def test_rounds_average_weights_statistics_and_moments_by_rows(run, wine, wine_model, workers):
    words = ["-shuffle", "false", "-epochs", "3", "-batchSizePerWorker", "16"]
    result = run(wine_model, wine, *words, "-workers", str(workers), "-scaleLearningRate", "false")
    features, labels = read_csv(wine)
    owner = np.arange(len(labels)) * workers // len(labels)
    shares = [(features[owner == w], labels[owner == w]) for w in range(workers)]
    assert_close(weights_of(result), simulate(wine_model, shares, 3), 2e-6)


def test_the_learning_rate_grows_over_the_first_epoch(run, wine, tmp_path):
    # Two workers with the same rows move as one, so the rate of each step can be seen: with
    # plain gradient descent and one batch an epoch, a step is the rate times the gradient.
    import keras

    loss = "sparse_categorical_crossentropy"
    path = save_model(
        tmp_path / "m.keras",
        [keras.layers.Dense(3, "softmax")],
        optimizer=keras.optimizers.SGD(0.01),
        loss=loss,
    )
    features, labels = read_csv(wine)
    data = write_csv(
        tmp_path / "twice.csv", np.tile(features[:32], (2, 1)), np.tile(labels[:32], 2)
    )
    words = ["-shuffle", "false", "-workers", "2", "-epochs", "2", "-batchSizePerWorker", "8"]
    result = run(path, data, *words)
    model = keras.models.load_model(path)
    rows = read_csv(data)
    for epoch in range(2):
        for batch in range(4):
            factor = 1 + batch / 4 if epoch == 0 else 2
            model.optimizer.learning_rate = 0.01 * factor
            taken = slice(8 * batch, 8 * batch + 8)
            model.train_on_batch(rows[0][taken], rows[1][taken])
    assert_close(weights_of(result), model.get_weights())
    assert run.network.optimizer.get_config()["learning_rate"] == pytest.approx(0.01)
    assert result.history[-1]["learning_rate"] == pytest.approx(0.02)


def test_a_schedule_is_multiplied_and_saved_as_it_was(run, wine, tmp_path):
    import keras

    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.5)
    path = save_model(
        tmp_path / "m.keras",
        softmax_layers(),
        optimizer=keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
    )
    words = ["-workers", "2", "-epochs", "3", "-batchSizePerWorker", "8"]
    result = run(path, wine, *words, "-outputPath", str(tmp_path / "out"))
    (tmp_path / "trained.keras").write_bytes(result.files["model.keras"])
    saved = keras.models.load_model(tmp_path / "trained.keras")
    assert saved.optimizer.get_config()["learning_rate"]["config"] == schedule.get_config()
    # 178 rows are 23 batches for one process, 12 for each of two workers: 3 * 12 steps.
    assert int(saved.optimizer.iterations) == 36
    expected = 0.01 * 0.5 ** (36 / 10) * 23 / 12
    assert result.history[-1]["learning_rate"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_more_workers_than_rows_train_on_every_row(run, tmp_path, wine, wine_model, rows):
    features, labels = read_csv(wine)
    data = write_csv(tmp_path / "few.csv", features[:rows], labels[:rows])
    words = ["-workers", "4", "-epochs", "2", "-shuffle", "false"]
    result = run(wine_model, data, *words)
    owner = np.arange(rows) * 4 // rows
    shares = [(features[:rows][owner == w], labels[:rows][owner == w]) for w in range(4)]
    shares = [share for share in shares if len(share[1])]
    assert_close(weights_of(result), simulate(wine_model, shares, 2), 2e-6)
    assert result.summary["rows"] == rows


def test_partitions_smaller_than_a_batch_learn(run, wine, wine_model):
    words = ["-workers", "4", "-epochs", "20", "-batchSizePerWorker", "64"]
    result = run(wine_model, wine, *words, "-learningRate", "0.05")
    assert result.history[-1]["accuracy"] > 0.95


def test_one_class_on_each_worker_and_a_class_without_rows(run, wine, wine_model, tmp_path):
    features, labels = read_csv(wine)
    kept = np.flatnonzero(labels < 2)
    order = kept[np.argsort(labels[kept], kind="stable")]
    data = write_csv(tmp_path / "sorted.csv", features[order], labels[order])
    words = ["-workers", "2", "-shuffle", "false", "-epochs", "5"]
    result = run(wine_model, data, *words, "-averagingFrequency", "1")
    assert all(np.isfinite(weight).all() for weight in weights_of(result))


# The same seed, data and workers give the same weights


@pytest.mark.parametrize("validation", ["0", "0.2"])
def test_how_the_files_are_cut_changes_no_bit(spark, wine, wine_model, validation):
    words = ["-workers", "3", "-epochs", "2", "-validationSplit", validation]
    results = [Run(spark, groups)(wine_model, wine, *words) for groups in (1, 2, 9)]
    for other in results[1:]:
        assert_same(weights_of(results[0]), weights_of(other))
        assert [r.get("val_loss") for r in results[0].history] == [
            r.get("val_loss") for r in other.history
        ]


def test_eight_workers_on_two_cores_give_the_same_bits_again_and_another_seed_others(
    run, wine, wine_model
):
    words = ["-workers", "8", "-epochs", "2", "-batchSizePerWorker", "4"]
    first, again = run(wine_model, wine, *words), run(wine_model, wine, *words)
    assert_same(weights_of(first), weights_of(again))
    other = run(wine_model, wine, *words, "-seed", "8")
    assert not np.array_equal(weights_of(first)[0], weights_of(other)[0])


def test_chunks_averaged_on_the_cluster_give_the_same_bits(run, wine, wine_model, monkeypatch):
    words = ["-workers", "3", "-epochs", "3", "-validationSplit", "0.2"]
    small = run(wine_model, wine, *words)
    monkeypatch.setattr(exchange, "MAX_COLLECTED_BYTES", 0)
    monkeypatch.setattr("irisspark.training.rounds.chunk_bytes", lambda workers: 100)
    large = run(wine_model, wine, *words)
    assert_same(weights_of(small), weights_of(large))
    assert small.history[-1]["val_loss"] == large.history[-1]["val_loss"]


def python_workers() -> list[int]:
    """Find the processes that run Python tasks for this process's Spark."""
    parents, daemons = {}, set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_text()
        except (OSError, IndexError):
            continue
        parents[int(folder.name)] = int(fields[1])
        if "pyspark.daemon" in command or "worker_daemon" in command:
            daemons.add(int(folder.name))

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [pid for pid in daemons if parents[pid] in daemons and is_ours(pid)]


def test_a_worker_killed_in_the_middle_of_an_epoch_changes_nothing(run, tmp_path, wine_model):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(16000, 13)), rng.integers(0, 3, 16000)
    data = write_csv(tmp_path / "many.csv", features, labels)
    words = ["-workers", "2", "-epochs", "3", "-batchSizePerWorker", "1"]
    expected = run(wine_model, data, *words)
    killed: list[int] = []

    def kill() -> None:
        time.sleep(0.2)
        while True:
            for pid in python_workers():
                with contextlib.suppress(ProcessLookupError):  # Spark has ended it meanwhile
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    return
            time.sleep(0.02)

    killing = []

    def say(line: str) -> None:
        if line.startswith(("epoch 1/", "epoch 2/")):
            killing.append(threading.Thread(target=kill, daemon=True))
            killing[-1].start()

    run.say = say
    result = run(wine_model, data, *words)
    for thread in killing:
        thread.join(10)
    assert len(killed) == 2
    assert_same(weights_of(expected), weights_of(result))


# Validation, patience, checkpoints


def test_held_out_rows_are_what_the_report_is_on(run, spark, wine, wine_model):
    import keras

    result = run(wine_model, wine, "-validationSplit", "0.25", "-epochs", "3")
    judged = evaluate(spark, result, result.dataset, evaluate_settings(run.options))
    assert judged.scores.rows == result.summary["held_out_rows"]
    assert result.summary["rows"] + judged.scores.rows == 178
    assert 25 < judged.scores.rows < 65
    assert judged.scores.loss == pytest.approx(result.history[-1]["val_loss"], abs=1e-6)
    assert judged.scores.accuracy == result.history[-1]["val_accuracy"]
    # All rows together: what was held out and what was not.
    whole = evaluate(spark, result, run.dataset, evaluate_settings(run.options))
    features, labels = read_csv(wine)
    model = keras.models.clone_model(run.network)
    model.set_weights(weights_of(result))
    predicted = model.predict(features, verbose=0).argmax(axis=1)
    assert whole.scores.accuracy == pytest.approx((predicted == labels).mean())


def test_patience_stops_and_keeps_the_best_weights(run, spark, wine, wine_model):
    words = ["-validationSplit", "0.3", "-epochs", "60", "-learningRate", "0.3"]
    result = run(wine_model, wine, *words, "-patience", "2")
    losses = [row["val_loss"] for row in result.history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 60
    assert result.summary["best_epoch"] == best + 1
    assert f"the weights of epoch {best + 1} are kept" in run.lines[-1]
    judged = evaluate(spark, result, result.dataset, evaluate_settings(run.options))
    assert judged.scores.loss == pytest.approx(losses[best], abs=1e-6)


class KilledError(Exception):
    """Stands for the end of the process."""


def killer(epoch: int) -> Callable[[str], None]:
    def say(line: str) -> None:
        if line.startswith(f"epoch {epoch}/"):
            raise KilledError

    return say


def test_the_last_weights_are_kept_where_the_held_out_loss_is_infinite(run, wine, tmp_path):
    import keras

    features, labels = read_csv(wine)
    features[-1] = 1e30
    path = save_model(tmp_path / "m.keras", [keras.layers.Dense(3)], optimizer="adam", loss="mse")
    words = ["-shuffle", "false", "-validationSplit", "0.1", "-patience", "2", "-loss"]
    words += ["mean_squared_error"]
    result = run(path, write_csv(tmp_path / "wine.csv", features, labels), *words)
    assert [row["val_loss"] for row in result.history] == [np.inf, np.inf]
    assert run.lines[-1].endswith("the weights of epoch 2 are kept")


@pytest.mark.parametrize("extra", [[], ["-validationSplit", "0.3", "-patience", "3"]])
def test_a_run_killed_and_resumed_ends_in_the_weights_of_one_never_killed(
    run, tmp_path, wine, wine_model, extra
):
    words = ["-workers", "3", "-epochs", "6", "-learningRate", "0.05", *extra]
    expected = run(wine_model, wine, *words)
    checkpoint = ["-checkpointPath", str(tmp_path / "checkpoints"), "-resume", "true"]
    for epoch in (1, 3):
        run.say = killer(epoch)
        with pytest.raises(KilledError):
            run(wine_model, wine, *words, *checkpoint)
    run.say = lambda line: None
    result = run(wine_model, wine, *words, *checkpoint)
    assert "going on after epoch 3" in run.lines[1]
    assert_same(weights_of(expected), weights_of(result))
    drop = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in expected.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in result.history
    ]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint.npz"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-seed", "9"], "-seed is 7, this run's is 9"),
        (["-workers", "3"], "-workers is 2, this run's is 3"),
        (["-learningRate", "0.5"], "optimizer"),
    ],
)
def test_a_checkpoint_of_other_options_is_refused(run, tmp_path, wine, wine_model, words, name):
    common = ["-epochs", "1", "-checkpointPath", str(tmp_path / "c")]
    run(wine_model, wine, "-workers", "2", *common)
    given = words if "-workers" in words else ["-workers", "2", *words]
    with pytest.raises(TrainingError, match=name):
        run(wine_model, wine, *given, *common, "-resume", "true")


def test_a_checkpoint_of_other_data_is_refused(run, tmp_path, wine, wine_model):
    common = ["-workers", "2", "-epochs", "1", "-checkpointPath", str(tmp_path / "c")]
    run(wine_model, wine, *common)
    features, labels = read_csv(wine)
    labels[0] = (labels[0] + 1) % 3
    changed = write_csv(tmp_path / "changed.csv", features, labels)
    with pytest.raises(TrainingError, match="data"):
        run(wine_model, changed, *common, "-resume", "true")


def test_a_checkpoint_is_refused_where_the_held_out_rows_are_now_trained_on(
    run, tmp_path, wine, wine_model
):
    halves = ["-shuffle", "false", "-validationSplit", "0.5"]
    common = ["-workers", "2", "-epochs", "1", "-checkpointPath", str(tmp_path / "c"), *halves]
    run(wine_model, wine, *common)
    features, labels = (np.roll(column, len(column) // 2, axis=0) for column in read_csv(wine))
    turned = write_csv(tmp_path / "turned.csv", features, labels)
    with pytest.raises(TrainingError, match="data"):
        run(wine_model, turned, *common, "-resume", "true")


def test_a_training_that_diverges_stops_and_leaves_the_last_good_checkpoint(run, tmp_path, wine):
    import keras

    steps = keras.optimizers.schedules.PiecewiseConstantDecay([178 // 10 + 1], [0.01, 1e30])
    path = save_model(
        tmp_path / "m.keras",
        [keras.layers.Dense(3)],
        optimizer=keras.optimizers.SGD(steps),
        loss="mean_squared_error",
    )
    words = ["-workers", "1", "-epochs", "5", "-checkpointPath", str(tmp_path / "c")]
    with pytest.raises(TrainingError, match=r"diverged in epoch 2 on worker 1 of 1"):
        run(path, wine, *words)
    with np.load(tmp_path / "c" / "checkpoint.npz") as stored:
        about = json.loads(stored["about"].tobytes())
        assert len(about["history"]) == 1
        assert all(np.isfinite(stored[name]).all() for name in stored.files)


# Models


def wide_layers(last: int, activation: str) -> list:
    import keras

    keras.utils.set_random_seed(5)
    return [keras.layers.Dense(12, "tanh"), keras.layers.Dense(last, activation)]


def test_flat_rows_are_reshaped_to_the_models_input(run, tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(4, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 100)
    data = write_csv(tmp_path / "d.csv", rng.normal(size=(100, 16)) + labels[:, None], labels)
    history = run(tmp_path / "m.keras", data, "-epochs", "3").history
    assert history[-1]["loss"] < history[0]["loss"]


def test_a_model_without_training_configuration_gets_adam_and_a_cross_entropy(run, wine, tmp_path):
    import keras

    path = save_model(tmp_path / "m.keras", wide_layers(3, "softmax"))
    result = run(path, wine, "-epochs", "25", "-outputPath", str(tmp_path / "out"))
    assert result.history[-1]["accuracy"] > 0.9
    (tmp_path / "trained.keras").write_bytes(result.files["model.keras"])
    saved = keras.models.load_model(tmp_path / "trained.keras")
    assert type(saved.optimizer).__name__ == "Adam"
    assert saved.loss == "sparse_categorical_crossentropy"


def test_a_frozen_model_is_refused(run, wine, tmp_path):
    import keras

    layer = keras.layers.Dense(3, "softmax", trainable=False)
    path = save_model(tmp_path / "m.keras", [layer], optimizer="adam", loss="mse")
    with pytest.raises(ModelError, match="no trainable weights"):
        run(path, wine)


def test_a_category_outside_the_embedding_is_an_error_that_says_so(run, tmp_path):
    import keras

    path = save_model(
        tmp_path / "m.keras",
        [
            keras.layers.Embedding(4, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(2, "softmax"),
        ],
        2,
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
    )
    data = write_csv(tmp_path / "d.csv", np.array([[1, 2], [3, 9]]), np.array([0, 1]))
    with pytest.raises(TrainingError, match="in epoch 1 on worker"):
        run(path, data)


# Data


def test_a_bad_row_is_reported_as_in_evaluation(run, wine, wine_model, tmp_path):
    data = tmp_path / "bad.csv"
    lines = wine.read_text().splitlines()
    lines[20] = lines[20].replace(",", ",oops,", 1)
    data.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"bad\.csv.*line 21"):
        run(wine_model, data, "-epochs", "1")
    result = run(wine_model, data, "-epochs", "1", "-badRows", "skip")
    assert result.summary["rows"] == 177


def test_a_split_that_holds_nothing_out_is_refused(run, wine, wine_model):
    with pytest.raises(TrainingError, match=r"validationSplit 0\.0001 holds out 0 of 178"):
        run(wine_model, wine, "-validationSplit", "0.0001")


# The command line


def test_the_course_example_learns_and_saves_a_model_that_keras_opens(
    spark, tmp_path, monkeypatch, capfd
):
    import contextlib

    import keras

    @contextlib.contextmanager
    def shared(**_):
        yield spark

    iris = Path(cli.__file__).parent / "samples" / "iris.txt"
    monkeypatch.setattr(cli, "open_session", shared)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(2)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    model.save("my_model.h5")
    argv = "-train true -epochs 20 -batchSizePerWorker 5 -labelIndex 4 -numClasses 3"
    argv += f" -modelPath my_model.h5 -dataPath {iris} -outputPath trained -workers 2"
    assert cli.main(argv.split()) == 0
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 20
    assert lines[-1].startswith("epoch 20/20  loss ")
    assert sorted(path.name for path in Path("trained").iterdir()) == [
        "confusion_matrix.csv",
        "history.csv",
        "metrics.json",
        "model.h5",
        "model.keras",
        "report.html",
        "report.txt",
    ]
    metrics = json.loads(Path("trained/metrics.json").read_text())
    assert metrics["accuracy"] > 0.85
    assert Path("trained/report.txt").read_text() == out
    assert metrics["run"]["training"]["workers"] == 2
    features, labels = read_csv(iris)
    for name in ("model.keras", "model.h5"):
        saved = keras.models.load_model(f"trained/{name}")
        loss, accuracy = saved.evaluate(features, np.eye(3)[labels], verbose=0)
        assert loss == pytest.approx(metrics["loss"], abs=1e-6)
        assert accuracy == pytest.approx(metrics["accuracy"], abs=1e-6)
        assert int(saved.optimizer.iterations) == 300
    assert len(Path("trained/history.csv").read_text().splitlines()) == 21
