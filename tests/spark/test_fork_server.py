"""The fork server under a real Spark context, each in an application of its own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]

PRELUDE = """
import json, os, sys, threading, time
from pathlib import Path
from irisspark.startup import fork_server, worker_daemon
from irisspark.startup.imports import import_tensorflow
from irisspark.startup.session import open_session

def ask(_):
    parent = Path(f"/proc/{os.getppid()}")
    state = worker_daemon.state()
    yield {
        "ready": state.ready,
        "threads": state.threads,
        "parent": parent.joinpath("cmdline").read_bytes().replace(b"\\0", b" ").decode(),
        "fork server": fork_server.VARIABLE in os.environ,
        "tensorflow": "tensorflow" in sys.modules,
        "worker": os.getpid(),
    }

def predict(_):
    import numpy as np, keras
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    yield float(model(np.ones((1, 2), "float32"))[0, 0])

importing = threading.Thread(target=import_tensorflow)
"""


def run(tmp_path: Path, script: str, **environ: str) -> tuple[subprocess.Popen, Path]:
    (tmp_path / "app.py").write_text(PRELUDE + textwrap.dedent(script))
    result = tmp_path / "result.json"
    process = subprocess.Popen(
        [sys.executable, "app.py", str(result)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
            **environ,
        },
        start_new_session=True,
    )
    return process, result


def finish(process: subprocess.Popen, result: Path) -> dict:
    try:
        assert process.wait(240) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return json.loads(result.read_text())


OPEN_AND_ASK = """
with open_session(importing=importing) as session:
    states = session.spread([1, 2]).mapPartitions(ask).collect()
    predicted = session.spread([1, 2]).mapPartitions(predict).collect()
Path(sys.argv[1]).write_text(json.dumps({"states": states, "predicted": predicted}))
"""


def test_workers_are_forked_from_the_driver_and_predict(tmp_path):
    found = finish(*run(tmp_path, OPEN_AND_ASK))
    for state in found["states"]:
        assert state["ready"]
        assert state["tensorflow"]
        assert "app.py" in state["parent"]  # a fork keeps the command line of the driver
    assert found["predicted"] == [2.0, 2.0]


def test_no_thread_but_the_main_one_and_jemallocs_is_there_at_the_fork(tmp_path):
    found = finish(*run(tmp_path, OPEN_AND_ASK))
    for state in found["states"]:
        others = [name for name in state["threads"] if not name.startswith("python")]
        assert set(others) <= {"jemalloc_bg_thd"}
        assert len(state["threads"]) - len(others) == 1


def test_driver_that_has_run_tensorflow_leaves_the_import_to_the_daemon(tmp_path):
    script = "import_tensorflow(); import tensorflow as tf; tf.constant(1) + 1\n" + OPEN_AND_ASK
    found = finish(*run(tmp_path, script))
    for state in found["states"]:
        assert state["ready"]
        assert "irisspark.startup.worker_daemon" in state["parent"]
    assert found["predicted"] == [2.0, 2.0]


def test_daemon_imports_itself_where_a_socket_has_too_long_a_path(tmp_path):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    found = finish(*run(tmp_path, OPEN_AND_ASK, TMPDIR=str(folder)))
    for state in found["states"]:
        assert state["ready"]
        assert "irisspark.startup.worker_daemon" in state["parent"]
    assert not list(folder.glob("irisspark-*"))


def test_nursery_and_workers_end_with_a_driver_that_is_killed(tmp_path):
    script = """
    with open_session(importing=importing) as session:
        states = session.spread([1, 2]).mapPartitions(ask).collect()
        Path(sys.argv[1]).write_text(json.dumps({"workers": [s["worker"] for s in states]}))
        time.sleep(300)
    """
    process, result = run(tmp_path, script)
    try:
        deadline = time.monotonic() + 240
        while not result.exists() or not result.read_text():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        process.kill()
        process.wait()
        while (left := _running(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []
    finally:
        if _running(tmp_path):
            os.killpg(process.pid, signal.SIGKILL)


def _running(folder: Path) -> list[str]:
    """Processes that work in a folder: those of the application, forks and the JVM's included."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and os.readlink(process / "cwd") == str(folder):
                command = (process / "cmdline").read_bytes()
                if command:
                    found.append(f"{process.name} {command[:80]!r}")
        except OSError:
            continue
    return found
