"""What becomes of an evaluation as its rows and its workers grow.

    python benchmarks/growth.py [--rows N]

Prints a table: ten times the rows, more workers on this machine, 64 workers in a local-cluster.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from evaluation import NARROW, SPARK_SUBMIT, inside, save_model, write_data
from measure import ROOT, build_archive, print_table, time_command

RUNS = 3
MANY_WORKERS = "local-cluster[8,8,1024]"


def evaluate(model: Path, data: Path, master: str) -> tuple[float, float]:
    """Give the seconds of the warm job, and the driver's peak memory in MB."""
    words = ("--runs", RUNS, "--master", master, "--model", model, "--data", data)
    found = inside("evaluate", *words)
    return statistics.median(found["seconds"]["irisspark"]), found["driver_peak_megabytes"]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    num_rows = parser.parse_args().rows
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="irisspark-benchmark-") as name:
        folder = Path(name)
        model = folder / "model.keras"
        save_model(model, NARROW)
        few, many = folder / "few.csv", folder / "many.csv"
        write_data(few, num_rows, NARROW)
        many.write_bytes(b"")
        with many.open("ab") as out:
            for _ in range(10):
                out.write(few.read_bytes())
        for cores in (1, 2, 4, 8):
            seconds, megabytes = evaluate(model, few, f"local[{cores}]")
            print(f"{cores} workers: {seconds:.2f} s", file=sys.stderr, flush=True)
            if cores == 1:
                alone = seconds
            if cores == 2:
                few_seconds, few_megabytes = seconds, megabytes
            rows.append([f"{num_rows:,} rows, workers: {cores}", f"{seconds / alone:.2f}", ""])
        seconds, megabytes = evaluate(model, many, "local[2]")
        rows.append([f"{10 * num_rows:,} rows, job", f"{seconds / few_seconds:.2f}", "10.5"])
        memory = megabytes / few_megabytes
        rows.append([f"{10 * num_rows:,} rows, driver's memory", f"{memory:.2f}", "1.10"])
        archive = build_archive(folder)
        command = [SPARK_SUBMIT, "--master", MANY_WORKERS, "--executor-memory", "1g", archive]
        command += ["-modelPath", model, "-dataPath", few]
        taken = time_command([str(word) for word in command], env={"SPARK_HOME": spark_home()})
        rows.append([f"{MANY_WORKERS}, whole command", f"{taken.seconds:.0f} s", "starts"])
    print_table(["work", "ratio to one worker, or to fewer rows", "goal"], rows)


def spark_home() -> str:
    """Find the Spark of this Python, which ``local-cluster`` wants to be told of."""
    sys.path.insert(0, str(ROOT))
    from irisspark.bundle.packing import find_spark_home

    return str(find_spark_home())


if __name__ == "__main__":
    main()
