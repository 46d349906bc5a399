"""Models that hold more than weights, from the file to metrics.json, held against plain Keras."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from running import Cluster, Run

from irisspark.startup.imports import import_tensorflow

import_tensorflow()

pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")

NUM_ROWS, NUM_FEATURES = 300, 6
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture
def rows(job_folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers from 0 to 9, and labels that depend on them; in table.csv."""
    rng = np.random.default_rng(11)
    features = rng.integers(0, 10, size=(NUM_ROWS, NUM_FEATURES))
    labels = (features[:, 0] + features[:, 1] + rng.integers(0, 4, NUM_ROWS)) // 8
    table = np.column_stack([features, labels])
    np.savetxt(job_folder / "table.csv", table, fmt="%d", delimiter=",")
    return features, labels


def normalization(features: np.ndarray) -> list:
    import keras

    layer = keras.layers.Normalization()
    layer.adapt(features)
    return [layer, keras.layers.Dense(8, "relu")]


def nested_normalization(features: np.ndarray) -> list:
    import keras

    inner = keras.Sequential([keras.Input((NUM_FEATURES,)), *normalization(features)])
    return [inner, keras.layers.Dense(8, "relu")]


def integer_lookup(features: np.ndarray) -> list:
    import keras

    lookup = keras.layers.IntegerLookup(output_mode="multi_hot")
    lookup.adapt(features[:, :3])
    return [lookup, keras.layers.Dense(8, "relu")]


def code_of_its_own(features: np.ndarray) -> list:
    import keras

    return [keras.layers.Lambda(lambda x: x / 3 - 1), *normalization(features)]


MODELS: dict[str, tuple[Callable, str, str]] = {
    "normalization": (normalization, "float32", "m.keras"),
    "nested normalization in an h5": (nested_normalization, "float32", "m.h5"),
    "integer lookup": (integer_lookup, "int64", "m.keras"),
    "int8": (normalization, "float32", "m.keras"),
    "trusted Lambda": (code_of_its_own, "float32", "m.keras"),
}


def make_model(kind: str, features: np.ndarray, folder: Path):
    """Save a model of that kind; gives it, and the name of its file."""
    import keras

    keras.utils.set_random_seed(4)
    layers, dtype, name = MODELS[kind]
    model = keras.Sequential(
        [
            keras.Input((NUM_FEATURES,), dtype=dtype),
            *layers(features),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    if kind == "int8":
        model.quantize("int8")
    model.compile("adam", LOSS, metrics=["accuracy"])
    model.save(folder / name)
    return model, name


@pytest.mark.parametrize("kind", list(MODELS))
def test_an_evaluation_gives_what_keras_gives(
    archive: Path, spark_submit: Run, job_folder: Path, rows: tuple, kind: str
) -> None:
    features, labels = rows
    model, name = make_model(kind, features, job_folder)
    words = ["-modelPath", name, "-dataPath", "table.csv", "-outputPath", "out"]
    words += ["-predictions", "true", "-trustModel", str("Lambda" in kind).lower()]
    done = spark_submit("--master", "local[2]", archive, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((job_folder / "out" / "metrics.json").read_text())
    loss, accuracy = model.evaluate(features, labels, verbose=0)
    assert metrics["loss"] == pytest.approx(loss, abs=1e-6)
    assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert metrics["run"]["comparison"]["rows"] == 32
    table = pq.read_table(job_folder / "out" / "predictions").to_pandas()
    found = table[["probability_0", "probability_1", "probability_2"]].to_numpy()
    np.testing.assert_allclose(found, model.predict(features, verbose=0), rtol=1e-5, atol=1e-6)


def test_a_trained_model_says_in_keras_what_was_reported(
    archive: Path, spark_submit: Run, cluster: Cluster, job_folder: Path, rows: tuple
) -> None:
    import keras

    features, labels = rows
    keras.utils.set_random_seed(4)
    layers = [
        *normalization(features),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(8, "relu", lora_rank=2),
        keras.layers.Dense(8, "relu", dtype="mixed_float16"),
        keras.layers.Dense(3, "softmax"),
    ]
    model = keras.Sequential([keras.Input((NUM_FEATURES,)), *layers])
    model.compile(keras.optimizers.Adam(0.01, use_ema=True), LOSS, metrics=["accuracy"])
    model.save(job_folder / "m.keras")
    words = ["-train", "true", "-epochs", "4", "-workers", "2", "-outputPath", "out"]
    done = spark_submit(
        *("--master", cluster.master, "--files", "table.csv,m.keras", archive),
        *("-modelPath", "m.keras", "-dataPath", "table.csv", *words),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((job_folder / "out" / "metrics.json").read_text())
    trained = keras.models.load_model(job_folder / "out" / "model.keras")
    loss, accuracy = trained.evaluate(features, labels, verbose=0)
    assert metrics["loss"] == pytest.approx(loss, abs=1e-6)
    assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-6)


KERAS_JSON = """{"floatx": "float16", "epsilon": 0.1, "backend": "theano",
 "image_data_format": "channels_first", "image_dim_ordering": "th"}"""


@pytest.fixture
def odd_environment(tmp_path: Path) -> dict[str, str]:
    """What the shell of somebody says who used Theano once and uses torch now."""
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(KERAS_JSON)
    return {"HOME": str(home), "KERAS_BACKEND": "torch", "TF_USE_LEGACY_KERAS": "1"}


def make_image_model(folder: Path):
    """A file that leaves its dtypes and data formats to Keras, as old ones do."""
    import h5py
    import keras

    keras.utils.set_random_seed(4)
    layers = [
        keras.layers.Reshape((2, 3, 1)),
        keras.layers.Conv2D(4, 2, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(3, "softmax"),
    ]
    model = keras.Sequential([keras.Input((NUM_FEATURES,)), *layers])
    model.compile("adam", LOSS, metrics=["accuracy"])
    model.save(folder / "m.h5")
    with h5py.File(folder / "m.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            for name in ("data_format", "dtype"):
                layer["config"].pop(name, None)
        file.attrs["model_config"] = json.dumps(config)
    return model


@pytest.mark.parametrize("way", ["fast workers", "Spark's own workers", "cluster"])
def test_a_users_keras_settings_change_no_number(
    archive: Path, spark_submit: Run, job_folder: Path, rows: tuple, odd_environment: dict,
    way: str, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    features, labels = rows
    model = make_image_model(job_folder)
    words = ["-modelPath", "m.h5", "-dataPath", "table.csv", "-outputPath", "out"]
    words += ["-fastWorkers", str("fast" in way).lower()]
    spark = ["--master", "local[2]"]
    if way == "cluster":
        spark = ["--master", request.getfixturevalue("cluster").master]
        spark += ["--files", "table.csv,m.h5"]
    done = spark_submit(*spark, archive, *words, **odd_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((job_folder / "out" / "metrics.json").read_text())
    loss, accuracy = model.evaluate(features, labels, verbose=0)
    assert metrics["loss"] == pytest.approx(loss, abs=1e-6)
    assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    home = Path(odd_environment["HOME"])
    assert (home / ".keras" / "keras.json").read_text() == KERAS_JSON
