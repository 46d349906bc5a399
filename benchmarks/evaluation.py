"""Evaluation, as whole commands and inside an application, beside what a user would run otherwise.

    python benchmarks/evaluation.py [--runs N] [--rows N] [--only PART]

Prints a table of medians and of ratios, each beside its goal. Writes its own data, and needs the
Python in which irisspark's requirements are installed.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import BIN, ROOT, build_archive, in_turn, print_table, ratio, time_command

NARROW, WIDE = 20, 784
SPARK_SUBMIT = str(BIN / "spark-submit")

BARE = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.sparkContext.parallelize(range(2), 2).map(lambda x: x + 1).collect())
spark.stop()
"""

ONE_PROCESS = """
import sys
import pandas as pd, keras, numpy as np
data = pd.read_csv(sys.argv[2], header=None)
features, labels = data.iloc[:, :-1].to_numpy("float32"), data.iloc[:, -1].to_numpy()
model = keras.models.load_model(sys.argv[1])
predicted = model.predict(features, batch_size=4096, verbose=0).argmax(axis=1)
print((predicted == labels).mean())
"""

ONE_PROCESS_PARQUET = ONE_PROCESS.replace(
    "pd.read_csv(sys.argv[2], header=None)", "pd.read_parquet(sys.argv[2])"
)

ELEPHAS = """
import sys
import keras, numpy as np
from pyspark import SparkContext
from elephas.spark_model import SparkModel
sc = SparkContext()
def parse(line):
    cells = line.split(",")
    return np.array(cells[:-1], dtype="float32"), int(cells[-1])
rows = sc.textFile(sys.argv[2], 2).map(parse)
print(SparkModel(keras.models.load_model(sys.argv[1]))._evaluate(rows, batch_size=4096, verbose=0))
sc.stop()
"""


def write_data(path: Path, num_rows: int, num_features: int) -> None:
    """Write random rows with four decimals and a label of three classes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    rng = np.random.default_rng(0)
    options = pyarrow.csv.WriteOptions(include_header=False)
    with path.open("wb") as out:
        for start in range(0, num_rows, 100_000):
            rows = min(100_000, num_rows - start)
            columns = {f"f{i}": rng.normal(size=rows).round(4) for i in range(num_features)}
            columns["label"] = rng.integers(0, 3, rows)
            pyarrow.csv.write_csv(pa.table(columns), out, options)


def save_model(path: Path, num_features: int) -> None:
    """Save a 64-64-3 network with random weights."""
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(64, "relu")]
    model = keras.Sequential(
        [keras.Input((num_features,)), *layers, keras.layers.Dense(3, "softmax")]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)


def command(*words: object) -> Callable[[], float]:
    """Make the function that runs a command and gives its seconds."""
    return lambda: time_command([str(word) for word in words]).seconds


def inside(*words: object) -> Any:
    """Run a measurement inside an application, and give what it found."""
    script = Path(__file__).with_name("inside.py")
    output = time_command([sys.executable, str(script), *map(str, words)]).output
    return json.loads(output.splitlines()[-1])


def compare(
    work: str, seconds: Mapping[str, Sequence[float]], peer: str, goals: Mapping[str, str]
) -> list[list[str]]:
    """Make the rows of some ways of doing the same work."""
    return [
        [
            work,
            name,
            f"{statistics.median(taken):.3g} s",
            "" if name == peer else f"{ratio(seconds, name, peer):.2f} of {peer}",
            goals.get(name, ""),
        ]
        for name, taken in seconds.items()
    ]


def measure_iris(folder: Path, archive: Path, runs: int) -> list[list[str]]:
    """Time the evaluation of iris beside a bare spark-submit."""
    model, data = folder / "my_model.h5", ROOT / "irisspark" / "samples" / "iris.txt"
    time_command(
        [sys.executable, "-m", "irisspark.samples.train_model", str(model)],
        env={"PYTHONPATH": str(ROOT)},
    )
    bare = folder / "bare.py"
    bare.write_text(BARE)
    job = ["-labelIndex", 4, "-numClasses", 3, "-modelPath", model, "-dataPath", data]
    ways = {
        "bare spark-submit": command(SPARK_SUBMIT, bare),
        "submit.sh": command(ROOT / "submit.sh", *job),
        "spark-submit irisspark.zip": command(SPARK_SUBMIT, archive, *job),
    }
    goals = {"submit.sh": "0.65", "spark-submit irisspark.zip": "1.00"}
    seconds = in_turn(ways, runs)
    return compare("iris, whole command", seconds, "bare spark-submit", goals)


def measure_rows(
    folder: Path, archive: Path, runs: int, num_rows: int, num_features: int
) -> list[list[str]]:
    """Time the evaluation of many rows beside one process with pandas and Keras, and elephas."""
    data, model = folder / f"data-{num_features}.csv", folder / f"model-{num_features}.keras"
    write_data(data, num_rows, num_features)
    save_model(model, num_features)
    scripts = {"one_process.py": ONE_PROCESS, "with_elephas.py": ELEPHAS}
    for name, text in scripts.items():
        (folder / name).write_text(text)
    job = ["-modelPath", model, "-dataPath", data]
    ways = {
        "pandas and Keras": command(sys.executable, folder / "one_process.py", model, data),
        "submit.sh": command(ROOT / "submit.sh", *job),
        "spark-submit irisspark.zip": command(SPARK_SUBMIT, archive, *job),
    }
    is_narrow = num_features == NARROW
    if is_narrow:
        ways["elephas"] = command(SPARK_SUBMIT, folder / "with_elephas.py", model, data)
    seconds = in_turn(ways, runs)
    goals = {"submit.sh": "0.85" if is_narrow else "0.60"}
    work = f"{num_rows:,} x {num_features}"
    rows = compare(f"{work}, whole command", seconds, "pandas and Keras", goals)
    if is_narrow:
        against = {name: seconds[name] for name in ("elephas", "submit.sh")}
        rows += compare(f"{work}, whole command", against, "elephas", {"submit.sh": "0.40"})[1:]
        words = ("--peer", "least", "--runs", runs, "--model", model, "--data", data)
        job_seconds = inside("evaluate", *words)["seconds"]
        ways_of_job = {
            "pyarrow and a compiled function, 2 processes": job_seconds["least"],
            "irisspark": job_seconds["irisspark"],
        }
        peer = next(iter(ways_of_job))
        rows += compare(f"{work}, the job alone, warm", ways_of_job, peer, {"irisspark": "1.30"})
    data.unlink()
    return rows


def measure_parquet(folder: Path, archive: Path, runs: int, num_rows: int) -> list[list[str]]:
    """Time the evaluation of Parquet beside pandas and Keras, and its job beside that of CSV."""
    import pyarrow.csv
    import pyarrow.parquet

    text, data, model = (folder / name for name in ("rows.csv", "rows.parquet", "rows.keras"))
    write_data(text, num_rows, NARROW)
    names = [*(f"f{i}" for i in range(NARROW)), "label"]
    options = pyarrow.csv.ReadOptions(column_names=names)
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(text, options), data)
    save_model(model, NARROW)
    script = folder / "one_process_parquet.py"
    script.write_text(ONE_PROCESS_PARQUET)
    job = ["-modelPath", model, "-dataPath", data]
    ways = {
        "pandas and Keras": command(sys.executable, script, model, data),
        "submit.sh": command(ROOT / "submit.sh", *job),
        "spark-submit irisspark.zip": command(SPARK_SUBMIT, archive, *job),
    }
    work = f"{num_rows:,} x {NARROW} of Parquet"
    seconds = in_turn(ways, runs)
    rows = compare(f"{work}, whole command", seconds, "pandas and Keras", {"submit.sh": "1.00"})
    of_jobs = {
        name: inside("evaluate", "--runs", runs, "--model", model, "--data", path)["seconds"]
        for name, path in (("CSV", text), ("Parquet", data))
    }
    jobs = {name: found["irisspark"] for name, found in of_jobs.items()}
    rows += compare(f"{work}, the job alone, warm", jobs, "CSV", {"Parquet": "0.60"})
    text.unlink()
    data.unlink()
    return rows


def measure_workers(runs: int) -> list[list[str]]:
    """Time first jobs and jobs that do nothing, and weigh workers, on both daemons."""
    kinds = {"Spark's own daemon": ["--stock"], "irisspark": []}
    first: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, flags in kinds.items():
            first[name].append(inside("first", "--master", "local[8]", *flags))
    work = "a session's start and its first job, 8 workers that predict"
    rows = compare(work, first, "Spark's own daemon", {})
    for name, flags in kinds.items():
        milliseconds = 1000 * statistics.median(inside("jobs", *flags))
        goal = "" if flags else "60 ms"
        rows.append(["a job of two trivial tasks", name, f"{milliseconds:.0f} ms", "", goal])
    for name, flags in kinds.items():
        megabytes = statistics.median(inside("memory", "--master", "local[4]", *flags))
        goal = "" if flags else "100 MB"
        rows.append(["private memory of a worker", name, f"{megabytes:.0f} MB", "", goal])
    return rows


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--only", choices=["iris", "rows", "wide", "parquet", "workers"])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="irisspark-benchmark-"))
    try:
        archive = build_archive(folder)
        table: list[list[str]] = []
        if arguments.only in (None, "iris"):
            table += measure_iris(folder, archive, arguments.runs)
        if arguments.only in (None, "rows"):
            table += measure_rows(folder, archive, arguments.runs, arguments.rows, NARROW)
        if arguments.only in (None, "wide"):
            table += measure_rows(folder, archive, arguments.runs, arguments.rows // 10, WIDE)
        if arguments.only in (None, "parquet"):
            table += measure_parquet(folder, archive, arguments.runs, arguments.rows)
        if arguments.only in (None, "workers"):
            table += measure_workers(arguments.runs)
        print_table(["work", "way", "median", "ratio", "goal"], table)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
