"""Files that no worker can open: Spark's executors read them, and every row is where it was.

A mount table of Hadoop's that leads to this disk is such a place, and needs no other machine.
"""

import bz2
import gzip
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from irisspark.data.bad_rows import BadRows
from irisspark.data.dataset import Dataset, find_labels, open_dataset
from irisspark.data.scanning import PredictionPlan
from irisspark.data.splits import TaskSplits
from irisspark.errors import DataError
from irisspark.evaluation.evaluating import evaluate
from irisspark.evaluation.predictions import commit, prepare
from irisspark.model import loading
from irisspark.model.loading import LoadedModel
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings, train_settings
from irisspark.startup.session import Session
from irisspark.storage.handed import hand_over
from irisspark.storage.locating import Locator, locator
from irisspark.storage.location import Location
from irisspark.storage.opening import Opener
from irisspark.storage.publishing import Publication, open_publication
from irisspark.training.placing import place

pytestmark = pytest.mark.spark

MOUNT = "viewfs://disk/data"
# CRLF, a lone carriage return, bytes that are no UTF-8, a bad number and the last line without end.
ODD = b"1,2,0\r\n3,4,1\n5,6,\xff\n7\r,8,1\nx,1,0\r\n\r\n9,10,2"
CONTENTS = {
    "a.csv": ODD,
    "b.csv": b"\xef\xbb\xbf" + ODD + b"\n",
    "c.csv.gz": gzip.compress(ODD * 900),
    "d.csv.bz2": bz2.compress(ODD),
    "e.csv.zst": pa.Codec("zstd").compress(ODD, asbytes=True),
    "f.csv.gz": ODD,  # which something has decompressed on the way
    "g.csv": b"1,2,0\r3,4,1\rx,y,z\r",
    # Lines that are longer than what is read behind a range, and a file of several pieces.
    "h.csv": (b"1,2,0\n" + b"9," + b"0" * 200_000 + b"1,1\n") * 3 + ODD,
    "i.csv": b"".join(b"%d,%d,%d\n" % (i, i % 7, i % 3) for i in range(150_000)),
}


@pytest.fixture(scope="module")
def folder(spark: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this disk, which Hadoop mounts for everybody with a JVM."""
    path = tmp_path_factory.mktemp("mounted")
    _, conf = spark.hadoop
    conf.set("fs.viewfs.mounttable.disk.link./data", path.as_uri())
    (path / "odd").mkdir()
    for name, content in CONTENTS.items():
        (path / "odd" / name).write_bytes(content)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    import keras

    keras.utils.set_random_seed(7)
    layers = [keras.Input((2,)), keras.layers.Dense(3, "softmax")]
    network = keras.Sequential(layers)
    network.compile("adam", "sparse_categorical_crossentropy")
    path = tmp_path_factory.mktemp("model") / "m.keras"
    network.save(path)
    return loading.load(str(path))


def both(
    spark: Session, folder: Path, name: str, model: LoadedModel, *more: str
) -> tuple[Dataset, Dataset]:
    """The same files as a worker opens them, and as it cannot."""
    paths = (f"{folder}/{name}", f"{MOUNT}/{name}")
    here, there = (
        open_dataset(spark, data_settings(parse(["-dataPath", path, *more])), model.spec)
        for path in paths
    )
    assert not any(file.carried for file in here.files)
    assert all(file.carried and file.path.startswith(MOUNT) for file in there.files)
    return here, there


def place_of(spark: Session, path: str) -> Location:
    return locator(spark)(path)


def prepared(
    spark: Session, dataset: Dataset, model: LoadedModel, path: str
) -> tuple[Publication, PredictionPlan]:
    publication = open_publication(path, place_of(spark, path), overwrite=False)
    return publication, prepare(spark, model.spec, dataset, path, publication)


def rows_of(spark: Session, dataset: Dataset, num_tasks: int) -> tuple[pd.DataFrame, BadRows]:
    """All rows with their places, read by workers, in the order of the input."""
    reader, columns = dataset.reader, dataset.columns

    def read(tasks: Iterator[TaskSplits], open_file: Opener) -> Iterator[Any]:
        for task in tasks:
            for split in task.splits:
                for batch in reader.read(split, columns, open_file, 50_000):
                    where = (batch.piece.file_index, batch.positions, batch.bad)
                    yield *where, batch.features, batch.labels

    found = dataset.spread(spark, dataset.tasks(num_tasks), read).collect()
    rows = [
        pd.DataFrame({"file": file, "place": places, "label": labels}).join(pd.DataFrame(features))
        for file, places, _, features, labels in found
    ]
    return pd.concat(rows, ignore_index=True), sum((bad for _, _, bad, *_ in found), BadRows())


@pytest.mark.parametrize("more", [(), ("-multiLine", "true")], ids=["lines", "records"])
def test_every_row_and_bad_row_is_where_it_is_on_the_disk(
    spark: Session, folder: Path, model: LoadedModel, more: tuple[str, ...]
) -> None:
    here, there = both(spark, folder, "odd", model, *more)
    expected, bad = rows_of(spark, here, 1)
    assert len(expected) > 150_000 and len(set(expected["file"])) == len(CONTENTS)
    found = rows_of(spark, there, 3)
    pd.testing.assert_frame_equal(found[0], expected)
    assert found[1] == bad and bad.total


def test_a_cut_at_any_byte_gives_each_line_to_one_task(
    spark: Session, folder: Path, model: LoadedModel
) -> None:
    here, there = both(spark, folder, "odd/[ag].csv", model)
    expected = rows_of(spark, here, 1)
    splits = tuple(there.reader.cut(there.files, 1))
    assert len(splits) == there.num_bytes
    tasks = [TaskSplits(0, splits[:25]), TaskSplits(1, splits[25:])]
    cut = replace(there)
    object.__setattr__(cut, "tasks", lambda _: tasks)
    found = rows_of(spark, cut, 2)
    pd.testing.assert_frame_equal(found[0], expected[0])
    assert found[1] == expected[1]


def test_evaluation_and_predictions_are_those_of_the_disk(
    spark: Session, folder: Path, model: LoadedModel, capfd: Any
) -> None:
    settings = evaluate_settings(parse(["-badRows", "skip"]))
    results, tables = [], []
    roots = (str(folder), MOUNT)
    for root, dataset in zip(roots, both(spark, folder, "odd", model), strict=True):
        path = f"{root}/out {len(results)}"
        publication = open_publication(path, place_of(spark, path), overwrite=False)
        plan = prepare(spark, model.spec, dataset, path, publication)
        result = evaluate(spark, model, dataset, settings, plan)
        commit(publication, result.prediction_files)
        publication.publish({})
        written = folder / f"out {len(results)}" / "predictions"
        results.append(result)
        tables.append(pd.read_parquet(written).drop(columns="file"))
    told = capfd.readouterr().err
    assert "Spark's executors read viewfs://disk for the workers" in told
    assert "Spark's executors write predictions to viewfs://disk for the workers" in told
    assert not list(folder.glob(".out*"))
    here, there = results
    assert np.array_equal(here.scores.confusion, there.scores.confusion)
    assert there.scores.loss == pytest.approx(here.scores.loss, rel=1e-9)
    assert here.bad == there.bad
    moved = [line.replace(MOUNT, str(folder)) for line in there.bad_examples]
    assert moved == list(here.bad_examples) and len(moved) == 10
    pd.testing.assert_frame_equal(*tables)


def test_predictions_of_a_task_that_is_run_again_stand_there_once(
    spark: Session, folder: Path, model: LoadedModel, tmp_path: Path
) -> None:
    """The first attempt of a task dies when a part of its file is with the executor."""
    _, dataset = both(spark, folder, "odd/i.csv", model)
    publication, plan = prepared(spark, dataset, model, f"{MOUNT}/again")
    died = tmp_path / "died"

    def run(results: Iterator[Any], writes_to: Any) -> Iterator[bytes]:
        for item in hand_over(results, writes_to):
            step = len(item) if item[:1] != b"M" else 1 << 10
            for number, start in enumerate(range(1, len(item), step)):
                if number == 300 and not died.exists():
                    died.touch()
                    os._exit(9)
                yield item[:1] + item[start : start + step]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("irisspark.storage.handed.hand_over", run)
        result = evaluate(spark, model, dataset, evaluate_settings(parse([])), plan)
    attempts = [path.name for path in folder.glob(".again-new-*/predictions/_temporary/part*")]
    assert died.exists() and attempts == [file.name for file in result.prediction_files]
    commit(publication, result.prediction_files)
    publication.publish({})
    table = pd.read_parquet(folder / "again" / "predictions")
    assert sorted(table["offset"]) == sorted(set(table["offset"]))
    assert len(table) == result.num_rows == 150_000


def test_predictions_that_cannot_be_written_end_the_run_in_a_line(
    spark: Session, folder: Path, model: LoadedModel
) -> None:
    _, dataset = both(spark, folder, "odd/i.csv", model)
    publication, plan = prepared(spark, dataset, model, f"{MOUNT}/blocked")
    (attempts,) = folder.glob(".blocked-new-*/predictions/_temporary")
    attempts.rmdir()
    attempts.write_bytes(b"")  # where a folder was, so that nobody can write in it
    with pytest.raises(
        DataError, match=r"cannot write predictions to viewfs://disk/.* on "
    ) as found:
        evaluate(spark, model, dataset, evaluate_settings(parse([])), plan)
    assert "\n" not in str(found.value)
    publication.discard()
    assert not list(folder.glob(".blocked*"))


def test_rows_are_placed_for_training_as_those_of_the_disk(
    spark: Session, folder: Path, model: LoadedModel
) -> None:
    settings = train_settings(parse(["-train", "true", "-badRows", "skip"]))
    here, there = (place(spark, one, settings) for one in both(spark, folder, "odd", model))
    assert there.digest == here.digest and there.num_rows == here.num_rows > 150_000
    here.release()
    there.release()


def test_parquet_comes_whole(spark: Session, folder: Path, model: LoadedModel) -> None:
    rng = np.random.default_rng(3)
    columns = {"a": rng.random(5000), "b": rng.random(5000), "label": rng.integers(0, 3, 5000)}
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=100)
    here, there = both(spark, folder, "t.parquet", model)
    expected, found = rows_of(spark, here, 1), rows_of(spark, there, 3)
    pd.testing.assert_frame_equal(found[0], expected[0])
    assert len(found[0]) == 5000


def test_the_first_bad_row_ends_the_run_with_its_line(
    spark: Session, folder: Path, model: LoadedModel
) -> None:
    said = []
    for dataset in both(spark, folder, "odd/[ah].csv", model):
        with pytest.raises(DataError) as error:
            evaluate(spark, model, dataset, evaluate_settings(parse([])))
        said.append(str(error.value).replace(MOUNT, str(folder)))
    assert said[0] == said[1] and "line 3" in said[0]


def test_a_file_that_changes_or_goes_ends_the_run(
    spark: Session, folder: Path, model: LoadedModel
) -> None:
    file = folder / "changing.csv"
    file.write_bytes(b"1,2,0\n3,4,1\n")
    _, there = both(spark, folder, file.name, model)
    at_once = there.files[0]
    older = replace(at_once, modified=at_once.modified - 10**9)
    with pytest.raises(DataError, match=r"changing\.csv was changed while the run read it"):
        find_labels(spark, replace(there, files=(older,)), 3)
    file.unlink()
    with pytest.raises(DataError, match=r"an executor on .* cannot read viewfs.*does not exist"):
        find_labels(spark, there, 3)


def test_object_stores_are_carried_where_their_credentials_are_hadoops_own(spark: Session) -> None:
    """Hadoop has classes for them here, which are asked for nothing; workers have Arrow's."""
    jvm, conf = spark.hadoop
    keys = {"fs.s3a.access.key": "A", "fs.s3a.secret.key": "S"}
    provider = "fs.s3a.{}aws.credentials.provider".format
    own, nameless = "com.example.OwnProvider", "x.AnonymousAWSCredentialsProvider"
    assumed = "org.apache.hadoop.fs.s3a.auth.AssumedRoleCredentialProvider"

    def opens(uri: str, **more: str) -> bool:
        settings = jvm.org.apache.hadoop.conf.Configuration(conf)
        for scheme in ("s3a", "gs", "abfss"):
            settings.set(f"fs.{scheme}.impl", "org.apache.hadoop.fs.http.HttpFileSystem")
        for key, value in more.items():
            settings.set(key, value)
        location = Locator(jvm, settings)(uri)
        told = "credentials come from where only a JVM finds them" in location.obstacle
        assert (location.elsewhere is None) == told == (not location.travels)
        return location.travels

    assert opens("s3a://b/x", **keys)
    assert opens("s3a://b/x", **{provider(""): nameless})
    assert not opens("s3a://b/x")  # of the machine, which a worker's may be another
    for name in (own, assumed, f"{own},org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"):
        assert not opens("s3a://b/x", **keys, **{provider(""): name})
    assert not opens("s3a://b/x", **keys, **{provider("bucket.b."): own})
    assert opens("s3a://c/x", **keys, **{provider("bucket.b."): own})
    assert not opens("gs://b/x")
    assert not opens("abfss://b@account.dfs.core.windows.net/x")
    key = {"fs.azure.account.key.account.dfs.core.windows.net": "a2V5"}
    assert opens("abfss://b@account.dfs.core.windows.net/x", **key)


def test_hdfs_is_carried_where_workers_have_no_client_or_no_token(
    spark: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    jvm, conf = spark.hadoop
    path = "hdfs://127.0.0.1:9/data"  # nobody is asked before something is read
    assert Locator(jvm, conf)(path).travels
    secured = jvm.org.apache.hadoop.conf.Configuration(conf)
    secured.set("hadoop.security.authentication", "kerberos")
    users, system = jvm.org.apache.hadoop.security.UserGroupInformation, jvm.java.lang.System
    krb5 = {"java.security.krb5.realm": "NOWHERE", "java.security.krb5.kdc": "127.0.0.1"}
    for name, value in krb5.items():
        system.setProperty(name, value)
    users.setConfiguration(secured)
    try:
        assert "only YARN gives them tokens" in Locator(jvm, conf, has_tokens=False)(path).obstacle
        assert Locator(jvm, conf, has_tokens=True)(path).travels
    finally:
        users.setConfiguration(conf)
        for name in krb5:
            system.clearProperty(name)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "hdfs-native is not installed" in Locator(jvm, conf)(path).obstacle
