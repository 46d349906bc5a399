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


def run(
    tmp_path: Path, script: str, *, stderr: int | None = None, **environ: str
) -> tuple[subprocess.Popen, Path]:
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
        stderr=stderr,
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


SUM = """
def total(numbers):
    yield sum(numbers)

def level():
    from pyspark import SparkContext
    return str(SparkContext._jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel())
"""

HANGS = """
from irisspark.startup import warm_up
warm_up.SAY_SECONDS, warm_up.GIVE_UP_SECONDS = 2.0, 20.0
fork_server.ANSWER_SECONDS = 1.0
"""

SESSION = """
with open_session(importing=importing) as session:
    sums = session.run(session.spread([1, 2]).mapPartitions(total).collect, "add up")
    states = session.run(session.spread([1]).mapPartitions(ask).collect, "ask")
    level_inside = level()
Path(sys.argv[1]).write_text(json.dumps({"sums": sums, "states": states, "level": level_inside}))
"""


def test_fork_that_hangs_is_given_up_for_sparks_own_daemon(tmp_path):
    script = HANGS + "worker_daemon.serve = lambda: time.sleep(1000)\n" + SUM + SESSION
    app, result = run(tmp_path, script, stderr=subprocess.PIPE)
    _, err = app.communicate(timeout=240)
    found = json.loads(result.read_text())
    assert found["sums"] == [1, 2]
    assert "pyspark.daemon" in found["states"][0]["parent"]
    assert found["level"] == "WARN"
    said = [line for line in err.decode().splitlines() if line.startswith("irisspark: ")]
    assert said[:2] == [
        "irisspark: the workers have not started after 2 s; they are given up after 20 s",
        "irisspark: the workers start on Spark's own daemon, which is slower: "
        "they have not started within 20 s",
    ]
    assert b"\tat " not in err
    assert _running(tmp_path) == []


EXITS = "EOFException occurred while reading the port number from"


@pytest.mark.parametrize(
    ("master", "package", "why"),
    [
        ("local[2]", "import os; os._exit(9)", EXITS),
        ("local-cluster[2,1,1024]", "import time; time.sleep(1000)", "they have not started"),
    ],
)
def test_daemon_that_hangs_or_dies_is_given_up_for_sparks_own(tmp_path, master, package, why):
    """The package stands before TensorFlow on the executors' path."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "tensorflow.py").write_text(package)
    conf = f"--conf spark.executorEnv.PYTHONPATH={tmp_path}/before:{ROOT}"
    script = HANGS + "importing = None\n" + SUM + SESSION
    submit = f"--master {master} --conf spark.ui.enabled=false {conf} pyspark-shell"
    app, result = run(tmp_path, script, stderr=subprocess.PIPE, PYSPARK_SUBMIT_ARGS=submit)
    _, err = app.communicate(timeout=240)
    found = json.loads(result.read_text())
    assert found["sums"] == [1, 2]
    assert found["level"] == "WARN"
    assert f"irisspark: the workers start on Spark's own daemon, which is slower: {why}" in (
        err.decode()
    )
    assert "pyspark.daemon" in found["states"][0]["parent"]
    assert b"\tat " not in err
    assert _running(tmp_path) == []


def test_early_end_is_quiet_and_soon_and_the_log_comes_back(tmp_path):
    script = """
    level_after = []
    try:
        with open_session(importing=importing) as session:
            raise ValueError("early")
    except ValueError:
        level_after.append(level())
    time.sleep(3)
    Path(sys.argv[1]).write_text(json.dumps({"level": level_after}))
    """
    app, result = run(tmp_path, SUM + textwrap.dedent(script), stderr=subprocess.PIPE)
    _, err = app.communicate(timeout=240)
    assert json.loads(result.read_text()) == {"level": ["WARN"]}
    assert b"\tat " not in err
    assert b"ERROR" not in err


def test_job_that_makes_no_progress_says_what_it_waits_for(tmp_path):
    """First a task that runs for long, then one for which there is no executor."""
    script = """
    from irisspark.startup import progress
    progress.QUIET_SECONDS = 1.0

    def linger(numbers):
        time.sleep(6 * next(numbers))
        yield 1

    with open_session() as session:
        session.run(session.spread([0, 1]).mapPartitions(linger).collect, "linger")
    Path(sys.argv[1]).write_text("{}")
    """
    # What Spark tells of a stage grows old until the next event, and a heartbeat is one.
    submit = "--master local[2] --conf spark.executor.heartbeatInterval=500ms pyspark-shell"
    app, _ = run(
        tmp_path, textwrap.dedent(script), stderr=subprocess.PIPE, PYSPARK_SUBMIT_ARGS=submit
    )
    _, err = app.communicate(timeout=240)
    said = [line for line in err.decode().splitlines() if "irisspark: " in line]
    assert any(
        "no progress for 0 min: 1 of 2 tasks of Spark's job 1 are done, and 1 runs since" in line
        for line in said
    ), err


@pytest.mark.parametrize(("gpus", "visible"), [(0, "-1"), (1, "7")])
def test_workers_see_the_gpus_that_spark_gives_to_their_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, visible: str
) -> None:
    """No GPU is here: the machine only says that it has one."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = tmp_path / "find gpus"
    found.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["7"]}'\n""")
    found.chmod(0o755)
    conf = [f"spark.{side}.resource.gpu.amount={gpus}" for side in ("worker", "executor", "task")]
    conf += [
        f"spark.{side}.resource.gpu.discoveryScript={found}" for side in ("worker", "executor")
    ]
    words = " ".join(f"--conf '{each}'" for each in conf)
    submit = f"--master local-cluster[1,1,1024] --conf spark.ui.enabled=false {words} pyspark-shell"
    script = """
    def devices(_):
        import_tensorflow()
        import tensorflow
        tensorflow.constant(1)
        yield os.environ["CUDA_VISIBLE_DEVICES"]
    with open_session(importing=importing) as session:
        told = session.context.parallelize([0], 1).mapPartitions(devices).collect()
    Path(sys.argv[1]).write_text(json.dumps(told))
    """
    process, result = run(tmp_path, script, PYSPARK_SUBMIT_ARGS=submit)
    assert process.wait(200) == 0
    assert json.loads(result.read_text()) == [visible]
