"""What Spark's history server tells of a run: a real one, on the event log of a real run."""

import json
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from daemons import start_daemon
from running import SPARK_HOME, START_SECONDS, Run, free_port


def ask(url: str) -> Any:
    """Give what the server answers, once it has read the log."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                if found := json.load(answer):
                    return found
        except urllib.error.URLError:
            pass
        if time.monotonic() > deadline:
            pytest.fail(f"{url} has no answer")
        time.sleep(0.5)


def test_every_job_has_a_description_and_the_group_of_the_run(
    archive: Path, spark_submit: Run, tmp_path: Path
) -> None:
    log = tmp_path / "events"
    log.mkdir()
    settings = ["--conf", "spark.eventLog.enabled=true", "--conf", f"spark.eventLog.dir=file:{log}"]
    job = "-modelPath my_model.h5 -dataPath iris.txt -train true -epochs 2 -validationSplit 0.2"
    done = spark_submit("--master", "local[2]", *settings, archive, *job.split())
    assert done.returncode == 0, done.stderr
    port = free_port()
    options = {
        "spark.history.fs.logDirectory": f"file:{log}",
        "spark.history.ui.port": port,
        "spark.history.fs.update.interval": "1s",
    }
    history_server = "org.apache.spark.deploy.history.HistoryServer"
    command = [str(SPARK_HOME / "bin" / "spark-class"), history_server]
    history = {"SPARK_HISTORY_OPTS": " ".join(f"-D{n}={v}" for n, v in options.items())}
    with ExitStack() as stack:
        ready = "Bound HistoryServer to"
        start_daemon(stack, "a history server", command, tmp_path / "log", ready, **history)
        api = f"http://127.0.0.1:{port}/api/v1/applications"
        (run,) = ask(api)
        jobs = ask(f"{api}/{run['id']}/jobs")
    found = [one["description"] for one in sorted(jobs, key=lambda one: one["jobId"])]
    assert found == [
        "start the workers",
        "read the rows of the training",
        "place the rows on their workers",
        "place the held-out rows on their workers",
        *("epoch 1/2: train", "epoch 1/2: measure the held-out rows"),
        *("epoch 2/2: train", "epoch 2/2: measure the held-out rows"),
        "evaluate my_model.h5 on iris.txt",
    ]
    groups = {one["jobGroup"] for one in jobs}
    assert len(groups) == 1
    assert groups.pop().startswith("irisspark ")
