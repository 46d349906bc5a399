"""An object store: a real server that checks keys and policies, behind a proxy that fails."""

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from subprocess import PIPE
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from csv_oracle import bad_of, read_splits, rows_of
from s3_store import BUCKET, REGION, Proxy, Store

from irisspark.data.columns import Columns
from irisspark.data.csv.blocks import count_lines
from irisspark.data.parquet.parquet_file import is_parquet, opened
from irisspark.data.splits import Split, cut
from irisspark.data.targets import LabelCodes
from irisspark.errors import DataError, IrissparkError, ModelError
from irisspark.storage import publishing
from irisspark.storage.fetching import on_this_disk
from irisspark.storage.finding import find_data, find_model
from irisspark.storage.location import reason
from irisspark.storage.object_stores import s3_arguments
from irisspark.storage.opening import opener
from irisspark.storage.publishing import open_publication
from irisspark.storage.replacing import replacing
from irisspark.training.checkpoints import Checkpoint, Checkpoints
from irisspark.training.history import Best

COLUMNS = Columns(3, (0, 1), label=2, targets=LabelCodes(("0", "1", "2")))
# CRLF, a lone carriage return, bytes that are no UTF-8, a bad number and the last line without end.
ROWS = b"1,2,0\r\n3,4,1\n5,6,\xff\n7\r,8,1\nx,1,0\r\n9,10,2"


@pytest.fixture
def proxy(store: Store) -> Iterator[Proxy]:
    server = Proxy(store.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_rows_and_bad_rows_are_those_of_the_disk(store, tmp_path):
    contents = {
        "a.csv": ROWS * 1,
        "b.csv.gz": gzip.compress(ROWS),
        "c.csv": b"1,1,0\r\n" * 9 + ROWS,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        store.put(**{f"folder/{name}": content})
    here = find_data(str(tmp_path), {}, str)
    for path in ("s3a://iris-data/folder", "s3a://iris-data/fold*/[abc].csv*"):
        there = find_data(path, {}, str, store.place())
        assert [file.size for file in there] == [file.size for file in here]
        for split_bytes in (7, 1e9):
            one = read_splits(here, COLUMNS, split_bytes=split_bytes)
            other = read_splits(pickle.loads(pickle.dumps(there)), COLUMNS, split_bytes=split_bytes)
            assert rows_of(one) == rows_of(other)
            assert bad_of(one) == bad_of(other) and bad_of(one).total
    for file, other in zip(here, there, strict=True):
        places = [row.position for row in bad_of(read_splits([file], COLUMNS)).first]
        lines = [count_lines(Split(f, 0, 0, None), opener(str), places) for f in (file, other)]
        assert lines[0] == lines[1]


def test_a_folder_of_more_files_than_a_listing_gives_is_read_whole(store):
    for number in range(1003):  # past the server's own door, which is slow
        store.backend.put_object(BUCKET, f"many/{number:04d}.csv", b"1,2,0\n")
    found = find_data("s3a://iris-data/many", {}, str, store.place())
    assert [file.path[-8:-4] for file in found] == [f"{number:04d}" for number in range(1003)]


def test_files_of_the_same_name_in_two_buckets_are_two(store):
    store.client.create_bucket(
        Bucket="more-data", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    for bucket in (BUCKET, "more-data"):
        store.client.put_object(Bucket=bucket, Key="twice/a.csv", Body=b"1,2,0\n")
    pattern = "{s3a://iris-data/twice/a.csv,s3a://more-data/tw*/a.csv,s3a://iris-data/twice/*}"
    found = find_data(pattern, {}, str, store.place())
    assert [file.path for file in found] == [
        "s3a://iris-data/twice/a.csv",
        "s3a://more-data/twice/a.csv",
    ]


def test_a_connection_that_breaks_stalls_or_throttles_costs_no_row_and_doubles_none(store, proxy):
    data = b"".join(b"%d,%d,%d\n" % (i, i, i % 3) for i in range(60_000))
    store.put(**{"faults.csv": data})
    place = store.place(endpoint=f"http://127.0.0.1:{proxy.server_port}")
    (file,) = find_data("s3a://iris-data/faults.csv", {}, str, place)
    splits = cut([file], len(data) / 3)
    proxy.faults = ["503", "cut", "", "stall", "cut", "503"]
    rows = rows_of(read_splits([file], COLUMNS, split_bytes=len(data) / 3))
    assert [row[2][0] for row in rows] == list(range(60_000))
    assert not proxy.faults
    assert len(splits) == 3


def test_ranges_are_large_and_few(store, proxy):
    data = b"1,2,0\n" * (20 << 20 >> 3)
    store.put(**{"large.csv": data})
    place = store.place(endpoint=f"http://127.0.0.1:{proxy.server_port}")
    (file,) = find_data("s3a://iris-data/large.csv", {}, str, place)
    proxy.seen.clear()
    num_rows = sum(len(batch) for batch in read_splits([file], COLUMNS, split_bytes=len(data) / 2))
    assert num_rows == len(data) // 6
    assert len(proxy.seen) <= len(data) / (8 << 20) + 3 * 2


def test_a_file_that_changes_while_it_is_read_ends_the_run(store, tmp_path):
    store.put(**{"changing.csv": b"1,2,0\n" * 10})
    (file,) = find_data("s3a://iris-data/changing.csv", {}, str, store.place())
    time.sleep(1.1)  # its times are whole seconds
    store.put(**{"changing.csv": b"2,2,0\n" * 10})
    with pytest.raises(DataError, match=r"changing\.csv was changed while the run read it"):
        read_splits([file], COLUMNS)
    local = tmp_path / "local.csv"
    local.write_bytes(b"1,2,0\n" * 10)
    (file,) = find_data(str(local), {}, str)
    os.utime(local, (1, 1))  # a copy that is older is a copy
    assert read_splits([file], COLUMNS)
    local.write_bytes(b"2,2,0\n" * 10)
    with pytest.raises(DataError, match="was changed"):
        read_splits([file], COLUMNS)


@pytest.mark.parametrize(
    ("other", "path", "said"),
    [
        ({"access.key": "AKIANOBODY"}, "s3a://iris-data/x.csv", "does not know that access key"),
        ({"secret.key": "wrong"}, "s3a://iris-data/x*.csv", "does not fit the access key"),
        ({}, "s3a://no-such-bucket/x.csv", "there is no such bucket"),
        ({}, "s3a://iris-data/nothing.csv", "nothing.csv: there is no such file"),
        ({"endpoint": "http://127.0.0.1:1"}, "s3a://iris-data/x.csv", "look at fs.s3a.endpoint"),
    ],
)
def test_what_is_wrong_is_one_line(store, other, path, said):
    with pytest.raises(DataError) as found:
        find_data(path, {}, str, store.place(**other))
    assert said in str(found.value) and path in str(found.value)
    assert "\n" not in str(found.value)


def test_a_wrong_region_is_one_line_that_names_the_right_one(store, proxy):
    store.put(**{"region.csv": b"1,2,0\n"})
    proxy.region = REGION
    settings = {"endpoint": f"http://127.0.0.1:{proxy.server_port}"}
    assert find_data("s3a://iris-data/region.csv", {}, str, store.place(**settings))
    place = store.place(**settings, **{"endpoint.region": "us-east-1"})
    said = "the bucket is in eu-west-1, not in us-east-1; set fs.s3a.endpoint.region"
    for path in ("s3a://iris-data/region.csv", "s3a://iris-data/reg*.csv"):
        with pytest.raises(DataError) as found:
            find_data(path, {}, str, place)
        assert str(found.value) == f"-dataPath {path}: {said}"
    uri = "s3a://iris-data/out"
    with pytest.raises(IrissparkError, match=f"-outputPath {uri} cannot be written: {said}"):
        open_publication(uri, place(uri), overwrite=False)
    with pytest.raises(OSError, match="301") as error:
        place("s3a://iris-data/region.csv").open()
    assert "look at fs.s3a.endpoint.region" in reason(error.value)


def test_who_may_only_read_is_told_before_the_work(store):
    store.iam.create_user(UserName="reader")
    key = store.iam.create_access_key(UserName="reader")["AccessKey"]
    allow = [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allow})
    store.iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    keys = {"access.key": key["AccessKeyId"], "secret.key": key["SecretAccessKey"]}
    store.put(**{"readable.csv": b"1,2,0\n"})
    place = store.place(**keys)
    assert find_data("s3a://iris-data/readable.csv", {}, str, place)
    with pytest.raises(IrissparkError, match=r"s3a://iris-data/out cannot be written: .*denied"):
        open_publication("s3a://iris-data/out", place("s3a://iris-data/out"), overwrite=False)


def publish(store: Store, name: str, *, overwrite: bool = False) -> Any:
    uri = f"s3a://{BUCKET}/{name}"
    return open_publication(uri, store.place()(uri), overwrite=overwrite)


def test_results_are_whole_once_the_markers_are_there(store):
    one = publish(store, "results")
    folder = one.attempts("predictions")
    for name in ("part-0-aa", "part-0-bb"):
        with pickle.loads(pickle.dumps(folder / name)).create() as stream:
            stream.write(name.encode())
    one.adopt("predictions", {"part-0-bb": "part-00000"})
    assert "_SUCCESS" not in store.names("results/")
    one.publish({"metrics.json": b"{}", "report.txt": b"good"})
    one.discard()
    names = {
        "predictions/part-0-bb",
        "predictions/_SUCCESS",
        "metrics.json",
        "report.txt",
        "_SUCCESS",
    }
    assert store.names("results/") == names
    with pytest.raises(IrissparkError, match="exists; name another folder"):
        publish(store, "results")
    other = publish(store, "results", overwrite=True)
    assert store.names("results/") == names
    other.publish({"metrics.json": b"{1}"})
    assert store.names("results/") == {"metrics.json", "_SUCCESS"}


def test_of_two_runs_into_one_place_one_wins(store):
    one, other = publish(store, "both"), publish(store, "both")
    one.publish({"metrics.json": b"one"})
    with pytest.raises(IrissparkError, match="another run was first") as found:
        other.publish({"metrics.json": b"other"})
    assert "\n" not in str(found.value)
    other.discard()
    body = store.client.get_object(Bucket=BUCKET, Key="both/metrics.json")["Body"].read()
    assert body == b"one" and store.names("both/") == {"metrics.json", "_SUCCESS"}


def test_of_two_runs_that_end_at_once_one_wins(store):
    runs = [publish(store, "at-once") for _ in range(3)]

    def end(number: int) -> str:
        content = str(number).encode()
        try:
            runs[number].publish({"report.txt": content, "metrics.json": content})
        except IrissparkError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(3) as threads:
        told = list(threads.map(end, range(3)))
    assert told.count("") == 1
    assert all("another run was first" in line for line in told if line)
    winner = str(told.index("")).encode()
    assert store.names("at-once/") == {"report.txt", "metrics.json", "_SUCCESS"}
    for name in ("report.txt", "metrics.json"):
        found = store.client.get_object(Bucket=BUCKET, Key=f"at-once/{name}")
        assert found["Body"].read() == winner


def test_results_wait_for_a_run_that_puts_its_own_there(store, capfd):
    one = publish(store, "waited", overwrite=True)
    store.put(**{"waited/_publishing-0": b""})
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(one.publish, {"metrics.json": b"{}"})
        for _ in range(200):
            if "waiting for " in capfd.readouterr().err:
                break
            time.sleep(0.1)
        else:
            pytest.fail("nothing was said")
        assert "waited/metrics.json" not in store.names("waited/") and not done.done()
        store.client.delete_object(Bucket=BUCKET, Key="waited/_publishing-0")
        done.result(timeout=20)
    assert store.names("waited/") == {"metrics.json", "_SUCCESS"}


def test_a_claim_that_a_killed_run_has_left_is_waited_for_until_it_is_old(store, monkeypatch):
    monkeypatch.setattr(publishing, "_LONGEST_PUBLICATION", timedelta(seconds=4))
    one = publish(store, "left", overwrite=True)
    store.put(**{"left/_publishing-0": b""})
    started = time.monotonic()
    one.publish({"metrics.json": b"{}"})
    assert 3 < time.monotonic() - started < 30
    assert store.names("left/") == {"metrics.json", "_SUCCESS", "_publishing-0"}


KILLED_AT_A_CALL = """
import itertools, os, pickle, random, signal, sys
from irisspark.storage import publishing
from irisspark.storage.location import Location
publishing._SETTLED_SECONDS = 0
folder = sys.stdin.buffer.read()

def publish(target, number):
    content = str(number).encode()
    publishing.open_publication(str(target), target, overwrite=True).publish(
        {"report.txt": content, "metrics.json": content}
    )

def publish_until(name, last):
    calls = itertools.count(1)
    def counted(method):
        def call(*words):
            if next(calls) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*words)
        return call
    target = pickle.loads(folder) / name
    publish(target, 0)
    for method in ("create", "remove", "children", "info"):
        setattr(Location, method, counted(getattr(Location, method)))
    publish(target, 1)
    return next(calls) - 1

def in_a_child(name, last):  # which alone has a client, with threads that no fork has
    child = os.fork()
    if not child:
        os._exit(publish_until(name, last))
    return os.waitpid(child, 0)[1]

num_calls = os.waitstatus_to_exitcode(in_a_child("all", None))
for number, last in enumerate(random.sample(range(1, num_calls + 1), 10)):
    print(in_a_child(str(number), last), flush=True)
"""


def test_a_run_that_is_killed_at_any_call_leaves_no_marker_or_a_whole(store):
    """Ten are, each before another call to the store, while they publish over a whole."""
    folder = pickle.dumps(store.place()(f"s3a://{BUCKET}/killed"))
    words = [sys.executable, "-c", KILLED_AT_A_CALL]
    done = subprocess.run(words, input=folder, stdout=PIPE, check=True, timeout=300)
    assert [int(line) for line in done.stdout.split()] == [signal.SIGKILL] * 10
    for number in range(10):
        prefix = f"killed/{number}/"
        names = {name for name in store.names(prefix) if not name.startswith("_publishing")}
        if "_SUCCESS" in names:
            assert names == {"report.txt", "metrics.json", "_SUCCESS"}
            bodies = {
                store.client.get_object(Bucket=BUCKET, Key=f"{prefix}{name}")["Body"].read()
                for name in ("report.txt", "metrics.json")
            }
            assert len(bodies) == 1


def test_a_checkpoint_is_replaced_as_a_whole(store):
    folder = store.place()(f"s3a://{BUCKET}/kept")
    checkpoints = Checkpoints(folder, {"-seed": 7})
    assert not checkpoints.exists
    variables = [np.arange(6, dtype="float32"), np.ones((1 << 20) + 1, dtype="float64")]
    checkpoints.save(Checkpoint(variables, [{"epoch": 1}], Best()))
    assert store.names("kept/") == {"checkpoint.npz"}

    with pytest.raises(KeyboardInterrupt), replacing(folder / "checkpoint.npz") as stream:
        stream.write(b"half of one")
        raise KeyboardInterrupt
    found = Checkpoints(folder, {"-seed": 7}).load(variables)
    assert all(np.array_equal(a, b) for a, b in zip(found.variables, variables, strict=True))


def test_a_model_is_copied_while_it_is_opened_and_called_by_its_own_name(store):
    store.put(**{"models/m.json": b"{}", "models/m.h5": b"weights"})
    uri = f"s3a://{BUCKET}/models/m"
    found = find_model(f"{uri}.json,{uri}.h5", {}, str, store.place())
    with pytest.raises(ModelError, match=rf"^{uri}\.json is none$"), on_this_disk(found) as paths:
        one, other = paths.split(",")
        assert os.path.exists(one) and os.path.exists(other)
        raise ModelError(f"{one} is none")
    assert not os.path.exists(one)
    with pytest.raises(ModelError, match="there is no such bucket"):
        find_model("s3a://no-such-bucket/m.h5", {}, str, store.place())


PROVIDERS = "org.apache.hadoop.fs.s3a.{}CredentialsProvider".format
SECRETS = {"fs.s3a.access.key": "A", "fs.s3a.secret.key": "S"}
TOKEN = SECRETS | {"fs.s3a.session.token": "T"}
# Of hadoop-aws and of Amazon's SDK, beside those that somebody has written.
UNKNOWN = [
    "com.example.OwnProvider",
    "org.apache.hadoop.fs.s3a.auth.AssumedRoleCredentialProvider",
    "org.apache.hadoop.fs.s3a.auth.ProfileAWSCredentialsProvider",
    "org.apache.hadoop.fs.s3a.auth.MarshalledCredentialProvider",
    "org.apache.hadoop.fs.s3a.auth.delegation.SessionTokenProvider",
    "com.amazonaws.auth.WebIdentityTokenCredentialsProvider",
    "software.amazon.awssdk.auth.credentials.ProfileCredentialsProvider",
    "software.amazon.awssdk.auth.credentials.StaticCredentialsProvider",
]
OWN = {"access_key": "A", "secret_key": "S"}


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, {"scheme": "https"}),
        (SECRETS, {**OWN, "scheme": "https"}),
        (TOKEN, {**OWN, "session_token": "T", "scheme": "https"}),
        (
            TOKEN | {"fs.s3a.aws.credentials.provider": PROVIDERS("SimpleAWS")},
            {**OWN, "scheme": "https"},
        ),
        (
            SECRETS | {"fs.s3a.bucket.b.secret.key": "O", "fs.s3a.bucket.c.secret.key": "N"},
            {"access_key": "A", "secret_key": "O", "scheme": "https"},
        ),
        (
            {"fs.s3a.aws.credentials.provider": PROVIDERS("AnonymousAWS")},
            {"anonymous": True, "scheme": "https"},
        ),
        ({"fs.s3a.aws.credentials.provider": "com.example.OwnProvider"}, None),
        (SECRETS | {"fs.s3a.aws.credentials.provider": PROVIDERS("TemporaryAWS")}, None),
        ({"fs.s3a.aws.credentials.provider": PROVIDERS("IAMInstance")}, None),
        (SECRETS | {"fs.s3a.assumed.role.arn": "arn:x"}, None),
        (SECRETS | {"fs.s3a.delegation.token.binding": "com.example.Binding"}, None),
        *((SECRETS | {"fs.s3a.aws.credentials.provider": name}, None) for name in UNKNOWN),
        (SECRETS | {"fs.s3a.bucket.b.aws.credentials.provider": "com.example.OwnProvider"}, None),
        (
            SECRETS | {"fs.s3a.bucket.c.aws.credentials.provider": "com.example.OwnProvider"},
            {**OWN, "scheme": "https"},
        ),
        (
            SECRETS
            | {"fs.s3a.aws.credentials.provider": f"com.example.Own,\n {PROVIDERS('SimpleAWS')}"},
            None,
        ),
        (
            SECRETS
            | {"fs.s3a.aws.credentials.provider": f"{PROVIDERS('SimpleAWS')} , com.example.Own"},
            {**OWN, "scheme": "https"},
        ),
        (
            {"fs.s3a.endpoint": "minio.example:9000", "fs.s3a.connection.ssl.enabled": "false",
             "fs.s3a.path.style.access": "true"},
            {"scheme": "http", "endpoint_override": "minio.example:9000",
             "force_virtual_addressing": False},
        ),
        (
            {"fs.s3a.endpoint": "https://store.example/", "fs.s3a.endpoint.region": "here"},
            {"scheme": "https", "endpoint_override": "store.example", "region": "here",
             "force_virtual_addressing": True},
        ),
        (
            {"fs.s3a.endpoint": "http://127.0.0.1:9000"},
            {"scheme": "http", "endpoint_override": "127.0.0.1:9000",
             "force_virtual_addressing": False},
        ),
        (
            {"fs.s3a.endpoint": "s3.eu-west-1.amazonaws.com"},
            {"scheme": "https", "region": "eu-west-1"},
        ),
        ({"fs.s3a.endpoint": "s3.amazonaws.com"}, {"scheme": "https"}),
    ],
)  # fmt: skip
def test_settings_of_hadoop_are_translated_or_nothing_is(settings, arguments):
    assert s3_arguments("b", settings, settings.get) == arguments


def test_parquet_there_has_the_rows_of_the_disk(store, tmp_path):
    table = pa.table({"x": range(5_000), "y": [0.5] * 5_000, "label": [0, 1] * 2_500})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=900)
    store.put(**{"columns/a.parquet": (tmp_path / "a.parquet").read_bytes()})
    (file,) = find_data("s3a://iris-data/columns", {}, str, store.place())
    assert is_parquet(file, opener(str))
    with opened(pickle.loads(pickle.dumps(file)), opener(str)) as parquet:
        assert parquet.read().equals(table)
