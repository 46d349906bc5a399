"""Tables with named inputs, with text, and as Parquet, each beside what a user would run otherwise.

    python benchmarks/tables.py [--runs N] [--rows N] [--only inputs|text|parquet]

Prints a table of medians and of ratios, each beside its goal.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from evaluation import NARROW, ONE_PROCESS_PARQUET, command, compare, inside, save_model, write_data
from measure import ROOT, in_turn, print_table

NUM_NUMBERS, NUM_TEXTS = 10, 4
_WORDS = tuple(f"word-{number}" for number in range(100))

PANDAS_AND_TEXT = """
import sys
import pandas as pd, keras, numpy as np, tensorflow as tf
data = pd.read_csv(sys.argv[2], keep_default_na=False)
model = keras.models.load_model(sys.argv[1])
features = {
    name: tf.constant(data[[name]].to_numpy("float32" if name.startswith("n") else object))
    for name in data.columns[:-1]
}
predicted = model.predict(features, batch_size=8192, verbose=0).argmax(axis=1)
print((predicted == data["label"].to_numpy()).mean())
"""


def save_named(path: Path, num_features: int) -> None:
    """Save the network of ``save_model`` behind an input for each column."""
    import keras

    keras.utils.set_random_seed(1)
    inputs = [keras.Input((1,), name=f"f{number}") for number in range(num_features)]
    hidden = keras.layers.concatenate(inputs)
    for _ in range(2):
        hidden = keras.layers.Dense(64, "relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(hidden))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)


def write_text(path: Path, num_rows: int) -> None:
    """Write random numbers and words, and a label of three classes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    rng = np.random.default_rng(0)
    words = np.array(_WORDS)
    header = True
    with path.open("wb") as out:
        for start in range(0, num_rows, 100_000):
            rows = min(100_000, num_rows - start)
            columns = {f"n{i}": rng.normal(size=rows).round(4) for i in range(NUM_NUMBERS)}
            columns |= {f"t{i}": words[rng.integers(0, 100, rows)] for i in range(NUM_TEXTS)}
            columns["label"] = rng.integers(0, 3, rows)
            options = pyarrow.csv.WriteOptions(include_header=header)
            pyarrow.csv.write_csv(pa.table(columns), out, options)
            header = False


def save_text(path: Path) -> None:
    """Save a network that scales numbers and looks words up."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    numbers = [keras.Input((1,), name=f"n{i}") for i in range(NUM_NUMBERS)]
    texts = [keras.Input((1,), name=f"t{i}", dtype="string") for i in range(NUM_TEXTS)]
    parts = [layers.Normalization(mean=0.0, variance=1.0)(one) for one in numbers]
    for one in texts:
        codes = layers.StringLookup(vocabulary=list(_WORDS))(one)
        parts.append(layers.Flatten()(layers.Embedding(len(_WORDS) + 1, 4)(codes)))
    hidden = layers.Dense(64, "relu")(layers.concatenate(parts))
    model = keras.Model([*numbers, *texts], layers.Dense(3, "softmax")(hidden))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)


def measure_inputs(folder: Path, runs: int, num_rows: int) -> list[list[str]]:
    """Time twenty named inputs beside one input of twenty columns."""
    data = folder / "data.csv"
    write_data(data, num_rows, NARROW)
    save_model(folder / "one.keras", NARROW)
    save_named(folder / "named.keras", NARROW)
    named = ",".join(f"f{number}={number}" for number in range(NARROW))
    submit = [ROOT / "submit.sh", "-dataPath", data, "-modelPath"]
    ways = {
        "one input": command(*submit, folder / "one.keras"),
        "named inputs": command(*submit, folder / "named.keras", "-inputs", named),
    }
    seconds = in_turn(ways, runs)
    data.unlink()
    work = f"{num_rows:,} x {NARROW}, whole command"
    return compare(work, seconds, "one input", {"named inputs": "1.15"})


def measure_text(folder: Path, runs: int, num_rows: int) -> list[list[str]]:
    """Time numbers and words beside pandas and Keras in one process."""
    data, model, script = folder / "text.csv", folder / "text.keras", folder / "one_process.py"
    write_text(data, num_rows)
    save_text(model)
    script.write_text(PANDAS_AND_TEXT)
    job = ["-modelPath", model, "-dataPath", data, "-header", "true"]
    ways = {
        "pandas and Keras": command(sys.executable, script, model, data),
        "submit.sh": command(ROOT / "submit.sh", *job),
    }
    seconds = in_turn(ways, runs)
    words = ["--peer", "columns", "--runs", runs, "--model", model, "--data", data]
    found = inside("evaluate", *words)["seconds"]
    alone = {"pandas and Keras": found["columns"], "irisspark": found["irisspark"]}
    data.unlink()
    work = f"{num_rows:,} x {NUM_NUMBERS} numbers and {NUM_TEXTS} texts"
    whole = compare(f"{work}, whole command", seconds, "pandas and Keras", {"submit.sh": "0.60"})
    what = f"{work}, reading and predicting alone, warm"
    return whole + compare(what, alone, "pandas and Keras", {"irisspark": "0.50"})


def measure_parquet(folder: Path, runs: int, num_rows: int) -> list[list[str]]:
    """Time Parquet beside CSV, the job alone, and beside pandas, the whole command."""
    import pyarrow.csv
    import pyarrow.parquet

    data, model, script = folder / "data.csv", folder / "one.keras", folder / "parquet.py"
    table_path = folder / "data.parquet"
    write_data(data, num_rows, NARROW)
    names = [f"f{number}" for number in range(NARROW)] + ["label"]
    options = pyarrow.csv.ReadOptions(column_names=names)
    pyarrow.parquet.write_table(
        pyarrow.csv.read_csv(data, options), table_path, row_group_size=200_000
    )
    save_model(model, NARROW)
    script.write_text(ONE_PROCESS_PARQUET)
    jobs = {
        name: inside("evaluate", "--runs", runs, "--model", model, "--data", path)["seconds"]
        for name, path in (("CSV", data), ("Parquet", table_path))
    }
    alone = {name: found["irisspark"] for name, found in jobs.items()}
    work = f"{num_rows:,} x {NARROW}"
    rows = compare(f"{work}, the job alone, warm", alone, "CSV", {"Parquet": "0.60"})
    ways = {
        "pandas and Keras": command(sys.executable, script, model, table_path),
        "submit.sh": command(ROOT / "submit.sh", "-modelPath", model, "-dataPath", table_path),
    }
    seconds = in_turn(ways, runs)
    goal = "0.60" if num_rows >= 20_000_000 else "1.00"
    what = f"{work} of Parquet, whole command"
    return rows + compare(what, seconds, "pandas and Keras", {"submit.sh": goal})


PARTS = {
    "inputs": (measure_inputs, 2_000_000),
    "text": (measure_text, 5_000_000),
    "parquet": (measure_parquet, 2_000_000),
}


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, help="instead of each part's own")
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="irisspark-benchmark-"))
    table: list[list[str]] = []
    try:
        for name, (measure, num_rows) in PARTS.items():
            if given.only in (None, name):
                table += measure(folder, given.runs, given.rows or num_rows)
        print_table(["work", "way", "median", "ratio", "goal"], table)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
