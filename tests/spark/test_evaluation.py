"""Evaluation on real Spark workers, held against scikit-learn and Keras in one process."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets, metrics

from irisspark.data.dataset import Dataset, open_dataset
from irisspark.data.splits import TaskSplits, cut
from irisspark.errors import DataError, ModelError
from irisspark.evaluation.evaluating import EvaluationResult, evaluate
from irisspark.model import loading
from irisspark.options import Options, parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.session import Session

pytestmark = pytest.mark.spark


def write_csv(path: Path, features: np.ndarray, labels: np.ndarray) -> Path:
    rows = np.column_stack([features, labels])
    np.savetxt(path, rows, fmt=["%.6g"] * features.shape[1] + ["%d"], delimiter=",")
    return path


def save_model(path: Path, layers: list, num_features: int, **compile_settings) -> Path:
    import keras

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((num_features,)), *layers])
    if compile_settings:
        model.compile(**compile_settings)
    model.save(path)
    return path


def options_for(model: Path, data: Path, *more: str) -> Options:
    return parse(["-modelPath", str(model), "-dataPath", str(data), *more])


def run(spark: Session, options: Options) -> EvaluationResult:
    model = loading.load(options.model_path, loss=options.loss)
    return evaluate(
        spark,
        model,
        open_dataset(spark, data_settings(options), model.spec),
        evaluate_settings(options),
    )


@pytest.fixture(scope="module")
def wine(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    folder = tmp_path_factory.mktemp("wine")
    features, labels = datasets.load_wine(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    path = write_csv(folder / "wine.csv", features, labels)
    stored = np.loadtxt(path, delimiter=",")
    return path, stored[:, :-1].astype("float32"), stored[:, -1].astype(int)


def softmax_layers() -> list:
    import keras

    return [
        keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(0.01)),
        keras.layers.Dense(3, "softmax"),
    ]


@pytest.fixture(scope="module")
def wine_model(tmp_path_factory) -> Path:
    return save_model(
        tmp_path_factory.mktemp("model") / "wine.keras",
        softmax_layers(),
        13,
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
    )


def test_every_metric_agrees_with_scikit_learn_and_the_loss_with_keras(spark, wine, wine_model):
    import keras

    path, features, labels = wine
    result = run(spark, options_for(wine_model, path, "-topN", "2"))
    model = keras.models.load_model(wine_model)
    probabilities = model.predict(features, verbose=0)
    predicted = probabilities.argmax(axis=1)
    scores = result.scores
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(labels, predicted))
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-12)
    assert scores.macro.f1 == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro", zero_division=0), abs=1e-12
    )
    assert scores.top_n_accuracy == pytest.approx(
        metrics.top_k_accuracy_score(labels, probabilities, k=2), abs=1e-12
    )
    assert scores.matthews_corrcoef == pytest.approx(metrics.matthews_corrcoef(labels, predicted))
    assert scores.loss == pytest.approx(model.evaluate(features, labels, verbose=0), abs=1e-6)


@pytest.mark.parametrize(
    ("units", "activation", "loss", "one_hot"),
    [
        (3, "softmax", "categorical_crossentropy", True),
        (3, "sigmoid", "binary_crossentropy", True),
        (3, "tanh", "categorical_hinge", True),
        (3, None, "mean_squared_error", True),
        (1, "sigmoid", "binary_crossentropy", False),
        (1, "tanh", "hinge", False),
        (1, None, "squared_hinge", False),
    ],
)
def test_the_loss_is_that_of_keras(spark, wine, tmp_path, units, activation, loss, one_hot):
    import keras

    path, features, labels = wine
    if units == 1:
        labels = (labels == 1).astype(int)
        path = write_csv(tmp_path / "two.csv", features, labels)
    model_path = save_model(
        tmp_path / "m.keras",
        [keras.layers.Dense(units, activation)],
        13,
        loss=loss,
    )
    result = run(spark, options_for(model_path, path))
    model = keras.models.load_model(model_path)
    target = keras.utils.to_categorical(labels, 3) if one_hot else labels.astype("float32")
    expected = model.evaluate(features, target, verbose=0)
    assert result.scores.loss == pytest.approx(expected, abs=1e-6)
    output = model.predict(features, verbose=0)
    threshold = 0.5 if activation == "sigmoid" else 0.0
    predicted = output.argmax(axis=1) if units > 1 else (output[:, 0] > threshold).astype(int)
    expected_matrix = metrics.confusion_matrix(labels, predicted, labels=range(max(units, 2)))
    assert np.array_equal(result.scores.confusion, expected_matrix)


def test_logits_are_turned_into_probabilities(spark, wine, tmp_path):
    import keras

    path, features, labels = wine
    model_path = save_model(
        tmp_path / "logits.keras",
        [keras.layers.Dense(3)],
        13,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    result = run(spark, options_for(model_path, path))
    model = keras.models.load_model(model_path)
    assert result.scores.loss == pytest.approx(
        model.evaluate(features, labels, verbose=0), abs=1e-6
    )
    logits = model.predict(features, verbose=0).astype("float64")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = ((probabilities - np.eye(3)[labels]) ** 2).sum(axis=1).mean()
    assert result.scores.brier_score == pytest.approx(expected, rel=1e-5)


def test_a_model_without_training_configuration_has_no_loss(spark, wine, tmp_path):
    path, _, labels = wine
    model_path = save_model(tmp_path / "plain.keras", softmax_layers(), 13)
    result = run(spark, options_for(model_path, path))
    assert result.scores.loss is None
    assert result.scores.rows == len(labels)


def regrouped(dataset: Dataset, num_tasks: int) -> Dataset:
    """Make the data cut into exactly so many tasks, some of them empty."""

    class Regrouped(Dataset):
        def tasks(self, parallelism: int) -> list[TaskSplits]:
            from irisspark.data.splits import deal

            splits = cut(self.files, max(self.num_bytes / num_tasks, 1))
            return [TaskSplits(i, g) for i, g in enumerate(deal(splits, num_tasks))]

    fields = {f.name: getattr(dataset, f.name) for f in dataclasses.fields(dataset)}
    return Regrouped(**fields)


@pytest.fixture
def few(wine, tmp_path) -> Path:
    path = tmp_path / "few.csv"
    path.write_text("\n".join(wine[0].read_text().splitlines()[::10]) + "\n")
    return path


@pytest.mark.parametrize("num_tasks", [2, 5, 22])
def test_any_partitioning_gives_the_same_counts(spark, few, wine_model, num_tasks):
    options = options_for(wine_model, few)
    model = loading.load(options.model_path)
    dataset = open_dataset(spark, data_settings(options), model.spec)
    whole = evaluate(spark, model, regrouped(dataset, 1), evaluate_settings(options))
    parts = evaluate(spark, model, regrouped(dataset, num_tasks), evaluate_settings(options))
    assert np.array_equal(whole.scores.confusion, parts.scores.confusion)
    assert parts.scores.loss == pytest.approx(whole.scores.loss, rel=1e-9)
    assert parts.scores.brier_score == pytest.approx(whole.scores.brier_score, rel=1e-9)
    assert parts.scores.roc_auc == whole.scores.roc_auc


def test_the_first_bad_row_is_named_whatever_the_partitioning(spark, few, wine_model, tmp_path):
    lines = few.read_text().splitlines()
    lines[12] = lines[12].replace(",", ",oops", 1)
    lines[5] = lines[5] + ",1"
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines))
    options = options_for(wine_model, path)
    model = loading.load(options.model_path)
    dataset = open_dataset(spark, data_settings(options), model.spec)
    for num_tasks in (1, 4, 20):
        with pytest.raises(DataError, match=r"bad\.csv, line 6: 15 columns where .* has 14"):
            evaluate(spark, model, regrouped(dataset, num_tasks), evaluate_settings(options))


def test_a_prediction_that_is_not_a_number_is_an_error_with_the_count(spark, wine, tmp_path):
    import keras

    model_path = save_model(tmp_path / "nan.keras", [keras.layers.Dense(3, "softmax")], 13)
    model = keras.models.load_model(model_path)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    model.save(model_path)
    with pytest.raises(ModelError, match="not a number for 178 rows"):
        run(spark, options_for(model_path, wine[0]))
