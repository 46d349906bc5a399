"""Runs that end in any way leave files, processes and descriptors as they were."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import endings
from running import clean_environ

ENDS = [
    ("good", 0.0),
    ("failed", 0.0),
    ("interrupted", 0.2),
    ("interrupted", 3.0),
    ("interrupted", "epoch 2/"),
    ("terminated", 3.0),
    ("terminated", "epoch 2/"),
    ("hung-up", "epoch 2/"),
    ("killed", 3.0),
    ("killed", "epoch 2/"),
]


def test_runs_leave_nothing_however_they_end(checkout, sample_model, tmp_path):
    (tmp_path / "place").mkdir()
    place = endings.Place(tmp_path / "place", checkout / "submit.sh", sample_model)
    before, descriptors = place.files(), len(os.listdir("/proc/self/fd"))
    found = {}
    for kind, when in ENDS:
        ended = endings.end(place, kind, when)
        if wrong := endings.problems(kind, ended):
            found[kind, when] = (wrong, ended.output)
    assert found == {}
    assert endings.problems("good", endings.end(place, "good", 0)) == []  # clears after the killed
    assert place.files() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_ctrl_c_says_that_the_run_was_interrupted_and_keeps_the_old_results(
    checkout, sample_model, tmp_path
):
    (tmp_path / "place").mkdir()
    place = endings.Place(tmp_path / "place", checkout / "submit.sh", sample_model)
    (place.folder / "out").mkdir()
    (place.folder / "out" / "mine").touch()
    ended = endings.end(place, "interrupted", "epoch 2/")
    assert endings.problems("interrupted", ended) == [], ended.output
    assert sorted(os.listdir(place.folder)) == ["iris.txt", "my_model.h5", "out"]
    assert os.listdir(place.folder / "out") == ["mine"]


@pytest.mark.parametrize("signal_number", [2, 15])
def test_the_drivers_own_process_ends_with_the_code_of_the_signal(
    checkout, sample_model, tmp_path, signal_number
):
    """Sent to one process alone, of which Spark's JVM learns by its exit code."""
    (tmp_path / "place").mkdir()
    place = endings.Place(tmp_path / "place", checkout / "submit.sh", sample_model)
    run = place.start(*endings.TRAIN)
    run.wait_for("epoch 2/", 300)
    early = drivers_of(run)[0]  # it was started beside the JVM
    os.kill(early, signal_number)
    ended = run.finish()
    assert ended.code == 128 + signal_number, ended.output
    assert {2: "interrupted", 15: "terminated"}[signal_number] in ended.output
    assert ended.left == []
    assert place.files() == {
        *map(str, (place.folder / "iris.txt", place.folder / "my_model.h5")),
        *(path for path in place.files() if path.startswith("/dev/shm")),
    }


def drivers_of(run: endings.Run) -> list[int]:
    """List the driver and its forks; Spark's own Python, which hands over, is among them."""
    processes = endings.processes_of(run.process.pid)
    found = [line for line in processes if "irisspark.zip" in line and "java -cp" not in line]
    assert found, (processes, run.output)
    return sorted(int(line.split()[0]) for line in found)


def test_plain_python_ends_with_the_jvm_that_it_started(archive, job_folder):
    command = [sys.executable, str(archive), "-useSparkLocal", "true", *endings.TRAIN]
    run = endings.Run(command, job_folder, clean_environ())
    run.wait_for("epoch 2/", 300)
    run.process.terminate()
    ended = run.finish()
    assert ended.code == 143, ended.output
    assert "irisspark: terminated" in ended.output
    assert ended.left == []
    assert ended.seconds < endings.END_SECONDS


def workers_of(run: endings.Run) -> list[int]:
    """List the forks that have no child: of a fork, or of a daemon that has imported itself."""
    lines = endings.processes_of(run.process.pid)
    daemons = {int(line.split()[0]) for line in lines if "startup.worker_daemon" in line}
    drivers = {*drivers_of(run), *daemons}
    parents = {}
    for pid in drivers:
        with contextlib.suppress(OSError):  # it has ended since
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
            parents[pid] = int(stat.split()[1])
    return [
        pid
        for pid, parent in parents.items()
        if (parents.get(parent) in drivers or parent in daemons) and pid not in parents.values()
    ]


def test_training_under_the_fork_server_survives_the_loss_of_workers(
    checkout, sample_model, tmp_path
):
    """Two are killed in two epochs; the trained model is that of a training without it."""
    (tmp_path / "place").mkdir()
    place = endings.Place(tmp_path / "place", checkout / "submit.sh", sample_model)
    data = place.folder / "iris.txt"
    data.write_text(data.read_text() * 60)  # so that an epoch takes most of a second
    words = [*endings.TRAIN, "-workers", "2", "-batchSizePerWorker", "5"]
    words[words.index("5000")] = "6"
    outcomes = []
    for killed_at in ((), ("epoch 2/", "epoch 4/")):
        run = place.start(*words)
        for text in killed_at:
            run.wait_for(text, 300)
            time.sleep(0.1)  # the next epoch has begun
            deadline = time.monotonic() + 10
            while not (workers := workers_of(run)):
                assert time.monotonic() < deadline, endings.processes_of(run.process.pid)
            os.kill(workers[0], 9)
        ended = run.finish()
        assert ended.code == 0, ended.output
        assert ("a worker's process died" in ended.output) == bool(killed_at), ended.output
        out = place.folder / "out"
        epochs = [line.split(",")[:3] for line in (out / "history.csv").read_text().splitlines()]
        metrics = json.loads((out / "metrics.json").read_text())
        outcomes.append((epochs, metrics["loss"], metrics["confusion_matrix"]))
    assert outcomes[0] == outcomes[1]
