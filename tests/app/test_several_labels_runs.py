"""Several columns of labels, from the file to metrics.json and predictions, beside scikit-learn."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_driver import OneDriver
from sklearn import metrics
from test_metrics_schema import check_metrics

NUM_ROWS, NUM_FEATURES = 300, 5
FEATURES = [f"x{number}" for number in range(NUM_FEATURES)]
NUMBERS, MARKS, CLASSES = ["price", "sold", "kept"], ["red", "round", "new"], ["a", "b", "c"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Rows with numbers, marks and one-hot classes that depend on five features."""
    random = np.random.default_rng(4)
    features = random.normal(size=(NUM_ROWS, NUM_FEATURES)).astype("float32")
    hidden = features @ random.normal(size=(NUM_FEATURES, 3)) + random.normal(size=(NUM_ROWS, 3))
    numbers = hidden * [1, 30, 1] + [0, 5, 1e6]
    classes = np.eye(3, dtype=int)[hidden.argmax(axis=1)]
    table = pd.DataFrame(features, columns=FEATURES)
    table[NUMBERS] = numbers
    table[MARKS] = (hidden > [0, 0.5, -0.5]).astype(int)
    table[CLASSES] = classes
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    """A folder with rows.csv, rows.parquet and a model of each kind."""
    import keras

    folder = tmp_path_factory.mktemp("labels")
    table.to_csv(folder / "rows.csv", index=False, float_format="%.17g")
    table.to_parquet(folder / "rows.parquet", row_group_size=70)
    keras.utils.set_random_seed(2)
    for name, activation, loss, labels in (
        ("numbers", None, "mse", NUMBERS),
        ("marks", "sigmoid", "binary_crossentropy", MARKS),
        ("classes", "softmax", "categorical_crossentropy", CLASSES),
    ):
        layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(3, activation)]
        model = keras.Sequential([keras.Input((NUM_FEATURES,)), *layers])
        metric = {"numbers": "mae", "marks": "binary_accuracy"}.get(name, "accuracy")
        model.compile(keras.optimizers.Adam(0.01), loss, metrics=[metric])
        model.fit(table[FEATURES], table[labels], epochs=3, verbose=0)
        model.save(folder / f"{name}.keras")
    return folder


def run(one_driver: OneDriver, folder: Path, model: str, words: str, code: int = 0) -> str:
    argv = f"-modelPath {model}.keras -featureIndices 0-4 -header true {words}"
    if "-dataPath" not in words:
        argv += " -dataPath rows.csv"
    found, output = one_driver.run(argv.split(), folder)
    assert found == code, output
    return output


def metrics_of(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name / "metrics.json").read_text())
    check_metrics(content)
    return content


def opened(folder: Path, name: str) -> Any:
    import keras

    return keras.models.load_model(folder / f"{name}.keras")


@pytest.mark.parametrize("data", ["rows.csv", "rows.parquet"])
def test_numbers_in_several_columns_are_judged_as_by_scikit_learn(
    one_driver: OneDriver, folder: Path, table: pd.DataFrame, data: str
) -> None:
    words = f"-dataPath {data} -labelIndex 5-7 -outputPath numbers-{data} -predictions true"
    output = run(one_driver, folder, "numbers", words)
    assert "the task is a regression: 3 units" in output
    found = metrics_of(folder, f"numbers-{data}")
    model, labels = opened(folder, "numbers"), table[NUMBERS].to_numpy()
    loss = model.evaluate(table[FEATURES], table[NUMBERS], verbose=0)[0]
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    written = pd.read_parquet(folder / f"numbers-{data}" / "predictions")
    ours = written[[f"prediction_{name}" for name in NUMBERS]].to_numpy(dtype="float64")
    assert ours == pytest.approx(model.predict(table[FEATURES], verbose=0), rel=1e-5)
    assert (written[[f"label_{name}" for name in NUMBERS]].to_numpy() == labels).all()
    for name, score in {
        "mean_squared_error": metrics.mean_squared_error,
        "mean_absolute_error": metrics.mean_absolute_error,
        "root_mean_squared_error": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
        "explained_variance": metrics.explained_variance_score,
    }.items():
        each = score(labels, ours, multioutput="raw_values")
        of_columns = [found["per_column"][column][name] for column in NUMBERS]
        assert of_columns == pytest.approx(each, rel=1e-9), name
        assert found[name] == pytest.approx(score(labels, ours), rel=1e-9), name
    errors = np.abs(labels - ours)
    for place, column in enumerate(NUMBERS):
        one = found["per_column"][column]
        r = np.corrcoef(labels[:, place], ours[:, place])[0, 1]
        assert one["pearson_r"] == pytest.approx(r, rel=1e-9)
        worst = written.iloc[int(errors[:, place].argmax())]
        assert one["max_error"] == pytest.approx(errors[:, place].max(), rel=1e-9)
        position = "row" if data.endswith("parquet") else "offset"
        assert one["max_error_row"] == {"file": worst["file"], position: worst[position]}
    assert [line.split()[0] for line in output.splitlines()[-4:]] == ["Column", *NUMBERS]


def test_several_labels_are_judged_as_by_scikit_learn(
    one_driver: OneDriver, folder: Path, table: pd.DataFrame
) -> None:
    words = "-labelIndex red,round,new -outputPath marks -predictions true"
    output = run(one_driver, folder, "marks", words)
    assert "the task is several labels: 3 units with the activation sigmoid" in output
    found = metrics_of(folder, "marks")
    model, labels = opened(folder, "marks"), table[MARKS].to_numpy()
    loss = model.evaluate(table[FEATURES], table[MARKS], verbose=0)[0]
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    written = pd.read_parquet(folder / "marks" / "predictions")
    scores = written[[f"probability_{name}" for name in MARKS]].to_numpy()
    assert scores == pytest.approx(model.predict(table[FEATURES], verbose=0), rel=1e-5)
    assert (written[[f"label_{name}" for name in MARKS]].to_numpy() == labels).all()
    said = written[[f"prediction_{name}" for name in MARKS]].to_numpy()
    assert (said == (scores > 0.5)).all()
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(labels, said))
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(labels, said))
    for average in ("macro", "micro", "weighted", "samples"):
        p, r, f, _ = metrics.precision_recall_fscore_support(
            labels, said, average=average, zero_division=0
        )
        wanted = pytest.approx({"precision": p, "recall": r, "f1": f}, rel=1e-9)
        assert found[average] == wanted
    for name, score in {
        "roc_auc": metrics.roc_auc_score,
        "average_precision": metrics.average_precision_score,
    }.items():
        each = score(labels, scores, average=None)
        for label, value in zip(MARKS, each, strict=True):
            bound = found[name]["per_label_error_bound"][label]
            assert abs(found[name]["per_label"][label] - value) <= bound + 1e-9
        for average in ("macro", "micro", "weighted"):
            bound = found[name][f"{average}_error_bound"]
            assert (
                abs(found[name][average] - score(labels, scores, average=average)) <= bound + 1e-9
            )
    has_both = (labels.sum(axis=1) % len(MARKS)) > 0  # what scikit-learn has no value of, is NaN
    of_rows = metrics.roc_auc_score(labels[has_both], scores[has_both], average="samples")
    assert found["roc_auc"]["samples"] == pytest.approx(of_rows, rel=1e-9)
    has_some = labels.any(axis=1)
    of_rows = metrics.average_precision_score(labels[has_some], scores[has_some], average="samples")
    assert found["average_precision"]["samples"] == pytest.approx(of_rows, rel=1e-9)
    page = (folder / "marks" / "report.html").read_text()
    assert f"Subset accuracy<b>{metrics.accuracy_score(labels, said):.4f}</b>" in page
    assert page.count('<svg role="img"') == 2
    table = page[page.index('<h2 id="labels">') :]
    for place, label in enumerate(MARKS):
        f1 = metrics.f1_score(labels[:, place], said[:, place])
        row = table[table.index(f"<tr><td>{label}</td><td>") :].split("</tr>")[0]
        assert f"<td>{f1:.4f}</td>" in row
    title, first, *_ = output.splitlines()[-4:]
    assert title.split() == [
        *("Label", "Accuracy", "F1", "Precision", "Recall", "Total", "TP", "TN", "FP", "FN")
    ]
    tn, fp, fn, tp = metrics.confusion_matrix(labels[:, 0], said[:, 0]).ravel()
    assert first.split()[5:] == [str(count) for count in (NUM_ROWS, tp, tn, fp, fn)]


def test_one_hot_columns_are_the_classes(
    one_driver: OneDriver, folder: Path, table: pd.DataFrame
) -> None:
    output = run(one_driver, folder, "classes", "-labelIndex 11-13 -outputPath classes")
    assert "the classes are one-hot labels" in output
    found = metrics_of(folder, "classes")
    loss, accuracy = opened(folder, "classes").evaluate(table[FEATURES], table[CLASSES], verbose=0)
    assert found["class_names"] == CLASSES
    assert (found["loss"], found["accuracy"]) == pytest.approx((loss, accuracy), rel=1e-6)
    assert (folder / "classes" / "report.html").is_file()


def test_labels_that_are_none_make_bad_rows(
    one_driver: OneDriver, folder: Path, table: pd.DataFrame
) -> None:
    odd = table.astype({name: object for name in (*MARKS, *CLASSES)})
    odd.loc[3, "round"], odd.loc[5, "new"], odd.loc[7, "red"] = 2, "", "x"
    odd.loc[4, CLASSES], odd.loc[6, CLASSES] = [1, 1, 0], [0, 0, 0]
    odd.to_csv(folder / "odd.csv", index=False)
    words = "-dataPath odd.csv -labelIndex"
    output = run(one_driver, folder, "marks", f"{words} red,round,new", code=1)
    assert "odd.csv, line 5, \"round\" (column 9): the label '2' is neither 0 nor 1" in output
    run(one_driver, folder, "marks", f"{words} red,round,new -badRows skip -outputPath odd")
    reasons = {"neither 0 nor 1": 1, "missing": 1, "not a number": 1}
    assert metrics_of(folder, "odd")["bad_rows"]["by_reason"] == reasons
    output = run(one_driver, folder, "classes", f"{words} a,b,c", code=1)
    assert 'line 6, "a" (column 11): the label columns, one a class, do not hold' in output
    run(one_driver, folder, "classes", f"{words} a,b,c -badRows skip -outputPath odder")
    found = metrics_of(folder, "odder")["bad_rows"]["by_reason"]
    assert found == {"not one-hot": 2}


@pytest.mark.parametrize(
    ("name", "labels", "metric"),
    [
        ("numbers", NUMBERS, "mae"),
        ("marks", MARKS, "binary_accuracy"),
        ("classes", CLASSES, "accuracy"),
    ],
)
def test_training_with_one_worker_equals_fit(
    one_driver: OneDriver,
    folder: Path,
    table: pd.DataFrame,
    name: str,
    labels: list[str],
    metric: str,
) -> None:
    words = "-train true -epochs 2 -batchSizePerWorker 32 -workers 1 -shuffle false"
    words += f" -validationSplit 0.25 -labelIndex {','.join(labels)} -outputPath trained-{name}"
    run(one_driver, folder, name, words)
    fitted = opened(folder, name).fit(
        table[FEATURES], table[labels], 32, 2, shuffle=False, validation_split=0.25, verbose=0
    )
    with (folder / f"trained-{name}" / "history.csv").open() as lines:
        history = list(csv.DictReader(lines))
    for column in ("loss", metric, "val_loss", f"val_{metric}"):
        found = [float(row[column]) for row in history]
        assert found == pytest.approx(fitted.history[column], rel=1e-4), column


def test_what_does_not_fit_is_said_in_a_line(one_driver: OneDriver, folder: Path) -> None:
    def says(model: str, words: str, code: int = 1) -> str:
        return run(one_driver, folder, model, words, code)

    assert "names 2 columns, but the model puts out 3 numbers" in says("numbers", "-labelIndex 5,6")
    assert "names one column, but" in says("numbers", "-task regression -labelIndex 5")
    assert "take a sigmoid for each" in says("numbers", "-task labels -labelIndex 5-7")
    assert "labels are no classes" in says("marks", "-task labels -topN 2 -labelIndex 8-10", 2)
    words = "-require subset_accuracy>=0.99,hamming_loss<=1 -labelIndex 8-10"
    assert "-require: subset_accuracy is" in says("marks", words, 3)
    shown = says("numbers", "-labelIndex 5,7 -loadData false", 0)
    assert "the data was not matched to the model: -labelIndex names 2 columns" in shown
    shown = says("numbers", "-labelIndex 7,5-6 -loadData false", 0)
    assert 'labels: "kept" (column 7), "price" (column 5), "sold" (column 6)' in shown
    words = "-task labels -labelIndex none -predictions true -outputPath new"
    says("marks", words, 0)
    assert metrics_of(folder, "new")["task"] == "labels"
    words = "-labelIndex none -predictions true -outputPath newer"
    assert "-task regression predicts each by itself" in says("numbers", words, 0)


def test_training_on_text_with_one_worker_equals_fit(
    one_driver: OneDriver, folder: Path, table: pd.DataFrame
) -> None:
    import keras
    import tensorflow as tf

    towns = np.random.default_rng(1).choice(["Zürich, Süd", 'the "Hague"', "Rome"], NUM_ROWS)
    texts = table[["x0", "red"]].assign(town=towns)
    texts.to_csv(folder / "texts.csv", index=False)
    keras.utils.set_random_seed(3)
    taken = [keras.Input((1,), name="town", dtype="string"), keras.Input((1,), name="x0")]
    known = keras.layers.StringLookup(vocabulary=sorted(set(towns)), output_mode="one_hot")
    hidden = keras.layers.Dense(4, "tanh")(keras.layers.concatenate([known(taken[0]), taken[1]]))
    model = keras.Model(taken, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.save(folder / "texts.keras")
    argv = "-modelPath texts.keras -dataPath texts.csv -header true -labelIndex red -train true"
    argv += " -epochs 2 -batchSizePerWorker 32 -workers 1 -shuffle false -validationSplit 0.25"
    code, output = one_driver.run(f"{argv} -outputPath texts".split(), folder)
    assert code == 0, output
    features = [tf.constant(towns[:, None].tolist()), tf.constant(texts[["x0"]], "float32")]
    learned, held_out = slice(0, 225), slice(225, None)
    fitted = model.fit(
        [part[learned] for part in features],
        texts["red"][learned],
        32,
        2,
        shuffle=False,
        validation_data=([part[held_out] for part in features], texts["red"][held_out]),
        verbose=0,
    )
    with (folder / "texts" / "history.csv").open() as lines:
        history = list(csv.DictReader(lines))
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        found = [float(row[column]) for row in history]
        assert found == pytest.approx(fitted.history[column], rel=1e-4), column
    trained = keras.models.load_model(folder / "texts" / "model.keras")
    given = trained.predict(features, verbose=0)
    assert given == pytest.approx(model.predict(features, verbose=0), rel=1e-3, abs=1e-5)
