"""A model as the bytes of Keras's own file: whole, small, and cheap to make."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from irisspark.model import keras_file, loading
from irisspark.startup.imports import import_tensorflow

import_tensorflow()

pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")

ROOT = Path(__file__).parents[1]


def trained_model():
    """A model whose optimizer, and that of a model in it, have made steps."""
    import keras

    rows, labels = np.random.default_rng(1).normal(size=(40, 300)), np.arange(40) % 3
    inner = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300, "relu")])
    inner.compile("adam", "mse")
    inner.fit(rows, rows, verbose=0)
    model = keras.Sequential([keras.Input((300,)), inner, keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(rows, labels, verbose=0)
    return model, rows.astype("float32"), labels


def test_the_optimizers_variables_stay_behind_those_of_inner_models_too():
    model, rows, _ = trained_model()
    file = keras_file.to_bytes(model)
    num_bytes = sum(weight.numpy().nbytes for weight in model.weights)
    assert len(file) < 1.05 * num_bytes + 20_000
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        names: list[str] = []
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))).visit(names.append)
    assert not [name for name in names if "optimizer" in name]
    opened = keras_file.from_bytes(file, trusted=False)
    assert not opened.compiled
    np.testing.assert_array_equal(opened.predict(rows, verbose=0), model.predict(rows, verbose=0))


def test_the_model_is_left_as_it_is():
    model, rows, labels = trained_model()
    optimizers = [model.optimizer, model.layers[0].optimizer]
    before = [np.array(variable.numpy()) for variable in model.optimizer.variables]
    first, second = keras_file.to_bytes(model), keras_file.to_bytes(model)
    assert first == second
    assert [model.optimizer, model.layers[0].optimizer] == optimizers
    assert model.compiled and model.layers[0].compiled
    for variable, value in zip(model.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    model.fit(rows, labels, verbose=0)


def test_a_folder_of_temporary_files_without_room_is_one_line(monkeypatch):
    import keras

    def no_room(*_, **__):
        raise OSError(28, "No space left on device")

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    monkeypatch.setattr(type(model), "save", no_room)
    with pytest.raises(loading.ModelError, match=r"No space left on device; set TMPDIR"):
        loading.file_of(model)


FULL = """
import resource, sys
from irisspark.startup.imports import import_tensorflow
import_tensorflow()
import keras
from irisspark.model import loading

model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(1000)])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for suffix in (None, ".keras", ".h5"):
    try:
        loading.save(model, suffix) if suffix else loading.file_of(model)
    except loading.ModelError as error:
        print(repr(str(error)))
"""


def test_what_hdf5_says_of_a_disk_without_room_is_one_line():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL], capture_output=True, text=True, cwd=ROOT
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout + done.stderr
    for line in lines:
        assert "File too large; set TMPDIR to a folder with more room" in line
        assert "\\n" not in line


MEASURE = """
import resource, sys
from pathlib import Path
from irisspark.startup.imports import import_tensorflow
import_tensorflow()
import keras
from irisspark.model import loading

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

loading.load(sys.argv[1])
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
model = loading.load(sys.argv[2])
weights = sum(weight.numpy().nbytes for weight in model.network.weights)
print((resident("VmHWM") - before) / weights, len(model.spec.file) / weights)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_large_model_with_an_optimizer_takes_at_most_2_5_of_its_weights(tmp_path, suffix):
    import keras

    small = keras.Sequential([keras.Input((10,)), keras.layers.Dense(3, "softmax")])
    small.save(tmp_path / "small.keras")
    layers = [keras.layers.Dense(1000, "relu") for _ in range(40)]
    large = keras.Sequential([keras.Input((1000,)), *layers, keras.layers.Dense(3, "softmax")])
    large.compile("adam", "sparse_categorical_crossentropy")
    large.optimizer.build(large.trainable_variables)
    path = tmp_path / f"large.{suffix}"
    large.save(path)
    assert path.stat().st_size > 450 << 20
    words = [sys.executable, "-c", MEASURE, tmp_path / "small.keras", path]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    peak, file = map(float, done.stdout.split())
    assert peak < 2.5
    assert file < 1.05
