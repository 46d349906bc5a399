"""Temporary folders of processes that were killed, and of those that live."""

import os
import signal
import time
from pathlib import Path

from irisspark import temporary
from irisspark.temporary import machine, temporary_folder


def test_folder_is_removed_at_the_end_and_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        with temporary_folder() as folder:
            Path(folder, "file").touch()
            raise ValueError("an error")
    except ValueError:
        pass
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_processes_are_cleared_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pid = os.fork()
    if pid == 0:
        with temporary_folder() as folder:
            Path(folder, "model.keras").write_bytes(b"large")
            time.sleep(60)
        os._exit(0)
    while not list(tmp_path.glob("*/model.keras")):
        time.sleep(0.01)
    (tmp_path / "irisspark-testdata").mkdir()
    (tmp_path / "irisspark-testdata" / "mine").touch()
    ours = f"irisspark-held-{machine()}-"
    (tmp_path / f"{ours}empty").mkdir()  # one that is just being made
    for name in ("irisspark-held-012345-young", "irisspark-held-012345-old", f"{ours}old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(tmp_path / "irisspark-held-012345-old", (long_ago, long_ago))
    temporary.clear()
    assert len(list(tmp_path.iterdir())) == 4, "its process lives"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    temporary.clear()
    assert {path.name for path in tmp_path.iterdir()} == {
        "irisspark-testdata",
        f"{ours}empty",
        "irisspark-held-012345-young",
    }
