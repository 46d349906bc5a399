"""Model files with a few bytes changed: each opens or is one line, and nothing is unexpected."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from irisspark.errors import ModelError
from irisspark.model import loading
from irisspark.model.from_file import open_model
from irisspark.startup.imports import import_tensorflow

import_tensorflow()

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

FILES = Path(__file__).parent / "models" / "files"
OLD = ["keras-1.2.2-tensorflow-tf/mlp.h5", "keras-2.2.4/mlp.h5"]
KINDS = ["m.keras", "deflated.keras", "m.h5", "m.json", "m.weights.h5", *OLD]
ROUNDS = 25


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small trained model in each form, by name: its bytes."""
    import keras

    folder = tmp_path_factory.mktemp("whole")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(3, "softmax")]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.ones((3, 4)), np.eye(3), verbose=0)
    model.save(folder / "m.keras")
    with (
        zipfile.ZipFile(folder / "m.keras") as old,
        zipfile.ZipFile(folder / "deflated.keras", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    (folder / "m.json").write_text(model.to_json())
    model.save_weights(folder / "m.weights.h5")
    model.save(folder / "m.h5")
    paths = {name: FILES / name if name in OLD else folder / name for name in KINDS}
    return {name: path.read_bytes() for name, path in paths.items()}


def _damaged(content: bytes, draw: random.Random) -> bytes:
    """One bit, one byte, a run of zeros, two bytes exchanged, something left out, or the end."""
    data, place = bytearray(content), draw.randrange(len(content))
    kind = draw.choice(["bit", "bit", "byte", "zeros", "exchange", "gap", "end"])
    if kind == "bit":
        data[place] ^= 1 << draw.randrange(8)
    elif kind == "byte":
        data[place] = draw.randrange(256)
    elif kind == "zeros":
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    elif kind == "exchange":
        other = draw.randrange(len(data))
        data[place], data[other] = data[other], data[place]
    elif kind == "gap":
        del data[place : place + draw.randrange(1, 9)]
    else:
        del data[place:]
    return bytes(data)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_opens_or_is_one_line(tmp_path, whole, name):
    draw = random.Random(name)
    for file in ("m.json", "m.weights.h5"):
        (tmp_path / file).write_bytes(whole[file])
    path = tmp_path / Path(name).name
    pair = f"{tmp_path}/m.json,{tmp_path}/m.weights.h5"
    given = pair if name in ("m.json", "m.weights.h5") else str(path)
    refused = 0
    for number in range(ROUNDS):
        path.write_bytes(_damaged(whole[name], draw))
        try:
            open_model(given, training_seed=draw.choice([None, 7]))
        except ModelError as error:
            refused += 1
            assert "\n" not in str(error), number
    assert refused


def test_one_changed_byte_in_a_packed_file_is_told_as_damage(tmp_path, whole):
    content = whole["m.keras"]
    with zipfile.ZipFile(_written(tmp_path / "m.keras", content)) as archive:
        members = {info.filename: info.header_offset for info in archive.infolist()}
    for name, offset in members.items():
        data = bytearray(content)
        data[offset + 30 + len(name) + 40] ^= 1
        with pytest.raises(ModelError, match=r"damaged|not JSON"):
            open_model(str(_written(tmp_path / "m.keras", bytes(data))))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_weight_of_a_loss_that_cannot_be_read_is_one_line():
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile(loss="categorical_crossentropy", loss_weights=[[0.5, [1]]])
    with pytest.raises(ModelError, match=r"the weight of it, cannot be read: .*-loss names one"):
        loading.load_network(model, loss=None)
    assert loading.load_network(model, loss="categorical_crossentropy").spec.loss is not None


def test_a_name_that_no_file_holds_is_one_line():
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.layers[0].name = "dense\udccd"
    with pytest.raises(ModelError, match="Keras cannot save the model, so it cannot go") as caught:
        loading.file_of(model)
    assert "\n" not in str(caught.value)
