"""Train hundreds of MB of weights with Adam, two workers, at Spark's default maxResultSize.

    python benchmarks/training_memory.py [--megabytes N] [--driver-memory 1g] [--epochs N]

Prints what the epochs took and the largest resident sets; ends with an error where Spark's or
Python's memory is not enough.
"""

import argparse
import resource
import tempfile
from pathlib import Path
from typing import Any

from measure import print_table
from training_session import run, session

NUM_FEATURES, NUM_ROWS, WIDTH = 50, 64, 8192


def save_wide_network(path: Path, megabytes: int) -> Any:
    """Save a network whose weights take about so many MB."""
    import keras

    columns = (megabytes << 20) // 4 // WIDTH
    layers = [keras.layers.Dense(WIDTH, "relu"), keras.layers.Dense(columns, "relu")]
    model = keras.Sequential(
        [keras.Input((NUM_FEATURES,)), *layers, keras.layers.Dense(2, "softmax")]
    )
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    model.save(path)
    return model


def write_rows(path: Path) -> None:
    """Write a few rows of two classes."""
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, NUM_ROWS)
    features = rng.normal(size=(NUM_ROWS, NUM_FEATURES)) + labels[:, None]
    np.savetxt(path, np.column_stack([features, labels]), delimiter=",", fmt="%.4f")


def main() -> None:
    """Train, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--driver-memory", default="1g")
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    setting = f"spark.driver.memory={given.driver_memory}"
    with tempfile.TemporaryDirectory() as folder, session("local[2]", setting) as spark:
        model, data = Path(folder, "model.keras"), Path(folder, "rows.csv")
        write_rows(data)
        network = save_wide_network(model, given.megabytes)
        num_bytes = 4 * network.count_params()
        words = ["-epochs", given.epochs, "-batchSizePerWorker", 16, "-workers", 2]
        history = run(spark, model, data, *words).history
        driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        [f"{row['epoch']:.0f}", f"{row['loss']:.4f}", f"{row['seconds']:.1f}"] for row in history
    ]
    print(f"weights {num_bytes / 2**20:.0f} MB, --driver-memory {given.driver_memory}")
    print(f"largest resident set of the driver's Python: {driver:.0f} MB")
    print_table(["epoch", "loss", "seconds"], rows)


if __name__ == "__main__":
    main()
