"""What it costs to show results: the report, the progress on a terminal, a call from a notebook.

    python benchmarks/results.py [--runs N] [--rows N]

Iris with and without ``-outputPath``, a large file with a bar on a terminal and without one, and a
program's second call on workers that are there.
"""

import argparse
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from evaluation import NARROW, save_model, write_data
from measure import BIN, ROOT, build_archive, in_turn, print_table, time_command

REPORT_GOAL, PROGRESS_GOAL, CALL_GOAL = 0.6, 1.01, 0.5
IRIS = ROOT / "irisspark" / "samples" / "iris.txt"
_CALLS = """
import sys, time
import irisspark
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
for _ in range(int(sys.argv[3]) + 1):
    started = time.perf_counter()
    irisspark.evaluate(spark, sys.argv[1], sys.argv[2], label=4, progress=False)
    print("SECONDS", time.perf_counter() - started)
"""


def on_a_terminal(command: Sequence[str]) -> float:
    """Time a command whose second stream is a terminal, which shows the bar."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm"}
    started = time.perf_counter()
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        reader = threading.Thread(target=_read_to_the_end, args=(ours,))
        reader.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        reader.join()
    os.close(ours)
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}")
    return seconds


def _read_to_the_end(terminal: int) -> None:
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:  # Linux says so that nobody holds the other side
        return


def second_calls(model: Path, runs: int) -> float:
    """Give the median seconds of a program's calls behind the first."""
    words = [sys.executable, "-c", _CALLS, str(model), str(IRIS), str(runs)]
    printed = time_command(words, env={"PYTHONPATH": str(ROOT)}).output
    seconds = [float(line.split()[1]) for line in printed.splitlines() if "SECONDS" in line]
    return statistics.median(seconds[1:])


def main() -> int:
    """Measure all of it, print the table, and fail where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=2_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, iris_model = build_archive(folder), folder / "iris.keras"
        train = [sys.executable, "-m", "irisspark.samples.train_model", str(iris_model)]
        time_command(train, env={"PYTHONPATH": str(ROOT)})
        write_data(folder / "data.csv", arguments.rows, NARROW)
        save_model(folder / "model.keras", NARROW)
        submit = [str(BIN / "spark-submit"), "--master", "local[*]", str(archive)]
        iris = [*submit, "-modelPath", str(iris_model), "-dataPath", str(IRIS)]
        reported = [*iris, "-outputPath", str(folder / "out"), "-overwrite", "true"]
        large = [*submit, "-modelPath", f"{folder}/model.keras", "-dataPath", f"{folder}/data.csv"]
        seconds = in_turn(
            {
                "iris": lambda: time_command(iris).seconds,
                "iris with a report": lambda: time_command(reported).seconds,
                "large, no bar": lambda: on_a_terminal([*large, "-progress", "false"]),
                "large, a bar": lambda: on_a_terminal(large),
            },
            arguments.runs,
        )
        call = second_calls(iris_model, arguments.runs)
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    report = statistics.median(
        more - less
        for more, less in zip(seconds["iris with a report"], seconds["iris"], strict=True)
    )
    bar = statistics.median(
        more / less
        for more, less in zip(seconds["large, a bar"], seconds["large, no bar"], strict=True)
    )
    rows = [[way, f"{median:.2f} s", "", ""] for way, median in medians.items()]
    rows[1][2:] = f"{report:+.2f} s", f"{REPORT_GOAL:+.2f} s"
    rows[3][2:] = f"{bar:.3f} of no bar", f"{PROGRESS_GOAL:.2f}"
    rows.append(["iris, a program's second call", f"{call:.2f} s", "", f"{CALL_GOAL:.2f} s"])
    print_table(["work", "median", "cost", "goal"], rows)
    return int(report > REPORT_GOAL or bar > PROGRESS_GOAL or call > CALL_GOAL)


if __name__ == "__main__":
    sys.exit(main())
