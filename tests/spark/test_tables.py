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


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    """Columns as those of Keras's structured-data example, made up."""
    rng = np.random.default_rng(11)
    table = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(300)],
            "age": rng.integers(29, 78, 300),
            "sex": rng.integers(0, 2, 300),
            "town": rng.integers(2**31 - 60, 2**31 - 50, 300),
            "oldpeak": rng.normal(1, 1, 300).round(4),
            "ca": rng.integers(0, 4, 300),
            "s1": rng.normal(0, 1, 300).round(5),
            "s2": rng.normal(0, 1, 300).round(5),
        }
    )
    table["target"] = ((table["age"] > 50) ^ (table["town"] % 2 == 0)).astype(int)
    return table


def heart_model(path: Path, table: pd.DataFrame, *, as_list: bool = False) -> Path:
    """Build a model of named inputs, whole numbers and others, one of them of two columns."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    inputs = {name: keras.Input((1,), name=name, dtype="int32") for name in ("age", "sex", "ca")}
    inputs["town"] = keras.Input((1,), name="town", dtype="int64")
    inputs["oldpeak"] = keras.Input((1,), name="oldpeak")
    inputs["signal"] = keras.Input((2,), name="signal")
    scale = layers.Normalization()
    scale.adapt(table[["oldpeak"]].to_numpy("float32"))
    towns = layers.IntegerLookup(vocabulary=sorted(set(table["town"])), output_mode="one_hot")
    years = layers.Discretization(bin_boundaries=[40, 50, 60], output_mode="one_hot")
    parts = [
        towns(inputs["town"]),
        years(inputs["age"]),
        layers.CategoryEncoding(2, output_mode="one_hot")(inputs["sex"]),
        layers.CategoryEncoding(4, output_mode="one_hot")(inputs["ca"]),
        scale(inputs["oldpeak"]),
        layers.Dense(3, "tanh")(inputs["signal"]),
    ]
    hidden = layers.Dense(8, "relu")(layers.concatenate(parts))
    output = layers.Dense(1, "sigmoid")(hidden)
    model = keras.Model([*inputs.values()] if as_list else inputs, output)
    model.compile("adam", "binary_crossentropy")
    model.save(path)
    return path


def fed(table: pd.DataFrame, names: dict[str, list[str]], dtypes: dict[str, str]) -> dict:
    return {name: table[of].to_numpy(dtypes.get(name, "float32")) for name, of in names.items()}


HEART = {name: [name] for name in ("age", "sex", "ca", "town", "oldpeak")} | {
    "signal": ["s1", "s2"]
}
HEART_DTYPES = {"age": "int32", "sex": "int32", "ca": "int32", "town": "int64"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_named_inputs_take_the_columns_of_their_names(run, patients, tmp_path, kind):
    import keras

    model_path = heart_model(tmp_path / "heart.keras", patients, as_list=kind == "csv")
    shuffled = patients[["s2", "town", "target", "oldpeak", "id", "ca", "age", "s1", "sex"]]
    data = tmp_path / f"a.{kind}"
    if kind == "csv":
        shuffled.to_csv(data, index=False)
    else:
        shuffled.to_parquet(data, row_group_size=70)
    code, metrics, predicted = run(
        "-modelPath", model_path, "-dataPath", data, "-header", "true", "-labelIndex", "target",
        "-inputs", "signal=s1,s2", "-keepColumns", "id", "-predictions", "true",
    )  # fmt: skip
    assert code == 0
    model = keras.models.load_model(model_path)
    features = fed(patients, HEART, HEART_DTYPES)
    if kind == "csv":
        features = [features[tensor.name] for tensor in model.inputs]
    output = model.predict(features, verbose=0, batch_size=300)[:, 0]
    assert len(np.unique(output.round(4))) > 100
    assert predicted["id"].tolist() == patients["id"].tolist()
    np.testing.assert_allclose(predicted["probability_1"], output, **TOLERANCE)
    loss = model.evaluate(features, patients["target"].to_numpy(), verbose=0)
    np.testing.assert_allclose(metrics["loss"], loss, **TOLERANCE)
    assert metrics["run"]["comparison"]["rows"] == 32


def test_one_column_may_feed_two_inputs_as_in_wide_and_deep(run, patients, tmp_path):
    import keras

    keras.utils.set_random_seed(5)
    wide, deep = keras.Input((3,), name="wide"), keras.Input((2,), name="deep")
    joined = keras.layers.concatenate([wide, keras.layers.Dense(5, "relu")(deep)])
    model = keras.Model([wide, deep], keras.layers.Dense(2, "softmax")(joined))
    model.save(tmp_path / "wide.keras")
    table = patients[["age", "oldpeak", "s1", "s2", "target"]]
    table.to_csv(tmp_path / "a.csv", index=False, header=False)
    code, _, predicted = run(
        "-modelPath", tmp_path / "wide.keras", "-dataPath", tmp_path / "a.csv",
        "-inputs", "deep=1,3,wide=0-2", "-predictions", "true", "-labelIndex", "none",
    )  # fmt: skip
    assert code == 0
    features = [table[names].to_numpy("float32") for names in (
        ["age", "oldpeak", "s1"], ["oldpeak", "s2"])]  # fmt: skip
    output = model.predict(features, verbose=0)
    np.testing.assert_allclose(predicted["probability_1"], output[:, 1], **TOLERANCE)


def test_the_inference_model_of_a_feature_space(run, patients, tmp_path):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(5)
    space = keras.utils.FeatureSpace(
        {"sex": "integer_categorical", "ca": "integer_categorical", "age": "float_discretized",
         "oldpeak": "float_normalized", "s1": "float"},
        crosses=[("sex", "ca")],
    )  # fmt: skip
    columns = dict(patients[["sex", "ca", "age", "oldpeak", "s1"]])
    space.adapt(tf.data.Dataset.from_tensor_slices(columns))
    inputs, encoded = space.get_inputs(), space.get_encoded_features()
    output = keras.layers.Dense(1, "sigmoid")(keras.layers.Dense(6, "relu")(encoded))
    model = keras.Model(inputs, output)
    model.save(tmp_path / "space.keras")
    patients.to_csv(tmp_path / "a.csv", index=False)
    code, _, predicted = run(
        "-modelPath", tmp_path / "space.keras", "-dataPath", tmp_path / "a.csv",
        "-header", "true", "-predictions", "true",
    )  # fmt: skip
    assert code == 0
    fed = {name: column.to_numpy().reshape(-1, 1) for name, column in columns.items()}
    output = model.predict(fed, verbose=0, batch_size=300)[:, 0]
    np.testing.assert_allclose(predicted["probability_1"], output, **TOLERANCE)


def test_what_the_columns_are_taken_for_is_shown(run, patients, tmp_path, capfd):
    model_path = heart_model(tmp_path / "heart.keras", patients)
    patients.to_csv(tmp_path / "a.csv", index=False)
    code, _, _ = run(
        "-modelPath", model_path, "-dataPath", tmp_path / "a.csv", "-header", "true",
        "-inputs", "signal=6-7", "-loadData", "false",
    )  # fmt: skip
    assert code == 0
    shown = capfd.readouterr().out
    assert '  input signal: "s1" (column 6), "s2" (column 7)\n' in shown
    assert '  left out: "id" (column 0)\n' in shown
    assert f"  town: int64 (1,)\n  [{patients['town'][0]}]\n" in shown


@pytest.mark.parametrize(
    ("words", "cell", "said"),
    [
        (("-inputs", "signal=6"), None, "-inputs signal: the input takes 2 columns, (2,) a row"),
        ((), None, "input 'signal' takes 2 columns, (2,) a row: name them with -inputs"),
        (("-inputs", "signal=6-7,years=1"), None, "-inputs years: the model has no such input"),
        (("-inputs", "signal=6-7,age=oops"), None, "-inputs age oops: the header of"),
        (("-inputs", "signal=6-7,age=0"), None, "the model's input 'age' takes numbers (int32)"),
        (("-inputs", "signal=6-7,ca=8"), None, "is both the label (-labelIndex) and a feature"),
        (("-inputs", "signal=6-7"), "4.5",
         "\"age\" (column 1): '4.5' is not a whole number that the model's input 'age' (int32)"),
        (("-inputs", "signal=6-7"), "3000000000", "the model's input 'age' (int32) holds"),
        (("-inputs", "signal=6-7", "-fillMissing", "0.5"), None,
         "-fillMissing 0.5: the model's input 'age' (int32) cannot hold it"),
    ],
)  # fmt: skip
def test_what_does_not_fit_an_input_is_named_with_it(
    run, patients, tmp_path, capfd, words, cell, said
):
    model_path = heart_model(tmp_path / "heart.keras", patients)
    table = patients.astype({"age": "object"})
    if cell is not None:
        table.loc[7, "age"] = cell
    table.to_csv(tmp_path / "a.csv", index=False)
    code, metrics, _ = run(
        "-modelPath", model_path, "-dataPath", tmp_path / "a.csv", "-header", "true", *words
    )
    assert (code, metrics) == (1, {})
    assert said in capfd.readouterr().err


@pytest.fixture(scope="module")
def visits(patients) -> pd.DataFrame:
    """Numbers beside texts: quoted, empty, beyond ASCII, words and whole sentences."""
    rng = np.random.default_rng(5)
    thal = rng.choice(["fixed", "normal", "reversible", "", "NA", "Zürich, Süd"], 300)
    words = rng.choice(["pain", "chest", "no", "mild", '"severe"', "ñ"], (300, 4))
    notes = [" ".join(row) for row in words]
    return patients[["age", "oldpeak", "target"]].assign(thal=thal, note=notes, town=thal[::-1])


@pytest.fixture(scope="module")
def text_model(tmp_path_factory, visits) -> Path:
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    inputs = {
        "note": keras.Input((1,), name="note", dtype="string"),
        "age": keras.Input((1,), name="age", dtype="int32"),
        "thal": keras.Input((1,), name="thal", dtype="string"),
        "oldpeak": keras.Input((1,), name="oldpeak"),
        "town": keras.Input((1,), name="town", dtype="string"),
    }
    words = layers.TextVectorization(max_tokens=20, output_mode="multi_hot")
    words.adapt(visits["note"].to_numpy())
    looked_up = layers.StringLookup(output_mode="one_hot")
    # Keras cannot open a table again that was adapted to the empty text.
    looked_up.adapt(visits["thal"][visits["thal"] != ""].to_numpy())
    scale = layers.Normalization()
    scale.adapt(visits[["oldpeak"]].to_numpy("float32"))
    parts = [
        layers.Flatten()(words(inputs["note"])),
        layers.Discretization(bin_boundaries=[40, 50, 60], output_mode="one_hot")(inputs["age"]),
        looked_up(inputs["thal"]),
        scale(inputs["oldpeak"]),
        layers.Hashing(7, output_mode="one_hot")(inputs["town"]),
    ]
    hidden = layers.Dense(8, "relu")(layers.concatenate(parts))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    path = tmp_path_factory.mktemp("text") / "visits.keras"
    model.save(path)
    return path


def text_features(table: pd.DataFrame) -> dict:
    import tensorflow as tf

    dtypes = {"age": "int32", "oldpeak": "float32"}
    return {
        name: tf.constant(table[[name]].to_numpy(dtypes.get(name, object)).tolist(),
                          dtypes.get(name, "string"))
        for name in ("note", "age", "thal", "oldpeak", "town")
    }  # fmt: skip


def text_output(path: Path, table: pd.DataFrame) -> np.ndarray:
    import keras

    model = keras.models.load_model(path)
    return model(text_features(table), training=False).numpy()[:, 0]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("block", [4 << 20, 900])
def test_texts_go_to_lookups_hashing_and_vectorization_as_they_stand(
    run, visits, text_model, tmp_path, kind, block, monkeypatch
):
    monkeypatch.setattr("irisspark.data.csv.csv_reader.BLOCK_BYTES", block)
    data = tmp_path / f"a.{kind}"
    table = visits.astype({"age": "object"})
    if kind == "csv":
        table.loc[9, "age"] = "oops"  # a closer look gives the same texts
        table.to_csv(data, index=False)
    else:
        visits.assign(thal=visits["thal"].replace("", None)).to_parquet(data, row_group_size=99)
    code, metrics, predicted = run(
        "-modelPath", text_model, "-dataPath", data, "-header", "true", "-labelIndex", "target",
        "-badRows", "skip", "-predictions", "true",
    )  # fmt: skip
    assert code == 0
    expected = text_output(text_model, visits)
    if kind == "csv":
        expected = np.delete(expected, 9)
        assert metrics["bad_rows"]["by_reason"] == {"not a number": 1}
    np.testing.assert_allclose(predicted["probability_1"], expected, **TOLERANCE)
    assert metrics["run"]["comparison"]["rows"] == 32


def test_a_named_missing_text_is_the_empty_text(run, visits, text_model, tmp_path, capfd):
    visits.to_csv(tmp_path / "a.csv", index=False)
    words = ("-modelPath", text_model, "-dataPath", tmp_path / "a.csv", "-header", "true")
    words = (*words, "-labelIndex", "target", "-missing", "NA,fixed")
    _, _, predicted = run(*words, "-predictions", "true")
    blanked = visits.replace({"thal": {"NA": "", "fixed": ""}, "town": {"NA": "", "fixed": ""}})
    expected = text_output(text_model, blanked)
    np.testing.assert_allclose(predicted["probability_1"], expected, **TOLERANCE)
    assert run(*words, "-loadData", "false")[0] == 0
    assert f"  note: string (1,)\n  ['{visits['note'][0]}']\n" in capfd.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_feature_space_takes_text_columns(run, visits, tmp_path, kind):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(5)
    feature, vocabulary = keras.utils.FeatureSpace, visits["thal"] != ""
    space = feature(
        {
            "thal": feature.string_categorical(num_oov_indices=1),
            "town": feature.string_hashed(num_bins=9),
            "age": feature.integer_categorical(num_oov_indices=1),
            "oldpeak": feature.float_normalized(),
        },
        crosses=[feature.cross(("thal", "age"), crossing_dim=16)],
    )
    names = ["thal", "town", "age", "oldpeak"]
    known = visits[vocabulary]  # Keras cannot open a table again that holds the empty text
    space.adapt(tf.data.Dataset.from_tensor_slices(dict(known[names])))
    encoded = space.get_encoded_features()
    output = keras.layers.Dense(1, "sigmoid")(keras.layers.Dense(6, "relu")(encoded))
    model = keras.Model(space.get_inputs(), output)
    model.compile("adam", "binary_crossentropy")
    model.save(tmp_path / "space.keras")
    data = tmp_path / f"a.{kind}"
    visits.to_csv(data, index=False) if kind == "csv" else visits.to_parquet(data)
    code, metrics, predicted = run(
        "-modelPath", tmp_path / "space.keras", "-dataPath", data, "-header", "true",
        "-labelIndex", "target", "-predictions", "true",
    )  # fmt: skip
    assert code == 0
    fed = {name: tf.constant(visits[[name]].to_numpy().tolist()) for name in names}
    expected = model(fed, training=False).numpy()[:, 0]
    np.testing.assert_allclose(predicted["probability_1"], expected, **TOLERANCE)
    own = -np.log(np.where(visits["target"] == 1, expected, 1 - expected).astype("float64"))
    assert metrics["loss"] == pytest.approx(own.mean(), rel=1e-6)


def test_bytes_that_are_no_text_make_a_bad_row(run, visits, text_model, tmp_path, capfd):
    data = (
        visits.to_csv(index=False)
        .encode()
        .replace("Zürich".encode(), "Z\xfcrich".encode("latin1"), 1)
    )
    (tmp_path / "a.csv").write_bytes(data)
    code, _, _ = run("-modelPath", text_model, "-dataPath", tmp_path / "a.csv", "-header", "true",
                     "-labelIndex", "target")  # fmt: skip
    assert code == 1
    assert "not UTF-8" in capfd.readouterr().err


def test_one_input_of_text_alone(run, visits, tmp_path):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(5)
    words = keras.layers.TextVectorization(output_mode="multi_hot", max_tokens=20)
    words.adapt(visits["note"].to_numpy())
    model = keras.Sequential(
        [keras.Input((), dtype="string", name="note"), words, keras.layers.Dense(2, "softmax")]
    )
    model.save(tmp_path / "note.keras")
    notes = visits[["note", "target"]]
    notes.to_csv(tmp_path / "a.csv", index=False, header=False)
    code, metrics, predicted = run(
        "-modelPath", tmp_path / "note.keras", "-dataPath", tmp_path / "a.csv",
        "-inputs", "note=0", "-predictions", "true",
    )  # fmt: skip
    assert (code, metrics["rows"]) == (0, 300)
    expected = model(tf.constant(notes["note"].tolist())).numpy()
    np.testing.assert_allclose(predicted["probability_1"], expected[:, 1], **TOLERANCE)


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_one_of_several_outputs_is_evaluated_with_its_own_labels(
    run, patients, tmp_path, capfd, kind
):
    import keras

    keras.utils.set_random_seed(5)
    taken = keras.Input((2,))
    hidden = keras.layers.Dense(8, "relu")(taken)
    outputs = [
        keras.layers.Dense(1, name="price")(hidden),
        keras.layers.Dense(1, "sigmoid", name="sold")(hidden),
    ]
    names = ["price", "sold"]
    model = keras.Model(
        taken, dict(zip(names, outputs, strict=True)) if kind == "dict" else outputs
    )
    losses, weights = ["mse", "binary_crossentropy"], [0.5, 2.0]
    by_name = dict(zip(names, losses, strict=True)) if kind == "dict" else losses
    model.compile("adam", by_name, loss_weights=weights if kind == "list" else None)
    model.save(tmp_path / "two.keras")
    table = patients[["s1", "s2", "oldpeak", "target"]]
    table.to_csv(tmp_path / "a.csv", index=False)
    features = table[["s1", "s2"]].to_numpy("float32")
    for name, label, loss in zip(names, ("oldpeak", "target"), losses, strict=True):
        words = ("-modelPath", tmp_path / "two.keras", "-dataPath", tmp_path / "a.csv",
                 "-header", "true", "-featureIndices", "0-1")  # fmt: skip
        code, metrics, predicted = run(
            *words, "-output", name, "-labelIndex", label, "-predictions", "true"
        )
        alone = keras.Model(taken, outputs[names.index(name)])
        alone.compile(loss=loss)
        wanted = alone.evaluate(features, table[label], verbose=0)
        assert (code, metrics["loss"]) == (0, pytest.approx(wanted, rel=1e-6))
        column = "prediction" if name == "price" else "probability_1"
        given = alone.predict(features, verbose=0)[:, 0]
        np.testing.assert_allclose(predicted[column], given, **TOLERANCE)
    assert run(*words)[0] == run(*words, "-output", "costs")[0] == 1
    said = capfd.readouterr().err
    assert "the model has 2 outputs (price (None, 1), sold (None, 1)): pass -output NAME" in said
    assert "-output costs: the model has no such output, but price" in said


@pytest.mark.parametrize("first", ["1,0", "?"])
def test_classes_with_a_decimal_comma_are_the_numbers_that_they_are(run, patients, tmp_path, first):
    import keras

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "two.keras")
    table = patients[["s1", "s2"]].assign(target=patients["target"] * 1.0)
    table.loc[0, "target"] = 1.0
    table.to_csv(tmp_path / "a.csv", index=False, header=False, sep=";", decimal=",")
    text = (tmp_path / "a.csv").read_text().splitlines()
    text[0] = text[0].rpartition(";")[0] + f";{first}"
    (tmp_path / "a.csv").write_text("\n".join(text))
    code, metrics, _ = run(
        "-modelPath", tmp_path / "two.keras", "-dataPath", tmp_path / "a.csv",
        "-delimiter", ";", "-decimal", ",", "-badRows", "skip",
    )  # fmt: skip
    kept = table if first == "1,0" else table[1:]
    loss, accuracy = model.evaluate(
        kept[["s1", "s2"]].to_numpy("float32"), kept["target"], verbose=0
    )
    assert (code, metrics["class_names"], metrics["rows"]) == (0, ["0", "1"], len(kept))
    assert (metrics["loss"], metrics["accuracy"]) == pytest.approx((loss, accuracy), rel=1e-6)
