"""Runs that end well, fail, are interrupted, terminated, hung up and killed: what do they leave?

    python benchmarks/endings.py [--good 10] [--failed 5] [--interrupted 5] [--terminated 5]
        [--hung-up 5] [--killed 5] [--seed 0]

Each run is ``submit.sh`` on a terminal of its own. Its processes are told by their session, so that
none escapes by its name. After a last good run, which clears what killed ones left, files, shared
memory and descriptors have to be what they were before the first.
"""

import argparse
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IRIS = ROOT / "irisspark" / "samples" / "iris.txt"
EVALUATE = ["-labelIndex", "4", "-modelPath", "my_model.h5", "-dataPath", "iris.txt"]
TRAIN = [*EVALUATE, "-train", "true", "-epochs", "5000", "-outputPath", "out", "-overwrite", "true"]
END_SECONDS = 20.0
CODES = {
    "good": 0,
    "failed": 1,
    "interrupted": 130,
    "terminated": 143,
    "hung-up": 129,
    "killed": -signal.SIGKILL,
}
# A process that has only begun ends by the signal itself.
SIGNALS = {"interrupted": signal.SIGINT, "terminated": signal.SIGTERM, "hung-up": signal.SIGHUP}
# What Spark itself makes, and cannot take away once it is killed.
SPARKS_OWN = re.compile(r"(spark|blockmgr|hsperfdata|liblz4-java|artifacts)[-_].*|jna-.*")

# What Scala prints, past every logger, where Spark's JVM ends while it forgets a broadcast.
SPARKS_LAST_WORDS = re.compile(
    r"java\.util\.concurrent\.RejectedExecutionException:.*\n(\tat .*\n)+"
)


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: The exit code; negative for a signal.
        seconds: From the signal to the end of its last process.
        output: What it wrote to its terminal.
        left: Processes of its session that were still there after some seconds.
    """

    code: int
    seconds: float
    output: str
    left: list[str]


def _take_terminal() -> None:
    """Take the terminal, and mind its end, also where this runs under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Run:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        """Start it."""
        self._master, slave = os.openpty()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self._written: list[bytes] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        try:
            while part := os.read(self._master, 1 << 16):
                self._written.append(part)
        except OSError:  # so ends a terminal on Linux
            return

    @property
    def output(self) -> str:
        """What it has written."""
        return b"".join(self._written).decode(errors="replace")

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait until it has written something, or has ended."""
        deadline = time.monotonic() + seconds
        while text not in self.output and self.process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {text!r} in:\n{self.output}")
            time.sleep(0.02)

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal sends SIGINT to the whole group in its foreground."""
        os.write(self._master, b"\x03")

    def hang_up(self) -> None:
        """Close the terminal, as a window or a connection by ssh that ends does."""
        os.close(self._master)
        self._master = -1

    def finish(self, seconds: float = 600.0) -> Ended:
        """Wait until the last of its processes has ended."""
        started = time.monotonic()
        code = self.process.wait(seconds)
        deadline = time.monotonic() + END_SECONDS
        while (left := processes_of(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        took = time.monotonic() - started
        if left:
            for line in left:
                os.kill(int(line.split()[0]), signal.SIGKILL)
        self._reading.join(2)
        if self._master >= 0:
            os.close(self._master)
        return Ended(code, took, self.output, left)


def processes_of(session: int) -> list[str]:
    """List the processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")[:500]
                found.append(f"{folder.name} {command.decode(errors='replace')}")
        except OSError:
            continue
    return found


class Place:
    """A folder with a model and data, a place for temporary files, and what lies there."""

    def __init__(self, root: Path, submit: Path, model: Path) -> None:
        """Make it."""
        self.folder, self.tmp, self._submit = root / "job", root / "tmp", submit
        for folder in (self.folder, self.tmp):
            folder.mkdir()
        shutil.copy(model, self.folder / "my_model.h5")
        shutil.copy(IRIS, self.folder)

    def start(self, *words: str) -> Run:
        """Start submit.sh there."""
        environ = {n: v for n, v in os.environ.items() if not n.startswith(("SPARK_", "PYSPARK_"))}
        java = f"-Djava.io.tmpdir={self.tmp}"
        environ |= {"TMPDIR": str(self.tmp), "SPARK_LOCAL_IP": "127.0.0.1", "MASTER": "local[2]"}
        environ |= {"SPARK_LOCAL_DIRS": str(self.tmp), "SPARK_SUBMIT_OPTS": java}
        return Run([str(self._submit), *words], self.folder, environ)

    def files(self) -> set[str]:
        """List what lies there, and in shared memory; not what is Spark's own, nor results."""
        found = {str(path) for path in Path("/dev/shm").iterdir()}
        for path in [*self.tmp.iterdir(), *self.folder.iterdir()]:
            if not SPARKS_OWN.fullmatch(path.name) and path.name != "out":
                found.add(str(path))
        return found


def end(place: Place, kind: str, when: float | str) -> Ended:
    """Start a run and end it as ``kind`` says.

    Args:
        place: Where it runs.
        kind: A key of ``CODES``.
        when: Seconds after its start, or what it has written before.
    """
    if kind == "good":
        return place.start(*EVALUATE).finish()
    if kind == "failed":
        return place.start(*EVALUATE, "-numClasses", "4").finish()
    run = place.start(*TRAIN)
    if isinstance(when, str):
        run.wait_for(when, 300)
    else:
        time.sleep(when)
    ways: dict[str, Callable[[], None]] = {
        "interrupted": run.interrupt,
        "terminated": run.process.terminate,
        "hung-up": run.hang_up,
        "killed": run.process.kill,
    }
    ways[kind]()
    return run.finish(END_SECONDS)


def problems(kind: str, ended: Ended) -> list[str]:
    """Say what is wrong with the end of a run."""
    found = []
    if ended.code not in (CODES[kind], -SIGNALS.get(kind, -CODES[kind])):
        found.append(f"exit code {ended.code}")
    if ended.left:
        found.append(f"processes: {ended.left}")
    if kind not in ("good", "failed") and ended.seconds > END_SECONDS:
        found.append(f"{ended.seconds:.1f} s to its end")
    said = SPARKS_LAST_WORDS.sub("", ended.output)
    if "Traceback" in said or "\tat " in said:
        found.append("a stack trace")
    return found


def main() -> int:
    """Run them in an order that the seed chooses."""
    parser = argparse.ArgumentParser()
    for kind in CODES:
        parser.add_argument(f"--{kind}", type=int, default=10 if kind == "good" else 5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    counts = {kind: getattr(args, kind.replace("-", "_")) for kind in CODES}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    random.shuffle(kinds)
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        model = Path(root) / "model.h5"
        command = [sys.executable, "-m", "irisspark.samples.train_model", str(model)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        place = Place(Path(root), ROOT / "submit.sh", model)
        before, descriptors = place.files(), len(os.listdir("/proc/self/fd"))
        for number, kind in enumerate(kinds, 1):
            when = random.uniform(0.1, 12.0)
            ended = end(place, kind, when)
            found = problems(kind, ended)
            bad += bool(found)
            words = f"{'' if kind in ('good', 'failed') else f'after {when:.1f} s, '}"
            print(f"{number:3d} {kind:11s} {words}{ended.seconds:.1f} s to its end", found or "")
            if found:
                print(ended.output)
        found = problems("good", end(place, "good", 0))
        left = place.files() - before
        more = len(os.listdir("/proc/self/fd")) - descriptors
        print(f"{bad} of {len(kinds)} runs did not end as they must")
        print(f"left: {sorted(left) or 'no file'}, {more} descriptors, {found or 'no process'}")
    return int(bool(bad or left or more or found))


if __name__ == "__main__":
    sys.exit(main())
