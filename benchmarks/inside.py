"""What is measured inside one application; ``evaluation.py`` and ``growth.py`` start it.

    python benchmarks/inside.py {first,jobs,memory,evaluate} [--master M] [--stock] ...

Prints JSON: seconds of jobs, or MB of workers.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from training_session import session

from irisspark.data.dataset import open_dataset
from irisspark.data.scanning import peak_memory_bytes
from irisspark.evaluation.evaluating import evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.imports import import_tensorflow

NUM_TRIVIAL_JOBS = 30
NUM_MEMORY_TASKS = 4
NUM_FIRST_TASKS = 8
HOLD_SECONDS = 2.0


def time_trivial_jobs(spark: Any) -> list[float]:
    """Time jobs of two tasks that do nothing; the first ones, which warm up, are left out."""
    seconds = []
    for _ in range(NUM_TRIVIAL_JOBS):
        started = time.perf_counter()
        spark.spread([1, 2]).mapPartitions(list).collect()
        seconds.append(time.perf_counter() - started)
    return seconds[NUM_TRIVIAL_JOBS // 3 :]


def predict_once(_: Iterator[int]) -> Iterator[bool]:
    """Build a small model and predict a row."""
    import numpy as np

    import_tensorflow()
    import keras

    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(3, "softmax")])
    yield bool(np.isfinite(model(np.zeros((1, 20), "float32"))).all())


def private_megabytes(_: Iterator[int]) -> Iterator[float]:
    """Predict once, and tell how much memory this worker shares with nobody."""
    import numpy as np

    tensorflow = import_tensorflow()
    import keras

    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(64, "relu")]
    model = keras.Sequential([keras.Input((20,)), *layers, keras.layers.Dense(3, "softmax")])
    compiled = tensorflow.function(lambda rows: model(rows, training=False))
    compiled(np.zeros((256, 20), "float32"))
    time.sleep(HOLD_SECONDS)  # the workers are to be there at the same time
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    fields = dict(line.split(":") for line in lines if line.endswith(" kB"))
    kilobytes = sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
    yield kilobytes / 1024


def evaluate_halves(connection: Connection, model_path: str, data_path: str) -> None:
    """Parse a file with pyarrow and predict it with a compiled function, each time it is told to.

    The least that an evaluation has to do: its accuracy, and nothing else.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pacsv

    tensorflow = import_tensorflow()
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    model = keras.models.load_model(model_path)
    num_features = model.inputs[0].shape[1]
    names = [f"f{index}" for index in range(num_features + 1)]
    types = dict.fromkeys(names, pa.float32()) | {names[-1]: pa.int64()}
    signature = [tensorflow.TensorSpec((None, num_features), "float32")]

    @tensorflow.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def predict(rows: Any) -> Any:
        return tensorflow.argmax(model(rows, training=False), axis=1)

    predict(np.zeros((8192, num_features), "float32"))
    connection.send("ready")
    while connection.recv():
        num_right = 0
        reader = pacsv.open_csv(
            data_path,
            pacsv.ReadOptions(column_names=names, use_threads=False, block_size=4 << 20),
            convert_options=pacsv.ConvertOptions(column_types=types),
        )
        for batch in reader:
            rows = np.column_stack([column.to_numpy() for column in batch.columns[:-1]])
            labels = batch.columns[-1].to_numpy()
            for start in range(0, len(rows), 8192):
                predicted = predict(rows[start : start + 8192]).numpy()
                num_right += int((predicted == labels[start : start + 8192]).sum())
        connection.send(num_right)


def evaluate_with_pandas(connection: Connection, model_path: str, data_path: str) -> None:
    """Read a file with pandas and predict it with Keras, each time it is told to."""
    import pandas as pd

    import_tensorflow()
    import keras

    model = keras.models.load_model(model_path)
    num_features = model.inputs[0].shape[1]
    connection.send("ready")
    while connection.recv():
        rows = pd.read_csv(data_path, header=None)
        features = rows.iloc[:, :num_features].to_numpy("float32")
        predicted = model.predict(features, verbose=0).argmax(axis=1)
        connection.send(int((predicted == rows.iloc[:, num_features]).sum()))


def evaluate_columns_with_pandas(connection: Connection, model_path: str, data_path: str) -> None:
    """Read a file with a header with pandas, and give Keras an array for each input's column."""
    import pandas as pd

    tensorflow = import_tensorflow()
    import keras

    model = keras.models.load_model(model_path)
    types = {one.name: object if one.dtype == "string" else one.dtype for one in model.inputs}
    connection.send("ready")
    while connection.recv():
        rows = pd.read_csv(data_path, keep_default_na=False)
        columns = {
            name: tensorflow.constant(rows[[name]].to_numpy(dtype)) for name, dtype in types.items()
        }
        predicted = model.predict(columns, batch_size=8192, verbose=0).argmax(axis=1)
        connection.send(int((predicted == rows["label"]).sum()))


def split_in_halves(data: Path) -> list[Path]:
    """Write the two halves of a file beside it."""
    content = data.read_bytes()
    middle = content.index(b"\n", len(content) // 2) + 1
    halves = [data.with_suffix(".first"), data.with_suffix(".second")]
    for half, part in zip(halves, (content[:middle], content[middle:]), strict=True):
        half.write_bytes(part)
    return halves


class Peer:
    """Processes that evaluate a file in another way."""

    def __init__(
        self, way: Callable[[Connection, str, str], None], model: Path, parts: list[Path]
    ) -> None:
        """Start one for each part of the file, and wait until they are warm."""
        starter = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for part in parts:
            ours, theirs = starter.Pipe()
            target = (theirs, str(model), str(part))
            process = starter.Process(target=way, args=target, daemon=True)
            process.start()
            self._processes.append(process)
            self._pipes.append(ours)
        for pipe in self._pipes:
            pipe.recv()

    def evaluate(self) -> int:
        """Evaluate all parts, and count the rows that are classified rightly."""
        for pipe in self._pipes:
            pipe.send(True)
        return sum(pipe.recv() for pipe in self._pipes)

    def stop(self) -> None:
        """End them."""
        for process in self._processes:
            process.terminate()


def time_evaluations(
    spark: Any, model: Path, data: Path, runs: int, peer: str | None
) -> dict[str, Any]:
    """Time the evaluation of a file and, in turn, that of a peer.

    The peers are ``least``, two processes that do the least that they have to, ``pandas``, and
    ``columns``: pandas of a file with a header, for a model with an input a column.
    """
    header = str(peer == "columns").lower()
    options = parse(["-modelPath", str(model), "-dataPath", str(data), "-header", header])
    loaded = loading.load(options.model_path)
    dataset = open_dataset(spark, data_settings(options), loaded.spec)
    other = None
    if peer == "least":
        other = Peer(evaluate_halves, model, split_in_halves(data))
    elif peer == "pandas":
        other = Peer(evaluate_with_pandas, model, [data])
    elif peer == "columns":
        other = Peer(evaluate_columns_with_pandas, model, [data])
    seconds: dict[str, list[float]] = {"irisspark": [], str(peer): []}
    for _ in range(runs + 1):  # the first one warms up
        started = time.perf_counter()
        result = evaluate(spark, loaded, dataset, evaluate_settings(options))
        seconds["irisspark"].append(time.perf_counter() - started)
        if other is not None:
            started = time.perf_counter()
            num_right = other.evaluate()
            seconds[str(peer)].append(time.perf_counter() - started)
            assert num_right == round(result.scores.accuracy * result.num_rows)
    if other is not None:
        other.stop()
    return {
        "seconds": {name: taken[1:] for name, taken in seconds.items()},
        "driver_peak_megabytes": peak_memory_bytes() / 2**20,
        "worker_peak_megabytes": result.stats.peak_memory_bytes / 2**20,
    }


def main() -> None:
    """Measure one thing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["first", "jobs", "memory", "evaluate"])
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--stock", action="store_true", help="on Spark's own daemon")
    parser.add_argument(
        "--peer", choices=["least", "pandas", "columns"], help="what is timed beside it"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    started = time.perf_counter()
    with session(given.master, fast_workers=not given.stock) as spark:
        found: Any
        if given.what == "first":
            spark.spread(list(range(NUM_FIRST_TASKS))).mapPartitions(predict_once).collect()
            found = time.perf_counter() - started
        elif given.what == "jobs":
            found = time_trivial_jobs(spark)
        elif given.what == "memory":
            tasks = spark.spread(list(range(NUM_MEMORY_TASKS)))
            found = tasks.mapPartitions(private_megabytes).collect()
        else:
            found = time_evaluations(spark, given.model, given.data, given.runs, given.peer)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
