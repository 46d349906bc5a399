"""Paths on a real HDFS: the driver through Hadoop's own client, workers through another one."""

import gzip
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
from csv_oracle import PLAIN, bad_of, read_splits, rows_of
from running import (
    ROOT,
    RUN_SECONDS,
    SPARK_HOME,
    Cluster,
    Hadoop,
    Run,
    clean_environ,
    free_port,
)
from test_archive import assert_block, assert_one_message

from irisspark.data.columns import Columns
from irisspark.data.csv.blocks import count_lines
from irisspark.data.csv.csv_reader import CsvReader
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


def test_of_runs_that_end_at_once_one_wins(place: Locator) -> None:
    target = place("at once/out")
    runs = [open_publication("out", target, overwrite=False) for _ in range(3)]

    def end(number: int) -> str:
        content = str(number).encode()
        try:
            runs[number].publish({"report.txt": content, "metrics.json": content})
        except IrissparkError as error:
            return str(error)
        finally:
            runs[number].discard()
        return ""

    with ThreadPoolExecutor(3) as threads:
        told = list(threads.map(end, range(3)))
    assert told.count("") == 1
    assert all("another run was first" in line and "\n" not in line for line in told if line)
    assert names(target.parent) == ["out"]
    winner = str(told.index("")).encode()
    assert [(target / name).open().read() for name in names(target)] == [winner, winner]


def test_what_a_run_has_left_between_two_renames_is_told(place: Locator) -> None:
    folder = place("left")
    put(folder / ".out-old-0123abcd", "metrics.json", b"old")
    put(folder / ".out-new-0123abcd", "metrics.json", b"new")
    put(folder / ".out-new-4567abcd", "metrics.json", b"of a run at work")
    put(folder / ".out-old-mine", "metrics.json", b"no run's")
    one = open_publication("left/out", folder / "out", overwrite=True)
    one.discard()
    told = [re.search(r"; (.*) are in (.*): move them", note) for note in one.notes]
    assert [found.groups() for found in told if found] == [
        ("the results that it was to replace", (folder / ".out-old-0123abcd").uri),
        ("its own", (folder / ".out-new-0123abcd").uri),
    ]
    assert open_publication("left/other", folder / "other", overwrite=True).notes == ()


PUBLISHER = """
import itertools, os, random, signal, sys
from pyspark.java_gateway import launch_gateway
from irisspark.storage.locating import Locator
from irisspark.storage.publishing import open_publication

def open_target(path):
    jvm = launch_gateway().jvm
    conf = jvm.org.apache.hadoop.conf.Configuration()
    for name in ("core-site.xml", "hdfs-site.xml"):
        conf.addResource(jvm.org.apache.hadoop.fs.Path(f"{sys.argv[1]}/{name}"))
    return Locator(jvm, conf)(path)

def publish(target, number):
    content = str(number).encode()
    open_publication(str(target), target, overwrite=True).publish(
        {"report.txt": content, "metrics.json": content}
    )
"""
FOREVER = """
target = open_target(sys.argv[2])
for number in itertools.count():
    print(number, flush=True)
    publish(target, number)
"""
KILLED_AT_A_CALL = """
def publish_until(path, last):
    target = open_target(path)
    publish(target, 0)
    client, calls = target.filesystem.handler._jvm._gateway_client, itertools.count(1)
    send = client.send_command
    def counted(*words, **more):
        if next(calls) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return send(*words, **more)
    client.send_command = counted
    publish(target, 1)
    return next(calls) - 1

num_calls = publish_until(sys.argv[2] + "/all/out", None)
for number, last in enumerate(random.sample(range(1, num_calls), 10)):
    child = os.fork()
    if not child:
        publish_until(f"{sys.argv[2]}/{number}/out", last)
        os._exit(0)
    print(last, num_calls, os.waitpid(child, 0)[1], flush=True)
"""


def test_a_run_that_is_killed_leaves_nothing_or_a_whole(place: Locator, hadoop: Hadoop) -> None:
    """Killed with its JVM, in the third of many publications, each over the one before."""
    runs = []
    for number in range(3):
        words = [sys.executable, "-c", PUBLISHER + FOREVER]
        words += [str(hadoop.conf), f"killed/{number}/out"]
        run = subprocess.Popen(words, stdout=PIPE, cwd=ROOT, env=clean_environ(), process_group=0)
        runs.append(run)
    for number, run in enumerate(runs):
        assert run.stdout is not None
        assert [run.stdout.readline() for _ in range(3)] == [b"0\n", b"1\n", b"2\n"]
        time.sleep(random.uniform(0, 0.3))
        _kill_with_children(run)
        _assert_nothing_or_a_whole(place(f"killed/{number}"))


def test_a_driver_that_is_killed_at_any_call_leaves_nothing_or_a_whole(
    place: Locator, hadoop: Hadoop
) -> None:
    """Ten are, each before another call to a JVM that lives on, while it publishes over a whole."""
    client = place._jvm._gateway_client
    environ = clean_environ(
        PYSPARK_GATEWAY_PORT=str(client.java_parameters.port),
        PYSPARK_GATEWAY_SECRET=client.java_parameters.auth_token,
    )
    words = [sys.executable, "-c", PUBLISHER + KILLED_AT_A_CALL, str(hadoop.conf), "calls"]
    done = subprocess.run(
        words, cwd=ROOT, env=environ, stdout=PIPE, check=True, timeout=RUN_SECONDS
    )
    ends = Counter(int(line.split()[-1]) for line in done.stdout.splitlines())
    # One whose last calls were fewer, as objects are cleared at other times, is done before.
    assert ends.total() == 10 and ends[signal.SIGKILL] >= 7 and set(ends) <= {0, signal.SIGKILL}
    for number in range(10):
        _assert_nothing_or_a_whole(place(f"calls/{number}"))


def _assert_nothing_or_a_whole(folder: Location) -> None:
    """Look for results that are whole, where there were some before, and publish over them."""
    olds = [name for name in names(folder) if name.startswith(".out-old-")]
    assert (folder / "out").exists or olds
    for name in ["out"] * (folder / "out").exists + olds:
        assert names(folder / name) == ["metrics.json", "report.txt"]
        assert len({(folder / name / file).open().read() for file in names(folder / name)}) == 1
    after = open_publication("out", folder / "out", overwrite=True)
    assert bool(after.notes) == bool(olds)
    after.publish({"metrics.json": b"after"})
    assert names(folder / "out") == ["metrics.json"]


def _kill_with_children(run: "subprocess.Popen[bytes]") -> None:
    """End a process and the JVM that it has started, which is in a group of its own."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], stdout=PIPE, check=False)
    for pid in [run.pid, *map(int, listed.stdout.split())]:
        os.kill(pid, signal.SIGKILL)
    run.wait()
    assert run.stdout is not None
    run.stdout.close()


@pytest.fixture
def pair(place: Locator, hadoop: Hadoop) -> Locator:
    """What finds places on two name nodes, one of them active, and two data nodes."""
    hadoop.tell("pair")
    conf = place._jvm.org.apache.hadoop.conf.Configuration(False)
    for name in ("core-default.xml", "hdfs-default.xml"):
        conf.addResource(name)
    for name in ("core-site.xml", "hdfs-site.xml"):
        file = str(hadoop.conf.parent / "pair" / name)
        conf.addResource(place._jvm.org.apache.hadoop.fs.Path(file))
    return Locator(place._jvm, conf)


def test_a_data_node_and_then_a_name_node_that_are_lost_cost_no_row(
    pair: Locator, hadoop: Hadoop
) -> None:
    data = b"".join(b"%d,%d,%d\n" % (i, i, i % 3) for i in range(700_000))
    put(pair("wide"), "a.csv", data)
    assert len(data) > 10 << 20  # blocks of 1 MB, each on both data nodes
    for word in ("lose-data-node", "lose-name-node"):
        files = pickle.loads(pickle.dumps(find_data("wide/*.csv", {}, str, pair)))
        found = []
        for split in CsvReader(PLAIN).cut(files, len(data) / 2):
            for number, batch in enumerate(
                CsvReader(PLAIN).read(split, COLUMNS, opener(str), 1 << 20)
            ):
                if number == 1 and split.start == 0:
                    hadoop.tell(word)
                found.append(batch.features[:, 0])
        assert np.concatenate(found).tolist() == list(range(700_000))
    one = open_publication("after/out", pair("after/out"), overwrite=False)
    one.publish({"metrics.json": b"{}"})
    assert names(pair("after/out")) == ["metrics.json"]


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


def test_what_finds_no_room_on_this_disk_leaves_the_file_before_it(place: Locator) -> None:
    put(place("room"), "a.bin", b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            put(place("room"), "a.bin", bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (place("room") / "a.bin").open().read() == b"before"


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
WITHOUT_CLIENT = "import sys; sys.modules['hdfs_native'] = None"
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


def num_predictions(folder: Location, *sources: str) -> int:
    """Count the rows that were predicted, all of which come from the sources."""
    import pyarrow.parquet as pq

    parts = [name for name in names(folder) if name.endswith(".parquet")]
    tables = [pq.read_table((folder / name).open()) for name in parts]
    found = {str(file) for table in tables for file in table["file"].to_pylist()}
    assert not sources or found == set(sources)
    return sum(len(table) for table in tables)


def test_workers_on_yarn_read_and_write_there(archive: Path, on_hdfs: Run, place: Locator) -> None:
    job = (*JOB, "-predictions", "true", "-outputPath", "scored")
    done = on_hdfs(*ON_YARN, *SMALL, archive, *job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_block(done.stdout)
    assert f"irisspark: the results are in {place('scored').uri}\n" in done.stdout + done.stderr
    assert {"metrics.json", "predictions", "report.txt"} <= set(names(place("scored")))
    assert names(place("scored/predictions"))[0] == "_SUCCESS"
    assert num_predictions(place("scored/predictions"), place("job/iris.txt").uri) == 150
    again = on_hdfs("--master", "local[2]", archive, *job)
    assert_one_message(again, 1, "-outputPath scored exists")


IN_A_SESSION = """
import sys
sys.path.insert(0, sys.argv[1])
import irisspark
from pyspark import SparkContext
context = SparkContext()
context.environment["PYTHONPATH"] = sys.argv[2]
print(irisspark.evaluate(context, "job/my_model.h5", "hdfs:///user/*/job/*.txt", label=4), end="")
"""


def test_a_live_session_whose_workers_have_no_client_of_hdfs(
    on_hdfs: Run, place: Locator, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_CLIENT)
    (tmp_path / "program.py").write_text(IN_A_SESSION)
    done = on_hdfs("--master", "local[2]", tmp_path / "program.py", ROOT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_block(done.stdout)
    told = f"irisspark: Spark's executors read {place('/').root} for the workers, which cannot: "
    assert f"{told}the package hdfs-native is not installed" in done.stdout + done.stderr


def test_cluster_mode_by_submit_sh_with_every_path_there(
    checkout: Path, on_hdfs: Run, job_folder: Path, cluster: Cluster, place: Locator
) -> None:
    root = place("job").uri
    done = subprocess.run(
        [checkout / "submit.sh", "--deploy-mode", "cluster",
         "--conf", "spark.standalone.submit.waitAppCompletion=true", "--",
         "-modelPath", f"{root}/my_model.h5", "-dataPath", f"{root}/iris.txt", "-labelIndex", "4",
         "-predictions", "true", "-outputPath", f"{root}/far"],
        cwd=job_folder, env=clean_environ(MASTER=cluster.master), capture_output=True, text=True,
        timeout=RUN_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the machine that the cluster chooses" not in done.stderr
    report = (place("job/far") / "report.txt").open().read().decode()
    assert_block(report)
    assert num_predictions(place("job/far/predictions"), f"{root}/iris.txt") == 150


def test_training_goes_on_from_a_checkpoint_there(
    archive: Path, on_hdfs: Run, place: Locator, tmp_path: Path
) -> None:
    """The first of two runs is on a cluster whose machines have no client of HDFS."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_CLIENT)
    without = ("--conf", f"spark.executorEnv.PYTHONPATH={tmp_path}")
    job = (*JOB, "-train", "true", "-checkpointPath", "steps", "-outputPath", "trained")
    words = ("--master", "local-cluster[1,2,1024]", *without, archive, *job)
    slow = ("-fastWorkers", "false")  # else they are forked from the driver, which has the client
    first = on_hdfs(*words, "-epochs", "2", "-predictions", "true", *slow)
    said = first.stdout + first.stderr
    assert first.returncode == 0, said
    for told in ("read {} for the workers", "write predictions to {} for the workers"):
        assert f"Spark's executors {told.format(place('/').root)}, which cannot: the pac" in said
    assert num_predictions(place("trained/predictions")) == 150
    more = ("-epochs", "3", "-resume", "true", "-overwrite", "true")
    second = on_hdfs("--master", "local[2]", archive, *job, *more)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "going on after epoch 2" in second.stdout + second.stderr
    assert {"history.csv", "model.h5", "model.keras"} <= set(names(place("trained")))
    assert names(place("steps")) == ["checkpoint.npz"]
