"""Regressions, from the file to metrics.json and predictions, beside Keras and scikit-learn."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_driver import OneDriver
from sklearn import datasets, metrics
from test_metrics_schema import check_metrics

NAMES = ["age", "sex", "bmi", "bp", *(f"s{number}" for number in range(1, 7)), "progress"]


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of scikit-learn's diabetes, in its own units."""
    features, labels = datasets.load_diabetes(return_X_y=True, scaled=False)
    return features.astype("float32"), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rows: tuple[np.ndarray, np.ndarray]) -> Path:
    """A folder with diabetes.csv, and model.keras that has learned a little of it."""
    import keras

    folder = tmp_path_factory.mktemp("regression")
    features, labels = rows
    pd.DataFrame(np.column_stack([features, labels]), columns=NAMES).to_csv(
        folder / "diabetes.csv", index=False
    )
    keras.utils.set_random_seed(1)
    normalization = keras.layers.Normalization()
    normalization.adapt(features)
    layers = [normalization, keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(features, labels, epochs=12, verbose=0)
    model.save(folder / "model.keras")
    return folder


def run(one_driver: OneDriver, folder: Path, words: str, code: int = 0) -> str:
    argv = f"-modelPath model.keras -dataPath diabetes.csv -header true {words}"
    found, output = one_driver.run(argv.split(), folder)
    assert found == code, output
    return output


def metrics_of(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name / "metrics.json").read_text())
    check_metrics(content)
    return content


def test_every_metric_is_scikit_learns_and_predictions_are_keras_own(
    one_driver: OneDriver, folder: Path, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    import keras

    output = run(one_driver, folder, "-outputPath out -predictions true")
    features, labels = rows
    model = keras.models.load_model(folder / "model.keras")
    predicted = model.predict(features, verbose=0)[:, 0]
    loss, _ = model.evaluate(features, labels, verbose=0)
    found = metrics_of(folder, "out")
    assert (found["task"], found["rows"], list(found["per_column"])) == (
        "regression",
        442,
        ["progress"],
    )
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    table = pd.read_parquet(folder / "out" / "predictions")
    assert table["prediction"].to_numpy() == pytest.approx(predicted, rel=1e-6)
    assert table["label"].tolist() == labels.tolist()
    ours = table["prediction"].to_numpy(dtype="float64")
    for name, score in {
        "mean_squared_error": metrics.mean_squared_error,
        "mean_absolute_error": metrics.mean_absolute_error,
        "root_mean_squared_error": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
        "explained_variance": metrics.explained_variance_score,
        "max_error": metrics.max_error,
    }.items():
        assert found[name] == pytest.approx(score(labels, ours), rel=1e-9), name
    assert found["pearson_r"] == pytest.approx(np.corrcoef(labels, ours)[0, 1], rel=1e-9)
    median = metrics.median_absolute_error(labels, ours)
    assert found["median_absolute_error"] == pytest.approx(median, rel=0.01)
    assert "the task is a regression: one unit with the activation linear" in output
    page = (folder / "out" / "report.html").read_text()
    for title, name in (("RMSE", "root_mean_squared_error"), ("MAE", "mean_absolute_error")):
        assert f"{title}<b>{found[name]:,.6g}</b>" in page
    assert page.count('<svg role="img"') == 3
    pairs = sorted(zip(labels.tolist(), ours.tolist(), strict=True))
    for label, prediction in (pairs[0], pairs[-1]):
        assert f"<td>{label:,.6g}</td><td>{prediction:,.6g}</td><td>1</td>" in page
    title, line = output.splitlines()[-2:]
    assert title.split() == ["Column", "MSE", "MAE", "RMSE", "RSE", "R^2"]
    assert line.split() == [
        "progress",
        *(
            f"{found[name]:.5e}"
            for name in (
                "mean_squared_error",
                "mean_absolute_error",
                "root_mean_squared_error",
                "relative_squared_error",
                "pearson_r",
            )
        ),
    ]


def test_training_with_one_worker_equals_fit(
    one_driver: OneDriver, folder: Path, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    import keras

    words = "-train true -epochs 3 -batchSizePerWorker 32 -workers 1 -shuffle false"
    run(one_driver, folder, f"{words} -validationSplit 0.25 -outputPath trained")
    features, labels = rows
    model = keras.models.load_model(folder / "model.keras")
    fitted = model.fit(
        features, labels, 32, 3, shuffle=False, validation_split=0.25, verbose=0
    ).history
    with (folder / "trained" / "history.csv").open() as lines:
        history = list(csv.DictReader(lines))
    page = (folder / "trained" / "report.html").read_text()
    assert f"Mean absolute error reached {float(history[-1]['mae']):.4f}" in page
    page = (folder / "trained" / "report.html").read_text()
    assert "Mean absolute error reached" in page
    assert "those that were held out" in page
    for name in ("loss", "mae", "val_loss", "val_mae"):
        found = [float(row[name]) for row in history]
        assert found == pytest.approx(fitted[name], rel=1e-4), name
    trained = keras.models.load_model(folder / "trained" / "model.keras")
    held_out = slice(int(442 * 0.75), None)
    loss, mae = trained.evaluate(features[held_out], labels[held_out], verbose=0)
    found = metrics_of(folder, "trained")
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert found["mean_absolute_error"] == pytest.approx(mae, rel=1e-6)


def test_rows_whose_label_is_no_number_are_bad_and_counted(
    one_driver: OneDriver, folder: Path
) -> None:
    lines = (folder / "diabetes.csv").read_text().splitlines()
    for number, label in ((2, "many"), (5, ""), (9, "inf"), (11, "NA")):
        lines[number] = ",".join([*lines[number].split(",")[:-1], label])
    (folder / "odd.csv").write_text("\n".join(lines))
    argv = "-modelPath model.keras -dataPath odd.csv -header true -outputPath odd"
    code, output = one_driver.run(argv.split(), folder)
    assert code == 1
    assert "odd.csv, line 3, \"progress\" (column 10): 'many' is not a number" in output
    code, output = one_driver.run([*argv.split(), "-badRows", "skip"], folder)
    assert code == 0, output
    found = metrics_of(folder, "odd")
    reasons = {"missing": 2, "not a number": 1, "not finite": 1}
    assert (found["rows"], found["bad_rows"]["by_reason"]) == (438, reasons)


def test_requirements_and_predictions_without_labels(one_driver: OneDriver, folder: Path) -> None:
    assert "-require: rmse is" in run(one_driver, folder, "-require rmse<=1,r2<2", code=3)
    run(one_driver, folder, "-require mse<1e9,r2>-1e9 -showValues false -outputPath hidden")
    page = (folder / "hidden" / "report.html").read_text()
    assert page.count('<svg role="img"') == 1  # how large errors are
    assert "rows of both" not in page
    assert "single rows are not drawn" in page
    output = run(
        one_driver, folder, "-featureIndices 0-9 -labelIndex none -predictions true -outputPath new"
    )
    assert output.endswith("442 rows predicted\n")
    assert metrics_of(folder, "new")["task"] == "regression"
    assert "Rows<b>442</b>" in (folder / "new" / "report.html").read_text()


def test_what_speaks_of_classes_is_refused(one_driver: OneDriver, folder: Path) -> None:
    assert "which has no classes" in run(one_driver, folder, "-numClasses 3", code=1)
    assert "is a regression" in run(one_driver, folder, "-classNames a,b", code=1)
    assert "no classifier" in run(one_driver, folder, "-task classification", code=1)
