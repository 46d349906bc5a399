"""The daemon under real Spark jobs, each in an application of its own.

A process holds one Spark context, and the daemon is chosen when the context opens, so the
applications are small scripts run beside the tests. What they saw comes back as JSON.
"""

import gc
import importlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from zipimport import zipimporter

import pytest

from irisspark.startup import worker_daemon
from irisspark.startup.import_system import keep_archives

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]

PRELUDE = """
import json, os, sys, time
from pathlib import Path
from pyspark import SparkConf, SparkContext
from irisspark.startup import worker_daemon

conf = SparkConf().setMaster("local[2,4]").setAppName("worker daemon")
conf.set("spark.ui.enabled", "false")
conf.set("spark.python.daemon.module", "irisspark.startup.worker_daemon")
for setting in sys.argv[2:]:
    conf.set(*setting.split("=", 1))
sc = SparkContext(conf=conf)

def run(function, tasks=2):
    return sc.parallelize(range(tasks), tasks).mapPartitions(function).collect()

def save(result):
    Path(sys.argv[1]).write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "irisspark.zip"
    with zipfile.ZipFile(path, "w") as package:
        for module in (ROOT / "irisspark").rglob("*.py"):
            package.write(module, module.relative_to(ROOT))
    return path


def start(tmp_path: Path, script: str, *settings: str) -> tuple[subprocess.Popen, Path]:
    """Start ``script`` after ``PRELUDE`` in a folder of its own; return it and its result file."""
    (tmp_path / "app.py").write_text(PRELUDE + textwrap.dedent(script))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    log = (tmp_path / "log.txt").open("w")
    command = [sys.executable, "app.py", "result.json", *settings]
    app = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    return app, tmp_path / "result.json"


def finish(tmp_path: Path, script: str, *settings: str) -> tuple[dict, str]:
    """Run ``script`` to its end; return what it saved and what was logged."""
    app, result = start(tmp_path, script, *settings)
    code = app.wait(timeout=240)
    log = (tmp_path / "log.txt").read_text()
    assert code == 0, log
    return json.loads(result.read_text()), log


def on_path(*folders: Path) -> str:
    return "spark.executorEnv.PYTHONPATH=" + os.pathsep.join(map(str, folders))


@pytest.fixture(scope="module")
def seen(tmp_path_factory, archive) -> dict:
    """Everything a healthy application tells about its workers."""
    script = """
        def look(_):
            parent = Path(f"/proc/{os.getppid()}")
            state = worker_daemon.report_state(_)
            yield {
                "state": vars(next(state).daemon),
                "module": worker_daemon.__name__,
                "imported": sorted({"keras", "tensorflow", "pyarrow.csv"} & set(sys.modules)),
                "archives": [path for path, importer in sys.path_importer_cache.items()
                             if type(importer).__name__ == "zipimporter"],
                "command": (parent / "cmdline").read_text().split("\\0"),
                "blas": os.environ["OMP_NUM_THREADS"],
                "stdin": os.readlink("/proc/self/fd/0"),
                "daemon_threads": sorted((task / "comm").read_text().strip()
                                         for task in (parent / "task").iterdir()),
            }

        def predict(split):
            import keras
            import numpy as np
            seed = next(iter(split))
            keras.utils.set_random_seed(1)
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
            until = time.time() + 20  # both workers hold a model before either predicts
            Path(f"ready-{seed}").touch()
            while not (Path("ready-0").exists() and Path("ready-1").exists()):
                assert time.time() < until
                time.sleep(0.01)
            rows = np.arange(400.0).reshape(100, 4) / 400
            output = model.predict(rows, verbose=0)
            kernel = model.get_weights()[0]
            yield {"pid": os.getpid(), "error": float(np.abs(output - rows @ kernel).max())}

        def die_once(split):
            from pyspark import TaskContext
            context = TaskContext.get()
            if context.partitionId() == 1 and context.attemptNumber() == 0:
                os.kill(os.getpid(), 9)
            yield [context.partitionId(), context.attemptNumber(), worker_daemon.state().ready]

        folder = os.getcwd()
        def predict_here(split):
            os.chdir(folder)
            return predict(split)

        save({"looks": run(look), "predictions": run(predict_here), "retried": run(die_once),
              "after": run(look)})
        sc.stop()
    """
    result, log = finish(tmp_path_factory.mktemp("seen"), script, on_path(archive))
    return {**result, "log": log}


def test_workers_are_forked_with_tensorflow_imported(seen):
    for look in seen["looks"]:
        assert look["state"]["ready"], look["state"]
        assert look["state"]["problem"] == ""
        assert look["imported"] == ["keras", "pyarrow.csv", "tensorflow"]
        assert "irisspark.startup.worker_daemon" in look["command"]


def test_only_the_main_and_the_jemalloc_thread_exist_at_the_fork(seen):
    for look in seen["looks"]:
        main, *others = sorted(look["daemon_threads"], key=lambda name: "jemalloc" in name)
        assert main.startswith("python")
        assert others in ([], ["jemalloc_bg_thd"])
        assert sorted(look["state"]["threads"]) == look["daemon_threads"]


def test_spark_settings_and_stdin_reach_the_worker_untouched(seen):
    assert {look["blas"] for look in seen["looks"]} == {"1"}
    assert {look["stdin"] for look in seen["looks"]} == {os.devnull}


def test_no_archive_of_the_first_path_is_read_again(seen):
    spark_zips = ("pyspark.zip", "-src.zip", ".jar")
    for look in seen["after"]:
        assert not [path for path in look["archives"] if path.endswith(spark_zips)]


def test_two_workers_predict_at_once_after_the_fork(seen):
    first, second = seen["predictions"]
    assert first["pid"] != second["pid"]
    assert max(first["error"], second["error"]) < 1e-5


def test_killed_worker_is_replaced_by_another_fork(seen):
    assert seen["retried"] == [[0, 0, True], [1, 1, True]]
    assert all(look["state"]["ready"] for look in seen["after"])


def test_tensorflow_says_nothing(seen):
    assert "tensorflow" not in seen["log"].lower().replace("import tensorflow", "")


def test_broken_tensorflow_leaves_a_daemon_that_serves(tmp_path, archive):
    package = tmp_path / "broken" / "tensorflow.py"
    package.parent.mkdir()
    package.write_text(
        "import os, sys\n"
        "print('on stdout')\n"
        "os.write(1, b'on the descriptor')\n"
        "os.write(2, b'said by the broken one')\n"
        "raise ImportError('no AVX here')\n"
    )
    script = """
        def sums(split):
            yield sum(split)

        states = [vars(state.daemon) for state in run(worker_daemon.report_state)]
        save({"states": states, "sums": run(sums), "again": run(sums)})
        sc.stop()
    """
    paths = on_path(package.parent, archive)
    result, log = finish(tmp_path, script, paths)
    assert [state["problem"] for state in result["states"]] == ["ImportError: no AVX here"] * 2
    assert not any(state["ready"] for state in result["states"])
    assert result["sums"] == result["again"] == [0, 1]
    assert "said by the broken one" not in log

    _, log = finish(tmp_path, script, paths, "spark.executorEnv.IRISSPARK_VERBOSE=true")
    assert "said by the broken one" in log


def test_missing_module_fails_the_first_job_by_name(tmp_path):
    script = """
        started = time.time()
        try:
            run(lambda split: split)
            error = ""
        except Exception as failure:
            error = str(failure)
        seconds = time.time() - started
        save({"error": error, "seconds": seconds})
        sc.stop()
    """
    missing = "irisspark.worker_daemon_of_another_version"
    result, _ = finish(tmp_path, script, f"spark.python.daemon.module={missing}")
    assert missing in result["error"]
    assert result["seconds"] < 60


def test_daemon_and_workers_end_with_the_jvm(tmp_path, archive):
    script = """
        def pids(_):
            time.sleep(0.5)
            yield [os.getpid(), os.getppid()]

        jvm = sc._jvm.java.lang.ProcessHandle.current().pid()
        save({"jvm": jvm, "python": run(pids)})
        time.sleep(300)
    """
    app, saved = start(tmp_path, script, on_path(archive))
    try:
        deadline = time.monotonic() + 120
        while not (saved.exists() and saved.read_text()):
            assert app.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        result = json.loads(saved.read_text())
        os.kill(result["jvm"], signal.SIGKILL)
        left = {pid for pair in result["python"] for pid in pair}
        assert len(left) == 3
        deadline = time.monotonic() + 30
        while left and time.monotonic() < deadline:
            left = {pid for pid in left if running(pid)}
            time.sleep(0.1)
        assert not left
    finally:
        app.kill()
        app.wait()


def running(pid: int) -> bool:
    """Whether a process is there and has not ended: an orphan's zombie has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def test_kept_archive_is_not_read_again_and_stays_importable(tmp_path, monkeypatch):
    path = tmp_path / "kept.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("kept_first.py", "value = 1")
        package.writestr("kept_later.py", "value = 2")
    monkeypatch.syspath_prepend(str(path))
    assert importlib.import_module("kept_first").value == 1
    assert type(sys.path_importer_cache[str(path)]) is zipimporter
    keep_archives()
    bytes_before = path.read_bytes()
    path.write_bytes(b"")  # a second reading of the table would fail and drop the modules
    importlib.invalidate_caches()
    path.write_bytes(bytes_before)
    assert importlib.import_module("kept_later").value == 2


def test_archive_that_is_gone_does_not_keep_others_from_being_kept(tmp_path, monkeypatch):
    """Spark takes its copy of the archive away with the context; the next one starts after it."""
    paths = [tmp_path / "gone.zip", tmp_path / "there.zip"]
    for path in paths:
        with zipfile.ZipFile(path, "w") as package:
            package.writestr("kept_never.py", "")
        monkeypatch.syspath_prepend(str(path))
    assert importlib.util.find_spec("kept_somewhere") is None  # each has an importer now
    paths[0].unlink()
    keep_archives()
    assert type(sys.path_importer_cache[str(paths[1])]).__name__ == "KeptArchive"


def test_collector_spends_a_twentieth_of_the_time(monkeypatch):
    now = [0.0]

    def collect(_: int) -> int:
        now[0] += 0.1
        return 7

    monkeypatch.setattr(gc, "collect", collect)
    collector = worker_daemon.Collector(clock=lambda: now[0])
    assert collector() == 7
    now[0] += 1.9  # 0.1 s of collecting is a twentieth of 2 s
    assert collector() == 0
    now[0] += 0.2
    assert collector() == 7


def test_the_rest_of_the_garbage_collector_is_what_it_was():
    changed = worker_daemon._with_collect(gc, lambda: 7)
    assert changed.collect() == 7
    assert (changed.freeze, changed.get_objects) == (gc.freeze, gc.get_objects)
    assert set(dir(gc)) <= set(dir(changed))


def test_an_import_that_hangs_is_given_up():
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="took over"), worker_daemon._limited(0.2):
        time.sleep(20)
    assert time.monotonic() - started < 5
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux has TCP_QUICKACK")
def test_acknowledgements_are_quick_in_every_task():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    seen = []

    def task(sock, authenticated):
        seen.append((sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK), authenticated))
        return 3

    with listener, client, accepted:
        worker = worker_daemon.acknowledge_quickly(task)
        for authenticated in (False, True):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            assert worker(accepted, authenticated) == 3
    assert seen == [(1, False), (1, True)]


def test_unix_socket_is_left_alone():
    left, right = socket.socketpair()
    with left, right:
        assert worker_daemon.acknowledge_quickly(lambda sock, _: sock.family)(left, True) == (
            socket.AF_UNIX
        )


def test_worker_of_another_daemon_says_so():
    (state,) = worker_daemon.report_state(iter([]))
    assert not state.daemon.ready
    assert "not started by irisspark's daemon" in state.daemon.problem
