"""Files that are no models, or hostile ones: each is one message, and nothing in it runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from irisspark.errors import ModelError
from irisspark.model.from_file import open_model

FILES = Path(__file__).parent / "models" / "files"


def _dense_h5(path, *, units=3, weights=None, config=None, version=b"2.2.4", edit=None):
    """A file of one Dense layer, written by hand as Keras 2 writes it."""
    layer = {
        "name": "d",
        "trainable": True,
        "batch_input_shape": [None, 4],
        "units": units,
        "activation": "linear",
        "use_bias": False,
    }
    model = config or {
        "class_name": "Sequential",
        "config": [{"class_name": "Dense", "config": layer}],
    }
    with h5py.File(path, "w") as file:
        text = model if isinstance(model, str) else json.dumps(model)
        file.attrs["model_config"] = text.encode()
        file.attrs["keras_version"] = version
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"d"]
        group.attrs["backend"] = b"tensorflow"
        inner = group.create_group("d")
        inner.attrs["weight_names"] = [b"d/kernel:0"]
        if edit:
            edit(file, inner)
        else:
            inner["d/kernel:0"] = np.ones((4, 3), "float32") if weights is None else weights
    return str(path)


def _refused(path, match):
    with pytest.raises(ModelError, match=match) as caught:
        open_model(str(path))
    assert "Traceback" not in str(caught.value)


def test_the_handwritten_file_opens(tmp_path):
    model = open_model(_dense_h5(tmp_path / "m.h5")).model
    np.testing.assert_allclose(model(np.ones((2, 4))), np.full((2, 3), 4.0))
    assert not model.compiled


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"5.1,3.5,1.4,0.2,0\n" * 9, "text"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b'{"class_name": "Sequential"}', "JSON"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "damaged"),
        (b"PK\x03\x04rest", "truncated"),
        (bytes(range(256)), "another kind"),
    ],
)
def test_what_is_no_model_is_named(tmp_path, content, match):
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    _refused(path, match)


def test_missing_file_is_named(tmp_path):
    _refused(tmp_path / "none.h5", "there is no model file")


def test_folder_of_a_saved_model_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    _refused(tmp_path, "SavedModel")


def test_truncated_h5_is_damaged(tmp_path):
    whole = (FILES / "keras-2.2.4" / "lenet.h5").read_bytes()
    for size in (len(whole) // 3, len(whole) - 500):
        path = tmp_path / f"{size}.h5"
        path.write_bytes(whole[:size])
        _refused(path, "damaged")


def test_zip_without_a_model_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    _refused(tmp_path / "a.npz", "NumPy")
    with zipfile.ZipFile(tmp_path / "b.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    _refused(tmp_path / "b.keras", "no config.json")


def test_h5_of_something_else_is_no_model(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.ones(3)
    _refused(tmp_path / "a.h5", "no Keras model")


def test_weights_alone_say_how_to_save_a_model(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"d"]
        file.create_group("d").attrs["weight_names"] = [b"d/kernel:0"]
    _refused(tmp_path / "w.h5", r"model\.save\(")


def test_json_and_weights_open_as_a_pair(tmp_path):
    layer = {"name": "d", "batch_input_shape": [None, 4], "units": 3, "use_bias": False}
    text = {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": layer}]}
    (tmp_path / "m.json").write_text(json.dumps({**text, "keras_version": "2.2.4"}))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"d"]
        group = file.create_group("d")
        group.attrs["weight_names"] = [b"d/kernel:0"]
        group["d/kernel:0"] = np.ones((4, 3), "float32")
    opened = open_model(f"{tmp_path / 'm.json'},{tmp_path / 'w.h5'}")
    np.testing.assert_allclose(opened.model(np.ones((1, 4))), [[4.0, 4.0, 4.0]])
    assert opened.keras_version == "2.2.4"


def test_absurd_layer_is_refused_before_memory_is_spent(tmp_path):
    _refused(_dense_h5(tmp_path / "m.h5", units=10**12), "arrays of the shapes")


def test_absurd_input_is_refused_before_memory_is_spent(tmp_path):
    layers = [
        {
            "class_name": "Dense",
            "config": {
                "name": "d",
                "batch_input_shape": [None, 10**12],
                "units": 3,
                "use_bias": False,
            },
        }
    ]
    config = {"class_name": "Sequential", "config": layers}
    _refused(_dense_h5(tmp_path / "m.h5", config=config), "arrays of the shapes")


def test_absurd_output_is_refused(tmp_path):
    layers = [
        {
            "class_name": "Dense",
            "config": {"name": "d", "batch_input_shape": [None, 4], "units": 3, "use_bias": False},
        },
        {"class_name": "RepeatVector", "config": {"name": "r", "n": 10**12}},
    ]
    config = {"class_name": "Sequential", "config": layers}
    _refused(_dense_h5(tmp_path / "m.h5", config=config), "no computer")


def test_deep_nesting_is_refused(tmp_path):
    text = '{"class_name":"Sequential","config":' * 3000 + "[]" + "}" * 3000
    _refused(_dense_h5(tmp_path / "m.h5", config=text), "deep")


def test_external_link_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones((4, 3), "float32")

    def edit(file, inner):
        inner.create_group("d")["kernel:0"] = h5py.ExternalLink("other.h5", "/secret")

    _refused(_dense_h5(tmp_path / "m.h5", edit=edit), "link")


def test_soft_link_is_refused(tmp_path):
    def edit(file, inner):
        file["elsewhere"] = np.ones((4, 3), "float32")
        inner.create_group("d")["kernel:0"] = h5py.SoftLink("/elsewhere")

    _refused(_dense_h5(tmp_path / "m.h5", edit=edit), "link")


def test_virtual_dataset_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones((4, 3), "float32")

    def edit(file, inner):
        layout = h5py.VirtualLayout((4, 3), "float32")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (4, 3))
        inner.create_virtual_dataset("d/kernel:0", layout)

    _refused(_dense_h5(tmp_path / "m.h5", edit=edit), "another file")


def test_external_storage_is_refused(tmp_path):
    (tmp_path / "raw").write_bytes(b"\0" * 48)

    def edit(file, inner):
        place = [(str(tmp_path / "raw"), 0, 48)]
        inner.create_dataset("d/kernel:0", (4, 3), "float32", external=place)

    _refused(_dense_h5(tmp_path / "m.h5", edit=edit), "another file")


def test_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path):
    def edit(file, inner):
        zeros = inner.create_dataset(
            "d/kernel:0", (2**34, 3), "float32", chunks=(2**20, 3), compression="gzip"
        )
        zeros[: 2**20] = 0

    _refused(_dense_h5(tmp_path / "m.h5", edit=edit), "claims")


def test_array_of_objects_is_refused(tmp_path):
    def edit(file, inner):
        inner.create_dataset("d/kernel:0", data=["a"] * 12, dtype=h5py.string_dtype())

    _refused(_dense_h5(tmp_path / "m.h5", edit=edit), "numbers")


def test_lambda_is_refused_and_its_code_does_not_run(tmp_path):
    layers = [
        {
            "class_name": "Dense",
            "config": {"name": "d", "batch_input_shape": [None, 4], "units": 3, "use_bias": False},
        },
        {
            "class_name": "Lambda",
            "config": {
                "name": "l",
                "function": ["4wEAAAA=", None, None],
                "function_type": "lambda",
            },
        },
    ]
    config = {"class_name": "Sequential", "config": layers}
    _refused(_dense_h5(tmp_path / "m.h5", config=config), "'l'.*Lambda")


def test_module_of_a_stranger_is_never_imported(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    layers = [
        {
            "module": "evil",
            "registered_name": "evil>Dense",
            "class_name": "System",
            "config": {"name": "d", "batch_input_shape": [None, 4]},
        }
    ]
    config = {"class_name": "Sequential", "config": layers}
    _refused(_dense_h5(tmp_path / "m.h5", config=config), "System")
    assert not marker.exists()


def _keras_3(tmp_path, name="m.keras", edit=None, extra=()):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    source = tmp_path / f"source{Path(name).suffix}"
    model.save(source)
    if not name.endswith(".keras"):
        os.replace(source, tmp_path / name)
        return model, tmp_path / name
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / name, "w") as new:
        for member in old.namelist():
            data = old.read(member)
            if member == "config.json" and edit:
                config = json.loads(data)
                edit(config)
                data = json.dumps(config).encode()
            new.writestr(member, data)
        for member, data in extra:
            new.writestr(member, data, compress_type=zipfile.ZIP_DEFLATED)
    return model, tmp_path / name


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_keras_3_file_opens_by_its_content_not_its_name(tmp_path, name):
    model, path = _keras_3(tmp_path, name)
    renamed = tmp_path / "model.bin"
    os.replace(path, renamed)
    opened = open_model(str(renamed))
    rows = np.random.default_rng(0).random((3, 4))
    np.testing.assert_allclose(opened.model(rows), model(rows))
    assert opened.keras_version.startswith("3.")


def test_keras_3_layer_of_a_stranger_is_refused(tmp_path):
    def edit(config):
        config["config"]["layers"][1].update(module="os", class_name="system")

    _refused(_keras_3(tmp_path, edit=edit)[1], "'system' of os")


def test_keras_3_function_outside_keras_is_refused(tmp_path):
    def edit(config):
        config["config"]["layers"][1]["config"]["activation"] = {
            "module": "keras.utils",
            "class_name": "function",
            "config": "get_file",
            "registered_name": "get_file",
        }

    _refused(_keras_3(tmp_path, edit=edit)[1], "function")


def test_keras_3_lambda_is_refused_without_trust(tmp_path):
    def edit(config):
        config["config"]["layers"][1]["class_name"] = "Lambda"

    _refused(_keras_3(tmp_path, edit=edit)[1], "-trustModel true")


def test_keras_3_absurd_layer_is_refused(tmp_path):
    def edit(config):
        config["config"]["layers"][1]["config"]["units"] = 10**12

    _refused(_keras_3(tmp_path, edit=edit)[1], "numbers")


def test_zip_bomb_is_refused(tmp_path):
    path = _keras_3(tmp_path, extra=[("assets/x", b"\0" * 2**27)])[1]
    _refused(path, "unpacks to")


def test_zip_without_weights_is_refused(tmp_path):
    path = _keras_3(tmp_path)[1]
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "n.keras", "w") as new:
        for member in ("config.json", "metadata.json"):
            new.writestr(member, old.read(member))
    _refused(tmp_path / "n.keras", "without its weights")


def _keras_3_with_weights(tmp_path, edit):
    path = _keras_3(tmp_path)[1]
    inner = tmp_path / "inner.h5"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "n.keras", "w") as new:
        inner.write_bytes(old.read("model.weights.h5"))
        with h5py.File(inner, "r+") as file:
            edit(file["layers/dense/vars"])
        for member in ("config.json", "metadata.json"):
            new.writestr(member, old.read(member))
        new.write(inner, "model.weights.h5")
    return tmp_path / "n.keras"


def test_link_inside_a_zip_is_refused(tmp_path):
    def edit(arrays):
        del arrays["0"]
        arrays["0"] = h5py.ExternalLink("/etc/other.h5", "/secret")

    _refused(_keras_3_with_weights(tmp_path, edit), "link")


def test_bomb_inside_a_zip_is_refused(tmp_path):
    def edit(arrays):
        del arrays["0"]
        arrays.create_dataset("0", (2**34, 3), "float32", chunks=(2**10, 3), compression="gzip")

    _refused(_keras_3_with_weights(tmp_path, edit), "claims")


def test_zip_that_leaves_its_folder_is_refused(tmp_path):
    _refused(_keras_3(tmp_path, extra=[("../x", b"a")])[1], "outside itself")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("loss", ["mse", "MSE", "bce", "kld", "mean_absolute_error"])
def test_losses_are_read_by_every_name_that_keras_writes(tmp_path, suffix, loss):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", loss, metrics=["mae"])
    model.save(tmp_path / f"m.{suffix}")
    for seed in (None, 7):
        opened = open_model(str(tmp_path / f"m.{suffix}"), training_seed=seed)
        assert opened.notes == ()
        assert keras.losses.get(opened.model.loss) is keras.losses.get(loss)


def _of_ones_own():
    """A function, a lambda, classes (registered and not), an optimizer and a schedule."""
    import keras

    def focal(y_true, y_pred):
        return keras.ops.mean(y_pred, axis=-1)

    class Focal(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return focal(y_true, y_pred)

    @keras.saving.register_keras_serializable("mine")
    class Registered(Focal):
        pass

    class Counted(keras.metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(keras.ops.mean(y_pred))

    class Halving(keras.optimizers.SGD):
        pass

    class Slowing(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1

        def get_config(self):
            return {}

    return focal, Focal, Registered, Counted, Halving, Slowing


def _losses():
    focal, own, registered, *_ = _of_ones_own()
    return {
        "focal": focal,
        "a lambda": lambda y_true, y_pred: focal(y_true, y_pred),
        "Focal": own(),
        "Registered": registered(),
        "focal in a list": [focal],
        "focal by output": {"scores": focal},
        "Registered by output": {"scores": registered()},
    }


def _stack():
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax", name="scores")])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("name", list(_losses()))
def test_a_loss_of_ones_own_is_left_out_with_its_name(tmp_path, suffix, seed, name):
    model = _stack()
    model.compile("adam", _losses()[name], metrics=["accuracy"])
    model.save(tmp_path / f"m.{suffix}")
    opened = open_model(str(tmp_path / f"m.{suffix}"), training_seed=seed)
    assert not opened.model.compiled
    named = name.split(" in ")[0].split(" by ")[0]
    assert f"(loss: {named}) is left out" in opened.notes[0]


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize(
    "nesting",
    [
        lambda metric: [metric, "accuracy"],
        lambda metric: [[metric, "accuracy"]],
        lambda metric: {"scores": [metric, "accuracy"]},
    ],
    ids=["list", "list in a list", "by output"],
)
def test_a_metric_of_ones_own_does_not_cost_the_loss(tmp_path, suffix, seed, nesting):
    focal, _, _, counted, *_ = _of_ones_own()
    for metric, name in ((focal, "focal"), (counted(), "Counted")):
        model = _stack()
        model.compile("adam", "categorical_crossentropy", metrics=nesting(metric))
        model.save(tmp_path / f"m.{suffix}")
        opened = open_model(str(tmp_path / f"m.{suffix}"), training_seed=seed)
        assert opened.model.compiled
        assert len(opened.notes) == 1
        assert f"the metric {name} is left out" in opened.notes[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("seed", [None, 7])
def test_an_optimizer_or_schedule_of_ones_own_does_not_cost_the_loss(tmp_path, suffix, seed):
    import keras

    *_, halving, slowing = _of_ones_own()
    wrapped = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(slowing()))
    for optimizer, note, kept in (
        (halving(0.3), "the optimizer Halving is left out", "RMSprop"),
        (keras.optimizers.SGD(slowing()), "schedule Slowing is left out", "SGD"),
        (wrapped, "schedule Slowing is left out", "LossScaleOptimizer"),
    ):
        model = _stack()
        model.compile(optimizer, "categorical_crossentropy", loss_weights=[0.5])
        model.save(tmp_path / f"m.{suffix}")
        opened = open_model(str(tmp_path / f"m.{suffix}"), training_seed=seed)
        assert note in opened.notes[0]
        assert opened.model.get_compile_config()["loss_weights"] == [0.5]
        if seed:
            assert type(opened.model.optimizer).__name__ == kept


def test_a_model_compiled_inside_another_does_not_matter(tmp_path):
    import keras

    inner = _stack()
    inner.compile("adam", _of_ones_own()[0], metrics=[_of_ones_own()[3]()])
    for suffix in ("keras", "h5"):
        x = keras.Input((4,))
        outer = keras.Model(x, keras.layers.Dense(2, "softmax")(inner(x)))
        outer.compile("adam", "categorical_crossentropy")
        outer.save(tmp_path / f"m.{suffix}")
        opened = open_model(str(tmp_path / f"m.{suffix}"), training_seed=7)
        assert opened.notes == ()
        rows = np.random.default_rng(0).random((3, 4))
        np.testing.assert_allclose(opened.model(rows), outer(rows), rtol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "wrapper"),
    [("keras", False), ("keras", True), ("h5", False)],  # Keras itself loses an .h5's inner one
)
def test_an_optimizers_memory_is_restored(tmp_path, suffix, wrapper):
    import keras

    model = _stack()
    optimizer = keras.optimizers.AdamW(0.01, use_ema=True)
    if wrapper:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "categorical_crossentropy", metrics=[_of_ones_own()[0]])
    rows = np.random.default_rng(0).random((8, 4))
    model.fit(rows, np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]], epochs=3, verbose=0)
    model.save(tmp_path / f"m.{suffix}")
    found = open_model(str(tmp_path / f"m.{suffix}"), training_seed=7).model.optimizer.variables
    assert len(found) == len(optimizer.variables) > 6
    for one, other in zip(found, optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), other.path)


def test_a_loaded_optimizer_is_missing_where_it_would_be_another(tmp_path):
    """A model that was opened to predict cannot be trained by mistake with a default optimizer."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.SGD(0.3), "categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    assert open_model(str(tmp_path / "m.keras")).model.optimizer is None
    trained = open_model(str(tmp_path / "m.keras"), training_seed=7).model
    assert float(trained.optimizer.learning_rate) == pytest.approx(0.3)


def _one_output(structure):
    import keras

    x = keras.Input((4,), name="features")
    y = keras.layers.Dense(3, "softmax", name="scores")(x)
    if structure == "dictionary in and out":
        return keras.Model({"features": x}, {"out": y})
    if structure == "dictionary at the end of a stack":
        return keras.Sequential([keras.Input((4,)), keras.Model(x, {"out": y})])
    if structure == "list":
        return keras.Model(x, [y])
    if structure == "nested":
        return keras.Model(x, {"a": {"b": [y]}})
    return keras.Model(x, {"out": y})


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize(
    ("structure", "compiled"),
    [
        ("dictionary", {}),
        ("dictionary", {"loss": {"out": "mse"}, "metrics": {"out": ["mae", "accuracy"]}}),
        ("dictionary", {"loss": {"out": "mse"}, "loss_weights": {"out": 0.5}}),
        ("dictionary", {"loss": "mse", "metrics": ["mae"]}),
        ("dictionary in and out", {"loss": {"out": "mse"}}),
        ("dictionary at the end of a stack", {"loss": "mse"}),
        ("list", {"loss": ["mse"], "metrics": [["mae"]]}),
        ("nested", {}),
    ],
)
def test_an_output_in_a_dictionary_or_list_is_taken_out(tmp_path, structure, compiled, seed):
    from irisspark.model import loading

    model = _one_output(structure)
    if compiled:
        model.compile("sgd", **compiled)
    model.save(tmp_path / "m.keras")
    loaded = loading.load(str(tmp_path / "m.keras"), training_seed=seed)
    rows = np.random.default_rng(0).random((3, 4)).astype("float32")
    kernel, bias = model.get_weights()
    expected = np.exp(rows @ kernel + bias)
    expected /= expected.sum(axis=1, keepdims=True)
    for opened in (loaded.network, loaded.spec.build()):
        np.testing.assert_allclose(opened(rows), expected, rtol=1e-5)
    assert loaded.spec.output.kind == "softmax"
    if compiled:
        found = (loaded.spec.loss, loaded.spec.loss_weight)
        assert found == ("mean_squared_error", compiled.get("loss_weights", {"out": 1.0})["out"])
    if seed and compiled:
        loaded.network.fit(rows, expected, verbose=0)
        assert type(loaded.network.optimizer).__name__ == "SGD"
    assert "read, and saved, without it" in loaded.notes[-1]


ROWS = np.random.default_rng(5).random((6, 4)).astype("float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one trained model in every form that Keras 3 writes, and what it predicts."""
    import keras

    folder = tmp_path_factory.mktemp("forms")
    scaled = keras.layers.Normalization()
    scaled.adapt(ROWS)
    parts = [scaled, keras.layers.Dense(6), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((4,)), *parts, keras.layers.Dense(3, "softmax")])
    model.compile("adam", "categorical_crossentropy")
    model.fit(ROWS, np.eye(3)[[0, 1, 2, 0, 1, 2]], verbose=0)
    (folder / "m.json").write_text(model.to_json())
    model.save_weights(folder / "m.weights.h5")
    (folder / "cut").mkdir()
    (folder / "cut" / "m.json").write_text(model.to_json())
    model.save_weights(folder / "cut" / "m.weights.json", max_shard_size=2e-7)
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    return folder, np.asarray(model(ROWS))


def _opens(path, expected, *, iterations=1):
    opened = open_model(str(path), training_seed=7)
    np.testing.assert_allclose(opened.model(ROWS), expected, rtol=1e-6)
    assert opened.notes == ()
    assert int(opened.model.optimizer.iterations) == iterations
    assert open_model(str(path)).model.loss == "categorical_crossentropy"


@pytest.mark.parametrize(
    "pair",
    [
        "{0}/m.json,{0}/m.weights.h5",
        "{0}/m.weights.h5,{0}/m.json",
        "{0}/m.json, {0}/m.weights.h5",
        "{0}/cut/m.json,{0}/cut/m.weights.json",
        "{0}/cut/m.weights.json,{0}/cut/m.json",
    ],
)
def test_text_and_weights_of_keras_3_open_as_a_pair(trained, pair):
    folder, expected = trained
    assert len(list((folder / "cut").glob("*.h5"))) > 1
    _opens(pair.format(folder), expected)


def test_text_and_a_whole_h5_open_as_a_pair_without_the_optimizers_memory(trained):
    folder, expected = trained
    opened = open_model(f"{folder}/m.json,{folder}/m.h5", training_seed=7)
    np.testing.assert_allclose(opened.model(ROWS), expected, rtol=1e-6)
    assert "starts it anew" in opened.notes[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("m.weights.h5", "m.json,{0}/m.weights.h5"),
        ("m.json", "m.json,{0}/m.weights.h5"),
        ("cut/m.json", "cut/m.json,{0}/cut/m.weights.json"),
        ("cut/m.weights.json", "cut/m.json,{0}/cut/m.weights.json"),
    ],
)
def test_half_a_pair_names_the_other_half(trained, given, said):
    folder, _ = trained
    _refused(folder / given, re.escape(f"-modelPath {folder}/{said.format(folder)}"))


def test_two_files_that_are_no_pair_are_told_so(trained):
    folder, _ = trained
    _refused(f"{folder}/m.h5,{folder}/m.keras", "are no pair")
    _refused(f"{folder}/m.json,{folder}/m.keras", r"not an \.h5")


def test_shards_are_looked_for_beside_their_list(trained, tmp_path):
    folder, _ = trained
    for name in ("m.json", "m.weights.json"):
        shutil.copy(folder / "cut" / name, tmp_path / name)
    _refused(f"{tmp_path}/m.json,{tmp_path}/m.weights.json", "is not beside it: ship them all")
    index = json.loads((tmp_path / "m.weights.json").read_text())
    index["weight_map"] = {"/layers/dense/vars": ["../other.weights.h5"]}
    (tmp_path / "m.weights.json").write_text(json.dumps(index))
    _refused(f"{tmp_path}/m.json,{tmp_path}/m.weights.json", "is refused")


def _packed_again(source, target, *, top="", rubbish=False, leave_out=(), more=()):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        if top:
            new.writestr(top, b"")
        for name in set(old.namelist()) - set(leave_out):
            new.writestr(top + name, old.read(name))
            if rubbish:
                new.writestr(f"__MACOSX/{top}._{name}", b"\0\5\x16\7")
        for name in more:
            new.writestr(name, b"?")
    return target


@pytest.mark.parametrize(
    "packing",
    [
        {"rubbish": True, "more": [".DS_Store"]},
        {"rubbish": True, "top": "my model/", "more": ["my model/.DS_Store"]},
        {"top": "m/"},
        {"more": ["README.md", ".gitattributes"]},
        {"leave_out": ["metadata.json"]},
    ],
    ids=["by a Mac", "a folder by a Mac", "in a folder", "from a hub", "without metadata"],
)
def test_a_file_that_was_packed_again_opens(trained, tmp_path, packing):
    folder, expected = trained
    _opens(_packed_again(folder / "m.keras", tmp_path / "again.keras", **packing), expected)


def test_an_unpacked_file_opens_and_stays_as_it_is(trained, tmp_path):
    folder, expected = trained
    with zipfile.ZipFile(folder / "m.keras") as archive:
        archive.extractall(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("mine")
    before = {path: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    _opens(tmp_path / "m", expected)
    assert {path: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before
    _refused(tmp_path, re.escape(f"give a model in it, such as {tmp_path}/m"))


@pytest.mark.parametrize(
    "name", ["a,b", "a b", "a%20b", "a#b", "a?b", "a'b", 'a"b', "ä", "a\nb", "[a]", "a\\b", "$a"]
)
def test_a_path_of_any_characters_opens(trained, tmp_path, name):
    from irisspark.model import loading
    from irisspark.storage.finding import find_model

    folder, expected = trained
    place = tmp_path / name
    place.mkdir()
    for file in ("m.keras", "m.json", "m.weights.h5", "m.h5"):
        shutil.copy(folder / file, place / file)
    for path in (f"{place}/m.keras", f"{place}/m.h5", f"{place}/m.json,{place}/m.weights.h5"):
        loaded = loading.load(",".join(find_model(path, {}, str)))
        np.testing.assert_allclose(loaded.network(ROWS), expected, rtol=1e-6)


def _zip_of(*names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, b"?")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("m.tflite", b"\x1c\0\0\0TFL3" + b"\0" * 40, "TensorFlow Lite"),
        ("m.onnx", b"\x08\x07\x12\x07pytorch", "ONNX"),
        ("m.pt", _zip_of("m/data.pkl", "m/version"), "PyTorch"),
        ("m.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9", "pickle"),
        ("m.joblib", b"\x80\x04\x95\x0b", "joblib"),
        ("m.joblib", b"x\x9c\x01\xff", "joblib"),
        ("m.safetensors", b"\x40\0\0\0\0\0\0\0" + b'{"a": 1}', "safetensors"),
        ("m.index", b"\0\0\1\xffabc", "TensorFlow checkpoint"),
        ("m.data-00000-of-00001", b"\0\1\2\xff", "TensorFlow checkpoint"),
        ("checkpoint", b'model_checkpoint_path: "m"', "TensorFlow checkpoint"),
        ("saved_model.pb", b"\x08\x01\xff", "TensorFlow graph"),
        ("model.json", b'{"modelTopology": {}, "weightsManifest": []}', r"TensorFlow\.js"),
        ("m.yaml", b"backend: tensorflow\nclass_name: Sequential\nconfig:\n- x", r"model\.to_yaml"),
        ("m.zip", _zip_of("m/m.h5"), r"with m/m\.h5 in it: unpack it first"),
        ("m.zip", _zip_of("m/saved_model.pb"), "SavedModel"),
        ("m.keras.xz", b"\xfd7zXZ\0", "unpack it first"),
        ("m.tar", b"m.h5".ljust(257, b"\0") + b"ustar", "unpack it first"),
    ],
)
def test_a_model_of_something_else_is_one_line(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=match) as caught:
        open_model(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_models_are_named(tmp_path):
    (tmp_path / "checkpoint").write_text("?")
    _refused(tmp_path, "TensorFlow checkpoints")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    _refused(tmp_path / "m", "without its weights")


def _lookups(tmp_path, *, leave_out):
    """A file of two lookups, adapted, without the table of one of them."""
    import keras

    x = keras.Input((2,), dtype="int64")
    known = [keras.layers.IntegerLookup(output_mode="multi_hot", name=name) for name in "ab"]
    for layer in known:
        layer.adapt(np.arange(12).reshape(6, 2))
    keras.Model(x, keras.layers.Concatenate()([layer(x) for layer in known])).save(
        tmp_path / "whole.keras"
    )
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        tables = [name for name in archive.namelist() if name.startswith("assets/")]
    assert len(tables) == 2
    path = tmp_path / "m.keras"
    return _packed_again(tmp_path / "whole.keras", path, leave_out=tables[:leave_out])


def test_each_lookup_must_have_its_own_table(tmp_path):
    open_model(str(_lookups(tmp_path, leave_out=0)))
    _refused(
        _lookups(tmp_path, leave_out=1),
        r"the table of layer .* \(IntegerLookup\) is not in the file",
    )
    _refused(_lookups(tmp_path, leave_out=2), "the table of layer 'a'.* is not in the file")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_regularizer_or_initializer_of_ones_own_is_left_out(tmp_path, suffix):
    import keras

    class Zeros(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None, **settings):
            return keras.ops.zeros(shape)

    class Kept(keras.constraints.Constraint):
        def __call__(self, w):
            return w

    class Weighed(keras.regularizers.Regularizer):
        def __call__(self, w):
            return keras.ops.sum(w)

        def get_config(self):
            return {}

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, kernel_constraint=Kept())])
    settings = {"kernel_regularizer": Weighed(), "bias_initializer": Zeros(), "name": "last"}
    model = keras.Sequential([inner, keras.layers.Dense(3, "softmax", **settings)])
    model.save(tmp_path / f"m.{suffix}")
    opened = open_model(str(tmp_path / f"m.{suffix}"))
    np.testing.assert_allclose(opened.model(ROWS), model(ROWS), rtol=1e-6)
    for name in ("Weighed", "Zeros", "Kept"):
        assert any(f"{name} is left out" in note for note in opened.notes)


def test_a_layer_or_activation_of_ones_own_is_refused_by_its_name(tmp_path):
    import keras

    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    def bent(x):
        return keras.ops.tanh(x)

    for part, name in ((Own(), "Own"), (keras.layers.Dense(3, activation=bent), "bent")):
        for suffix in ("keras", "h5"):
            keras.Sequential([keras.Input((4,)), part]).save(tmp_path / f"m.{suffix}")
            _refused(tmp_path / f"m.{suffix}", f"{name}.*not Keras's own")
