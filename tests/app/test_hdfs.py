"""Paths on a real HDFS: the driver through Hadoop's own client, workers through another one."""

import gzip
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from csv_oracle import bad_of, read_splits, rows_of
from running import ROOT, SPARK_HOME, Hadoop, Run, clean_environ, free_port
from test_archive import assert_block, assert_one_message

from irisspark.data.columns import Columns
from irisspark.data.csv.blocks import count_lines
from irisspark.data.splits import Split
from irisspark.data.targets import LabelCodes
from irisspark.errors import DataError, IrissparkError
from irisspark.storage.finding import find_data
from irisspark.storage.locating import Locator
from irisspark.storage.location import Location
from irisspark.storage.opening import opener
from irisspark.storage.publishing import open_publication
from irisspark.training.checkpoints import Checkpoint, Checkpoints
from irisspark.training.history import Best

COLUMNS = Columns(3, (0, 1), label=2, targets=LabelCodes(("0", "1", "2")))
# CRLF, a lone carriage return, bytes that are no UTF-8, a bad number and the last line without end.
ROWS = b"1,2,0\r\n3,4,1\n5,6,\xff\n7\r,8,1\nx,1,0\r\n9,10,2"


@pytest.fixture(scope="module")
def place(hadoop: Hadoop) -> Iterator[Locator]:
    """What finds places as a driver does, whatever else runs in its JVM."""
    from pyspark.java_gateway import launch_gateway

    gateway = launch_gateway()  # one of its own: Spark's is started with other settings elsewhere
    jvm = gateway.jvm
    conf = jvm.org.apache.hadoop.conf.Configuration()
    for name in ("core-site.xml", "hdfs-site.xml"):
        conf.addResource(jvm.org.apache.hadoop.fs.Path(str(hadoop.conf / name)))
    yield Locator(jvm, conf)
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(20)


def put(folder: Location, name: str, content: bytes) -> None:
    folder.make_folder()
    with (folder / name).create() as stream:
        stream.write(content)


def names(folder: Location) -> list[str]:
    return [info.base_name for info in folder.children()]


def test_rows_and_bad_rows_are_those_of_the_disk(place: Locator, tmp_path: Path) -> None:
    contents = {"a.csv": ROWS, "b.csv.gz": gzip.compress(ROWS), "c.csv": b"1,1,0\r\n" * 9 + ROWS}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        put(place("folder"), name, content)
    put(place("folder"), "_SUCCESS", b"")
    here = find_data(str(tmp_path), {}, str)
    root = place("/").root
    for path in ("folder", f"{root}/user/*/folder/[abc]*", "fold{er,}/a.csv,folder/[bc].*"):
        there = find_data(path, {}, str, place)
        assert [file.size for file in there] == [file.size for file in here]
        assert all(file.path.startswith(f"{root}/user/") for file in there)
    by_workers = pickle.loads(pickle.dumps(there))
    for split_bytes in (1, 7, 1e9):
        expected = read_splits(here, COLUMNS, split_bytes=split_bytes)
        found = read_splits(by_workers, COLUMNS, split_bytes=split_bytes)
        assert rows_of(found) == rows_of(expected)
        assert bad_of(found) == bad_of(expected) and bad_of(found).total
    assert rows_of(read_splits(there, COLUMNS)) == rows_of(expected)
    for file, other in zip(here, by_workers, strict=True):
        places = [row.position for row in bad_of(read_splits([file], COLUMNS)).first]
        lines = [count_lines(Split(f, 0, 0, None), opener(str), places) for f in (file, other)]
        assert lines[0] == lines[1]


def test_a_path_without_a_scheme_may_lie_on_this_disk_all_the_same(
    place: Locator, tmp_path: Path
) -> None:
    (tmp_path / "only here.csv").write_bytes(ROWS)
    (file,) = find_data(f"{tmp_path}/only*.csv", {}, str, place)
    assert file.path == f"{tmp_path}/only here.csv"
    assert place(f"file://{tmp_path}").is_local
    with pytest.raises(DataError, match="there is no such file"):
        find_data("hdfs:///nowhere.csv", {}, str, place)


def test_a_file_that_changes_while_it_is_read_ends_the_run(place: Locator) -> None:
    put(place("changing"), "a.csv", b"1,2,0\n" * 10)
    found = find_data("changing", {}, str, place)
    put(place("changing"), "a.csv", b"1,2,0\n" * 10)
    with pytest.raises(DataError, match=r"changing/a\.csv was changed while the run read it"):
        read_splits(pickle.loads(pickle.dumps(found)), COLUMNS)


def test_results_appear_whole_under_their_name(place: Locator) -> None:
    parent = place("results")
    parent.make_folder()

    def publication(*, overwrite: bool = False) -> Any:
        return open_publication("results/out", parent / "out", overwrite=overwrite)

    one = publication()
    attempts = one.attempts("predictions")
    for name in ("part-0-aa", "part-0-bb"):  # as a worker does, which has no Hadoop
        with pickle.loads(pickle.dumps(attempts / name)).create() as stream:
            stream.write(name.encode())
    one.adopt("predictions", {"part-0-bb": "part-00000.parquet"})
    other, late = publication(), publication()
    one.publish({"metrics.json": b"{}"})
    one.discard()
    assert names(parent / "out") == ["metrics.json", "predictions"]
    assert names(parent / "out" / "predictions") == ["_SUCCESS", "part-00000.parquet"]
    with pytest.raises(IrissparkError, match="another run was first"):
        other.publish({"metrics.json": b"other"})
    other.discard()
    late.discard()
    with pytest.raises(IrissparkError, match="exists; name another folder"):
        publication()
    again = publication(overwrite=True)
    again.publish({"metrics.json": b"again"})
    assert names(parent) == ["out"]
    assert names(parent / "out") == ["metrics.json"]


def test_a_checkpoint_takes_the_place_of_the_one_before(place: Locator) -> None:
    variables = [np.arange(6, dtype="float32"), np.ones(300_001)]
    checkpoints = Checkpoints(place("kept"), {"-seed": 7})
    assert not checkpoints.exists
    for epoch in (1, 2):
        checkpoints.save(Checkpoint(variables, [{"epoch": epoch}], Best()))
    assert names(place("kept")) == ["checkpoint.npz"]
    found = Checkpoints(place("kept"), {"-seed": 7}).load(variables)
    assert found.history == [{"epoch": 2}]
    assert all(np.array_equal(a, b) for a, b in zip(found.variables, variables, strict=True))


@pytest.fixture
def in_safe_mode(place: Locator) -> Iterator[Callable[[], None]]:
    filesystem = place._jvm.org.apache.hadoop.fs.FileSystem.get(place._conf)
    actions = place._jvm.org.apache.hadoop.fs.SafeModeAction
    filesystem.setSafeMode(actions.ENTER)
    yield
    filesystem.setSafeMode(actions.LEAVE)


def test_safe_mode_is_told_before_the_work(place: Locator, in_safe_mode: None) -> None:
    with pytest.raises(IrissparkError, match="Name node is in safe mode") as found:
        open_publication("safe/out", place("safe/out"), overwrite=False)
    assert "\n" not in str(found.value)


def test_wrong_port_and_no_permission_are_one_line(place: Locator) -> None:
    uri = f"hdfs://127.0.0.1:{free_port()}/x.csv"
    with pytest.raises(DataError, match="Connection refused") as found:
        find_data(uri, {}, str, place)
    assert uri in str(found.value) and "\n" not in str(found.value)
    put(place("closed"), "a.csv", ROWS)
    filesystem = place._jvm.org.apache.hadoop.fs.FileSystem.get(place._conf)
    closed = place("closed")
    filesystem.setPermission(_path(place, closed.path), mode(place, "700"))
    user = {"HADOOP_USER_NAME": "somebody"}
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).open())"
    stranger = pickle.dumps(closed / "a.csv")
    done = subprocess.run(
        [sys.executable, "-c", code], input=stranger, env=clean_environ(**user), cwd=ROOT,
        capture_output=True, check=False,
    )  # fmt: skip
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("PermissionError: Permission denied: user=somebody, access=EXECUTE")


def mode(place: Locator, octal: str) -> Any:
    return place._jvm.org.apache.hadoop.fs.permission.FsPermission(octal)


def _path(place: Locator, text: str) -> Any:
    return place._jvm.org.apache.hadoop.fs.Path(text)


ON_YARN = ["--master", "yarn", "--conf", f"spark.yarn.jars=local:{SPARK_HOME / 'jars'}/*"]
SMALL = ["--num-executors", "2", "--executor-cores", "1", "--executor-memory", "512m"]


@pytest.fixture
def on_hdfs(place: Locator, spark_submit: Run, job_folder: Path, hadoop: Hadoop) -> Run:
    """Runs spark-submit where model and data lie on HDFS alone."""
    for name in ("iris.txt", "my_model.h5"):
        put(place("job"), name, (job_folder / name).read_bytes())
        (job_folder / name).unlink()

    def run(*words: str | Path) -> Any:
        return spark_submit(*words, HADOOP_CONF_DIR=str(hadoop.conf))

    return run


JOB = ("-modelPath", "job/my_model.h5", "-dataPath", "hdfs:///user/*/job/*.txt", "-labelIndex", "4")


def test_workers_on_yarn_read_and_write_there(archive: Path, on_hdfs: Run, place: Locator) -> None:
    job = (*JOB, "-predictions", "true", "-outputPath", "scored")
    done = on_hdfs(*ON_YARN, *SMALL, archive, *job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_block(done.stdout)
    assert f"irisspark: the results are in {place('scored').uri}\n" in done.stdout + done.stderr
    assert {"metrics.json", "predictions", "report.txt"} <= set(names(place("scored")))
    assert names(place("scored/predictions"))[0] == "_SUCCESS"
    import pyarrow.parquet as pq

    scored = place("scored/predictions")
    parts = [name for name in names(scored) if name.endswith(".parquet")]
    tables = [pq.read_table((scored / name).open()) for name in parts]
    assert sum(len(table) for table in tables) == 150
    assert {str(file) for table in tables for file in table["file"].to_pylist()} == {
        place("job/iris.txt").uri
    }
    again = on_hdfs("--master", "local[2]", archive, *job)
    assert_one_message(again, 1, "-outputPath scored exists")


def test_training_goes_on_from_a_checkpoint_there(
    archive: Path, on_hdfs: Run, place: Locator
) -> None:
    job = (*JOB, "-train", "true", "-checkpointPath", "steps", "-outputPath", "trained")
    first = on_hdfs("--master", "local[2]", archive, *job, "-epochs", "2")
    assert first.returncode == 0, first.stdout + first.stderr
    more = ("-epochs", "3", "-resume", "true", "-overwrite", "true")
    second = on_hdfs("--master", "local[2]", archive, *job, *more)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "going on after epoch 2" in second.stdout + second.stderr
    assert {"history.csv", "model.h5", "model.keras"} <= set(names(place("trained")))
    assert names(place("steps")) == ["checkpoint.npz"]
