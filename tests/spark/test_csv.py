"""Files as people have them, read by real workers."""

import bz2
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from in_process import InProcessSession
from sklearn import datasets, metrics

from irisspark.data import queries
from irisspark.data.bad_rows import BadRow
from irisspark.data.dataset import Dataset, find_labels, find_lines, open_dataset
from irisspark.errors import DataError
from irisspark.evaluation.evaluating import EvaluationResult, evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.imports import import_tensorflow
from irisspark.startup.session import Session
from irisspark.storage.finding import find_data

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def here() -> InProcessSession:
    """A session whose tasks run in this process."""
    import_tensorflow()
    return InProcessSession()


NAMES = ("Iris-s\u00e9tosa", "Iris-versicolor", "Iris-virginica")


def save_model(path: Path, shape: tuple[int | None, ...], num_classes: int, *layers) -> Path:
    import keras

    keras.utils.set_random_seed(5)
    keras.Sequential(
        [keras.Input(shape), *layers, keras.layers.Dense(num_classes, "softmax")]
    ).save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "iris.keras", (4,), 3)


@pytest.fixture(scope="module")
def iris() -> pd.DataFrame:
    data = datasets.load_iris(as_frame=True)
    table = data.data.round(2)
    table.columns = ["sepal length", "sepal width", "petal length", "petal width"]
    table["label"] = data.target
    return table


def confusion(model: Path, features: np.ndarray, labels, num_classes: int = 3) -> np.ndarray:
    import keras

    network = keras.models.load_model(model)
    shaped = features.astype("float32").reshape(-1, *network.input_shape[1:])
    predicted = network.predict(shaped, verbose=0).argmax(axis=1)
    return metrics.confusion_matrix(labels, predicted, labels=range(num_classes))


@pytest.fixture(scope="module")
def expected(model, iris) -> np.ndarray:
    return confusion(model, iris.iloc[:, :4].to_numpy(), iris["label"])


def opened(spark: Session, model: Path, data: object, *more: str) -> Dataset:
    options = parse(["-modelPath", str(model), "-dataPath", str(data), *more])
    return open_dataset(spark, data_settings(options), loading.load(options.model_path).spec)


def run(spark: Session, model: Path, data: object, *more: str) -> EvaluationResult:
    options = parse(["-modelPath", str(model), "-dataPath", str(data), *more])
    model = loading.load(options.model_path)
    return evaluate(
        spark,
        model,
        open_dataset(spark, data_settings(options), model.spec),
        evaluate_settings(options),
    )


def test_recipe_labels_start_at_1(here, model, iris, expected, tmp_path):
    data = tmp_path / "a.csv"
    iris.assign(label=iris["label"] + 1).to_csv(data, index=False, header=False)
    with pytest.raises(DataError, match=r"line 101, column 4: the label '3' .* -classNames 1,2,3$"):
        run(here, model, data)
    with pytest.raises(DataError, match=r"50 rows have labels that are no class.* -classNames 1"):
        run(here, model, data, "-badRows", "skip")
    result = run(here, model, data, "-classNames", "1,2,3")
    assert np.array_equal(result.scores.confusion, expected)
    assert result.scores.class_names == ("1", "2", "3")


def test_stray_label_is_skipped_where_the_classes_are_named(here, model, iris, tmp_path):
    data = tmp_path / "a.csv"
    iris.assign(label=[9, *iris["label"][1:]]).to_csv(data, index=False, header=False)
    result = run(here, model, data, "-badRows", "skip", "-classNames", "0,1,2")
    assert result.bad.counts == {"unknown label": 1}
    assert result.scores.rows == 149


def test_recipe_text_labels_in_one_pass(spark, model, iris, expected, tmp_path):
    data = tmp_path / "a.csv"
    iris.assign(label=[NAMES[i] for i in iris["label"]]).to_csv(data, index=False, header=False)
    result = run(spark, model, data)
    assert np.array_equal(result.scores.confusion, expected)
    assert result.scores.class_names == NAMES  # sorted, as LabelEncoder does


def test_named_classes_need_no_pass_over_the_labels(here, model, iris, tmp_path, monkeypatch):
    data = tmp_path / "a.csv"
    iris.assign(label=[NAMES[i] for i in iris["label"]]).to_csv(data, index=False, header=False)
    monkeypatch.setattr("irisspark.data.dataset._find_labels", None)
    dataset = opened(here, model, data, "-classNames", ",".join(NAMES))
    assert dataset.class_names == NAMES


def test_text_labels_that_do_not_fit_the_model(here, model, iris, tmp_path):
    data = tmp_path / "a.csv"
    iris.assign(label=["x", *(NAMES[i] for i in iris["label"][1:])]).to_csv(
        data, index=False, header=False
    )
    with pytest.raises(DataError, match="4 labels do not fit 3 classes"):
        opened(here, model, data)


def test_labels_of_the_first_block_save_a_pass(here, model, iris, tmp_path, monkeypatch):
    data = tmp_path / "a.csv"
    texts = [NAMES[i] for i in iris["label"]]
    iris.assign(label=texts).to_csv(data, index=False, header=False)
    with monkeypatch.context() as patched:
        patched.setattr("irisspark.data.dataset._find_labels", None)
        assert opened(here, model, data).class_names == NAMES
    monkeypatch.setattr("irisspark.data.csv.csv_reader.BLOCK_BYTES", 300)  # a few rows of one class
    assert opened(here, model, data).class_names == NAMES


@pytest.mark.parametrize("bad_rows", ["fail", "skip"])
def test_text_label_behind_the_first_block_is_an_error_that_lists_all(
    here, model, iris, tmp_path, bad_rows, monkeypatch
):
    monkeypatch.setattr("irisspark.data.csv.csv_reader.BLOCK_BYTES", 2600)
    data = tmp_path / "a.csv"
    texts = [NAMES[i % 3] for i in range(149)] + ["other"]
    iris.assign(label=texts).to_csv(data, index=False, header=False)
    with pytest.raises(DataError, match=r"found are Iris-s.*, other; .* 4 labels do not fit"):
        run(here, model, data, "-badRows", bad_rows)


def test_damaged_file_is_named_by_the_pass_over_the_labels(here, model, iris, tmp_path):
    texts = iris.assign(label=[NAMES[0] for _ in iris["label"]])
    texts.to_csv(tmp_path / "a.csv", index=False, header=False)
    packed = gzip.compress(texts.to_csv(index=False, header=False).encode())
    (tmp_path / "b.csv.gz").write_bytes(packed[:-50])
    with pytest.raises(DataError, match=r"cannot read .*b\.csv\.gz"):
        opened(here, model, tmp_path)


def test_recipe_an_id_column_a_header_semicolons_and_the_label_first(
    here, model, iris, expected, tmp_path
):
    data = tmp_path / "a.csv"
    table = iris[["label", *iris.columns[:4]]].assign(label=iris["label"].astype(float))
    table.insert(1, "id", [f"r{i};x" for i in range(150)])
    table.to_csv(data, index=False, sep=";")
    result = run(here, model, data, "-header", "true", "-delimiter", ";", "-labelIndex", "label",
                 "-keepColumns", "id")  # fmt: skip
    assert np.array_equal(result.scores.confusion, expected)


@pytest.mark.parametrize("numbered", ["1,2,3,5,6,7", None])
def test_labels_with_a_gap(here, iris, tmp_path, numbered):
    model = save_model(tmp_path / "glass.keras", (4,), 6)
    data = tmp_path / "a.csv"
    labels = np.resize([1, 2, 3, 5, 6, 7], 150)
    iris.assign(label=labels).to_csv(data, index=False, header=False)
    if numbered is None:
        with pytest.raises(DataError, match=r"pass -classNames 1,2,3,5,6,7$"):
            run(here, model, data)
        return
    result = run(here, model, data, "-classNames", numbered)
    assert result.scores.confusion.sum(axis=1).tolist() == [25] * 6


@pytest.mark.parametrize("header", [True, False])
def test_recipe_a_folder_of_parts_as_spark_writes_them(
    spark, model, iris, expected, tmp_path, header
):
    from pyspark.sql import SparkSession

    folder = tmp_path / "parts"
    frame = SparkSession(spark.context).createDataFrame(iris.reset_index(drop=True))
    # Spark writes an empty part, too, where a partition has no rows.
    frame.repartition(5).filter(frame.label >= 0).write.csv(str(folder), header=header)
    (folder / "part-99999-empty.csv").touch()
    if header:
        names = ",".join(iris.columns)
        (folder / "part-00000-a-header-alone.csv").write_text(f"{names}\n")
    (folder / ".hidden.csv").write_text("a,b\n")
    (folder / "_metadata").write_text("a,b\n")
    assert (folder / "_SUCCESS").exists()
    more = ("-header", str(header).lower())
    assert np.array_equal(run(spark, model, folder, *more).scores.confusion, expected)
    for path in (f"{folder}/part-*", f"{folder}/*"):
        assert np.array_equal(run(spark, model, path, *more).scores.confusion, expected)


def test_text_labels_after_a_part_with_a_header_alone(here, model, iris, expected, tmp_path):
    (tmp_path / "part-0.csv").write_text(",".join(iris.columns) + "\n")
    iris.assign(label=[NAMES[i] for i in iris["label"]]).to_csv(
        tmp_path / "part-1.csv", index=False
    )
    result = run(here, model, tmp_path, "-header", "true")
    assert np.array_equal(result.scores.confusion, expected)


def test_list_of_compressed_and_plain_files(here, model, iris, expected, tmp_path):
    compressors = {
        "a.csv.gz": gzip.compress,
        "b.csv.bz2": bz2.compress,
        "c.csv.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
        "d.csv": bytes,
    }
    for place, (name, compress) in enumerate(compressors.items()):
        rows = iris.iloc[40 * place : 40 * (place + 1)]
        (tmp_path / name).write_bytes(compress(rows.to_csv(index=False, header=False).encode()))
    paths = ",".join(str(tmp_path / name) for name in compressors)
    assert np.array_equal(run(here, model, paths).scores.confusion, expected)


def test_header_that_differs_in_one_part_is_an_error_naming_both(here, model, iris, tmp_path):
    iris.to_csv(tmp_path / "a.csv", index=False)
    iris.rename(columns={"label": "class"}).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"b\.csv begins with another header than .*a\.csv: column"):
        run(here, model, tmp_path, "-header", "true")


def test_bad_row_before_another_header_is_the_one_reported(spark, model, iris, tmp_path):
    text = iris.to_csv(index=False)
    (tmp_path / "a.csv").write_text(text + "oops,1,1,1,1\n")
    (tmp_path / "b.csv").write_text("other\n" + text)
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(DataError, match=r"a\.csv, line 152, \"sepal length\" .*: 'oops' is not"):
        run(spark, model, tmp_path, "-header", "true")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_line_numbers_are_right_for_any_split(here, model, iris, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("irisspark.data.dataset._MIN_SPLIT_BYTES", 400)
    lines = iris.to_csv(index=False).splitlines()
    lines[120] = lines[120].replace(",", ",,", 1)
    lines[120:120] = ["", "\r", ""]
    data = "\n".join(lines).encode()
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    dataset = opened(here, model, path, "-header", "true")
    assert suffix or len(dataset.tasks(8)) == 6
    with pytest.raises(DataError, match=r"line 124: 6 columns where the first line has 5"):
        run(here, model, path, "-header", "true")


def test_lines_of_all_shown_rows_are_found_in_one_pass(here, model, iris, tmp_path, monkeypatch):
    monkeypatch.setattr("irisspark.data.dataset._MIN_SPLIT_BYTES", 400)
    for name in ("a.csv", "b.csv"):
        lines = iris.to_csv(index=False, header=False).splitlines()
        for at in (0, 7, 30, 31, 149):
            lines[at] = lines[at].replace(",", ",?", 1)
        (tmp_path / name).write_text("\n".join(lines))
    passes = []
    count = queries.count_lines_before
    monkeypatch.setattr(
        "irisspark.data.queries.count_lines_before", lambda *args: passes.append(1) or count(*args)
    )
    result = run(here, model, tmp_path, "-badRows", "skip")
    assert [example.split(", column")[0] for example in result.bad_examples] == [
        f"{tmp_path}/{name}, line {line}" for name in ("a.csv", "b.csv")
        for line in (1, 8, 31, 32, 150)
    ]  # fmt: skip
    assert len(passes) <= 3  # one a task


def test_line_of_the_first_row_needs_no_pass(model, here, iris, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(iris.to_csv(index=False, header=False))
    dataset = opened(here, model, path)
    assert find_lines(None, dataset, [BadRow(0, 0, "missing", 0, "")]) == [1]  # type: ignore


def test_first_line_that_looks_like_names_says_so(here, model, iris, tmp_path):
    iris.to_csv(tmp_path / "a.csv", index=False)
    for bad_rows in ("fail", "skip"):
        with pytest.raises(DataError, match=r"a\.csv: line 1 looks like a header \(sepal length"):
            opened(here, model, tmp_path / "a.csv", "-badRows", bad_rows)


def test_feature_count_shows_both_numbers_and_the_columns_taken(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    iris.assign(more=1, again=1).to_csv(path, index=False)
    message = (
        r"takes 4 features, but the data gives 5 feature columns: .*a\.csv has 7 columns, "
        r"of which column 4 is the label and column 6 is kept"
    )
    with pytest.raises(DataError, match=message):
        opened(here, model, path, "-header", "true", "-labelIndex", "label", "-keepColumns", "6")


def test_multi_line_reads_what_is_an_error_without_it(here, model, iris, expected, tmp_path):
    path = tmp_path / "a.csv"
    iris.assign(note=[f'line {i}\nand "more",' for i in range(150)]).to_csv(path, index=False)
    more = ("-header", "true", "-labelIndex", "label", "-keepColumns", "note")
    with pytest.raises(DataError, match=r"line 2: a quote is opened .* pass -multiLine true"):
        run(here, model, path, *more)
    result = run(here, model, path, *more, "-multiLine", "true")
    assert np.array_equal(result.scores.confusion, expected)


def test_every_row_bad_is_an_error(here, model, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,1,1,?,0\n1,1,?,1,0\n")
    with pytest.raises(DataError, match=r"every row is bad \(2 of them\); the first: .*line 1"):
        run(here, model, path, "-badRows", "skip")


def test_numeric_labels_are_found_after_a_bad_first_row(here, model, iris, expected, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,1,1,1,\n" + iris.to_csv(index=False, header=False))
    result = run(here, model, path, "-badRows", "skip")
    assert result.bad.counts == {"missing": 1}
    assert np.array_equal(result.scores.confusion, expected)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8), (1, 8, 8), (64,), (None, 8)])
def test_flat_rows_take_the_shape_of_the_input(here, tmp_path, shape):
    import keras

    pooled = keras.layers.GlobalAveragePooling1D() if None in shape else keras.layers.Flatten()
    model = save_model(tmp_path / "m.keras", shape, 10, pooled)
    features, labels = datasets.load_digits(return_X_y=True)
    path = tmp_path / "digits.csv"
    np.savetxt(path, np.column_stack([features, labels]), fmt="%g", delimiter=",")
    network = keras.models.load_model(model)
    row_shape = tuple(8 if d is None else d for d in shape)
    predicted = network.predict(features.reshape(-1, *row_shape), verbose=0).argmax(axis=1)
    expected = metrics.confusion_matrix(labels, predicted, labels=range(10))
    assert np.array_equal(run(here, model, path).scores.confusion, expected)


def test_many_small_files_make_few_tasks(here, model, iris, tmp_path):
    lines = iris.to_csv(index=False, header=False).splitlines()
    for i in range(5000):
        (tmp_path / f"{i:05}.csv").write_text(lines[i % 150] + "\n")
    dataset = opened(here, model, tmp_path)
    assert len(dataset.files) == 5000
    tasks = dataset.tasks(8)
    assert len(tasks) == 1
    assert sum(len(task.splits) for task in tasks) == 5000
    result = run(here, model, tmp_path)
    assert (result.scores.rows, result.num_tasks) == (5000, 1)


def test_file_of_one_line(here, model, tmp_path):
    path = tmp_path / "a.csv"
    for text in ("5.1,3.5,1.4,0.2,0", "5.1,3.5,1.4,0.2,0\n"):
        path.write_text(text)
        assert run(here, model, path).scores.rows == 1


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_data_without_rows_says_so(here, model, tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"the data is empty: .*a\.csv holds no rows"):
        opened(here, model, path)


def test_header_and_no_rows_says_so(here, model, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,c,d,label\n")
    with pytest.raises(DataError, match="holds a header and no rows"):
        opened(here, model, path, "-header", "true")


def test_labels_are_the_same_for_any_partitioning(here, model, iris, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    iris.assign(label=[f" {NAMES[i]} " for i in iris["label"]]).to_csv(
        path, index=False, header=False
    )
    for min_split_bytes in (1 << 20, 300):
        monkeypatch.setattr("irisspark.data.dataset._MIN_SPLIT_BYTES", min_split_bytes)
        assert find_labels(here, opened(here, model, path), 3) == list(NAMES)


def test_utf_16_is_refused_by_name(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(iris.to_csv(index=False), encoding="utf-16")
    with pytest.raises(DataError, match="is no CSV but text in UTF-16"):
        opened(here, model, path)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "d_{2023,2024}.csv",
            "*",
            "**",
            "d_202[34].*",
            "d_202[!3].csv",
            "d_202[^3].csv",
            "?/x.csv",
        ),
        *(
            "{a,b/c}/x.csv",
            "*/*.csv",
            "d_{2023,{2024,2025}}.csv",
            "[^d]*.csv",
            "\\[*",
            "{a,b}/**/x.*",
        ),
    ],
)
def test_a_pattern_means_what_it_means_to_hadoop(spark, tmp_path, pattern):
    names = ["d_2023.csv", "d_2024.csv", "d_2025.csv", "a/x.csv", "b/c/x.csv", "b/y.txt", "[1].csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1,2")
    jvm = spark.context._jvm
    hadoop = jvm.org.apache.hadoop.fs
    files = hadoop.FileSystem.getLocal(jvm.org.apache.hadoop.conf.Configuration())
    whole = f"{tmp_path}/{pattern}"
    there = [Path(one.getPath().toUri().getPath()) for one in files.globStatus(hadoop.Path(whole))]
    expected = [
        one
        for path in there
        for one in ([path] if path.is_file() else path.iterdir())
        if one.is_file()
    ]
    found = find_data(whole, {}, str)
    assert sorted(file.path for file in found) == sorted(map(str, expected))


HEADER = "sepal length,sepal width,petal length,petal width,species\n"


def rows_text(iris: pd.DataFrame, labels) -> str:
    return iris.assign(label=labels).to_csv(index=False, header=False)


def test_header_over_labels_that_miss_a_class_is_no_class(here, tmp_path):
    model = save_model(tmp_path / "m.keras", (4,), 3)
    path = tmp_path / "a.csv"
    rows = "".join(f"{1 + i % 2},{i % 7},{i % 5},{i % 3},{i % 11}\n" for i in range(60))
    path.write_text("label,1x1,1x2,2x1,2x2\n" + rows)
    for bad_rows in ("fail", "skip"):
        with pytest.raises(DataError, match=r"line 1 looks like a header \(label, 1x1.*-header tr"):
            run(here, model, path, "-labelIndex", "0", "-badRows", bad_rows)
    result = run(here, model, path, "-labelIndex", "0", "-header", "true")
    assert result.scores.class_names == ("0", "1", "2")
    assert result.scores.confusion.sum(axis=1).tolist() == [0, 30, 30]


def test_text_among_class_numbers_is_never_a_class(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    labels = iris["label"].clip(1)  # 1 and 2 of 0..2: with a text they are three
    for text in (
        "5,3,1,0,oops\n" + rows_text(iris, labels),
        rows_text(iris, labels) + "5,3,1,0,x\n",
    ):
        path.write_text(text)
        result = run(here, model, path, "-badRows", "skip")
        assert result.bad.counts == {"unknown label": 1}
        assert result.scores.class_names == ("0", "1", "2")
        assert result.scores.confusion.sum(axis=1).tolist() == [0, 100, 50]
        with pytest.raises(DataError, match=r"the label '(oops|x)' .*mend the rows labelled"):
            run(here, model, path)


def test_title_over_class_numbers_as_tensorflow_writes_it(here, model, iris, expected, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("150,4,setosa,versicolor,virginica\n" + rows_text(iris, iris["label"]))
    with pytest.raises(DataError, match=r"line 1 looks like a header .*pass -header true"):
        run(here, model, path)
    assert np.array_equal(run(here, model, path, "-header", "true").scores.confusion, expected)


@pytest.mark.parametrize("texts", [True, False])
def test_header_in_the_middle_of_a_merged_file(spark, model, iris, expected, tmp_path, texts):
    path = tmp_path / "a.csv"
    labels = [NAMES[i] for i in iris["label"]] if texts else iris["label"]
    path.write_text((HEADER + rows_text(iris, labels)) * 2)
    with pytest.raises(DataError, match=r"a\.csv, line 152: the header stands here again.*skip"):
        run(spark, model, path, "-header", "true")
    result = run(spark, model, path, "-header", "true", "-badRows", "skip")
    assert np.array_equal(result.scores.confusion, 2 * expected)
    assert result.bad.counts == {"repeated header": 1}
    assert result.scores.class_names == (NAMES if texts else ("0", "1", "2"))


def test_header_in_the_middle_is_no_class_without_the_option(here, model, iris, expected, tmp_path):
    path = tmp_path / "a.csv"
    text = rows_text(iris, [NAMES[i] for i in iris["label"]])
    path.write_text(text + HEADER + text)
    result = run(here, model, path, "-badRows", "skip")
    assert result.scores.class_names == NAMES
    assert np.array_equal(result.scores.confusion, 2 * expected)


@pytest.mark.parametrize(
    "before", ["# made by us\n# on Monday, at 3\n", "|1x3 Cross validator\n", "sep=,\n"]
)
@pytest.mark.parametrize("header", [True, False])
def test_lines_before_the_data_that_are_certainly_no_rows(
    here, model, iris, expected, tmp_path, before, header
):
    path = tmp_path / "a.csv"
    path.write_text(before + HEADER * header + rows_text(iris, iris["label"]))
    result = run(here, model, path, "-header", str(header).lower())
    assert np.array_equal(result.scores.confusion, expected)
    assert result.bad.total == 0


def test_labels_in_latin_1_are_named_with_their_line(here, model, iris, expected, tmp_path):
    path = tmp_path / "a.csv"
    texts = rows_text(iris, [f"{NAMES[i]}\u00e9" for i in iris["label"]])
    path.write_bytes(texts.encode("latin-1"))
    for bad_rows in ("fail", "skip"):
        with pytest.raises(DataError, match=r"line 1, column 4: .* not UTF-8 text; save the file"):
            run(here, model, path, "-badRows", bad_rows)
    notes = iris.assign(note="\u00e9t\u00e9").to_csv(index=False, header=False)
    path.write_bytes(notes.encode("latin-1"))
    result = run(here, model, path, "-labelIndex", "4", "-featureIndices", "0-3")
    assert np.array_equal(result.scores.confusion, expected)


def test_classes_plus_and_minus_are_no_missing_labels(here, iris, tmp_path, monkeypatch):
    monkeypatch.setattr("irisspark.data.dataset._MIN_SPLIT_BYTES", 400)
    monkeypatch.setattr("irisspark.data.csv.csv_reader.BLOCK_BYTES", 300)  # one class in each
    model = save_model(tmp_path / "two.keras", (4,), 2)
    path = tmp_path / "a.csv"
    path.write_text(rows_text(iris, ["+-?"[i] for i in iris["label"]]))
    result = run(here, model, path, "-badRows", "skip")
    assert result.scores.class_names == ("+", "-")
    assert result.scores.confusion.sum(axis=1).tolist() == [50, 50]
    assert result.bad.counts == {"missing": 50}


def test_all_columns_that_hold_text_are_named(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    table = iris.assign(sex=["m", "f"] * 75, job="clerk")[
        ["sepal length", "sex", "sepal width", "job", "petal length", "petal width", "label"]
    ]
    table.to_csv(path, index=False)
    said = r'"sex" \(column 1\), "job" \(column 3\) hold text.*-featureIndices 0,2,4-5'
    with pytest.raises(DataError, match=f"takes 4 features, but .* 6 feature columns.*{said}"):
        opened(here, model, path, "-header", "true")
    six = save_model(tmp_path / "six.keras", (6,), 3)
    for bad_rows in ("fail", "skip"):
        with pytest.raises(DataError, match=f"the model takes numbers, but {said}"):
            opened(here, six, path, "-header", "true", "-badRows", bad_rows)


def test_label_in_one_hot_columns_is_named(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    one_hot = pd.get_dummies(iris["label"]).astype(int)
    pd.concat([iris.iloc[:, :4], one_hot], axis=1).to_csv(path, index=False, header=False)
    said = "columns 4 to 6 look like a label in one-hot form"
    with pytest.raises(DataError, match=said):
        opened(here, model, path)
    with pytest.raises(DataError, match=said):  # which the last column alone would pass for
        opened(here, model, path, "-featureIndices", "0-3")


def test_booleans_of_get_dummies_are_1_and_0(here, iris, tmp_path):
    model = save_model(tmp_path / "m.keras", (6,), 3)
    path = tmp_path / "a.csv"
    table = pd.get_dummies(iris.assign(kind=["a", "b", "c"] * 50)[["sepal length", "kind"]])
    table = table.assign(more=1.5, again=2, label=iris["label"])
    table.to_csv(path, index=False)
    assert "True" in path.read_text()
    found = run(here, model, path, "-header", "true").scores.confusion
    features = table.iloc[:, :6].to_numpy("float32")
    assert np.array_equal(found, confusion(model, features, iris["label"]))


def test_quotes_as_spark_writes_them(spark, model, iris, expected, tmp_path):
    from pyspark.sql import SparkSession

    notes = [f'say "hi, {i}"' if i % 2 else f"plain {i}" for i in range(150)]
    table = iris.assign(note=notes)
    frame = SparkSession(spark.context).createDataFrame(table)
    frame.repartition(2).write.csv(str(tmp_path / "parts"), header=True)
    assert any('\\"' in part.read_text() for part in (tmp_path / "parts").glob("part-*"))
    result = run(
        spark, model, tmp_path / "parts",
        *("-header", "true", "-labelIndex", "label", "-keepColumns", "note"),
    )  # fmt: skip
    assert np.array_equal(result.scores.confusion, expected)
    assert result.bad.total == 0


def test_rows_that_are_all_bad_have_no_missing_labels(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    text = rows_text(iris, [NAMES[i] for i in iris["label"]]).replace(",", "',")
    path.write_text(text)
    with pytest.raises(DataError, match=r"line 1, column 0: '5\.1'' is not a number"):
        run(here, model, path)
    path.write_text(rows_text(iris, ["?"] * 150))
    with pytest.raises(DataError, match=r"the label, column 4, is missing in every row"):
        run(here, model, path)


def test_a_column_that_counts_the_rows_is_named(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    iris.to_csv(path)
    with pytest.raises(DataError, match=r'"" \(column 0\) counts the rows: .* -keepColumns 0'):
        opened(here, model, path, "-header", "true")


def test_names_that_are_a_row_are_not_lost(here, model, iris, tmp_path):
    path = tmp_path / "a.csv"
    iris.to_csv(path, index=False, header=False)
    with pytest.raises(DataError, match=r"line 1 looks like a row of data \(5\.1, .*leave -header"):
        run(here, model, path, "-header", "true")


def test_a_first_line_that_may_be_either_is_told(here, model, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2,3,4\n2,3,4,5\n3,4,5,6\n")
    predict = ("-labelIndex", "none", "-predictions", "true", "-outputPath", "out")
    read = opened(here, model, path, *predict)
    taken = opened(here, model, path, *predict, "-header", "true")
    assert "line 1 (1, 2, 3, 4) is read as a row of data; if it is a header, pass" in str(read.note)
    assert "line 1 (1, 2, 3, 4) is taken for names, as -header true says; if" in str(taken.note)
    path.write_text("5.1,3.5,1.4,0.2\n4.9,3.0,1.4,0.2\n")
    assert opened(here, model, path, *predict).note is None


def test_other_file_in_a_later_part_is_named(spark, model, iris, tmp_path):
    iris.to_csv(tmp_path / "a.csv", index=False, header=False)
    iris.to_parquet(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv is no CSV but a Parquet file"):
        run(spark, model, tmp_path, "-badRows", "skip")
