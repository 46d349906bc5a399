"""Parquet the whole way, in one driver, held against pandas and plain Keras on the same rows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from one_driver import OneDriver

from irisspark.startup.imports import import_tensorflow

import_tensorflow()

NAMES = ("setosa", "versicolor", "virginica")
FEATURES = ["f0", "f1", "f2", "f3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample_model: Path) -> Path:
    """A folder of a user: my_model.h5, iris in partition folders, the same as one CSV."""
    folder = tmp_path_factory.mktemp("parquet")
    (folder / "my_model.h5").write_bytes(sample_model.read_bytes())
    table = iris()
    for day, part in table.groupby("day"):
        place = folder / "iris" / f"day={day}"
        place.mkdir(parents=True)
        part.drop(columns="day").to_parquet(place / "part-0.parquet", row_group_size=20)
    (folder / "iris" / "_SUCCESS").touch()
    table.to_csv(folder / "iris.csv", index=False)
    return folder


def iris() -> pd.DataFrame:
    from sklearn import datasets

    data = datasets.load_iris(as_frame=True)
    table = data.data.round(2).set_axis(FEATURES, axis=1)
    table.insert(0, "when", pd.date_range("2024-01-01", periods=150, freq="h"))
    table["f3"] = [round(100 * x) / 100 for x in table["f3"]]
    table["species"] = pd.Categorical([NAMES[i] for i in data.target])
    table["day"] = [i % 3 for i in range(150)]
    return table.sort_values("day", kind="stable").reset_index(drop=True)


def run(driver: OneDriver, folder: Path, *words: str, data: str = "iris") -> tuple[int, str]:
    given = ["-modelPath", "my_model.h5", "-dataPath", data, "-labelIndex", "species"]
    return driver.run([*given, "-keepColumns", "when,day", *words], folder)


def keras_output(model: Path, table: pd.DataFrame) -> np.ndarray:
    from irisspark.model import loading

    network = loading.load(str(model)).network
    return network.predict(table[FEATURES].to_numpy("float32"), verbose=0)


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_evaluation_and_predictions_are_those_of_pandas_and_keras(
    one_driver: OneDriver, folder: Path, file_format: str
) -> None:
    out = f"out-{file_format}"
    code, output = run(
        one_driver, folder, "-predictions", "true", "-predictionsFormat", file_format,
        "-outputPath", out,
    )  # fmt: skip
    assert code == 0, output
    table = iris()
    expected = keras_output(folder / "my_model.h5", table)
    metrics = json.loads((folder / out / "metrics.json").read_text())
    hits = expected.argmax(axis=1) == table["species"].cat.codes
    assert metrics["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    assert metrics["run"]["comparison"]["rows"] == 32
    assert metrics["run"]["comparison"]["largest_difference"] < 1e-6
    read = pd.read_csv if file_format == "csv" else pd.read_parquet
    parts = sorted((folder / out / "predictions").glob(f"part-*.{file_format}"))
    found = pd.concat([read(part) for part in parts])
    scores = [f"probability_{name}" for name in NAMES]
    assert list(found) == ["when", "day", "label", "prediction", *scores, "file", "row"]
    np.testing.assert_allclose(found[scores], expected, rtol=1e-5, atol=1e-6)
    assert found["label"].tolist() == table["species"].tolist()
    assert pd.to_datetime(found["when"]).tolist() == table["when"].tolist()
    assert found["day"].tolist() == table["day"].tolist()
    for name, rows in found.groupby("file"):
        assert rows["row"].tolist() == list(range(50))
        assert pd.read_parquet(name)["when"].tolist() == pd.to_datetime(rows["when"]).tolist()


def test_training_learns_what_it_learns_from_the_same_csv(
    one_driver: OneDriver, folder: Path
) -> None:
    words = ["-train", "true", "-workers", "1", "-shuffle", "false", "-batchSizePerWorker", "10"]
    words += ["-validationSplit", "0.2", "-epochs"]
    for data, more in (("iris", ()), ("iris.csv", ("-header", "true"))):
        code, output = run(
            one_driver, folder, *words, "3", "-outputPath", f"from {data}", *more, data=data
        )
        assert code == 0, output
    assert "training on 120 rows" in output
    trained, same = ((folder / f"from {data}" / "model.keras") for data in ("iris", "iris.csv"))
    rows = iris()
    expected = keras_output(same, rows)
    np.testing.assert_array_equal(keras_output(trained, rows), expected)
    metrics = json.loads((folder / "from iris" / "metrics.json").read_text())
    assert metrics["rows"] == 30
    held = (expected.argmax(axis=1) == rows["species"].cat.codes)[120:]
    assert metrics["accuracy"] == pytest.approx(held.mean(), abs=1e-12)
    more = ["-checkpointPath", "checkpoint", "-outputPath"]
    for epochs, out in (("2", "half"), ("3", "resumed")):
        code, output = run(one_driver, folder, *words, epochs, *more, out, "-resume", "true")
        assert code == 0, output
    assert "going on after epoch 2" in output
    resumed = keras_output(folder / "resumed" / "model.keras", rows)
    np.testing.assert_array_equal(resumed, expected)


def test_rows_that_a_hash_holds_out_are_the_same_for_any_row_groups(
    one_driver: OneDriver, folder: Path
) -> None:
    words = ["-train", "true", "-epochs", "1", "-validationSplit", "0.3", "-workers", "2"]
    found = []
    for size in (150, 11):
        iris().to_parquet(folder / "one.parquet", row_group_size=size)
        out = f"hashed-{size}"
        code, output = run(one_driver, folder, *words, "-outputPath", out, data="one.parquet")
        assert code == 0, output
        metrics = json.loads((folder / out / "metrics.json").read_text())
        found.append((metrics["rows"], metrics["confusion_matrix"], metrics["loss"]))
    assert found[0] == found[1]
    assert 25 < found[0][0] < 65


def test_bad_rows_are_told_by_the_number_of_their_row(one_driver: OneDriver, folder: Path) -> None:
    table = iris()
    table.loc[17, "f1"] = None
    table.loc[20, "species"] = None
    table.loc[140, "f0"] = np.inf
    table.to_parquet(folder / "broken.parquet", row_group_size=40)
    code, output = run(one_driver, folder, data="broken.parquet")
    said = [line for line in output.splitlines() if line.startswith("irisspark: ")]
    assert code == 1
    assert len(said) == 1, output
    assert 'broken.parquet, row 17, "f1" (column 2): the value is missing; mend' in said[0]
    code, output = run(one_driver, folder, "-badRows", "skip", data="broken.parquet")
    assert code == 0
    assert "3 bad rows were left out: 2 missing, 1 not finite" in output
    assert 'row 140, "f0" (column 1): ' in output
    good = table.dropna()[lambda rows: np.isfinite(rows["f0"])]
    hits = keras_output(folder / "my_model.h5", good).argmax(axis=1) == good["species"].cat.codes
    assert f" Accuracy:        {hits.mean():.4f}\n" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-featureIndices", "f0,f1,f2,when", "-keepColumns", "day"],
         '"when" (column 0) holds timestamps: write numbers in it, or leave it out'),
        (["-dataPath", "mixed"], "b.csv stands among Parquet files"),
        (["-dataPath", "cut.parquet"], "it ends before its footer"),
        (["-dataPath", "text.parquet"], "no Parquet file: if it is a CSV"),
        (["-dataPath", "late"], "z.parquet is no CSV but a Parquet file: the files of one"),
        (["-dataPath", "keys"], "lies in a partition folder, day=1, which makes a column of"),
        (["-labelIndex", "nope"], "-labelIndex nope: the header of"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    one_driver: OneDriver, folder: Path, words: list[str], message: str
) -> None:
    text = (folder / "iris.csv").read_text().split("\n", 1)[1]
    for name in ("mixed", "late", "keys/day=1"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    iris().to_parquet(folder / "mixed" / "a.parquet")
    (folder / "mixed" / "b.csv").write_text(text)
    (folder / "late" / "a.csv").write_text(text)
    iris().to_parquet(folder / "late" / "z.parquet")
    (folder / "keys" / "day=1" / "a.csv").write_text(text)
    (folder / "text.parquet").write_text(text)
    (folder / "cut.parquet").write_bytes((folder / "mixed" / "a.parquet").read_bytes()[:-20])
    given = {"-modelPath": "my_model.h5", "-dataPath": "iris", "-labelIndex": "species"}
    given |= {"-keepColumns": "when,day"} | dict(zip(words[::2], words[1::2], strict=True))
    if given["-dataPath"] in ("late", "keys"):
        given |= {"-labelIndex": "5", "-keepColumns": "0,6"}
    code, output = one_driver.run([word for pair in given.items() for word in pair], folder)
    assert code == 1, output
    said = [line for line in output.splitlines() if line.startswith("irisspark: ")]
    assert len(said) == 1, output
    assert message in said[0]


@pytest.mark.parametrize("data", ["iris", "iris.csv"])
def test_load_data_false_shows_the_columns_and_the_first_row(
    one_driver: OneDriver, folder: Path, data: str
) -> None:
    code, output = run(one_driver, folder, "-loadData", "false", "-header", "true", data=data)
    assert code == 0, output
    shown = output[output.index("inputs:") :].splitlines()
    assert shown[1].endswith(": float32, (4,) a row")
    assert shown[2] == "outputs:"
    assert shown[3].endswith(": float32, (3,) a row")
    named = '"f0" (column 1), "f1" (column 2), "f2" (column 3), "f3" (column 4)'
    first = iris().iloc[0]
    assert shown[4:9] == [
        f"data: {data}, 7 columns",
        f"  features: {named}",
        '  label: "species" (column 5)',
        '  kept: "when" (column 0), "day" (column 6)',
        "  left out: none",
    ]
    assert shown[9:13] == [
        "first row, as the model takes it:",
        "  float32 (4,)",
        f"  {np.array2string(first[FEATURES].to_numpy('float32'))}",
        "  label: output 0, the class setosa",
    ]
