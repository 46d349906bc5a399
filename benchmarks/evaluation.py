"""Evaluation as whole commands, beside what a user would otherwise run.

    python benchmarks/evaluation.py [--runs N] [--rows N]

Prints a table of medians and of ratios, each beside its goal. Writes its own data, and needs the
Python in which irisspark's requirements are installed.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import BIN, ROOT, build_archive, in_turn, print_table, ratio, time_command

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
        "spark-submit irisspark.zip": command(SPARK_SUBMIT, archive, *job),
        "submit.sh": command(ROOT / "submit.sh", *job),
    }
    seconds = in_turn(ways, runs)
    goals = {"spark-submit irisspark.zip": "1.00", "submit.sh": "0.65"}
    return [
        [
            "iris, whole command",
            name,
            f"{statistics.median(taken):.2f}",
            f"{ratio(seconds, name, 'bare spark-submit'):.2f}",
            goals.get(name, ""),
        ]
        for name, taken in seconds.items()
    ]


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
        "spark-submit irisspark.zip": command(SPARK_SUBMIT, archive, *job),
        "submit.sh": command(ROOT / "submit.sh", *job),
    }
    if num_features == 20:
        ways["elephas"] = command(SPARK_SUBMIT, folder / "with_elephas.py", model, data)
    seconds = in_turn(ways, runs)
    data.unlink()
    goal = {20: "0.85", 784: "0.60"}[num_features]
    work = f"{num_rows:,} x {num_features}, whole command"
    rows = [
        [
            work,
            name,
            f"{statistics.median(taken):.2f}",
            f"{ratio(seconds, name, 'pandas and Keras'):.2f}",
            goal if "submit" in name else "",
        ]
        for name, taken in seconds.items()
    ]
    if "elephas" in seconds:
        against = ratio(seconds, "submit.sh", "elephas")
        rows.append([f"{work}, against elephas", "submit.sh", "", f"{against:.2f}", "0.40"])
    return rows


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--only", choices=["iris", "rows", "wide"])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="irisspark-benchmark-"))
    try:
        archive = build_archive(folder)
        table: list[list[str]] = []
        if arguments.only in (None, "iris"):
            table += measure_iris(folder, archive, arguments.runs)
        if arguments.only in (None, "rows"):
            table += measure_rows(folder, archive, arguments.runs, arguments.rows, 20)
        if arguments.only in (None, "wide"):
            table += measure_rows(folder, archive, arguments.runs, arguments.rows // 10, 784)
        print_table(["work", "way", "seconds (median)", "ratio to the first", "goal"], table)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
