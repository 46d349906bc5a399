"""What real CSVs and predictions cost a worker over the plain file.

    python benchmarks/reading.py [--runs N] [--rows N]

A worker's own code runs in this process, without Spark, and its processor seconds are taken: they
do not depend on what else the machine does. Prints a table of medians and of ratios, each beside
its goal, and the memory of a worker for a small file and a large one.
"""

import argparse
import gzip
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evaluation import save_model, write_data
from measure import ROOT, in_turn, print_table, ratio, time_command

sys.path.insert(0, str(ROOT))

from irisspark.data import queries
from irisspark.data.columns import Columns
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.scanning import OutputColumns, PredictionPlan, ScanPlan, peak_memory_bytes
from irisspark.data.splits import TaskSplits, cut
from irisspark.data.targets import LabelCodes
from irisspark.evaluation.worker import counting
from irisspark.model import loading
from irisspark.startup.imports import import_tensorflow
from irisspark.storage.location import locate
from irisspark.storage.opening import DataFile, opener

NUM_FEATURES = 20
NUMBERS, TEXTS = ("0", "1", "2"), ("setosa", "versicolor", "virginica")
PLAIN = CsvReader()
HEADER = ";".join([*(f"feature {i}" for i in range(NUM_FEATURES)), "label"])


def columns_of(class_names: tuple[str, ...] = NUMBERS, **settings: object) -> Columns:
    """Describe rows of features with the label last."""
    columns = {"features": tuple(range(NUM_FEATURES)), "label": NUM_FEATURES, **settings}
    return Columns(NUM_FEATURES + 1, targets=LabelCodes(class_names), **columns)


def rewrite(
    source: Path, target: Path, change: Callable[[int, str], str], header: str = ""
) -> Path:
    """Write another shape of a file, line by line."""
    with source.open() as lines, target.open("w") as out:
        out.write(header)
        out.writelines(change(i, line) for i, line in enumerate(lines))
    return target


def spoil(number: int, line: str) -> str:
    """Make each hundredth row bad, each in one of four ways."""
    if number % 100:
        return line
    cells = line.rstrip("\n").split(",")
    way = number // 100 % 4
    if way == 0:
        cells[3] = "oops"
    elif way == 1:
        cells[7] = ""
    elif way == 2:
        cells.append("1")
    else:
        cells[-1] = "9"
    return ",".join(cells) + "\n"


def with_text_label(_: int, line: str) -> str:
    """Put a text in place of the label."""
    return f"{line[:-2]}{TEXTS[int(line[-2])]}\n"


def tasks_of(path: Path) -> Iterator[TaskSplits]:
    """Make one task of a file."""
    return iter([TaskSplits(0, tuple(cut([DataFile(str(path), path.stat().st_size)], 64 << 20)))])


def scan(
    model: loading.LoadedModel,
    path: Path,
    columns: Columns,
    reader: CsvReader = PLAIN,
    predictions: PredictionPlan | None = None,
) -> counting.Outcome:
    """Do a worker's task."""
    plan = ScanPlan(reader, columns, stop_at_bad_row=False, predictions=predictions)
    (outcome,) = counting.evaluate(tasks_of(path), model.spec, plan, opener(str))
    assert not outcome.failures, outcome.failures
    return outcome


def ways_of(
    folder: Path, plain: Path, model: loading.LoadedModel
) -> dict[str, Callable[[], float]]:
    """Write the shapes of the file, and say how each is read."""
    semicolons = rewrite(
        plain, folder / "header.csv", lambda _, line: line.replace(",", ";"), f"{HEADER}\n"
    )
    texts = rewrite(plain, folder / "texts.csv", with_text_label)
    spoiled = rewrite(plain, folder / "spoiled.csv", spoil)
    quoted = rewrite(
        plain, folder / "quoted.csv", lambda _, line: '"' + line[:-1].replace(",", '","') + '"\n'
    )
    zipped = folder / "plain.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes(), 6))
    named = columns_of(names=tuple(HEADER.split(";")))
    with_header = CsvReader(CsvFormat(";", header=True))
    scores = tuple(f"probability_{name}" for name in NUMBERS)
    columns = OutputColumns(("label",), ("prediction",), scores, (0, 1, 2), probabilities=True)
    predictions = PredictionPlan(locate(str(folder)), (), (columns,))

    def way(path: Path, columns: Columns, **more: Any) -> float:
        started = time.process_time()
        scan(model, path, columns, **more)
        return time.process_time() - started

    def find_labels() -> float:
        started = time.process_time()
        # As the driver does; a file that is sorted by its labels costs a pass over all of it.
        found = queries.find_labels(
            tasks_of(texts), PLAIN, columns_of(), opener(str), max_batches=1
        )
        assert [one.labels for one in found] == [frozenset(TEXTS)]
        return time.process_time() - started

    def decompress() -> float:
        started = time.process_time()
        with gzip.open(zipped) as stream:
            while stream.read(4 << 20):
                pass
        return time.process_time() - started

    return {
        "plain": lambda: way(plain, columns_of()),
        "-header true -delimiter ';'": lambda: way(semicolons, named, reader=with_header),
        "text labels, named": lambda: way(texts, columns_of(TEXTS)),
        "text labels, found": lambda: find_labels() + way(texts, columns_of(TEXTS)),
        "-badRows skip, none is bad": lambda: way(plain, columns_of()),
        "-badRows skip, 1% is bad": lambda: way(spoiled, columns_of()),
        "every cell in quotes": lambda: way(quoted, columns_of()),
        "-predictions true": lambda: way(plain, columns_of(), predictions=predictions),
        ".gz": lambda: way(zipped, columns_of()),
        ".gz, decompressing alone": decompress,
    }


GOALS = {
    "-header true -delimiter ';'": "1.15",
    "text labels, named": "1.15",
    "text labels, found": "1.15",
    "-badRows skip, none is bad": "1.15",
    "-badRows skip, 1% is bad": "1.15",
    "-predictions true": "1.40",
}


def measure_memory(folder: Path, model: Path, num_rows: int) -> list[list[str]]:
    """Take the peak memory of a worker for files of different sizes."""
    rows = []
    for times in (1, 10):
        data = folder / f"memory-{times}.csv"
        write_data(data, num_rows * times // 4, NUM_FEATURES)
        done = time_command([sys.executable, __file__, "--worker", str(model), str(data)])
        peak_bytes = int(done.output.split()[-1])
        rows.append([f"{data.stat().st_size / 2**20:.0f} MiB", f"{peak_bytes / 2**20:.0f} MiB"])
        data.unlink()
    return rows


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    import_tensorflow()
    if arguments.worker:
        model, data = arguments.worker
        scan(loading.load(str(model)), data, columns_of())
        print(peak_memory_bytes())
        return
    folder = Path(tempfile.mkdtemp(prefix="irisspark-benchmark-"))
    try:
        plain, model = folder / "plain.csv", folder / "model.keras"
        write_data(plain, arguments.rows, NUM_FEATURES)
        save_model(model, NUM_FEATURES)
        seconds = in_turn(ways_of(folder, plain, loading.load(str(model))), arguments.runs)
        table = [
            [name, f"{statistics.median(t):.2f}", f"{ratio(seconds, name, 'plain'):.2f}",
             GOALS.get(name, "")]
            for name, t in seconds.items()
        ]  # fmt: skip
        print_table(["way", "processor seconds (median)", "ratio to plain", "goal"], table)
        print_table(["file", "peak memory of a worker"], measure_memory(folder, model, 400_000))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
