"""Accuracy of training on several workers beside one process with Keras.

    python benchmarks/training_accuracy.py [--seeds N] [--workers 1,2,4] [--optimizer adam]

Prints a table of medians over the seeds: epochs, batch size, model and first weights are the same.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import print_table
from training_session import Session, run, save_network, session

# name, epochs, batch size, units of the hidden layer
DATA = [
    ("iris", 20, 5, 16),
    ("wine", 20, 8, 16),
    ("breast_cancer", 10, 16, 16),
    ("digits", 10, 32, 64),
]
RATES = {"adam": 0.001, "sgd": 0.01}


def load(name: str, folder: Path) -> tuple[Path, Any, Any]:
    """Write one of scikit-learn's data sets, standardised, as a CSV; return the rows too."""
    import numpy as np
    from sklearn import datasets

    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    path = folder / f"{name}.csv"
    np.savetxt(path, np.column_stack([features, labels]), delimiter=",", fmt="%.6g")
    rows = np.loadtxt(path, delimiter=",")
    return path, rows[:, :-1].astype("float32"), rows[:, -1].astype("int64")


def compile_with(model: Any, optimizer: str) -> None:
    """Compile a model with a named optimizer at the rate of ``RATES``; SGD with momentum."""
    import keras

    made = {
        "adam": lambda rate: keras.optimizers.Adam(rate),
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    }
    model.compile(
        made[optimizer](RATES[optimizer]), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )


def measure(
    spark: Session,
    folder: Path,
    data: tuple[str, int, int, int],
    *,
    workers: list[int],
    seeds: int,
    optimizer: str,
) -> list[str]:
    """Train on one data set with every seed, and give its row of the table."""
    import keras

    name, epochs, batch_size, units = data
    path, features, labels = load(name, folder)
    model_path = folder / f"{name}.keras"
    accuracies: dict[int, list[float]] = {count: [] for count in (0, *workers)}
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model = save_network(model_path, features.shape[1], [units], len(set(labels)))
        compile_with(model, optimizer)
        model.save(model_path)
        first = model.get_weights()
        for count in workers:
            words = ["-epochs", epochs, "-batchSizePerWorker", batch_size, "-workers", count]
            result = run(spark, model_path, path, *words, "-seed", seed)
            model.set_weights(result.spec.build().get_weights())
            accuracies[count].append(model.evaluate(features, labels, verbose=0)[1])
        model.set_weights(first)
        compile_with(model, optimizer)
        model.fit(features, labels, batch_size=batch_size, epochs=epochs, verbose=0)
        accuracies[0].append(model.evaluate(features, labels, verbose=0)[1])
        print(
            f"{name} seed {seed}: {[f'{a[-1]:.3f}' for a in accuracies.values()]}", file=sys.stderr
        )
    medians = [statistics.median(found) for found in accuracies.values()]
    allowed = 2 / len(labels) if name == "iris" else 0.01
    reached = "yes" if min(medians[1:]) >= medians[0] - allowed - 1e-6 else "no"
    cells = [f"{median:.4f}" for median in medians]
    return [name, str(epochs), str(batch_size), *cells, f"{medians[0] - allowed:.4f}", reached]


def main() -> None:
    """Measure every data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--optimizer", choices=sorted(RATES), default="adam")
    parser.add_argument("--data", default=",".join(name for name, *_ in DATA))
    given = parser.parse_args()
    workers = [int(count) for count in given.workers.split(",")]
    rows = []
    with tempfile.TemporaryDirectory() as folder, session("local[2]") as spark:
        for data in DATA:
            if data[0] in given.data.split(","):
                settings = {"workers": workers, "seeds": given.seeds, "optimizer": given.optimizer}
                rows.append(measure(spark, Path(folder), data, **settings))
    counts = [f"{count} worker{'s' if count > 1 else ''}" for count in workers]
    print_table(["data", "epochs", "batch", "Keras", *counts, "goal, at least", "reached"], rows)


if __name__ == "__main__":
    main()
