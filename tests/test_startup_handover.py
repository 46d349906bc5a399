"""Partners that die or fall silent at any place of the protocol, and forks that fail."""

import errno
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from irisspark.startup import addresses, fork_server, handover
from irisspark.startup.fork_server import ForkServer
from irisspark.temporary import machine

SECONDS = 0.3


@pytest.fixture(autouse=True)
def _no_endless_wait() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise AssertionError("a wait without end")

    before = signal.signal(signal.SIGALRM, give_up)
    ctrl_c = signal.getsignal(signal.SIGINT)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    signal.signal(signal.SIGINT, ctrl_c)


@contextmanager
def partner(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Listen, and answer the one who asks in a thread."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield


def read_request(connection: socket.socket) -> None:
    data = b""
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 16)


@pytest.mark.parametrize("said", [b"", b"1", b"x", b"12", b"3"])
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("dies", [True, False])
def test_partner_that_dies_or_is_silent_before_it_has_begun_is_given_up(
    tmp_path, said, reads, dies
):
    kept = []

    def answer(connection: socket.socket) -> None:
        if reads:
            read_request(connection)
        connection.sendall(said)
        connection.close() if dies else kept.append(connection)

    before = signal.getsignal(signal.SIGINT)
    with partner(tmp_path / "s", answer):
        started = time.monotonic()
        assert handover.ask(str(tmp_path / "s"), SECONDS) is None
        assert time.monotonic() - started < 10 * SECONDS
    assert signal.getsignal(signal.SIGINT) is before


def test_partner_whose_queue_is_full_is_given_up(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen(0)
        waiting = []
        for _ in range(3):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(str(tmp_path / "s"))
        assert handover.ask(str(tmp_path / "s"), SECONDS) is None


def test_partner_that_begins_at_the_last_moment_is_not_doubled(tmp_path):
    """What it said before it was given up counts: it has begun, and sees that nobody waits."""
    seen = []

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"1")
        connection.recv(1)
        seen.append(connection)

    with partner(tmp_path / "s", answer):
        assert handover.ask(str(tmp_path / "s"), SECONDS) is None
    with pytest.raises(BrokenPipeError):
        seen[0].sendall(b"3")


def message() -> bytes:
    return json.dumps(handover._facts()).encode() + b"\n"


@pytest.mark.parametrize("dies", [True, False])
def test_request_that_ends_after_any_byte_is_an_error_within_the_limit(dies):
    text = message()
    for size in range(0, len(text), 1 if dies else len(text) // 3):
        asking, here = socket.socketpair()
        with asking, here:
            asking.sendall(text[:size])
            if dies:
                asking.close()
            with pytest.raises((EOFError, TimeoutError)):
                handover.receive(here, SECONDS)


@pytest.mark.parametrize("last_words", ["dies", "dies after ready", "silent", "nonsense"])
def test_nothing_begins_where_the_asking_process_has_given_up(last_words, monkeypatch):
    monkeypatch.setattr(handover, "ANSWER_SECONDS", SECONDS)
    asking, here = socket.socketpair()
    with asking, here:
        if last_words == "nonsense":
            asking.sendall(b"x")
        elif last_words == "dies":
            asking.close()
        elif last_words == "dies after ready":
            asking.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError):
            handover._receive_streams(here)


def in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def test_streams_environment_and_folder_are_handed_over_to_the_byte(tmp_path, monkeypatch):
    monkeypatch.setenv("SAID", "by the asking one")
    monkeypatch.chdir(tmp_path)
    read, write = os.pipe()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def serve() -> None:
            os.environ.pop("SAID")
            os.chdir("/")
            request = handover.receive(listening.accept()[0])
            handover.take_over(request)
            print(os.environ["SAID"], os.getcwd(), sys.stdout.errors, end="", flush=True)
            request.connection.sendall(b"7")

        pid = in_child(serve)
        saved = os.dup(1)
        try:
            os.dup2(write, 1)
            connection = handover.ask(str(tmp_path / "s"))
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        assert connection is not None
        assert handover.wait_for(connection) == b"7"
    assert os.waitpid(pid, 0)[1] == 0
    os.close(write)
    assert os.read(read, 1000).decode() == f"by the asking one {tmp_path} {sys.stdout.errors}"
    os.close(read)


@pytest.mark.parametrize(
    ("name", "fits"),
    [("PYTHONHASHSEED", False), ("LC_ALL", False), ("PYTHONPATH", True), ("MASTER", True)],
)
def test_process_that_began_otherwise_does_not_take_over(name, fits, monkeypatch):
    began_with = {"OMP_NUM_THREADS": "1"} | os.environ
    assert handover.Request(socket.socket(), handover._facts()).fits(began_with)
    monkeypatch.setenv(name, "C.UTF-8")
    assert handover.Request(socket.socket(), handover._facts()).fits(began_with) == fits


def no_process_left() -> int:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[ForkServer]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fork_server, "_has_run_tensorflow", lambda: False)
    server = ForkServer()
    monkeypatch.setenv(fork_server.VARIABLE, server.path)
    yield server
    server.stop()
    with pytest.raises(ChildProcessError):  # its own processes have ended, and are not zombies
        os.waitpid(-1, os.WNOHANG)
    assert list(tmp_path.glob("irisspark-*")) == []


def test_daemon_goes_on_itself_where_the_driver_cannot_fork(server, monkeypatch):
    monkeypatch.setattr(fork_server.os, "fork", no_process_left)
    server.start(lambda: None)
    started = time.monotonic()
    assert not fork_server.hand_over()
    assert time.monotonic() - started < 1


def test_daemon_goes_on_itself_where_the_fork_server_cannot_fork(server, monkeypatch):
    real = os.fork
    calls = []

    def fork_once() -> int:
        calls.append(1)
        return real() if len(calls) == 1 else no_process_left()

    monkeypatch.setattr(fork_server.os, "fork", fork_once)
    server.start(lambda: None)
    for _ in range(2):  # and the fork server goes on listening
        started = time.monotonic()
        assert not fork_server.hand_over()
        assert time.monotonic() - started < 1


def test_daemon_goes_on_itself_where_the_driver_never_answers(server, monkeypatch):
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", SECONDS)
    assert not fork_server.hand_over()


def test_daemon_that_was_given_up_does_not_serve(server, monkeypatch, tmp_path):
    """The driver was busy for longer than the daemon waited, which has gone on itself."""
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", SECONDS)
    assert not fork_server.hand_over()
    served = os.open(tmp_path / "served", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def serve() -> None:
        os.write(os.open(tmp_path / "served", os.O_APPEND | os.O_WRONLY), b"served ")

    server.start(serve)
    os.close(served)
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 10)
    assert fork_server.hand_over()  # the next one is served, after the one that was given up
    assert (tmp_path / "served").read_text() == "served "


def test_other_systems_than_linux_go_the_plain_way(monkeypatch):
    monkeypatch.setattr(fork_server.sys, "platform", "darwin")
    assert fork_server.reserve() is None


def test_sockets_of_killed_processes_are_cleared_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    alive, alive_path = addresses.listen("driver")
    killed, killed_path = addresses.listen("server")
    killed.close()
    ours = f"irisspark-{machine()}-"
    empty, old, theirs = (tmp_path / f"{ours}{name}" for name in ("empty", "old", "theirs"))
    another_machines = tmp_path / "irisspark-012345-old"
    for folder in (empty, old, theirs, another_machines):
        folder.mkdir()
    (theirs / "file").touch()
    an_hour_ago = time.time() - 3600
    for folder in (old, another_machines):
        os.utime(folder, (an_hour_ago, an_hour_ago))
    addresses.clear()
    left = {path for path in tmp_path.iterdir()}
    assert left == {Path(alive_path).parent, empty, theirs, another_machines}
    assert not os.path.exists(killed_path)
    alive.close()


def test_a_look_whether_anybody_listens_is_no_request(tmp_path, server, monkeypatch):
    for _ in range(3):
        addresses.clear()
    assert os.path.exists(server.path)
    server.start(lambda: None)
    assert fork_server.hand_over()
