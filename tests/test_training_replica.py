"""One worker's rounds, run with lists, held against ``keras.Model.fit``; no Spark."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from irisspark.model import forward, loading
from irisspark.options import parse
from irisspark.settings import train_settings
from irisspark.startup.imports import import_tensorflow
from irisspark.training.averaging import WeightedChunk, lay_out, take_chunk
from irisspark.training.configuration import configure
from irisspark.training.running import saved_files
from irisspark.training.train_settings import TrainSettings
from irisspark.training.worker import learning
from irisspark.training.worker.learning import Recipe, RoundPlan, RoundReport, train_round
from irisspark.training.worker.rows import PlacedRows

# Keras remarks on optimizers that never made a step.
pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")

import_tensorflow()

NUM_ROWS, BATCH = 83, 16


class Worker:
    """A worker that is given every row, without Spark."""

    def __init__(self, path: Path, num_features: int, *words: str) -> None:
        options = parse(["-train", "true", "-modelPath", str(path), *words])
        model = loading.load(str(path), loss=options.loss, training_seed=7)
        configured = self.configured = configure(model, train_settings(options))
        self.variables = [np.asarray(v.numpy()) for v in configured.variables]
        self.num_weights = len(configured.network.weights)
        self.recipe = Recipe(
            configured.spec,
            configured.optimizer,
            num_features,
            BATCH,
            1,
            lay_out(self.variables, 1 << 20),
        )

    def train(self, rows: list[PlacedRows], epoch: int, **changes) -> RoundReport:
        plan = RoundPlan(
            **{
                "epoch": epoch,
                "number": 0,
                "first_batch": 0,
                "num_batches": None,
                "seed": 7,
                "shuffle": False,
                "rate_scale": 1.0,
                "warmup_batches": 1,
                **changes,
            }
        )
        partition = changes.pop("partition", 0)
        chunks = [take_chunk(self.recipe.layout, 0, self.variables)]
        (_, report), *parts = train_round(partition, rows, self.recipe, plan, lambda: chunks)
        for _, part in parts:
            assert isinstance(part, WeightedChunk)
            shapes = [variable.shape for variable in self.variables]
            self.variables = [a.reshape(s) for a, s in zip(part.arrays, shapes, strict=True)]
        assert isinstance(report, RoundReport)
        return report

    def finished(self):
        """The network as the driver leaves it after the last epoch."""
        for variable, value in zip(self.configured.variables, self.variables, strict=True):
            variable.assign(value)
        network = self.configured.network
        network.optimizer.finalize_variable_values(network.trainable_variables)
        return network

    @property
    def weights(self) -> list[np.ndarray]:
        return self.variables[: self.num_weights]


@pytest.fixture(autouse=True)
def same_weights_and_a_new_replica_each_time() -> Iterator[None]:
    import keras

    keras.utils.set_random_seed(5)  # a layer draws its seed when it is made
    yield
    forward._BUILT.clear()


def some_rows(num_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, NUM_ROWS)
    features = (rng.normal(size=(NUM_ROWS, 6)) + labels[:, None]).astype("float32")
    return features, labels


def placed(features: np.ndarray, labels: np.ndarray) -> list[PlacedRows]:
    return [PlacedRows(np.arange(len(labels)), features, labels.astype("int64"))]


def save(path: Path, layers: list, num_features: int = 6, **settings) -> Path:
    import keras

    model = keras.Sequential([keras.Input((num_features,)), *layers])
    model.compile(**settings)
    model.save(path)
    return path


def layers_with_state() -> list:
    import keras

    return [
        keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(0.01)),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, "softmax", kernel_constraint=keras.constraints.MaxNorm(0.9)),
    ]


def optimizers() -> dict[str, Callable]:
    import keras

    schedules = keras.optimizers.schedules
    return {
        "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(0.01),
        "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
        "adamw, clipped": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=0.5),
        "schedule": lambda: keras.optimizers.Adam(schedules.ExponentialDecay(0.01, 20, 0.8)),
        "accumulating": lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=4),
    }


@pytest.mark.parametrize("name", list(optimizers()))
def test_rounds_are_epochs_of_keras_fit(tmp_path, name):
    import keras

    path = save(
        tmp_path / "model.keras",
        layers_with_state(),
        optimizer=optimizers()[name](),
        loss="sparse_categorical_crossentropy",
    )
    features, labels = some_rows()
    worker = Worker(path, 6)
    reports = [worker.train(placed(features, labels), epoch) for epoch in range(4)]
    model = keras.models.load_model(path)
    fit = {"batch_size": BATCH, "epochs": 4, "shuffle": False, "verbose": 0}
    history = model.fit(features, labels, **fit).history
    for ours, theirs in zip(worker.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    losses = [report.loss_sum / report.num_rows for report in reports]
    assert losses == pytest.approx(history["loss"], abs=1e-5)


def test_an_h5_file_whose_optimizer_never_made_a_step_is_trained(tmp_path):
    import keras

    path = save(
        tmp_path / "model.h5",
        layers_with_state(),
        optimizer=keras.optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
    )
    features, labels = some_rows()
    worker = Worker(path, 6)
    worker.train(placed(features, labels), 0)
    model = keras.models.load_model(path)
    # As it comes out of the file, Keras itself refuses to train it.
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(features, labels, batch_size=BATCH, shuffle=False, verbose=0)
    for ours, theirs in zip(worker.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_keras_opens_a_trained_h5_file_whose_loss_had_a_short_name(tmp_path):
    import keras

    path = save(tmp_path / "model.h5", [keras.layers.Dense(3)], optimizer="adam", loss="mse")
    content = loading.save(Worker(path, 6).finished(), ".h5")
    assert loading.why_unreadable(content, ".h5") is None
    path.write_bytes(content)
    assert keras.models.load_model(path).loss is keras.losses.mean_squared_error


def test_an_h5_file_that_keras_would_not_open_is_left_out_and_told(tmp_path):
    import keras

    features = keras.Input((6,))
    outputs = keras.layers.Dense(3, "softmax")(keras.ops.relu(features))
    model = keras.Model(features, outputs)
    model.compile("adam", "categorical_crossentropy")
    model.save(tmp_path / "model.keras")
    worker, lines = Worker(tmp_path / "model.keras", 6), []
    settings = TrainSettings(saved_as=("model.keras", "model.h5"))
    assert list(saved_files(worker.configured, settings, lines.append)) == ["model.keras"]
    (line,) = lines
    assert line.startswith("model.h5 is left out, since Keras could not read it: Unknown layer")


def test_an_optimizer_goes_on_from_what_the_file_remembers(tmp_path):
    import keras

    path = save(
        tmp_path / "model.keras",
        layers_with_state(),
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
    )
    features, labels = some_rows()
    model = keras.models.load_model(path)
    model.fit(features, labels, batch_size=BATCH, shuffle=False, verbose=0)
    model.save(path)
    worker = Worker(path, 6)
    worker.train(placed(features, labels), 0)
    model.fit(features, labels, batch_size=BATCH, shuffle=False, verbose=0)
    for ours, theirs in zip(worker.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("units", "activation", "loss"),
    [
        (3, "softmax", "sparse_categorical_crossentropy"),
        (3, "softmax", "categorical_crossentropy"),
        (3, "sigmoid", "binary_crossentropy"),
        (3, "linear", "categorical_hinge"),
        (3, "linear", "mean_squared_error"),
        (1, "sigmoid", "binary_crossentropy"),
        (1, "tanh", "hinge"),
        (1, "linear", "squared_hinge"),
    ],
)
def test_every_loss_trains_as_in_keras(tmp_path, units, activation, loss):
    import keras

    path = save(
        tmp_path / "model.keras",
        [keras.layers.Dense(8, "tanh"), keras.layers.Dense(units, activation)],
        optimizer="adam",
        loss=loss,
    )
    features, labels = some_rows(3 if units > 1 else 2)
    worker = Worker(path, 6)
    report = worker.train(placed(features, labels), 0)
    targets = labels if units == 1 or loss.startswith("sparse") else np.eye(3)[labels]
    model = keras.models.load_model(path)
    targets = targets.astype("float32")
    history = model.fit(features, targets, batch_size=BATCH, shuffle=False, verbose=0).history
    for ours, theirs in zip(worker.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert report.loss_sum / report.num_rows == pytest.approx(history["loss"][0], abs=1e-5)


def architectures() -> dict[str, Callable[[], list]]:
    from keras import layers

    return {
        "conv1d": lambda: [
            layers.Reshape((16, 1)),
            layers.Conv1D(8, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
        ],
        "conv2d": lambda: [
            layers.Reshape((4, 4, 1)),
            layers.Conv2D(8, 2, activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            layers.Flatten(),
        ],
        "lstm": lambda: [layers.Reshape((4, 4)), layers.LSTM(8)],
        "gru": lambda: [layers.Reshape((4, 4)), layers.GRU(8)],
        "embedding": lambda: [layers.Embedding(20, 4), layers.Flatten()],
    }


@pytest.mark.parametrize("name", list(architectures()))
def test_every_kind_of_layer_trains_as_in_keras(tmp_path, name):
    import keras

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, NUM_ROWS)
    features = rng.integers(0, 5, (NUM_ROWS, 16)) + 5 * labels[:, None]
    features = features.astype("int32" if name == "embedding" else "float32")
    path = save(
        tmp_path / "model.keras",
        [*architectures()[name](), keras.layers.Dense(3, "softmax")],
        16,
        optimizer=keras.optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
    )
    worker = Worker(path, 16)
    losses = [worker.train(placed(features, labels), epoch).loss_sum for epoch in range(3)]
    assert losses[-1] < losses[0]
    model = keras.models.load_model(path)
    model.fit(features, labels, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(worker.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def dropout_model(path: Path) -> Path:
    import keras

    return save(
        path,
        [
            keras.layers.Dense(16, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, "softmax"),
        ],
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
    )


def test_dropout_depends_on_the_state_that_comes_along_and_the_worker_alone(tmp_path):
    path = dropout_model(tmp_path / "model.keras")
    rows = placed(*some_rows())

    def trained(epoch: int = 0, partition: int = 0, later: int = 0) -> list[np.ndarray]:
        worker = Worker(path, 6)
        worker.variables[-1][1] += later  # the counter of the only random layer
        plan = {"epoch": epoch, "number": 0, "first_batch": 0, "num_batches": None, "seed": 7}
        plan |= {"shuffle": False, "rate_scale": 1.0, "warmup_batches": 1}
        chunks = [take_chunk(worker.recipe.layout, 0, worker.variables)]
        _, (_, part) = train_round(
            partition, rows, worker.recipe, RoundPlan(**plan), lambda: chunks
        )
        seed, counter = part.arrays[-1]
        assert (seed, counter) == (worker.variables[-1][0], worker.variables[-1][1] + 6)
        return part.arrays[0]

    expected = trained()
    trained(epoch=3)  # what the process did before does not matter
    assert np.array_equal(trained(), expected)
    forward._BUILT.clear()  # nor whether the replica is new
    assert np.array_equal(trained(), expected)
    others = [trained(partition=1), trained(partition=2), trained(later=6)]
    for number, one in enumerate(others):
        assert not any(np.array_equal(one, other) for other in [expected, *others[:number]])


def models_with_state() -> dict[str, Callable]:
    import keras

    layers = keras.layers

    def normalized() -> list:
        normalization = layers.Normalization()
        normalization.adapt(some_rows()[0] * 3 + 1)
        return [normalization, layers.Dense(8, "relu")]

    def low_rank() -> list:
        dense = layers.Dense(8, "relu", lora_rank=2)
        return [dense, layers.Dense(8, "tanh")]

    def half() -> list:
        policy = keras.DTypePolicy("mixed_float16")
        return [layers.Dense(8, "relu", dtype=policy), layers.Dense(8, dtype=policy)]

    return {
        "normalization": normalized,
        "batch normalization": lambda: [layers.Dense(8, "relu"), layers.BatchNormalization()],
        "dropout": lambda: [layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dropout(0.1)],
        "noise": lambda: [layers.GaussianNoise(0.3), layers.GaussianDropout(0.2)],
        "spectral normalization": lambda: [layers.SpectralNormalization(layers.Dense(8))],
        "mixed precision": half,
        "LoRA": low_rank,
    }


def averaged_optimizers() -> dict[str, Callable]:
    import keras

    adam = keras.optimizers.Adam
    return {
        "plain": lambda: adam(0.01),
        "EMA": lambda: adam(0.01, use_ema=True, ema_momentum=0.8),
        "EMA, overwriting": lambda: adam(0.01, use_ema=True, ema_overwrite_frequency=4),
        "loss scale": lambda: keras.optimizers.LossScaleOptimizer(adam(0.01)),
    }


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [
        *((kind, "plain") for kind in models_with_state()),
        *(("dropout", optimizer) for optimizer in averaged_optimizers() if optimizer != "plain"),
        ("mixed precision", "loss scale"),
        ("batch normalization", "EMA"),
    ],
)
def test_every_kind_of_state_trains_as_in_keras(tmp_path, kind, optimizer):
    import keras

    features, labels = some_rows()
    path = save(
        tmp_path / "model.keras",
        [*models_with_state()[kind](), keras.layers.Dense(3, "softmax")],
        optimizer=averaged_optimizers()[optimizer](),
        loss="sparse_categorical_crossentropy",
    )
    keras.utils.set_random_seed(7)  # no file holds the states of random layers
    model = keras.models.load_model(path)
    before = [np.array(v.numpy()) for v in model.variables]
    model.fit(features, labels, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    worker = Worker(path, 6)
    for epoch in range(3):
        forward._BUILT.clear()  # a replica of another process goes on from what comes along
        worker.train(placed(features, labels), epoch)
    trained = worker.finished()
    pairs = zip(trained.variables, model.variables, strict=True)
    for ours, theirs in pairs:
        tolerance = 2e-3 if kind == "mixed precision" else 1e-5
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=tolerance)
    assert any(
        (np.array(v.numpy()) != b).any() for v, b in zip(model.variables, before, strict=True)
    )


def test_the_graph_is_traced_once_whatever_the_number_of_rows(tmp_path):
    worker = Worker(dropout_model(tmp_path / "model.keras"), 6)
    features, labels = some_rows()
    for epoch, num_rows in enumerate((NUM_ROWS, 1, BATCH, 40)):
        report = worker.train(placed(features[:num_rows], labels[:num_rows]), epoch)
        assert report.num_rows == num_rows
    traced = learning.replica(worker.recipe)._train
    assert traced.experimental_get_tracing_count() == 1


def test_a_worker_without_rows_or_batches_in_a_round_learns_nothing(tmp_path):
    worker = Worker(dropout_model(tmp_path / "model.keras"), 6)
    rows = placed(*some_rows())
    assert worker.train([], 0) == RoundReport(0)
    assert worker.train(rows, 0, first_batch=6, num_batches=2) == RoundReport(0)
    assert worker.train(rows, 0, first_batch=4, num_batches=2).num_rows == NUM_ROWS - 4 * BATCH


def test_a_batch_that_is_not_finite_is_named(tmp_path):
    worker = Worker(dropout_model(tmp_path / "model.keras"), 6)
    features, labels = some_rows()
    features[35] = np.inf
    assert worker.train(placed(features, labels), 0).diverged == 2


def test_shuffled_epochs_have_orders_of_their_own_that_rounds_share(tmp_path):
    path = dropout_model(tmp_path / "model.keras")
    rows = placed(*some_rows())
    worker = Worker(path, 6)
    whole = [worker.train(rows, epoch, shuffle=True) for epoch in (0, 1)]
    assert whole[0].num_rows == whole[1].num_rows == NUM_ROWS
    worker = Worker(path, 6)
    spans = [(0, 2), (2, 2), (4, 2)]
    parts = [
        worker.train(rows, 0, shuffle=True, first_batch=first, num_batches=num)
        for first, num in spans
    ]
    assert sum(report.num_rows for report in parts) == NUM_ROWS
