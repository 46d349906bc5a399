"""DataFrames as the data of evaluations and trainings, against Keras on the same rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import irisspark
from irisspark.data import frame_dataset as room
from irisspark.data.frame_dataset import PackedColumn
from irisspark.errors import DataError, IrissparkError, ModelError, OptionsError
from irisspark.startup.session import Session

IRIS = Path(irisspark.__file__).parent / "samples" / "iris.txt"
SPECIES = ["setosa", "versicolor", "virginica"]


def iris() -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(IRIS, delimiter=",")
    return table[:, :4], table[:, 4].astype(int)


def compiled(*layers: Any) -> Any:
    import keras

    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def network() -> Any:
    import keras

    keras.utils.set_random_seed(3)
    model = compiled(keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax"))
    model.fit(*iris(), epochs=15, batch_size=5, verbose=0)
    return model


@pytest.fixture(scope="module")
def session(spark: Session) -> Any:
    from pyspark.sql import SparkSession

    return SparkSession(spark.context)


@pytest.fixture(scope="module")
def flowers(session: Any) -> Any:
    """Iris with an id, the species, the features as columns, an array and a vector; 2 is empty."""
    from pyspark.ml.linalg import Vectors

    rows = []
    for place, (row, label) in enumerate(zip(*iris(), strict=True)):
        cells = [float(cell) for cell in row]
        known = (SPECIES[label], int(label), cells, Vectors.dense(cells))
        rows.append((f"r{place}", *known, *cells))
    names = ["id", "species", "class", "array", "vector", "a b", "3", "c", "d"]
    frame = session.createDataFrame(rows, names).coalesce(1)
    return frame.union(frame.filter("false")).repartitionByRange(3, "class").cache()


@pytest.mark.parametrize(
    ("label", "features"),
    [("species", ["a b", "3", "c", "d"]), ("class", ["array"]), (1, "vector")],
)
def test_evaluation_is_that_of_the_file_and_of_keras(
    label: Any, features: Any, session: Any, flowers: Any, network: Any
) -> None:
    result = irisspark.evaluate(session, network, flowers, label=label, features=features)
    of_file = irisspark.evaluate(session, network, str(IRIS), label=4)
    loss, accuracy = network.evaluate(*iris(), batch_size=150, verbose=0)
    assert result.accuracy == pytest.approx(accuracy)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert result.confusion_matrix.tolist() == of_file.confusion_matrix.tolist()
    assert result.class_names == (["0", "1", "2"] if label == "class" else SPECIES)
    areas = (one.content["roc_auc"]["macro"] for one in (result, of_file))
    assert next(areas) == pytest.approx(next(areas), rel=1e-9)
    assert result.content["run"]["comparison"]["rows"] == 32


def test_one_worker_learns_as_keras_fit_does_on_the_collected_rows(
    session: Any, flowers: Any, network: Any
) -> None:
    import keras

    told = {"epochs": 3, "workers": 1, "shuffle": False, "batch_size_per_worker": 7}
    trained = irisspark.train(session, network, flowers, label="class", features="array", **told)
    collected = flowers.select("array", "class").collect()
    features = np.array([row["array"] for row in collected], dtype="float32")
    labels = np.array([row["class"] for row in collected])
    model = keras.models.clone_model(network)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.set_weights(network.get_weights())
    model.optimizer.build(model.trainable_variables)
    for mine, theirs in zip(model.optimizer.variables, network.optimizer.variables, strict=True):
        mine.assign(theirs)
    fitted = model.fit(features, labels, epochs=3, batch_size=7, shuffle=False, verbose=0)
    for mine, theirs in zip(trained.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert trained.history["loss"] == pytest.approx(fitted.history["loss"], abs=1e-5)
    loss, accuracy = model.evaluate(features, labels, batch_size=150, verbose=0)
    assert trained.accuracy == pytest.approx(accuracy)
    assert trained.loss == pytest.approx(loss, rel=1e-4)


def random_rows(session: Any, count: Any = None) -> Any:
    """Iris with noise that is drawn anew each time that it is computed."""

    def noisy(frames: Any) -> Any:
        import numpy as np

        for frame in frames:
            if count is not None:
                count.add(len(frame))
            frame["a"] += np.random.default_rng().normal(0, 2, len(frame))
            yield frame

    features, labels = iris()
    rows = [(*map(float, row), int(label)) for row, label in zip(features, labels, strict=True)]
    frame = session.createDataFrame(rows, ["a", "b", "c", "d", "label"]).repartition(2)
    return frame.mapInPandas(noisy, frame.schema)


def test_rows_that_are_drawn_at_random_are_computed_once(session: Any, network: Any) -> None:
    count = session.sparkContext.accumulator(0)
    told = {"label": "label", "epochs": 3, "workers": 2, "validation_split": 0.2}
    trained = irisspark.train(session, network, random_rows(session, count), **told)
    assert count.value == 150
    run = trained.content["run"]["training"]
    assert run["rows"] + run["held_out_rows"] == 150
    assert trained.content["rows"] == run["held_out_rows"]
    assert trained.loss == pytest.approx(trained.history["val_loss"][-1], rel=1e-5)


def test_rows_that_are_lost_and_come_back_as_others_end_the_run(
    spark: Session, session: Any
) -> None:
    from pyspark import StorageLevel

    frame = random_rows(session)
    pieces = room._computed(spark, frame, tuple(PackedColumn(name) for name in frame.columns))

    def count_bytes(tasks: Any, open_file: Any) -> Any:
        for split in (split for task in tasks for split in task.splits):
            with open_file(split.file, None) as stream:
                yield len(stream.read())

    counted = pieces.spread(pieces.tasks(), count_bytes)
    assert counted.collect() == [file.size for file in pieces.files]
    pieces.rdd.unpersist(blocking=True)
    pieces.rdd.persist(StorageLevel.MEMORY_AND_DISK)
    with pytest.raises(Exception, match="the DataFrame gave other rows when Spark computed"):
        counted.collect()
    with pytest.raises(DataError, match=r"write it as Parquet \(data.write.parquet\)"):
        pieces.open_here(pieces.files[0])
    pieces.rdd.unpersist()


def test_bad_rows_are_named_or_counted(session: Any, network: Any) -> None:
    features, labels = iris()
    rows = [[*map(float, row)] for row in features]
    table = [(row, SPECIES[label]) for row, label in zip(rows, labels, strict=True)]
    table[3], table[4], table[5] = (rows[3][:3], "setosa"), (None, "setosa"), (rows[5], None)
    table[60] = ([1.0, float("nan"), 2.0, 3.0], "virginica")
    table[61] = ([1.0, None, 2.0, 3.0], "virginica")
    frame = session.createDataFrame(table, "x array<double>, species string").coalesce(1)
    with pytest.raises(DataError) as caught:
        irisspark.evaluate(session, network, frame, label="species")
    assert str(caught.value).startswith(
        'the DataFrame (partition 0), row 3, "x[0]" (column 0): the value is missing'
    )
    result = irisspark.evaluate(session, network, frame, label="species", bad_rows="skip")
    assert result.content["rows"] == 145
    assert sum(result.content["bad_rows"]["by_reason"].values()) == 5
    good = np.delete(np.arange(150), [3, 4, 5, 60, 61])
    loss, accuracy = network.evaluate(features[good], labels[good], batch_size=150, verbose=0)
    assert result.accuracy == pytest.approx(accuracy)
    assert result.loss == pytest.approx(loss, rel=1e-5)


def test_several_inputs_take_columns_by_name(session: Any) -> None:
    import keras

    keras.utils.set_random_seed(5)
    layers, rng = keras.layers, np.random.default_rng(3)
    town = keras.Input((1,), dtype="int64", name="town")
    point = keras.Input((2,), name="point")
    place = layers.Flatten()(layers.Embedding(5, 3)(town))
    model = keras.Model(
        {"town": town, "point": point},
        layers.Dense(1, "sigmoid")(layers.concatenate([place, point])),
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    points, towns, labels = rng.normal(size=(90, 2)), rng.integers(0, 5, 90), rng.integers(0, 2, 90)
    rows = [
        (point.tolist(), *point.tolist(), int(town), int(label))
        for point, town, label in zip(points, towns, labels, strict=True)
    ]
    frame = session.createDataFrame(rows, ["point", "x", "y", "town", "z"]).coalesce(1)
    features = {"town": towns.reshape(-1, 1), "point": points.astype("float32")}
    loss, accuracy = model.evaluate(features, labels, batch_size=90, verbose=0)
    for inputs in (None, {"point": ["x", "y"]}):
        result = irisspark.evaluate(session, model, frame, label="z", inputs=inputs)
        assert result.accuracy == pytest.approx(accuracy)
        assert result.loss == pytest.approx(loss, rel=1e-5)
        scored = irisspark.predict(session, model, frame, inputs=inputs, keep=["z"]).toPandas()
        assert scored["z"].tolist() == labels.tolist()
        wanted = model.predict(features, verbose=0)[:, 0]
        np.testing.assert_allclose(scored["probability_1"], wanted, rtol=1e-5)
    with pytest.raises(DataError, match=r"'point' takes 2 columns, and not 1: x"):
        irisspark.predict(session, model, frame, inputs={"point": "x"})
    with pytest.raises(DataError, match=r"\(point, town\) are named with inputs"):
        irisspark.evaluate(session, model, frame, label="z", features=["x"])
    with pytest.raises(DataError, match=r"no input 'pint'; it has point, town"):
        irisspark.evaluate(session, model, frame, label="z", inputs={"pint": ["x", "y"]})


def test_several_columns_of_labels_are_judged_and_learned_as_by_keras(session: Any) -> None:
    import keras
    from sklearn import metrics

    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    features = rng.normal(size=(90, 2)).astype("float32")
    numbers = features @ [[2.0, -1.0], [1.0, 3.0]] + rng.normal(size=(90, 2))
    table = np.column_stack([numbers[:, 0], features, numbers[:, 1]])
    frame = session.createDataFrame(table.tolist(), ["p", "a", "b", "q"]).coalesce(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    result = irisspark.evaluate(session, model, frame, label=["p", "q"])
    predicted = model.predict(features, verbose=0)
    wanted = metrics.r2_score(numbers, predicted, multioutput="raw_values")
    found = result.content["per_column"]
    assert [found[name]["r2"] for name in ("p", "q")] == pytest.approx(wanted, rel=1e-5)
    told = {"epochs": 2, "workers": 1, "shuffle": False, "batch_size_per_worker": 30}
    trained = irisspark.train(session, model, frame, label=["p", "q"], **told)
    model.fit(features, numbers, 30, 2, shuffle=False, verbose=0)
    for ours, keras_own in zip(trained.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5)
    with pytest.raises(DataError, match="it names no column, or one twice"):
        irisspark.evaluate(session, model, frame, label=["p", "p"])


def test_inputs_of_text_and_of_numbers_predict_as_keras_does(session: Any) -> None:
    import keras

    keras.utils.set_random_seed(6)
    layers = keras.layers
    town, age = keras.Input((1,), dtype="string", name="town"), keras.Input((1,), name="age")
    known = layers.StringLookup(vocabulary=["Paris", "Å"], output_mode="one_hot")(town)
    outputs = layers.Dense(1)(layers.concatenate([known, age]))
    model = keras.Model([town, age], outputs)
    rows = [("Paris", 1.5), ("Å", 2.0), (None, 3.0), ("Rome", None)]
    frame = session.createDataFrame(rows, "town string, age double").coalesce(1)
    found = irisspark.predict(session, model, frame, bad_rows="skip").toPandas()
    texts = np.array([[text or ""] for text, _ in rows[:3]], dtype=object)
    numbers = np.array([[number] for _, number in rows[:3]])
    import tensorflow as tf

    wanted = model.predict([tf.constant(texts), tf.constant(numbers)], verbose=0)[:, 0]
    np.testing.assert_allclose(found["prediction"][:3], wanted, rtol=1e-5)
    assert found["problem"].isna().tolist() == [True, True, True, False]
    assert "column 'age' is missing" in found["problem"][3]
    with pytest.raises(DataError, match="column 'age' is double: the model's input takes text"):
        irisspark.predict(session, model, frame, inputs={"town": "age"})


@pytest.mark.parametrize(
    ("told", "kind", "said"),
    [
        ({"label": "specis"}, DataError, "no column 'specis'; it has id, species"),
        ({"label": "class"}, DataError, "arrays are the features as a whole"),
        ({"label": "class", "features": ["c", "d"]}, DataError, "takes 4 features"),
        ({"label": "c", "features": ["c"]}, DataError, "column 'c' is a feature, and the label"),
        ({"label": "array", "features": "vector"}, DataError, "a label is one value"),
        ({"label": None}, DataError, "only irisspark.predict"),
        ({"header": True}, OptionsError, "header: it is for files"),
        ({"fill_missing": 3}, OptionsError, "fill the DataFrame (data.na.fill)"),
        ({"checkpoint_path": "x", "epochs": 2}, OptionsError, "rows have no stable place"),
    ],
)
def test_what_does_not_fit_is_one_line(
    told: dict[str, Any], kind: type[IrissparkError], said: str, session: Any, flowers: Any,
    network: Any,
) -> None:  # fmt: skip
    with pytest.raises(kind) as caught:
        irisspark.train(session, network, flowers, **told)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frame_that_is_empty_or_cannot_be_computed_is_one_line(
    session: Any, flowers: Any, network: Any
) -> None:
    told = {"label": "class", "features": "array"}
    with pytest.raises(DataError, match="the data is empty: the DataFrame has no rows"):
        irisspark.evaluate(session, network, flowers.filter("false"), **told)
    broken = flowers.withColumn("class", flowers["class"] / 0).selectExpr(
        "array", "raise_error('no such flower') as class"
    )
    with pytest.raises(IrissparkError, match=r"cannot be computed.*no such flower") as caught:
        irisspark.evaluate(session, network, broken, **told)
    assert "\n" not in str(caught.value)


_CELL = """
import keras

@keras.saving.register_keras_serializable("mine")
class Scaled(keras.layers.Layer):
    def call(self, rows):
        return rows * FACTOR

def bent(rows):
    return keras.ops.tanh(rows) + 0.1 * rows

FACTOR = 0.5
"""


def test_classes_of_a_notebook_go_to_the_workers_or_are_refused_by_name(
    session: Any, flowers: Any
) -> None:
    import keras

    cell: dict[str, Any] = {"__name__": "__main__"}
    exec(_CELL, cell)
    keras.utils.set_random_seed(4)
    model = compiled(
        cell["Scaled"](),
        keras.layers.Dense(8, activation=cell["bent"]),
        keras.layers.Dense(3, "softmax"),
    )
    own = {"Scaled": cell["Scaled"], "bent": cell["bent"]}
    told = {"label": "class", "features": "array"}
    with pytest.raises(
        ModelError,
        match=r"^the model: layer 'scaled' holds 'Scaled'.*custom_objects=\{'Scaled': Scaled\}",
    ):
        irisspark.evaluate(session, model, flowers, **told)
    with pytest.raises(ModelError, match="it holds 'bent', which is not Keras's own"):
        irisspark.evaluate(
            session, model, flowers, **told, custom_objects={"Scaled": own["Scaled"]}
        )
    result = irisspark.evaluate(session, model, flowers, **told, custom_objects=own)
    loss, accuracy = model.evaluate(*iris(), batch_size=150, verbose=0)
    assert result.accuracy == pytest.approx(accuracy)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    trained = irisspark.train(session, model, flowers, **told, epochs=1, custom_objects=own)
    loss, _ = trained.model.evaluate(*iris(), batch_size=150, verbose=0)
    assert trained.loss == pytest.approx(loss, rel=1e-5)
    scored = irisspark.predict(
        session, model, flowers.select("array"), features=["array"], custom_objects=own
    ).toPandas()
    features = np.array([row["array"] for row in flowers.select("array").collect()])
    np.testing.assert_allclose(
        scored[[f"probability_{n}" for n in range(3)]],
        model.predict(features, verbose=0),
        atol=1e-6,
    )
    with pytest.raises(OptionsError, match="custom_objects: expected a dict"):
        irisspark.evaluate(session, model, flowers, **told, custom_objects=["Scaled"])
