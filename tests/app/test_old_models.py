"""Models that real old Kerases saved, evaluated on iris by the archive under spark-submit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from running import ROOT, Run
from sklearn.metrics import confusion_matrix

FILES = ROOT / "tests" / "models" / "files"


@pytest.mark.parametrize(
    ("folder", "version"), [("keras-1.2.2-tensorflow-tf", "1.2.2"), ("keras-2.0.8", "2.0.8")]
)
def test_old_model_runs_on_spark(
    archive: Path, spark_submit: Run, job_folder: Path, folder: str, version: str
) -> None:
    from irisspark.model.from_file import open_model

    shutil.copy(FILES / folder / "mlp.h5", job_folder / "old.h5")
    job = ["-modelPath", "old.h5", "-dataPath", "iris.txt", "-labelIndex", "4"]
    done = spark_submit("--master", "local[2]", archive, *job, "-outputPath", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((job_folder / "out" / "metrics.json").read_text())
    rows = np.loadtxt(job_folder / "iris.txt", delimiter=",")
    model = open_model(str(job_folder / "old.h5")).model
    predicted = model.predict(rows[:, :4].astype("float32"), verbose=0).argmax(axis=1)
    expected = confusion_matrix(rows[:, 4], predicted, labels=[0, 1, 2])
    assert found["confusion_matrix"] == expected.tolist()
    assert found["run"]["model"]["keras_version"] == version


def test_a_pair_is_shipped_and_a_dictionary_lies_behind_a_comma(
    archive: Path, spark_submit: Run, job_folder: Path
) -> None:
    """Both with a loss of one's own, which is left out."""
    import keras

    def focal(y_true: object, y_pred: object) -> object:
        return keras.ops.mean(y_pred, axis=-1)

    x = keras.Input((4,))
    model = keras.Model(x, {"species": keras.layers.Dense(3, "softmax")(x)})
    model.compile("adam", {"species": focal})
    (job_folder / "m.json").write_text(model.to_json())
    model.save_weights(job_folder / "m.weights.h5")
    (job_folder / "a,b").mkdir()
    model.save(job_folder / "a,b" / "m.keras")
    rows = np.loadtxt(job_folder / "iris.txt", delimiter=",")
    predicted = np.asarray(model(rows[:, :4].astype("float32"))["species"]).argmax(axis=1)
    expected = confusion_matrix(rows[:, 4], predicted, labels=[0, 1, 2]).tolist()
    job = ["-dataPath", "iris.txt", "-labelIndex", "4", "-outputPath", "out", "-overwrite", "true"]
    for shipped, path in (("m.json,m.weights.h5", "m.json,m.weights.h5"), ("", "a,b/m.keras")):
        files = ["--files", f"iris.txt,{shipped}"] if shipped else []
        done = spark_submit("--master", "local[2]", *files, archive, "-modelPath", path, *job)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "(loss: focal) is left out" in done.stdout + done.stderr
        found = json.loads((job_folder / "out" / "metrics.json").read_text())
        assert found["confusion_matrix"] == expected
        assert found["brier_score"] is not None
        assert found["loss"] is None
