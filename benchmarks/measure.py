"""What the benchmarks share: commands timed in turn, medians, and a table with the goals."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Sample:
    """One run: wall seconds, processor seconds of it and its children, what it printed."""

    seconds: float
    cpu_seconds: float
    output: str


def time_command(command: Sequence[str], env: Mapping[str, str] | None = None) -> Sample:
    """Run a command to its end; a failure ends the benchmark with what it printed."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # spark-submit asks python3 where it lies
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": path, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(seconds, cpu, done.stdout)


def in_turn(ways: Mapping[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """Run every way once as a warm-up, then ``runs`` times in turn: A B C, A B C, ..."""
    for name, way in ways.items():
        print(f"warm-up: {name} {way():.2f} s", file=sys.stderr, flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(runs):
        for name, way in ways.items():
            seconds[name].append(way())
            print(
                f"run {number + 1}: {name} {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True
            )
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], name: str, peer: str) -> float:
    """Give the median over the rounds of one way's seconds over its peer's in the same round."""
    return statistics.median(
        ours / theirs for ours, theirs in zip(seconds[name], seconds[peer], strict=True)
    )


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"| {' | '.join(headers)} |")
    print(f"|{'|'.join(' --- ' for _ in headers)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def build_archive(folder: Path) -> Path:
    """Build the archive of this checkout."""
    path = folder / "irisspark.zip"
    time_command(
        [sys.executable, "-m", "irisspark.bundle", str(path)], env={"PYTHONPATH": str(ROOT)}
    )
    return path
