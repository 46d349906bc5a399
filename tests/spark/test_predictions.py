"""Predictions written by real workers, held against Keras in one process."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from in_process import InProcessSession
from sklearn import datasets

from irisspark.data.dataset import Dataset, open_dataset
from irisspark.data.scanning import ScanPlan
from irisspark.data.splits import TaskSplits, cut, deal
from irisspark.errors import DataError, IrissparkError, ModelError
from irisspark.evaluation import predictions
from irisspark.evaluation.evaluating import EvaluationResult, evaluate
from irisspark.evaluation.predictions import PredictionResult
from irisspark.evaluation.worker import counting
from irisspark.model import loading
from irisspark.model.loading import LoadedModel
from irisspark.options import Options, parse
from irisspark.report import prediction_report
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.imports import import_tensorflow
from irisspark.startup.session import Session
from irisspark.storage.location import locate
from irisspark.storage.publishing import open_publication

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def here() -> InProcessSession:
    """A session whose tasks run in this process."""
    import_tensorflow()
    return InProcessSession()


NAMES = ("setosa", "versicolor", "virginica")


def save_model(path: Path, units: int = 3, activation: str | None = "softmax", loss=None) -> Path:
    import keras

    keras.utils.set_random_seed(5)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(units)]
    model = keras.Sequential([*layers, keras.layers.Activation(activation or "linear")])
    if loss is not None:
        model.compile(loss=loss)
    model.save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "iris.keras")


@pytest.fixture(scope="module")
def iris() -> pd.DataFrame:
    data = datasets.load_iris(as_frame=True)
    table = data.data.round(2)
    table.insert(0, "id", [f"{i:03}" for i in range(150)])
    table["species"] = [NAMES[i] for i in data.target]
    return table


def keras_output(model: Path, table: pd.DataFrame) -> np.ndarray:
    import keras

    features = table.iloc[:, 1:5].to_numpy("float32")
    return keras.models.load_model(model).predict(features, verbose=0)


class Regrouped(Dataset):
    """Data cut into ``num_tasks`` tasks, some of them empty."""

    num_tasks = 1

    def tasks(self, parallelism: int) -> list[TaskSplits]:
        splits = cut(self.files, max(self.num_bytes / self.num_tasks, 1))
        return [TaskSplits(i, g) for i, g in enumerate(deal(splits, self.num_tasks))]


def regrouped(dataset: Dataset, num_tasks: int) -> Dataset:
    fields = {f.name: getattr(dataset, f.name) for f in dataclasses.fields(dataset)}
    made = Regrouped(**fields)
    object.__setattr__(made, "num_tasks", num_tasks)
    return made


def run(
    spark: Session, out: Path, model: Path, data: str, *more: str, num_tasks: int | None = None
) -> EvaluationResult | PredictionResult:
    """Do what the command line does between opening the session and the report."""
    options = parse(["-modelPath", str(model), "-dataPath", data, "-predictions", "true",
                     "-outputPath", str(out), *more])  # fmt: skip
    model = loading.load(options.model_path)
    dataset = open_dataset(spark, data_settings(options), model.spec)
    if num_tasks is not None:
        dataset = regrouped(dataset, num_tasks)
    return predict_into(spark, model, dataset, options)


def predict_into(
    spark: Session, model: LoadedModel, dataset: Dataset, options: Options
) -> EvaluationResult | PredictionResult:
    staging = open_publication(
        str(options.output_path), locate(str(options.output_path)), overwrite=False
    )
    try:
        plan = predictions.prepare(spark, model.spec, dataset, str(options.output_path), staging)
        way = predictions.predict if dataset.columns.label is None else evaluate
        result = way(spark, model, dataset, evaluate_settings(options), plan)
        predictions.commit(staging, result.prediction_files)
        files = {}
        if isinstance(result, PredictionResult):
            files = prediction_report.files(result, prediction_report.document(result, run={}))
        staging.publish(files)
        return result
    finally:
        staging.discard()


@pytest.fixture
def iris_csv(iris, tmp_path) -> str:
    path = tmp_path / "iris.csv"
    iris.to_csv(path, index=False)
    return str(path)


IRIS = ("-header", "true", "-labelIndex", "species", "-keepColumns", "id")


def test_every_row_is_there_with_its_id_label_and_probabilities(
    spark, model, iris, iris_csv, tmp_path
):
    out = tmp_path / "out"
    result = run(spark, out, model, iris_csv, *IRIS, num_tasks=3)
    table = pd.read_parquet(out / "predictions")
    probabilities = [f"probability_{name}" for name in NAMES]
    assert list(table) == ["id", "label", "prediction", *probabilities, "file", "offset"]
    assert table["id"].tolist() == iris["id"].tolist()
    assert table["label"].tolist() == iris["species"].tolist()
    expected = keras_output(model, iris)
    np.testing.assert_allclose(table[probabilities], expected, rtol=1e-5, atol=1e-7)
    assert table["prediction"].tolist() == [NAMES[i] for i in expected.argmax(axis=1)]
    assert set(table["file"]) == {iris_csv}
    text = Path(iris_csv).read_bytes()
    ids = [text[offset:][:3].decode() for offset in table["offset"]]
    assert ids == iris["id"].tolist()
    accuracy = (table["label"] == table["prediction"]).mean()
    assert accuracy == pytest.approx(result.scores.accuracy, abs=1e-12)
    assert sorted(p.name for p in (out / "predictions").iterdir()) == [
        "_SUCCESS", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"
    ]  # fmt: skip


def test_spark_reads_the_predictions(spark, model, iris, iris_csv, tmp_path):
    from pyspark.sql import SparkSession

    out = tmp_path / "out"
    run(spark, out, model, iris_csv, *IRIS, num_tasks=2)
    frame = SparkSession(spark.context).read.parquet(str(out / "predictions"))
    assert dict(frame.dtypes) == {
        "id": "string", "label": "string", "prediction": "string", "probability_setosa": "float",
        "probability_versicolor": "float", "probability_virginica": "float", "file": "string",
        "offset": "bigint",
    }  # fmt: skip
    rows = frame.orderBy("file", "offset").select("id").collect()
    assert [row.id for row in rows] == iris["id"].tolist()


def test_any_partitioning_gives_the_same_bits(spark, model, iris_csv, tmp_path):
    run(spark, tmp_path / "whole", model, iris_csv, *IRIS, num_tasks=1)
    whole = pd.read_parquet(tmp_path / "whole" / "predictions")
    run(spark, tmp_path / "parts", model, iris_csv, *IRIS, num_tasks=7)
    parts = pd.read_parquet(tmp_path / "parts" / "predictions")
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)


def test_without_a_label_the_run_only_predicts(here, model, iris, tmp_path):
    data, out = tmp_path / "new.csv", tmp_path / "out"
    iris.drop(columns="species").to_csv(data, index=False, header=False)
    result = run(here, out, model, str(data), "-labelIndex", "none", "-keepColumns", "0")
    assert isinstance(result, PredictionResult)
    table = pd.read_parquet(out / "predictions")
    probabilities = [f"probability_{i}" for i in range(3)]
    assert list(table) == ["column_0", "prediction", *probabilities, "file", "offset"]
    expected = keras_output(model, iris)
    np.testing.assert_allclose(table[probabilities], expected, rtol=1e-5, atol=1e-7)
    assert table["prediction"].tolist() == expected.argmax(axis=1).tolist()
    content = json.loads((out / "metrics.json").read_text())
    counts = np.bincount(expected.argmax(axis=1), minlength=3).tolist()
    assert content["rows"] == 150
    assert list(content["num_predicted"].values()) == counts
    assert (out / "report.txt").read_text().startswith("\n150 rows predicted:\n")
    assert not (out / "confusion_matrix.csv").exists()


def test_class_names_that_are_numbers_stay_numbers(here, model, iris, tmp_path):
    data, out = tmp_path / "a.csv", tmp_path / "out"
    iris.assign(species=[NAMES.index(s) + 1 for s in iris["species"]]).to_csv(
        data, index=False, header=False
    )
    run(here, out, model, str(data), "-keepColumns", "0", "-classNames", "1,2,3")
    table = pd.read_parquet(out / "predictions")
    assert table["label"].tolist() == [1] * 50 + [2] * 50 + [3] * 50
    assert (table["prediction"] == keras_output(model, iris).argmax(axis=1) + 1).all()


def test_bad_rows_are_left_out_and_shift_nothing(here, model, iris, tmp_path):
    data, out = tmp_path / "a.csv", tmp_path / "out"
    lines = iris.to_csv(index=False).splitlines()
    for at in (1, 60, 61, 150):
        lines[at] = lines[at].replace(",", ",oops", 1)
    lines[100] = "stray"
    data.write_text("\n".join(lines))
    result = run(here, out, model, str(data), *IRIS, "-badRows", "skip", num_tasks=5)
    assert result.bad.counts == {"not a number": 4, "wrong number of columns": 1}
    table = pd.read_parquet(out / "predictions")
    kept = iris.drop(index=[0, 59, 60, 99, 149])
    assert table["id"].tolist() == kept["id"].tolist()
    np.testing.assert_allclose(
        table["probability_setosa"], keras_output(model, kept)[:, 0], rtol=1e-5, atol=1e-7
    )


def test_first_bad_row_leaves_nothing_behind(here, model, iris_csv, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    Path(iris_csv).write_text(Path(iris_csv).read_text() + "150,oops,1,1,1,setosa\n")
    with pytest.raises(DataError, match=r"line 152.*'oops' is not a number"):
        run(here, folder / "out", model, iris_csv, *IRIS, num_tasks=4)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("units", "activation", "loss", "columns"),
    [
        (3, "sigmoid", None, ["score_0", "score_1", "score_2"]),
        (3, "linear", "mean_squared_error", ["score_0", "score_1", "score_2"]),
        (1, "tanh", "hinge", ["score_1"]),
        (1, "sigmoid", "binary_crossentropy", ["probability_0", "probability_1"]),
    ],
)
def test_scores_are_the_models_own_where_they_are_no_probabilities(
    here, iris, tmp_path, units, activation, loss, columns
):
    model = save_model(tmp_path / "m.keras", units, activation, loss)
    data, out = tmp_path / "a.csv", tmp_path / "out"
    iris.drop(columns="species").to_csv(data, index=False)
    run(here, out, model, str(data), "-labelIndex", "none", "-header", "true",
        "-featureIndices", "1-4")  # fmt: skip
    table = pd.read_parquet(out / "predictions")
    assert [name for name in table if name.startswith(("score", "prob"))] == columns
    expected = keras_output(model, iris)
    np.testing.assert_allclose(
        table[columns].to_numpy()[:, -units:], expected, rtol=1e-5, atol=1e-6
    )


def test_logits_become_probabilities(here, iris, tmp_path):
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = save_model(tmp_path / "m.keras", 3, "linear", loss)
    data, out = tmp_path / "a.csv", tmp_path / "out"
    iris.drop(columns="species").to_csv(data, index=False, header=False)
    run(here, out, model, str(data), "-labelIndex", "none", "-keepColumns", "0")
    table = pd.read_parquet(out / "predictions")
    logits = keras_output(model, iris).astype("float64")
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table.filter(like="probability_"), expected, rtol=1e-4)


def test_kept_columns_with_names_of_ours_are_told_apart(here, model, iris, tmp_path):
    data, out = tmp_path / "a.csv", tmp_path / "out"
    table = iris.assign(Label="x", file="y", ID="z", prediction="p", empty="e")
    table.columns = [*table.columns[:-1], ""]
    table.to_csv(data, index=False)
    run(here, out, model, str(data), "-header", "true", "-labelIndex", "species",
        "-keepColumns", "0,Label,file,ID,prediction,10")  # fmt: skip
    read = pd.read_parquet(out / "predictions")
    kept = ["id", "kept_Label", "kept_file", "ID_2", "kept_prediction", "column_10"]
    assert list(read)[:6] == kept
    assert read[kept].iloc[0].tolist() == ["000", "x", "y", "z", "p", "e"]
    names = [name.lower() for name in read]
    assert len(set(names)) == len(names)  # Spark takes A for a


@pytest.mark.parametrize(
    ("activation", "weight"), [("softmax", np.nan), (None, np.inf)], ids=["nan", "infinite"]
)
def test_predictions_that_are_no_numbers_are_an_error_without_labels_too(
    here, iris, tmp_path, activation, weight
):
    import keras

    path = save_model(tmp_path / "m.keras", activation=activation)
    network = keras.models.load_model(path)
    network.set_weights([np.full_like(weights, weight) for weights in network.get_weights()])
    network.save(path)
    data = tmp_path / "a.csv"
    iris.drop(columns="species").to_csv(data, index=False, header=False)
    with pytest.raises(ModelError, match="not a number for 150 rows"):
        run(here, tmp_path / "out", path, str(data), "-labelIndex", "none", "-keepColumns", "0")
    assert not (tmp_path / "out").exists()


@pytest.fixture(params=[3])
def by_hand(request, here, model, iris_csv, tmp_path):
    """What a worker is handed, to run attempts of a task by hand."""
    options = parse(["-modelPath", str(model), "-dataPath", iris_csv, "-predictions", "true",
                     "-outputPath", str(tmp_path / "out"), *IRIS])  # fmt: skip
    spec = loading.load(options.model_path).spec
    dataset = regrouped(open_dataset(here, data_settings(options), spec), request.param)
    staging = open_publication(
        str(options.output_path), locate(str(options.output_path)), overwrite=False
    )
    plan = predictions.prepare(here, spec, dataset, str(options.output_path), staging)
    scan = ScanPlan(dataset.reader, dataset.columns, predictions=plan)

    tasks = dataset.tasks(2)

    def attempt(index: int) -> counting.Outcome | None:
        one = tasks[index : index + 1]
        return next(counting.evaluate(iter(one), spec, scan, dataset.open_file), None)

    yield attempt, plan, staging
    staging.discard()


def test_retried_tasks_leave_no_duplicates(by_hand, iris, tmp_path):
    attempt, plan, staging = by_hand
    attempt(1)  # an attempt whose outcome was lost
    outcomes = [attempt(2), attempt(0), attempt(1)]  # in the order of arrival
    attempt(0)  # a speculative copy that came too late
    Path(plan.folder.path, "part-00002-dead.parquet").write_bytes(b"PAR1 half a file")
    total = outcomes[0] + outcomes[1] + outcomes[2]
    predictions.commit(staging, total.prediction_files)
    staging.publish({})
    table = pd.read_parquet(tmp_path / "out" / "predictions")
    assert table["id"].tolist() == iris["id"].tolist()
    assert not list((tmp_path / "out").rglob("*_temporary*"))


@pytest.mark.parametrize("by_hand", [400], indirect=True)
def test_more_tasks_than_rows_give_the_same_rows(by_hand, iris, model, tmp_path):
    attempt, _, staging = by_hand
    total = counting.Outcome()
    for index in reversed(range(400)):
        outcomes = attempt(index)
        total = outcomes + total if outcomes is not None else total
    predictions.commit(staging, total.prediction_files)
    staging.publish({})
    table = pd.read_parquet(tmp_path / "out" / "predictions")
    assert table["id"].tolist() == iris["id"].tolist()
    expected = keras_output(model, iris)
    np.testing.assert_allclose(table.filter(like="prob"), expected, rtol=1e-5, atol=1e-7)


def test_file_that_is_not_there_is_an_error(by_hand, tmp_path):
    attempt, plan, staging = by_hand
    outcome = attempt(0)
    Path(plan.folder.path, outcome.prediction_files[0].name).unlink()
    with pytest.raises(IrissparkError, match=r"predictions of task 0 are not in .*every worker"):
        predictions.commit(staging, outcome.prediction_files)
    assert plan.folder.exists


def test_folder_that_a_worker_does_not_see_is_an_error_without_a_trace(by_hand):
    attempt, plan, _ = by_hand
    Path(plan.folder.path).rmdir()
    outcome = attempt(0)
    assert outcome.prediction_files == ()
    ((_, _, message),) = outcome.failures
    assert "cannot write predictions" in message
    assert "every worker must see that folder" in message


def test_small_row_groups_hold_the_same_rows(by_hand, iris, tmp_path, monkeypatch):
    attempt, plan, _ = by_hand
    monkeypatch.setattr("irisspark.evaluation.worker.prediction_file._MAX_GROUP_ROWS", 5)
    monkeypatch.setattr("irisspark.evaluation.worker.prediction_file._MIN_GROUP_ROWS", 5)
    monkeypatch.setattr("irisspark.data.csv.csv_reader.BLOCK_BYTES", 100)
    for limit in ("MIN_BLOCK_ROWS", "MAX_BLOCK_ROWS"):  # a group is at least what is predicted
        monkeypatch.setattr(f"irisspark.model.spec.{limit}", 5)
    monkeypatch.setattr("irisspark.model.forward._BUILT", {})
    (part,) = attempt(0).prediction_files
    file = pq.ParquetFile(Path(plan.folder.path, part.name))
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert len(groups) > 3
    assert max(groups) <= 5
    table = file.read().to_pandas()
    assert len(table) == part.num_rows
    assert table["id"].tolist() == iris["id"].tolist()[: len(table)]
    assert sum(part.num_predicted) == part.num_rows


def test_local_folder_is_refused_where_workers_are_on_other_machines(tmp_path):
    class Remote(InProcessSession):
        @property
        def is_local(self) -> bool:
            return False

    remote = Remote()
    for path, is_shared in ((tmp_path / "out", False), ((tmp_path / "out").as_uri(), True)):
        if is_shared:
            predictions.check_reachable(remote, str(path))
            continue
        with pytest.raises(IrissparkError, match="write -outputPath file:///"):
            predictions.check_reachable(remote, str(path))
