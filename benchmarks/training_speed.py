"""Training beside elephas and one process with Keras: from the first epoch to the end of the last.

    python benchmarks/training_speed.py [--runs N] [--rows N] [--only iris|rows]

Prints a table of medians and of ratios, each beside its goal. Workers are warm: each way has run
once before it is measured.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import ROOT, in_turn, print_table, ratio
from training_session import Session, run, save_network, session

SEED = 3


def write_rows(path: Path, num_rows: int, num_features: int) -> None:
    """Write rows of three classes that a small network can tell apart, mostly."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    rng = np.random.default_rng(0)
    features = rng.normal(size=(num_rows, num_features)).round(4)
    first, second = rng.normal(size=(num_features, 16)), rng.normal(size=(16, 3))
    scores = np.tanh(features @ first / 2) @ second + rng.normal(size=(num_rows, 3))
    columns = {f"f{i}": features[:, i] for i in range(num_features)}
    columns["label"] = scores.argmax(axis=1)
    options = pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(pa.table(columns), path, options)


def read_rows(path: Path) -> tuple[Any, Any]:
    """Read a CSV whose last column is the label."""
    import pandas as pd

    rows = pd.read_csv(path, header=None)
    return rows.iloc[:, :-1].to_numpy("float32"), rows.iloc[:, -1].to_numpy("int64")


class Job:
    """One piece of work, and the ways to do it; each gives seconds and leaves a final loss."""

    def __init__(
        self, spark: Session, model: Path, data: Path, *, epochs: int, batch_size: int
    ) -> None:
        """Read the rows, and hand them to elephas in two cached partitions."""
        self.spark, self.model, self.data = spark, model, data
        self.epochs, self.batch_size = epochs, batch_size
        self.features, self.labels = read_rows(data)
        pairs = list(zip(self.features, self.labels, strict=True))
        self.pairs = spark.context.parallelize(pairs, 2).cache()
        self.pairs.count()
        self.scores: dict[str, tuple[float, float]] = {}

    def ways(self) -> dict[str, Callable[[], float]]:
        """Name the ways."""
        return {"irisspark": self.ours, "elephas": self.elephas, "Keras": self.keras}

    def ours(self) -> float:
        """Train with irisspark on two workers."""
        words = ["-epochs", self.epochs, "-batchSizePerWorker", self.batch_size, "-workers", 2]
        result = run(self.spark, self.model, self.data, *words)
        self._judge("irisspark", result.spec.build().get_weights())
        return sum(row["seconds"] for row in result.history)

    def elephas(self) -> float:
        """Train with elephas on the same two partitions."""
        import keras
        from elephas.spark_model import SparkModel

        model = SparkModel(keras.models.load_model(self.model), mode="synchronous")
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            model.fit(self.pairs, epochs=self.epochs, batch_size=self.batch_size, verbose=0)
        seconds = time.perf_counter() - started
        self._judge("elephas", model.master_network.get_weights())
        return seconds

    def keras(self) -> float:
        """Train in this process, with the settings that Keras comes with, its graph compiled."""
        import keras

        keras.utils.set_random_seed(SEED)
        model = keras.models.load_model(self.model)
        weights = model.get_weights()
        fit = {"batch_size": self.batch_size, "verbose": 0}
        warm = slice(0, 2 * self.batch_size)
        model.fit(self.features[warm], self.labels[warm], epochs=1, **fit)
        model.set_weights(weights)
        for variable in model.optimizer.variables:
            if "learning_rate" not in variable.path:
                variable.assign(variable * 0)
        started = time.perf_counter()
        model.fit(self.features, self.labels, epochs=self.epochs, **fit)
        seconds = time.perf_counter() - started
        self._judge("Keras", model.get_weights())
        return seconds

    def _judge(self, way: str, weights: list[Any]) -> None:
        import keras

        model = keras.models.load_model(self.model)
        model.set_weights(weights)
        loss, accuracy = model.evaluate(self.features, self.labels, batch_size=4096, verbose=0)
        self.scores[way] = (loss, accuracy)


def table(name: str, job: Job, runs: int, goals: dict[str, str]) -> list[list[str]]:
    """Measure a job, and give its rows of the table."""
    seconds = in_turn(job.ways(), runs)
    rows = []
    for way, taken in seconds.items():
        ours = ratio(seconds, "irisspark", way)
        loss, accuracy = job.scores[way]
        rows.append(
            [
                name,
                way,
                f"{statistics.median(taken):.2f}",
                f"{ours:.3f}" if way != "irisspark" else "",
                goals.get(way, ""),
                f"{loss:.4f}",
                f"{accuracy:.4f}",
            ]
        )
    return rows


def main() -> None:
    """Measure both jobs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--only", choices=("iris", "rows"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, session("local[2]") as spark:
        model, data = Path(folder, "model.keras"), Path(folder, "rows.csv")
        rows: list[list[str]] = []
        if given.only != "rows":
            iris = ROOT / "irisspark" / "samples" / "iris.txt"
            save_network(model, 4, [16], 3)
            job = Job(spark, model, iris, epochs=20, batch_size=5)
            rows += table("iris, 20 epochs", job, given.runs, {"elephas": "0.167"})
        if given.only != "iris":
            write_rows(data, given.rows, 20)
            save_network(model, 20, [64, 64], 3)
            job = Job(spark, model, data, epochs=5, batch_size=256)
            name = f"{given.rows:,} x 20, 5 epochs"
            rows += table(name, job, given.runs, {"elephas": "0.167", "Keras": "0.333"})
    headers = ["work", "way", "seconds", "irisspark / way", "goal, at most", "loss", "accuracy"]
    print_table(headers, rows)


if __name__ == "__main__":
    main()
