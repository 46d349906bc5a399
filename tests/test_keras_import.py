"""Every fixture was saved and predicted by a real old Keras; the import must predict the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from irisspark.errors import ModelError
from irisspark.keras_import import ImportedModel, read
from irisspark.keras_import.building.vocabulary import ARGUMENTS

FILES = Path(__file__).parent / "models" / "files"
FIXTURES = sorted([*FILES.glob("*/*.h5"), *FILES.glob("*/*.keras")])
# What no Keras 3 can do; each is refused by name.
REFUSED = {
    ("theano", "average_pooling_same"): "Theano's 'same' padding",
    ("tf.keras-2.4", "hashed"): r"a Hashing of tf\.keras 2\.4",
}


def _recorded(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    with np.load(path.parent.with_name(path.parent.name + ".npz")) as arrays:
        names = sorted(name for name in arrays.files if name.startswith(path.stem + "/"))
        inputs = [arrays[name] for name in names if "/x" in name]
        return inputs, [arrays[name] for name in names if "/y" in name]


def _predict(model, inputs):
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(o) for o in (outputs if isinstance(outputs, list | tuple) else [outputs])]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_predicts_as_its_own_keras_did(path):
    from irisspark.model.from_file import build

    inputs, expected = _recorded(path)
    for (folder, name), reason in REFUSED.items():
        if folder in path.parent.name and name == path.stem:
            with pytest.raises(ModelError, match=reason):
                read(str(path))
            return
    found = _predict(build(read(str(path))), inputs)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_an_ordering_that_no_layer_stores_is_told():
    def notes_of(name: str) -> list[str]:
        return [note for note in read(str(FILES / name)).notes if "laid out" in note]

    (note,) = notes_of("keras-1.2.2-more/upsampling_alone.h5")
    assert "(UpSampling2D) are laid out: taken as with channels last" in note
    assert not notes_of("keras-1.2.2-tensorflow-th/unet.h5")
    assert not notes_of("keras-1.2.2-tensorflow-tf/mlp.h5")


def test_there_are_fixtures_of_every_era():
    folders = {path.parent.name for path in FIXTURES}
    for era in (
        "keras-1.0",
        "keras-1.2",
        "keras-2.0",
        "keras-2.2",
        "tf.keras-1.15",
        "tf.keras-2.13",
    ):
        assert any(folder.startswith(era) for folder in folders), era


def test_every_layer_of_the_table_is_keras_3s_own():
    import keras

    for name in ARGUMENTS:
        assert issubclass(getattr(keras.layers, name), keras.layers.Layer), name


def test_keras_1_file_says_what_was_converted():
    imported = read(str(FILES / "keras-1.2.2-tensorflow-tf" / "mlp.h5"))
    assert isinstance(imported, ImportedModel)
    assert imported.keras_version == "1.2.2"
    assert imported.era == "Keras 1"
    assert imported.backend == "tensorflow"
    assert "Keras 1 Dense -> Dense (3 times)" in imported.conversions
    assert imported.training_config["optimizer"]["class_name"] == "Adam"
    assert imported.training_config["loss"] == "categorical_crossentropy"
    assert dataclasses.is_dataclass(imported)


def test_optimizer_keeps_its_settings_and_its_moments():
    from irisspark.model.from_file import open_model

    path = FILES / "keras-2.2.4" / "mlp.h5"
    model = open_model(str(path), training_seed=7).model
    with h5py.File(path) as file:
        group = file["optimizer_weights"]
        stored = [group[name][()] for name in group.attrs["weight_names"]]
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    assert int(model.optimizer.iterations) == int(stored[0]) == 1
    first = next(v for v in model.optimizer.variables if "momentum" in v.path)
    np.testing.assert_allclose(np.asarray(first), stored[1])


def test_a_converted_file_keeps_the_optimizers_moments(tmp_path):
    import keras

    from irisspark.keras_import.__main__ import main

    path = FILES / "keras-2.2.4" / "mlp.h5"
    assert main([str(path), "-o", str(tmp_path / "out.keras")]) == 0
    optimizer = keras.models.load_model(tmp_path / "out.keras").optimizer
    assert int(optimizer.iterations) == 1
    assert any(np.asarray(v).any() for v in optimizer.variables if "momentum" in v.path)


def _edited(tmp_path, edit, source="keras-2.2.4/mlp.h5"):
    """A copy of a fixture with another configuration."""
    path = tmp_path / "edited.h5"
    path.write_bytes((FILES / source).read_bytes())
    with h5py.File(path, "r+") as file:
        for key in ("model_config", "training_config"):
            raw = file.attrs[key]
            value = json.loads(raw.decode() if isinstance(raw, bytes) else raw)
            edit(key, value)
            file.attrs[key] = json.dumps(value).encode()
    return str(path)


def _layers(config):
    inner = config["config"]
    return inner if isinstance(inner, list) else inner["layers"]


def test_unknown_layer_is_named_with_its_place(tmp_path):
    def edit(key, value):
        if key == "model_config":
            _layers(value)[0]["class_name"] = "MyDense"

    with pytest.raises(ModelError, match="MyDense"):
        read(_edited(tmp_path, edit))


def test_unknown_activation_is_named_with_its_layer(tmp_path):
    def edit(key, value):
        if key == "model_config":
            _layers(value)[0]["config"]["activation"] = "my_activation"

    with pytest.raises(ModelError, match=r"'dense_\d+'.*'my_activation'"):
        read(_edited(tmp_path, edit))


def test_unknown_loss_is_left_out_with_a_note(tmp_path):
    from irisspark.model.from_file import open_model

    def edit(key, value):
        if key == "training_config":
            value["loss"] = "my_loss"

    opened = open_model(_edited(tmp_path, edit))
    assert not opened.model.compiled
    assert any("my_loss" in note for note in opened.notes)


def test_unknown_metric_is_left_out_and_the_model_compiled(tmp_path):
    from irisspark.model.from_file import open_model

    def edit(key, value):
        if key == "training_config":
            value["metrics"] = ["my_metric", "accuracy"]

    opened = open_model(_edited(tmp_path, edit))
    assert opened.model.compiled
    assert any("my_metric" in note for note in opened.notes)


def test_decay_becomes_a_schedule(tmp_path):
    def edit(key, value):
        if key == "training_config":
            value["optimizer_config"]["config"]["decay"] = 0.01

    imported = read(_edited(tmp_path, edit))
    rate = imported.training_config["optimizer"]["config"]["learning_rate"]
    assert rate["class_name"] == "InverseTimeDecay"
    assert rate["config"]["decay_rate"] == 0.01


def test_damaged_layer_list_is_refused(tmp_path):
    def edit(key, value):
        if key == "model_config":
            del _layers(value)[2]

    with pytest.raises(ModelError, match="arrays"):
        read(_edited(tmp_path, edit))


def test_converted_file_opens_in_plain_keras(tmp_path):
    import keras

    from irisspark.keras_import.__main__ import main

    source = FILES / "keras-1.2.2-tensorflow-tf" / "lstm.h5"
    target = tmp_path / "out.keras"
    assert main([str(source), "-o", str(target)]) == 0
    inputs, expected = _recorded(source)
    found = _predict(keras.models.load_model(target), inputs)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)


def test_door_prints_version_layers_and_conversions(capfd):
    from irisspark.keras_import.__main__ import main

    assert main([str(FILES / "keras-1.2.2-tensorflow-tf" / "mlp.h5")]) == 0
    out, err = capfd.readouterr()
    assert "Keras 1 (saved by 1.2.2, tensorflow backend)" in out
    assert "input (None, 4) -> output (None, 3)" in out
    assert "converted: hard_sigmoid" in out
    assert err == ""
