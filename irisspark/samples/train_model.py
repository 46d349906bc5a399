"""Train a small softmax network on iris and save it: the model of the examples.

Run as ``python -m irisspark.samples.train_model [my_model.h5]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irisspark.startup.imports import import_tensorflow

IRIS = Path(__file__).with_name("iris.txt")
SEED = 7
EPOCHS = 60
BATCH_SIZE = 5


def train(data: Path = IRIS) -> tuple[Any, float]:
    """Fit the network on a CSV of four features and a label; the same weights each time.

    Returns:
        The Keras model, and its accuracy on the rows it was trained on.
    """
    import_tensorflow()
    import keras

    rows = np.loadtxt(data, delimiter=",")
    features, labels = rows[:, :-1].astype("float32"), rows[:, -1].astype("int64")
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.layers.Input((features.shape[1],)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        features,
        keras.utils.to_categorical(labels, 3),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        verbose=0,
    )
    predicted = model.predict(features, batch_size=len(features), verbose=0).argmax(axis=1)
    return model, float((predicted == labels).mean())


def save(model: Any, out: Path) -> None:
    """Write the model whole or not at all; the name's ending chooses Keras's format."""
    part = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        model.save(part)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Train and save the model; return the exit code."""
    args = sys.argv[1:] if argv is None else list(argv)
    out = Path(args[0] if args else "my_model.h5")
    model, accuracy = train()
    save(model, out)
    print(f"{out}: accuracy {accuracy:.4f} on {IRIS.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
