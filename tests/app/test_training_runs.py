"""Training by the built archive under a real spark-submit, on a standalone cluster too."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from one_driver import OneDriver
from running import ROOT, Cluster, Run

FRESH_MODEL = """
import sys
from irisspark.startup.imports import import_tensorflow
import_tensorflow()
import keras
keras.utils.set_random_seed(3)
model = keras.Sequential(
    [keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
)
model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
model.save(sys.argv[1])
"""

SCORE = """
import sys
from irisspark.startup.imports import import_tensorflow
import_tensorflow()
import keras, numpy as np
rows = np.loadtxt(sys.argv[2], delimiter=",")
model = keras.models.load_model(sys.argv[1])
targets = np.eye(3)[rows[:, 4].astype(int)]
print(*model.evaluate(rows[:, :4].astype("float32"), targets, verbose=0))
"""

TRAIN = [
    *("-train", "true", "-epochs", "20", "-batchSizePerWorker", "5", "-labelIndex", "4"),
    *("-numClasses", "3", "-modelPath", "fresh.h5", "-dataPath", "iris.txt"),
]


def python(script: str, *words: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def fresh_model(job_folder: Path) -> Path:
    python(FRESH_MODEL, "fresh.h5", folder=job_folder)
    return job_folder / "fresh.h5"


def test_training_on_a_cluster_learns_iris_and_saves_a_model_that_keras_scores_the_same(
    archive: Path, spark_submit: Run, cluster: Cluster, fresh_model: Path
) -> None:
    files = ["--files", "iris.txt,fresh.h5"]
    words = [*TRAIN, "-outputPath", "trained", "-workers", "2"]
    done = spark_submit("--master", cluster.master, *files, archive, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(line.startswith("epoch ") for line in done.stdout.splitlines()) == 20
    folder = fresh_model.parent / "trained"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.88
    assert metrics["run"]["training"]["workers"] == 2
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 21)]
    for name in ("model.keras", "model.h5"):
        printed = python(SCORE, f"trained/{name}", "iris.txt", folder=fresh_model.parent)
        loss, accuracy = map(float, printed.split())
        assert loss == pytest.approx(metrics["loss"], abs=1e-6)
        assert accuracy == pytest.approx(metrics["accuracy"], abs=1e-6)


def test_an_output_folder_that_cannot_be_written_is_found_before_training(
    archive: Path, spark_submit: Run, fresh_model: Path
) -> None:
    (fresh_model.parent / "file").touch()
    done = spark_submit("--master", "local[1]", archive, *TRAIN, "-outputPath", "file/trained")
    assert done.returncode == 1
    assert "file is not a folder that may be written" in done.stdout + done.stderr
    assert "epoch 1" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def unevaluable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and rows whose last one, which is held out, it has no number for."""
    folder = tmp_path_factory.mktemp("unevaluable")
    layers = '[keras.Input((4,)), keras.layers.Rescaling(2.0), keras.layers.Dense(3, "softmax")]'
    model = re.sub(r"Sequential\(.*?\n\)", f"Sequential({layers})", FRESH_MODEL, flags=re.DOTALL)
    python(model, "fresh.h5", folder=folder)
    rows = (ROOT / "irisspark" / "samples" / "iris.txt").read_text()
    (folder / "data.csv").write_text(f"{rows.rstrip()}\n3e38,3e38,3e38,3e38,0\n")
    return folder


def test_trained_model_is_kept_where_its_evaluation_fails(
    one_driver: OneDriver, unevaluable: Path
) -> None:
    import keras

    words = "-train true -epochs 1 -modelPath fresh.h5 -shuffle false -validationSplit 0.02"
    words += " -outputPath out"
    for name in ("out-not-evaluated", "out-not-evaluated-2"):
        code, output = one_driver.run(words.split(), unevaluable)
        assert code == 1, output
        assert "the model's prediction is not a number for 1 row" in output
        assert f"the trained model is kept in file://{unevaluable / name}," in output
        assert not (unevaluable / "out").exists()
        kept = keras.models.load_model(unevaluable / name / "model.keras")
        fresh = keras.models.load_model(unevaluable / "fresh.h5")
        assert (kept.get_weights()[0] != fresh.get_weights()[0]).any()
        assert (unevaluable / name / "history.csv").read_text().startswith("epoch,loss")
