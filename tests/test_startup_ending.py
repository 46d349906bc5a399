"""A signal ends a run with one line, wherever it meets the main thread."""

import os
import signal
import subprocess
import sys
import time

import pytest

MEANINGS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "its terminal was closed",
}
PROGRAM = """
import os, sys, threading, time, weakref
from irisspark.startup import ending

class Held:
    def __del__(self):
        wait()

def wait():
    print("begun", flush=True)
    for _ in range(500):
        time.sleep(0.01)

def in_a_finalizer():
    Held()

def in_a_callback():
    held = Held.__new__(type("Other", (), {}))
    weakref.finalize(held, wait)
    del held

def in_a_thread():
    def fail():
        time.sleep(0.5)
        raise OSError("the JVM has ended")
    threading.Thread(target=fail, daemon=True).start()
    try:
        wait()
    finally:
        time.sleep(1)

def at_the_end():
    ending.stop_listening()
    print("begun", flush=True)
    time.sleep(1)
    sys.exit(7)

ending.listen(lambda _: None)
try:
    globals()[sys.argv[1]]()
    time.sleep(1)
except ending.SignalReceived as received:
    print(received)
    sys.exit(received.exit_code)
"""


def _mind_signals() -> None:
    """Begin as in a terminal, also where the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run(case: str, number: int, *before: str) -> tuple[int, list[str], str, float]:
    """Send a signal to a program that says that it has begun; give how it ended, and when."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*before, sys.executable, "-c", PROGRAM, case]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environ, text=True, stdout=pipe, stderr=pipe, preexec_fn=_mind_signals
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline()]
        process.send_signal(number)
        started = time.monotonic()
        out, errors = process.communicate(timeout=60)
        lines += out.splitlines(keepends=True)
        return process.returncode, lines, errors, time.monotonic() - started


@pytest.mark.parametrize("number", MEANINGS)
@pytest.mark.parametrize("case", ["in_a_finalizer", "in_a_callback", "in_a_thread"])
def test_a_signal_is_not_lost_and_shows_no_trace(case, number):
    code, lines, errors, seconds = run(case, number)
    meaning = f"{MEANINGS[number]}\n"
    assert (code, lines, errors) == (128 + number, ["begun\n", meaning], "")
    assert seconds < 6  # of which it takes 8 where the process is ended for it


def test_a_run_that_has_come_to_its_end_keeps_its_code():
    code, lines, errors, _ = run("at_the_end", signal.SIGINT)
    assert (code, lines, errors) == (7, ["begun\n"], "")


def test_nohup_goes_on_without_its_terminal():
    code, lines, errors, _ = run("in_a_thread", signal.SIGHUP, "nohup")
    assert (code, lines) == (0, ["begun\n"]), errors
