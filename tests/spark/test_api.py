"""irisspark in a program with a live session, against Keras alone."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import irisspark
from irisspark.errors import DataError, IrissparkError, ModelError, OptionsError
from irisspark.startup.session import Session

IRIS = Path(irisspark.__file__).parent / "samples" / "iris.txt"


def iris() -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(IRIS, delimiter=",")
    return table[:, :4], table[:, 4].astype(int)


@pytest.fixture(scope="module")
def network() -> Any:
    """A model that was never saved, trained a little."""
    import keras

    keras.utils.set_random_seed(3)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*iris(), epochs=15, batch_size=5, verbose=0)
    return model


def state_of_the_process(spark: Session) -> dict[str, Any]:

    import keras

    context = spark.context
    return {
        "environ": dict(os.environ),
        "path": list(sys.path),
        "signal": signal.getsignal(signal.SIGINT),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "floatx": keras.config.floatx(),
        "conf": sorted(context.getConf().getAll()),
        "properties": context.getLocalProperty("spark.job.description"),
        "modules": {name for name, module in sys.modules.items() if module is None},
        "cwd": os.getcwd(),
    }


def test_evaluation_in_a_session_is_that_of_keras(
    spark: Session, network: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    features, labels = iris()
    weights = [value.copy() for value in network.get_weights()]
    irisspark.evaluate(spark.context, network, str(IRIS), label=4)
    before = state_of_the_process(spark)
    capfd.readouterr()
    started = time.perf_counter()
    result = irisspark.evaluate(spark.context, network, str(IRIS), label=4)
    seconds = time.perf_counter() - started
    assert capfd.readouterr() == ("", "")
    assert state_of_the_process(spark) == before
    assert seconds < 10  # half a second on a machine that is idle
    loss, accuracy = network.evaluate(features, labels, batch_size=150, verbose=0)
    assert result.accuracy == pytest.approx(accuracy)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    predicted = network.predict(features, verbose=0).argmax(axis=1)
    for true in range(3):
        counts = np.bincount(predicted[labels == true], minlength=3)
        assert result.confusion_matrix[true].tolist() == counts.tolist()
    assert result.to_pandas()["support"].tolist() == [50, 50, 50]
    assert " # of classes:    3\n" in repr(result)
    assert all(map(np.array_equal, weights, network.get_weights()))


def test_notebook_shows_the_report_in_a_frame(spark: Session, network: Any, tmp_path: Path) -> None:
    result = irisspark.evaluate(
        spark.context, network, str(IRIS), label=-1, require="accuracy>=1", progress=False
    )
    shown = result._repr_html_()
    assert shown is not None
    assert shown.startswith("<iframe ")
    assert 'sandbox="allow-scripts"' in shown
    assert shown.count('"') == shown.split("srcdoc")[0].count('"') + 2
    assert len(result.unmet) == 1
    result.save(str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "confusion_matrix.csv",
        "metrics.json",
        "report.html",
        "report.txt",
    ]


def test_training_gives_a_model_and_leaves_the_callers(spark: Session, network: Any) -> None:
    weights = [value.copy() for value in network.get_weights()]
    np.random.seed(1)
    drawn = np.random.get_state()[1].tolist()
    trained = irisspark.train(
        spark.context, network, str(IRIS), label=4, epochs=2, workers=2, batch_size_per_worker=5
    )
    assert np.random.get_state()[1].tolist() == drawn
    assert all(map(np.array_equal, weights, network.get_weights()))
    assert len(trained.history["loss"]) == 2
    features, labels = iris()
    loss, accuracy = trained.model.evaluate(features, labels, batch_size=150, verbose=0)[:2]
    assert trained.accuracy == pytest.approx(accuracy)
    assert trained.loss == pytest.approx(loss, rel=1e-5)
    trained.model.fit(features, labels, epochs=1, verbose=0)


def test_training_joins_the_active_run_of_mlflow(
    spark: Session, network: Any, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.keras

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    mlflow.set_experiment("notebook")
    data, told = str(IRIS), {"label": 4, "mlflow": "another"}
    with mlflow.start_run() as run:
        mlflow.log_param("epochs", "mine")
        trained = irisspark.train(spark.context, network, data, epochs=2, workers=2, **told)
        assert mlflow.active_run().info.run_id == run.info.run_id
    page = f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert trained.notes[-2:] == (
        f"the run is in MLflow: {mlflow_server}{page}",
        "  parameters that it had already stay as they were: epochs",
    )
    client = mlflow.MlflowClient()
    found = client.get_run(run.info.run_id)
    assert (found.info.status, found.data.params["epochs"]) == ("FINISHED", "mine")
    assert found.data.params["workers"] == "2"
    assert found.data.metrics["accuracy"] == trained.accuracy
    losses = client.get_metric_history(run.info.run_id, "epoch/loss")
    assert [(one.step, one.value) for one in losses] == list(enumerate(trained.history["loss"], 1))
    (model,) = client.search_logged_models([run.info.experiment_id])
    info = mlflow.models.get_model_info(model.model_uri)
    assert info.signature.inputs.to_dict()[0]["tensor-spec"]["shape"] == (-1, 4)
    required = mlflow.pyfunc.get_model_dependencies(model.model_uri)
    assert re.findall("^(.*?)==", Path(required).read_text(), re.MULTILINE) == [
        *("mlflow", "keras", "tensorflow", "numpy")
    ]
    learned = mlflow.keras.load_model(model.model_uri)
    rows = iris()[0]
    np.testing.assert_array_equal(
        learned.predict(rows, verbose=0), trained.model.predict(rows, verbose=0)
    )
    with pytest.raises(OptionsError, match="mlflow: a prediction is lazy"):
        irisspark.predict(spark.context, network, None, mlflow="iris")


def test_two_threads_evaluate_at_once(spark: Session, network: Any) -> None:
    found: list[float] = []

    def run() -> None:
        found.append(irisspark.evaluate(spark.context, network, str(IRIS), label=4).accuracy)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    # Opening a model swaps Keras's initializers for a moment: two at once would leave them swapped.
    import keras

    kernel = keras.layers.Dense(3)
    kernel.build((None, 4))
    assert np.unique(kernel.kernel.numpy()).size == 12


@pytest.fixture(scope="module")
def frames(spark: Session) -> Any:
    """Iris as a DataFrame with an id, and the same as arrays and as vectors, ten rows of it bad."""
    from pyspark.ml.linalg import Vectors
    from pyspark.sql import SparkSession

    session = SparkSession(spark.context)
    features, _ = iris()
    names = ["sepal length", "b", "c", "d"]
    rows = [(f"r{place}", *map(float, row)) for place, row in enumerate(features)]
    holes = [row if place % 15 else (*row[:2], None, *row[3:]) for place, row in enumerate(rows)]
    of_arrays = [(row[0], list(row[1:]), Vectors.dense(row[1:])) for row in rows]
    return {
        "columns": session.createDataFrame(rows, ["id", *names]).repartition(3),
        "holes": session.createDataFrame(holes, ["id", *names]),
        "arrays": session.createDataFrame(of_arrays, ["id", "array", "vector"]),
    }


@pytest.mark.parametrize(
    ("name", "features"), [("columns", None), ("arrays", ["array"]), ("arrays", ["vector"])]
)
def test_frame_is_predicted_as_keras_predicts_it(
    name: str, features: Any, frames: Any, spark: Session, network: Any
) -> None:
    session = frames[name].sparkSession
    scored = irisspark.predict(session, network, frames[name], keep=["id"], features=features)
    assert scored.columns == ["id", "prediction", *(f"probability_{n}" for n in range(3))]
    table = scored.toPandas().set_index("id")
    expected = network.predict(iris()[0], verbose=0)
    table = table.loc[[f"r{place}" for place in range(150)]]
    np.testing.assert_allclose(table.to_numpy()[:, 1:].astype(float), expected, atol=1e-6)
    assert table["prediction"].tolist() == expected.argmax(axis=1).tolist()


def test_rows_of_a_frame_that_cannot_be_predicted_get_nulls_or_end_it(
    frames: Any, network: Any
) -> None:
    session, data = frames["holes"].sparkSession, frames["holes"]
    names = ["setosa", "versicolor", "virginica"]
    told = {"keep": ["id"], "class_names": names}
    skipped = irisspark.predict(session, network, data, bad_rows="skip", **told).toPandas()
    bad = skipped[skipped["problem"].notna()]
    assert bad["id"].tolist() == [f"r{place}" for place in range(0, 150, 15)]
    assert set(bad["problem"]) == {
        "column 'b' is missing, not finite, or not as long as it should be"
    }
    assert bad["prediction"].isna().all()
    assert bad["probability_setosa"].isna().all()
    good = skipped[skipped["problem"].isna()]
    assert len(good) == 140
    assert set(good["prediction"]) <= set(names)
    with pytest.raises(Exception, match=r"column 'b' is missing.*bad_rows='skip'"):
        irisspark.predict(session, network, data, **told).collect()


def test_regression_predicts_a_frame_as_keras_does(frames: Any) -> None:
    import keras

    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    data = frames["columns"]
    scored = irisspark.predict(data.sparkSession, model, data, keep=["id"]).toPandas()
    found = scored.set_index("id").loc[[f"r{place}" for place in range(150)], "prediction"]
    np.testing.assert_allclose(found, model.predict(iris()[0], verbose=0)[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "cell", "said"),
    [
        ("float32", 3e38, "the model's prediction is not a number"),
        ("float32", 1e300, "column 'a' holds 1e+300, which the model's input (float32) cannot"),
        ("int32", 3.7, "column 'a' holds 3.7, which the model's input (int32) cannot hold"),
    ],
)
def test_row_without_a_number_has_no_prediction(
    spark: Session, dtype: str, cell: float, said: str
) -> None:
    import keras
    from pyspark.sql import SparkSession

    inputs = keras.Input((1,), dtype=dtype)
    doubled = keras.layers.Rescaling(2.0)(inputs)
    outputs = keras.layers.Dense(2, "softmax", kernel_initializer="ones")(doubled)
    session = SparkSession(spark.context)
    data = session.createDataFrame([(1.0,), (cell,)], ["a"]).coalesce(1)
    model = keras.Model(inputs, outputs)
    scored = irisspark.predict(session, model, data, bad_rows="skip").toPandas()
    assert scored["prediction"].notna().tolist() == [True, False]
    assert scored["probability_0"].notna().tolist() == [True, False]
    assert said in scored["problem"][1]
    with pytest.raises(Exception, match=re.escape(said)):
        irisspark.predict(session, model, data).collect()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"keep": ["nope"]}, "no column 'nope'; it has id, sepal length, b, c, d"),
        ({"keep": []}, "column 'id' is string: the model takes numbers"),
        ({"features": ["b", "c"]}, "takes 4 features"),
        ({"keep": ["id"], "class_names": ["a", "b"]}, "2 names, but the model has 3 classes"),
    ],
)
def test_columns_that_do_not_fit_are_refused_at_once(
    told: dict[str, Any], said: str, frames: Any, network: Any
) -> None:
    with pytest.raises(DataError) as caught:
        irisspark.predict(frames["columns"].sparkSession, network, frames["columns"], **told)
    assert said in str(caught.value)


class Connected:
    """What a session of Spark Connect calls itself."""


Connected.__module__ = "pyspark.sql.connect.session"


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"lable": 4}, OptionsError, "-lable '4': unknown option"),
        ({"epochs": 0}, OptionsError, "-epochs '0': expected a whole number, 1 or more"),
        ({"patience": 3}, OptionsError, "-patience 3: only with -train true"),
        ({"output_path": "x"}, OptionsError, "result.save(folder)"),
        ({"require": "acuracy:1"}, OptionsError, "did you mean accuracy"),
        ({"label": 9}, DataError, "9"),
        ({"num_classes": 5, "label": 4}, ModelError, "-numClasses 5"),
    ],
)
def test_errors_are_raised_in_the_words_of_the_command_line(
    options: dict[str, Any], kind: type[IrissparkError], said: str, spark: Session, network: Any
) -> None:
    with pytest.raises(kind) as caught:
        irisspark.evaluate(spark.context, network, str(IRIS), **options)
    assert said in str(caught.value)


def test_what_is_no_session_or_no_path_is_one_line(spark: Session, network: Any) -> None:
    with pytest.raises(IrissparkError, match="Spark Connect cannot run irisspark: use a classic"):
        irisspark.evaluate(Connected(), network, str(IRIS))
    with pytest.raises(IrissparkError, match="no SparkSession"):
        irisspark.evaluate(None, network, str(IRIS))
    with pytest.raises(OptionsError, match="the data is a ndarray"):
        irisspark.evaluate(spark.context, network, np.zeros(3))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        irisspark.evalute  # noqa: B018


_PROGRAM = """
import sys

sys.path.insert(0, sys.argv[1])  # of the driver alone
import irisspark
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
print(irisspark.evaluate(spark, sys.argv[2], sys.argv[3], label=4).accuracy)
importers = spark.sparkContext.parallelize([0], 1).map(
    lambda _: {type(importer).__name__ for importer in sys.path_importer_cache.values()}
)
print(*importers.first())
"""


def test_sources_reach_executors_that_do_not_have_them(network: Any, tmp_path: Path) -> None:
    network.save(tmp_path / "model.keras")
    words = [str(Path(irisspark.__file__).parents[1]), str(tmp_path / "model.keras"), str(IRIS)]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words],
        env=environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    features, labels = iris()
    _, accuracy = network.evaluate(features, labels, batch_size=150, verbose=0)
    first, importers = done.stdout.splitlines()
    assert float(first) == pytest.approx(accuracy)
    # A zipimporter would read its whole archive again before each task of the next call.
    assert "KeptArchive" in importers and "zipimporter" not in importers
    assert list(tmp_path.glob("*")) == [tmp_path / "model.keras"]


@pytest.fixture(scope="module")
def two_outputs() -> Any:
    """A model of iris's first two columns: a number, and two marks, each by itself."""
    import keras

    keras.utils.set_random_seed(3)
    taken = keras.Input((2,))
    hidden = keras.layers.Dense(6, "relu")(taken)
    outputs = {
        "width": keras.layers.Dense(1)(hidden),
        "marks": keras.layers.Dense(2, "sigmoid")(hidden),
    }
    model = keras.Model(taken, outputs)
    model.compile("sgd", {"width": "mse", "marks": "binary_crossentropy"})
    return model


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris's numbers, and whether a flower's petals are long and wide."""
    features, _ = iris()
    marks = features[:, 2:] > [3.0, 1.0]
    path = tmp_path_factory.mktemp("marked") / "marked.csv"
    header = "a,b,c,d,long,wide"
    table = np.hstack([features, marks])
    np.savetxt(path, table, "%g", ",", header=header, comments="")
    return path


def test_labels_and_outputs_are_named_by_lists_and_dictionaries(
    spark: Session, two_outputs: Any, marked: Path
) -> None:
    how = {"header": True, "features": ["a", "b"]}
    features, marks = iris()[0], np.loadtxt(marked, delimiter=",", skiprows=1)[:, 4:]
    given = {"width": features[:, 3], "marks": marks}
    # Keras's loss of an output is a mean over batches, however many rows a batch has.
    wanted = two_outputs.evaluate(
        features[:, :2], given, batch_size=150, verbose=0, return_dict=True
    )
    both = irisspark.evaluate(
        spark.context,
        two_outputs,
        str(marked),
        label={"width": "d", "marks": ["long", "wide"]},
        require="width.rmse<=100,marks.macro.f1>=1.01",
        **how,
    )
    assert both.loss == pytest.approx(wanted["loss"], rel=1e-5)
    assert both.content["outputs"]["width"]["loss"] == pytest.approx(wanted["width_loss"], rel=1e-5)
    assert [line.split()[0] for line in both.unmet] == ["marks.macro.f1"]
    assert both.to_pandas().index.tolist() == [("width", "d"), ("marks", "long"), ("marks", "wide")]
    one = irisspark.evaluate(
        spark.context, two_outputs, str(marked), label=["long", "wide"], output="marks", **how
    )
    assert one.loss == pytest.approx(wanted["marks_loss"], rel=1e-5)
    assert str(one) == str(both).partition("Output marks\n")[2]


def test_one_output_of_several_predicts_a_frame(frames: Any, two_outputs: Any) -> None:
    data, features = frames["columns"], ["sepal length", "b"]
    scored = irisspark.predict(
        data.sparkSession, two_outputs, data, features=features, keep=["id"], output="width"
    )
    table = scored.toPandas().set_index("id")
    expected = two_outputs.predict(iris()[0][:, :2], verbose=0)["width"][:, 0]
    found = table.loc[[f"r{place}" for place in range(150)], "prediction"]
    with pytest.raises(OptionsError, match="labels of several outputs are named in files alone"):
        irisspark.evaluate(data.sparkSession, two_outputs, data, label={"width": "c", "marks": "d"})
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_training_on_a_list_of_labels_is_that_of_keras(
    spark: Session, two_outputs: Any, marked: Path
) -> None:
    import keras

    model = keras.Model(two_outputs.inputs, two_outputs.output["marks"])
    model = keras.models.clone_model(model)
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    result = irisspark.train(
        spark.context, model, str(marked), label=["long", "wide"], header=True,
        features=["a", "b"], workers=1, shuffle=False, epochs=2, batch_size_per_worker=10,
    )  # fmt: skip
    marks = np.loadtxt(marked, delimiter=",", skiprows=1)[:, 4:]
    model.fit(iris()[0][:, :2], marks, batch_size=10, epochs=2, shuffle=False, verbose=0)
    for ours, kerass in zip(result.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, kerass, atol=1e-6)
