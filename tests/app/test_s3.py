"""Whole commands whose every path lies in an object store that checks keys."""

import json
import shutil
import threading
from pathlib import Path

from running import SPARK_HOME, Run
from s3_store import BUCKET, Store

# An executor of its own, whose log is at Spark's own level.
ON_A_CLUSTER = ("--master", "local-cluster[1,2,1024]")


def words_of(settings: dict[str, str]) -> list[str]:
    """Settings on the command line of spark-submit, where its user may well write them."""
    found = [f"{key}={value}" for key, value in settings.items()]
    return [word for setting in found for word in ("--conf", setting)]


_OF_WORKERS, _OF_EXECUTORS = b"PYTHON_WORKER_FACTORY", b"CoarseGrainedExecutorBackend"


class Watch(threading.Thread):
    """Reads the command lines of executors and of their workers until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.seen: set[bytes] = set()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes()
                    environ = (process / "environ").read_bytes()
                except OSError:
                    continue
                is_worker = b"python" in words.split(b"\0")[0] and _OF_WORKERS in environ
                if is_worker or _OF_EXECUTORS in words:
                    self.seen.add(words)


def test_every_path_in_a_bucket_and_no_secret_anywhere(
    archive: Path, spark_submit: Run, job_folder: Path, store: Store
) -> None:
    for name in ("iris.txt", "my_model.h5"):
        store.put(**{f"job/{name}": (job_folder / name).read_bytes()})
        (job_folder / name).unlink()
    root = f"s3a://{BUCKET}"
    events = job_folder / "events"
    events.mkdir()
    logged = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": str(events),
    }
    keys = store.guest()
    secrets = [keys["fs.s3a.secret.key"], keys["fs.s3a.session.token"]]
    hidden = {f"spark.hadoop.{key}": value for key, value in keys.items()}
    job = (
        *("-modelPath", f"{root}/job/my_model.h5", "-dataPath", f"{root}/job/*.txt"),
        *("-labelIndex", "4", "-outputPath", f"{root}/scored", "-predictions", "true"),
        *("-train", "true", "-epochs", "2", "-checkpointPath", f"{root}/steps", "-verbose", "true"),
    )
    watch = Watch()
    watch.start()
    words = (*ON_A_CLUSTER, *words_of(hidden | logged), archive, *job)
    done = spark_submit(*words)
    watch.ended.set()
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert " # of classes:    3\n" in said
    assert f"irisspark: the results are in {root}/scored\n" in said
    assert store.names("steps/") == {"checkpoint.npz"}
    names = store.names("scored/")
    assert {"_SUCCESS", "metrics.json", "model.keras", "predictions/_SUCCESS"} <= names
    written = store.client.get_object(Bucket=BUCKET, Key="scored/metrics.json")["Body"].read()
    assert json.loads(written)["run"]["options"]["dataPath"] == f"{root}/job/*.txt"
    assert {_OF_EXECUTORS in words for words in watch.seen} == {True, False}
    places = [said, written.decode(), *(words.decode() for words in watch.seen)]
    places += [path.read_text() for path in events.rglob("*") if path.is_file()]
    (name,) = (path.name.removeprefix("eventlog_v2_") for path in events.iterdir())
    logs = SPARK_HOME / "work" / name  # no setting leads the workers of such a cluster elsewhere
    of_executors = [path.read_text() for path in logs.rglob("std*")]
    shutil.rmtree(logs)
    assert any("Running task" in text for text in of_executors)
    places += of_executors
    assert not [text for text in places if any(secret in text for secret in secrets)]
