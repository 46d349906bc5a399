"""How far a job is, on a terminal and in a log."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from irisspark.startup import meter
from irisspark.startup.meter import Bar, Lines, Work, find_meter


@pytest.mark.parametrize(
    ("work", "share", "seconds", "said"),
    [
        (
            Work("evaluate", num_bytes=100_000_000, num_rows=2_000_000),
            0.4,
            8.0,
            "evaluate: 40%, ~100,000 rows/s, 5.0 MB/s, 12 s left",
        ),
        (
            Work("place", num_rows=900.0, rows_are_estimated=False),
            0.5,
            9.0,
            "place: 50%, 50 rows/s, 9 s left",
        ),
        (
            Work("epoch 3/20", num_rows=1000.0, rows_are_estimated=False, expected_seconds=400.0),
            0.25,
            100.0,
            "epoch 3/20: ~25%, ~2 rows/s, ~5 min 0 s left",
        ),
        (Work("epoch 1/20"), None, 7000.0, "epoch 1/20, 1 h 56 min"),
        (Work("read"), 0.0, 3.0, "read: 0%"),
    ],
)
def test_work_is_described(work: Work, share: float | None, seconds: float, said: str) -> None:
    assert work.describe(share, seconds) == said


def read(terminal: int) -> str:
    """Read what was written to a terminal, until it is quiet."""
    found, patience = b"", 5.0
    while select.select([terminal], [], [], patience)[0]:
        found, patience = found + os.read(terminal, 1 << 16), 0.3
    return found.decode()


def test_bar_leaves_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "SHOW_AFTER_SECONDS", 0.0)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with open(theirs, "w") as stream:
        bar = Bar(stream)
        with bar.showing(Work("evaluate {a}")) as is_shown:
            assert is_shown
            bar.show(0.25)
            with bar.showing(Work("inner")) as is_shown:
                assert not is_shown
            bar.show(0.5)
            drawn = read(ours)
        cleared = read(ours)
        bar.show(0.75)
        stream.write("end")
        stream.flush()
        assert read(ours) == "end"
    os.close(ours)
    assert "evaluate {a} |" in drawn
    assert "25%" in drawn
    assert "50%" in drawn
    assert "\n" not in drawn + cleared
    assert cleared.endswith("\r")
    assert cleared.replace("\r", "").strip() == ""


def test_what_is_short_is_not_shown() -> None:
    stream = io.StringIO()
    with Bar(stream).showing(Work("evaluate")):
        pass
    assert stream.getvalue() == ""


def test_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "SHOW_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(meter, "LINE_SECONDS", 0.2)
    stream = io.StringIO()
    lines = Lines(stream)
    with lines.showing(Work("evaluate")):
        for share in (0.0, 0.05, 0.06, 0.07, 0.15, 0.15, 0.9, 0.95):
            lines.show(share)
            time.sleep(0.1)
    shown = stream.getvalue().splitlines()
    assert [line.split(":")[1].strip() for line in shown] == ["evaluate"] * 2
    assert ["15%" in line or "90%" in line for line in shown] == [True] * 2


def test_epoch_is_estimated_by_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "SHOW_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(meter, "SHOW_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(meter, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(meter, "LINE_SHARE", 0.0)
    stream = io.StringIO()
    with Lines(stream).estimating(Work("epoch 2/3", expected_seconds=0.5)):
        time.sleep(0.8)
    time.sleep(0.1)
    assert "epoch 2/3: ~" in stream.getvalue()
    assert max(map(float, re.findall(r"~(\d+)%", stream.getvalue()))) == 99
    assert "100%" not in stream.getvalue()


def test_standard_error_that_is_no_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(find_meter(), Lines)


def test_terminal_of_the_jvm_is_found_behind_its_pipe(tmp_path: Path) -> None:
    # spark-submit's JVM has the terminal, and Python a pipe to it.
    source = tmp_path / "Parent.java"
    source.write_text(
        """public class Parent {
            public static void main(String[] words) throws Exception {
                Process child = new ProcessBuilder(words).redirectErrorStream(true).start();
                child.getInputStream().transferTo(System.out);
            }
        }"""
    )
    code = (
        "import sys; from irisspark.startup.meter import find_meter; found = find_meter(); "
        "print(type(found).__name__, sys.stderr.isatty())"
    )
    ours, theirs = pty.openpty()
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = ["java", str(source), sys.executable, "-c", code]
    for stderr, found in ((theirs, "Bar False"), (subprocess.DEVNULL, "Lines False")):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=stderr, env=environ, text=True, timeout=60
        )
        assert done.stdout.strip() == found
    os.close(ours)
    os.close(theirs)
