"""What listens where the environment names a JVM may be anything: it is asked, and not for long."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from irisspark.startup import gateway

SECONDS = 0.3
AUTHENTICATION = b"A\nsecret\n"
DONE, NULL, TRUE, FALSE = b"!yv\n", b"!yn\n", b"!ybtrue\n", b"!ybfalse\n"
COMPANION, OPTION = b"!yro0\n", b"!yro1\n"


@contextmanager
def partner(monkeypatch, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Listen where the environment says, and answer each who asks in a thread."""
    monkeypatch.setattr(gateway, "_ANSWER_SECONDS", SECONDS)
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("PYSPARK_GATEWAY_PORT", str(listening.getsockname()[1]))
        monkeypatch.setenv("PYSPARK_GATEWAY_SECRET", "secret")

        def serve() -> None:
            with contextlib.suppress(OSError):  # the test has ended
                while True:
                    kept.append(listening.accept()[0])
                    with contextlib.suppress(OSError):
                        answer(kept[-1])

        threading.Thread(target=serve, daemon=True).start()
        yield
    for connection in kept:
        connection.close()


def says(*answers: bytes, dies: bool) -> Callable[[socket.socket], None]:
    """Answer commands in order, and then nothing."""

    def answer(connection: socket.socket) -> None:
        for line in answers:
            connection.recv(1000)
            connection.sendall(line)
        if dies:
            connection.close()

    return answer


def prefixes(text: bytes) -> Iterator[bytes]:
    return (text[:size] for size in range(len(text)))


@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize(
    "said", [*prefixes(DONE), b"!x\n", b"HTTP/1.1 400 Bad Request\r\n", b"\xff" * 5000, NULL]
)
def test_a_partner_that_lets_nobody_in_is_forgotten_within_the_limit(monkeypatch, said, dies):
    with partner(monkeypatch, says(said, dies=dies)):
        started = time.monotonic()
        assert not gateway.has_jvm()
        assert time.monotonic() - started < 10 * SECONDS
    assert not {"PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"} & os.environ.keys()


def test_a_partner_that_says_a_byte_at_a_time_is_not_waited_for_longer(monkeypatch):
    def answer(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(b"!")
            time.sleep(SECONDS / 2)

    with partner(monkeypatch, answer):
        started = time.monotonic()
        assert not gateway.has_jvm()
        assert time.monotonic() - started < 10 * SECONDS


@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize("said", [*prefixes(TRUE), b"!xro3\n", FALSE])
def test_a_partner_that_runs_a_spark_or_does_not_say_is_not_ours(monkeypatch, said, dies):
    with partner(monkeypatch, says(DONE, COMPANION, OPTION, said, dies=dies)):
        assert gateway.has_jvm()
        assert not gateway._is_ours()


def test_a_partner_without_a_spark_is_ours(monkeypatch):
    with partner(monkeypatch, says(DONE, COMPANION, OPTION, TRUE, dies=False)):
        assert gateway.has_jvm()
        assert gateway._is_ours()


@pytest.mark.parametrize("port", ["", "no number", "-1", "99999999", "1"])
def test_a_port_that_is_none_is_forgotten(monkeypatch, port):
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", port)
    monkeypatch.setenv("PYSPARK_GATEWAY_SECRET", "secret")
    assert not gateway.has_jvm()
    assert "PYSPARK_GATEWAY_PORT" not in os.environ


@pytest.mark.parametrize(("name", "lives"), [("sh", True), ("java", False)])
def test_the_end_of_a_parent_is_the_end_where_it_is_the_jvm(tmp_path, name, lives):
    """A notebook's JVM is named to all that it starts, and a shell in between may end."""
    parent = tmp_path / name
    parent.symlink_to("/bin/sh")
    program = (
        "import os, time; from irisspark.startup import ending; ending.listen(lambda _: None)\n"
        "parent = os.getppid()\nopen('begun', 'w').close()\n"
        "try:\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    time.sleep(3)\n    open('lived', 'w').close()\n"
        "except ending.SignalReceived: open('ended', 'w').close()"
    )
    shell = '"$0" -c "$1" & while [ ! -e begun ]; do sleep 0.05; done'
    environ = {**os.environ, "PYSPARK_GATEWAY_PORT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [parent, "-c", shell, sys.executable, program]
    subprocess.run(command, cwd=tmp_path, env=environ, check=True, timeout=30)
    deadline = time.monotonic() + 20
    while not (tmp_path / ("lived" if lives else "ended")).exists():
        assert time.monotonic() < deadline, sorted(os.listdir(tmp_path))
        time.sleep(0.05)


@pytest.mark.parametrize("is_read", [True, False])
def test_a_jvm_that_was_killed_before_it_was_talked_to_is_the_end(tmp_path, is_read):
    """A notebook's that is gone is not: somebody still reads what is printed."""
    program = (
        "from irisspark.startup import ending, gateway; ending.listen(lambda _: None)\n"
        "try:\n    print(gateway.has_jvm(), file=open('went on', 'w'))\n"
        "except ending.SignalReceived: open('ended', 'w').close()"
    )
    reading, writing = os.pipe()
    if not is_read:
        os.close(reading)
    environ = {**os.environ, "PYSPARK_GATEWAY_PORT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environ["PYSPARK_GATEWAY_SECRET"] = "secret"
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=tmp_path, env=environ, stdout=writing, check=True, timeout=30)
    os.close(writing)
    assert os.listdir(tmp_path) == ["went on" if is_read else "ended"]
