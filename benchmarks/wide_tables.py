"""Tables of ten thousand columns and more, beside one process with pandas and Keras.

    python benchmarks/wide_tables.py [--runs N]

Prints a table of medians and of ratios, each beside its goal, and the memory of a worker.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from evaluation import ONE_PROCESS, command, compare, inside, save_model
from measure import BIN, ROOT, build_archive, in_turn, print_table

NUM_ROWS, NUM_FEATURES = 5_000, 10_000
NUM_IMAGES, NUM_PIXELS = 1_000, 224 * 224 * 3
MEMORY_GOAL = "1,000 MB"


def write_table(path: Path, num_rows: int, num_features: int, *, pixels: bool) -> None:
    """Write random rows, numbers with four decimals or pixels, and a label of three classes."""
    import numpy as np

    rng = np.random.default_rng(0)
    with path.open("w") as out:
        for number in range(num_rows):
            if pixels:
                cells = map(str, rng.integers(0, 256, num_features))
            else:
                cells = (f"{value:.4f}" for value in rng.normal(size=num_features))
            out.write(f"{','.join(cells)},{number % 3}\n")


def measure_columns(folder: Path, archive: Path, runs: int) -> list[list[str]]:
    """Time whole commands, and the job alone where everything is warm."""
    data, model = folder / "wide.csv", folder / "wide.keras"
    write_table(data, NUM_ROWS, NUM_FEATURES, pixels=False)
    save_model(model, NUM_FEATURES)
    script = folder / "one_process.py"
    script.write_text(ONE_PROCESS)
    job = ["-modelPath", model, "-dataPath", data]
    ways = {
        "pandas and Keras": command(sys.executable, script, model, data),
        "submit.sh": command(ROOT / "submit.sh", *job),
        "spark-submit irisspark.zip": command(BIN / "spark-submit", archive, *job),
    }
    work, goals = f"{NUM_ROWS:,} x {NUM_FEATURES:,}", {"submit.sh": "0.65"}
    seconds = in_turn(ways, runs)
    rows = compare(f"{work}, whole command", seconds, "pandas and Keras", goals)
    words = ("--peer", "pandas", "--runs", runs, "--model", model, "--data", data)
    taken = inside("evaluate", *words)["seconds"]
    warm = {"pandas and Keras": taken["pandas"], "irisspark": taken["irisspark"]}
    goals = {"irisspark": "0.35"}
    data.unlink()
    return rows + compare(f"{work}, the job alone, warm", warm, "pandas and Keras", goals)


def measure_images(folder: Path) -> list[str]:
    """Weigh a worker that reads flat images."""
    data, model = folder / "images.csv", folder / "images.keras"
    write_table(data, NUM_IMAGES, NUM_PIXELS, pixels=True)
    save_model(model, NUM_PIXELS)
    found = inside("evaluate", "--runs", 1, "--model", model, "--data", data)
    seconds, megabytes = found["seconds"]["irisspark"][0], found["worker_peak_megabytes"]
    work = f"{NUM_IMAGES:,} x {NUM_PIXELS:,}, {seconds:.3g} s"
    return [work, "memory of a worker", f"{megabytes:.0f} MB", "", MEMORY_GOAL]


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    folder = Path(tempfile.mkdtemp(prefix="irisspark-benchmark-"))
    try:
        table = measure_columns(folder, build_archive(folder), runs)
        table.append(measure_images(folder))
        print_table(["work", "way", "median", "ratio", "goal"], table)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
