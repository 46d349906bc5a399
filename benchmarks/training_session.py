"""What benchmarks inside an application share: a session, a model file, a training run."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import ROOT

sys.path.insert(0, str(ROOT))

from irisspark.data.dataset import open_dataset
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, train_settings
from irisspark.startup.imports import import_tensorflow
from irisspark.startup.session import Session, open_session
from irisspark.training.running import TrainingResult, train


@contextmanager
def session(master: str, *settings: str, fast_workers: bool = True) -> Iterator[Session]:
    """Open Spark with workers that import this checkout; without ``fast_workers``, on Spark's."""
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    words = [f"--conf {setting}" for setting in ("spark.ui.enabled=false", *settings)]
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master {master} {' '.join(words)} pyspark-shell"
    importing = threading.Thread(target=import_tensorflow)
    with open_session(fast_workers=fast_workers, importing=importing) as opened:
        opened.wait_for_workers()
        yield opened


def save_network(path: Path, num_features: int, hidden: list[int], num_classes: int) -> Any:
    """Save an Adam-trained softmax network under the same layer names each time; return it."""
    import keras

    keras.utils.clear_session()
    layers = [keras.layers.Dense(units, "relu") for units in hidden]
    output = keras.layers.Dense(num_classes, "softmax")
    model = keras.Sequential([keras.Input((num_features,)), *layers, output])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)
    return model


def run(spark: Session, model: Path, data: Path, *words: object) -> TrainingResult:
    """Train a model file on a CSV with the options of the command line."""
    argv = ["-train", "true", "-modelPath", model, "-dataPath", data, *words]
    options = parse([str(word) for word in argv])
    loaded = loading.load(options.model_path, training_seed=options.seed)
    dataset = open_dataset(spark, data_settings(options), loaded.spec)
    return train(spark, loaded, dataset, train_settings(options), lambda line: None)
