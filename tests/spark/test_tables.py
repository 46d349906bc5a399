"""Tables as people have them, through the whole command line, against pandas and plain Keras."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from in_process import run_command_line

from irisspark.startup.imports import import_tensorflow

pytestmark = pytest.mark.spark
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command line: (exit code, metrics.json, the predictions)."""
    import_tensorflow()
    number = iter(range(100))

    def run(*words: object) -> tuple[int, dict, pd.DataFrame | None]:
        out = tmp_path / f"out-{next(number)}"
        code = run_command_line(monkeypatch, "-outputPath", str(out), *map(str, words))
        if not out.exists():
            return code, {}, None
        folder = out / "predictions"
        table = pq.read_table(folder).to_pandas() if folder.exists() else None
        return code, json.loads((out / "metrics.json").read_text()), table

    return run


@pytest.fixture
def gaps() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"dose": rng.normal(2, 1, 400), "age": rng.integers(18, 90, 400) * 1.0})
    table["risk"] = table["dose"] + table["age"] / 50
    table.loc[rng.choice(400, 37, replace=False), "dose"] = np.nan
    table.loc[rng.choice(400, 11, replace=False), "age"] = np.nan
    return table.round(6)


@pytest.fixture
def regression(tmp_path) -> Path:
    import keras

    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    )
    model.compile(loss="mse")
    model.save(tmp_path / "risk.keras")
    return tmp_path / "risk.keras"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_gaps_are_filled_everywhere_as_pandas_fills_them(
    run, gaps, regression, tmp_path, kind, capfd
):
    import keras

    data = tmp_path / f"a.{kind}"
    if kind == "csv":
        gaps.to_csv(data, index=False, sep=";", decimal=",", na_rep="NA")
    else:
        gaps.to_parquet(data)
    code, metrics, predicted = run(
        "-modelPath", regression, "-dataPath", data, "-header", "true", "-delimiter", ";",
        "-decimal", ",", "-fillMissing", "age=40,dose=0.5", "-predictions", "true",
    )  # fmt: skip
    assert code == 0
    assert '48 missing numbers were filled: 37 in "dose" (column 0) with 0.5, 11 in ' in (
        capfd.readouterr().err
    )
    assert metrics["run"]["data"]["filled"] == {"dose": 37, "age": 11}
    model = keras.models.load_model(regression)
    features = gaps[["dose", "age"]].fillna({"age": 40, "dose": 0.5}).to_numpy("float32")
    output = model.predict(features, verbose=0)[:, 0]
    np.testing.assert_allclose(predicted["prediction"], output, **TOLERANCE)
    loss = model.evaluate(features, gaps["risk"].to_numpy("float32"), verbose=0)
    np.testing.assert_allclose(metrics["loss"], loss, **TOLERANCE)


def test_a_gap_that_nothing_stands_in_for_ends_the_run_or_is_left_out(
    run, gaps, regression, tmp_path, capfd
):
    data = tmp_path / "a.csv"
    gaps.fillna(-999).to_csv(data, index=False)
    words = ("-modelPath", regression, "-dataPath", data, "-header", "true", "-missing", "-999")
    code, metrics, _ = run(*words)
    assert (code, metrics) == (1, {})
    assert "the value is missing (-999" in capfd.readouterr().err
    code, metrics, _ = run(*words, "-badRows", "skip", "-fillMissing", "dose=0")
    assert code == 0
    assert metrics["bad_rows"]["by_reason"] == {"missing": 11}
    assert metrics["rows"] == 389
