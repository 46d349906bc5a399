"""Models with several outputs, through the whole command line, against Keras and scikit-learn."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from in_process import run_command_line
from sklearn import metrics as sk

from irisspark.startup.imports import import_tensorflow

pytestmark = pytest.mark.spark
SCHEMA = Path(__file__).parents[2] / "docs" / "metrics.schema.json"
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}
ROWS = 500
LOSSES = {
    "price": "mse",
    "kind": "sparse_categorical_crossentropy",
    "tags": "binary_crossentropy",
    "spare": "mse",
}
WEIGHTS = {"price": 0.25, "kind": 2.0, "tags": 1.0, "spare": 3.0}
KINDS = ["flat", "house", "yard"]
LABELS = "price=cost,kind=sort,tags=garden,lift,new"
BY_INDEX = "price=3,kind=4,tags=5-6,7"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    found = pd.DataFrame(rng.normal(0, 1, (ROWS, 3)).round(4), columns=["x", "y", "z"])
    found["cost"] = (100 + 3 * found["x"] + rng.normal(0, 1, ROWS)).round(3)
    found["sort"] = rng.choice(KINDS, ROWS)
    for name in ("garden", "lift", "new"):
        found[name] = rng.integers(0, 2, ROWS)
    return found


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    keras.utils.set_random_seed(5)
    taken = keras.Input((3,))
    hidden = keras.layers.Dense(8, "relu", kernel_regularizer="l2")(taken)
    model = keras.Model(
        taken,
        {
            "price": keras.layers.Dense(1, name="of_price")(hidden),
            "kind": keras.layers.Dense(3, "softmax")(hidden),
            "tags": keras.layers.Dense(3, "sigmoid")(hidden),
            "spare": keras.layers.Dense(2)(hidden),
        },
    )
    model.compile(keras.optimizers.SGD(0.01), LOSSES, loss_weights=WEIGHTS)
    path = tmp_path_factory.mktemp("outputs") / "several.keras"
    model.save(path)
    return path


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command line: (exit code, the folder of results)."""
    import_tensorflow()
    number = iter(range(100))

    def run(*words: object) -> tuple[int, Path]:
        out = tmp_path / f"out-{next(number)}"
        return run_command_line(monkeypatch, "-outputPath", str(out), *map(str, words)), out

    return run


def predictions(out: Path) -> pd.DataFrame:
    return pq.read_table(out / "predictions").to_pandas()


def evaluated(model_path: Path, table: pd.DataFrame) -> tuple[dict, dict]:
    """What plain Keras evaluates and predicts: losses by name, outputs by name."""
    import keras

    model = keras.models.load_model(model_path)
    names = ["price", "kind", "tags"]
    alone = keras.Model(model.inputs, {name: model.output[name] for name in names})
    alone.compile(
        loss={name: LOSSES[name] for name in names},
        loss_weights={name: WEIGHTS[name] for name in names},
    )
    features = table[["x", "y", "z"]].to_numpy("float32")
    labels = {
        "price": table["cost"].to_numpy("float32"),
        "kind": table["sort"].map(KINDS.index).to_numpy(),
        "tags": table[["garden", "lift", "new"]].to_numpy("float32"),
    }
    found = alone.evaluate(features, labels, verbose=0, return_dict=True, batch_size=ROWS)
    return found, model.predict(features, verbose=0)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_each_output_is_evaluated_as_by_itself_in_one_pass(
    run, table, model_path, tmp_path, kind, capfd
):
    data = tmp_path / f"a.{kind}"
    if kind == "csv":
        table.to_csv(data, index=False)
    else:
        table.to_parquet(data)
    code, out = run(
        "-modelPath", model_path, "-dataPath", data, "-header", "true", "-predictions", "true",
        "-labelIndex", LABELS if kind == "parquet" else BY_INDEX, "-topN", 2,
        "-require", "price.rmse<=1000,kind.accuracy>=0,tags.macro.f1>=0,loss<=1e9",
    )  # fmt: skip
    captured = capfd.readouterr()
    assert code == 0, captured.err
    content = json.loads((out / "metrics.json").read_text())
    losses, given = evaluated(model_path, table)
    assert (content["task"], content["rows"], content["version"]) == ("outputs", ROWS, 4)
    assert content["loss"] == pytest.approx(losses["loss"], rel=1e-6)
    outputs = content["outputs"]
    assert list(outputs) == ["price", "kind", "tags"]
    for name, one in outputs.items():
        assert one["loss"] == pytest.approx(losses[f"{name}_loss"], rel=1e-6)
    price, sort, tags = outputs.values()
    assert (price["task"], sort["task"], tags["task"]) == ("regression", "classification", "labels")
    rmse = sk.root_mean_squared_error(table["cost"], given["price"][:, 0].astype("float64"))
    assert price["root_mean_squared_error"] == pytest.approx(rmse, rel=1e-6)
    of_sorts = given["kind"].argmax(axis=1)
    codes = table["sort"].map(KINDS.index)
    assert sort["class_names"] == KINDS
    assert sort["confusion_matrix"] == sk.confusion_matrix(codes, of_sorts).tolist()
    of_true = np.take_along_axis(given["kind"], codes.to_numpy()[:, None], axis=1)
    hits = (given["kind"] > of_true).sum(axis=1) < 2
    assert sort["top_n_accuracy"] == pytest.approx(hits.mean())
    marks = table[["garden", "lift", "new"]]
    macro = sk.f1_score(marks, given["tags"] > 0.5, average="macro")
    assert tags["macro"]["f1"] == pytest.approx(macro)
    assert list(tags["per_label"]) == list(marks)
    written = predictions(out)
    assert list(written.columns) == [
        *("label_price", "prediction_price", "label_kind", "prediction_kind"),
        *(f"probability_kind_{name}" for name in KINDS),
        *(f"label_tags_{name}" for name in marks),
        *(f"prediction_tags_{name}" for name in marks),
        *(f"probability_tags_{name}" for name in marks),
        *("file", "offset" if kind == "csv" else "row"),
    ]
    np.testing.assert_allclose(written["label_price"], table["cost"], rtol=0)
    np.testing.assert_allclose(written["prediction_price"], given["price"][:, 0], **TOLERANCE)
    assert written["label_kind"].tolist() == table["sort"].tolist()
    assert written["prediction_kind"].tolist() == [KINDS[code] for code in of_sorts]
    np.testing.assert_allclose(written["probability_kind_yard"], given["kind"][:, 2], **TOLERANCE)
    np.testing.assert_array_equal(written["label_tags_lift"], table["lift"])
    np.testing.assert_allclose(written["probability_tags_new"], given["tags"][:, 2], **TOLERANCE)
    headings = [line for line in captured.out.splitlines() if line.startswith("Output ")]
    assert headings == ["Output price", "Output kind", "Output tags"]
    assert (out / "report.txt").read_text() in captured.out
    for name, title in (("price", "How near"), ("kind", "ROC"), ("tags", "ROC")):
        page = (out / f"{name}_report.html").read_text()
        assert f"its output {name}, evaluated on" in page
        assert title in page
    assert (out / "kind_confusion_matrix.csv").exists()
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))


def test_a_row_that_is_bad_for_one_output_is_bad_for_the_run(
    run, table, model_path, tmp_path, capfd
):
    broken = table.astype({"cost": "object", "lift": "object"})
    broken.loc[3, "cost"], broken.loc[7, "lift"], broken.loc[9, "sort"] = "dear", 2, None
    broken.to_csv(tmp_path / "a.csv", index=False)
    words = ("-modelPath", model_path, "-dataPath", tmp_path / "a.csv", "-header", "true",
             "-labelIndex", LABELS, "-featureIndices", "0-2")  # fmt: skip
    assert run(*words)[0] == 1
    assert '"cost" (column 3)' in capfd.readouterr().err
    code, out = run(*words, "-badRows", "skip", "-require", "price.rmse<=0.5")
    assert code == 3
    assert "-require: price.rmse is" in capfd.readouterr().err
    content = json.loads((out / "metrics.json").read_text())
    reasons = {"not a number": 1, "neither 0 nor 1": 1, "missing": 1}
    assert (content["rows"], content["bad_rows"]["by_reason"]) == (ROWS - 3, reasons)
    losses, _ = evaluated(model_path, table.drop([3, 7, 9]))
    assert content["loss"] == pytest.approx(losses["loss"], rel=1e-6)


def test_all_outputs_predict_where_there_are_no_labels(run, table, model_path, tmp_path):
    table[["x", "y", "z"]].to_csv(tmp_path / "a.csv", index=False)
    code, out = run("-modelPath", model_path, "-dataPath", tmp_path / "a.csv", "-header", "true",
                    "-labelIndex", "none", "-predictions", "true")  # fmt: skip
    assert code == 0
    written, (_, given) = predictions(out), evaluated(model_path, table)
    for column, expected in {
        "prediction_price": given["price"][:, 0],
        "probability_kind_1": given["kind"][:, 1],
        "probability_tags_2": given["tags"][:, 2],
        "prediction_spare_1": given["spare"][:, 1],
    }.items():
        np.testing.assert_allclose(written[column], expected, **TOLERANCE)
    np.testing.assert_array_equal(written["prediction_kind"], given["kind"].argmax(axis=1))


def test_labels_named_for_one_output_and_what_does_not_fit(run, table, model_path, tmp_path, capfd):
    table.to_csv(tmp_path / "a.csv", index=False)
    words = ("-modelPath", model_path, "-dataPath", tmp_path / "a.csv", "-header", "true",
             "-featureIndices", "0-2")  # fmt: skip
    assert run(*words, "-labelIndex", LABELS, "-loadData", "false")[0] == 0
    shown = capfd.readouterr().out
    assert '  labels: "cost" (column 3), "sort" (column 4), "garden" (column 5)' in shown
    code, out = run(*words, "-labelIndex", "price=cost")
    named = json.loads((out / "metrics.json").read_text())
    code, out = run(*words, "-labelIndex", "cost", "-output", "price")
    alone = json.loads((out / "metrics.json").read_text())
    assert (code, named["task"]) == (0, "regression")
    assert {**named, "run": None} == {**alone, "run": None}
    capfd.readouterr()
    for label, said in {
        "price=cost,costs=sort": "-output costs: the model has no such output, but kind (None, 3)",
        "price=cost,tags=new,lift": "the output tags: -labelIndex names 2 columns, but the model",
        "price=cost,kind=3": "-labelIndex names column 3 more than once",
        "price=cost,kind=rooms": "-labelIndex kind rooms: the header of",
    }.items():
        assert run(*words, "-labelIndex", label)[0] == 1
        assert said in capfd.readouterr().err
