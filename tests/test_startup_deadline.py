"""What takes too long ends with exit code 1 and a line, even in C code that holds Python's lock."""

import os
import subprocess
import sys
import time

import pytest

from irisspark.startup.deadline import deadline

ENDLESS = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"  # which no thread and no signal ends
SLOW = "import time; time.sleep(60)"


def run(seconds: float, block: str, path: str | None = None) -> tuple[int, str, float]:
    program = (
        "from irisspark.startup.deadline import deadline\n"
        f"with deadline({seconds}, 'it \"took\" $too long'):\n    {block}\nprint('done')"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=50,
    )
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


@pytest.mark.parametrize("block", [ENDLESS, SLOW])
def test_the_process_ends_with_the_message(block):
    exit_code, output, seconds = run(0.5, block)
    assert (exit_code, output) == (1, 'it "took" $too long\n')
    assert seconds < 30


def test_work_that_ends_is_left_alone_and_nothing_of_the_watch_stays():
    exit_code, output, seconds = run(40, "pass")
    assert (exit_code, output) == (0, "done\n")
    assert seconds < 20  # its standard error would stay open as long as anything has it


def test_an_error_goes_through():
    with pytest.raises(KeyError), deadline(40, ""):
        raise KeyError


def test_without_a_process_for_the_message_the_end_stays(monkeypatch):
    program = (
        "import os, subprocess\nfrom irisspark.startup import deadline\n"
        "def refuse(*_, **__): raise BlockingIOError(11, 'no process')\n"
        "deadline.subprocess.Popen = refuse\n"
        f"with deadline.deadline(0.2, 'x'):\n    {ENDLESS}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=50)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_message_needs_no_more_than_a_shell_has(tmp_path):
    """``timeout`` is GNU's, and macOS has none."""
    for name in ("sh", "sleep", "cat"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    exit_code, output, _ = run(0.5, ENDLESS, path=str(tmp_path))
    assert (exit_code, output) == (1, 'it "took" $too long\n')


def test_a_notice_comes_before_the_message():
    program = (
        "import time\nfrom irisspark.startup.deadline import deadline\n"
        f"with deadline(1.0, 'over', notice=(0.3, r'so\\far')):\n    {ENDLESS}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (1, "so\\far\nover\n")


def test_the_end_of_the_process_inside_is_told():
    program = (
        "import ctypes\nfrom irisspark.startup.deadline import deadline\n"
        "with deadline(40, 'over', crash='it crashed'):\n    ctypes.string_at(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (-11, "it crashed\n")
