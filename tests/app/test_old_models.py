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
