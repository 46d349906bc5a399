"""What Keras does not promise and irisspark uses, each name by itself: a new Keras shows here."""

import ast
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from irisspark.model import keras_private
from irisspark.startup.imports import import_tensorflow

import_tensorflow()


# What is private to the standard library and to Spark, and is used as well.
NOT_KERASS = frozenset(
    ["_exit", "_run_exitfuncs", "_java_lang_class", "_bypass_serializer"]
) | frozenset(
    ["_jvm", "_jsc", "_jconf", "_jrdd", "_gateway", "_ensure_initialized", "_accumulatorServer"]
)


def test_no_other_file_uses_what_keras_does_not_promise():
    package = Path(keras_private.__file__).parents[1]
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_private = (
                isinstance(node, ast.Attribute)
                and node.attr.startswith("_")
                and not node.attr.startswith("__")
                and ast.unparse(node.value) not in ("self", "cls", "other")
                and node.attr not in NOT_KERASS
            )
            module = getattr(node, "module", None) or ""
            if is_private or (isinstance(node, ast.ImportFrom) and module.startswith("keras.src")):
                found.append(path.name)
    assert set(found) == {"keras_private.py"}


def functional():
    import keras

    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(2))
    hidden = wrapped(keras.layers.Reshape((4, 1))(inner(inputs)))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.GaussianNoise(1)(hidden)))
    return keras.Model(inputs, outputs)


def test_a_file_in_memory_is_opened(tmp_path):
    model = functional()
    model.save(tmp_path / "m.keras")
    content = (tmp_path / "m.keras").read_bytes()
    opened = keras_private.load_from_memory(content, safe_mode=True)
    rows = np.ones((5, 4), "float32")
    np.testing.assert_array_equal(opened(rows), model(rows))


def test_a_file_in_memory_is_opened_in_safe_mode(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "m.keras")
    content = (tmp_path / "m.keras").read_bytes()
    with pytest.raises(Exception, match="safe_mode"):
        keras_private.load_from_memory(content, safe_mode=True)
    opened = keras_private.load_from_memory(content, safe_mode=False)
    assert float(opened(np.zeros((1, 4)))[0, 0]) == 1.0


def test_layers_are_found_at_every_depth():
    kinds = [type(layer).__name__ for layer in keras_private.layers_of(functional())]
    assert kinds.count("Dense") == 3
    assert {"Sequential", "TimeDistributed", "Dropout", "GaussianNoise"} <= set(kinds)


def test_consumers_of_an_input_are_found():
    model = functional()
    names = [layer.name for layer in keras_private.consumers_of(model, model.inputs[0])]
    assert model.layers[1].name in names
    assert model.layers[-1].name not in names


def test_outputs_of_a_layer_are_its_symbolic_tensors():
    shapes = [tuple(t.shape) for t in keras_private.outputs_of(functional().layers[-1])]
    assert shapes == [(None, 3)]


def test_a_model_without_memory_has_shapes_and_then_values():
    model = keras_private.without_memory(functional)
    assert np.isfinite(model.get_weights()[0]).all()
    looked_at = keras_private.without_memory(functional, forget=True)
    assert [tuple(w.shape) for w in looked_at.weights] == [tuple(w.shape) for w in model.weights]
    assert looked_at.weights[0]._value is None


def test_a_model_that_cannot_be_built_does_not_spoil_the_next():
    import keras

    def broken():
        dense = keras.layers.Dense(2, kernel_initializer=lambda *_, **__: 1 / 0)
        return keras.Sequential([keras.Input((4,)), dense])

    with pytest.raises(ZeroDivisionError):
        keras_private.without_memory(broken)
    assert keras_private.without_memory(functional).weights


def test_weights_are_not_drawn_and_the_rest_is():
    import keras

    with keras_private.without_random_values():
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(4, bias_initializer="ones"),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.5, seed=3),
            ]
        )
    kernel, bias = model.layers[0].get_weights()
    assert (kernel.any(), bias.all()) == (False, True)
    assert model.layers[1].moving_variance.numpy().all()
    (generator,) = keras_private.seed_generators_of(model)
    assert generator.state.numpy().tolist() == [3, 0]
    drawn = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    assert drawn.layers[0].get_weights()[0].any()


def test_a_weight_that_a_file_lacks_is_an_error(tmp_path):
    """Which lets weights begin as zeros where a file is read."""
    import h5py
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.save(tmp_path / "m", zipped=False)
    with h5py.File(tmp_path / "m" / "model.weights.h5", "r+") as file:
        del file["layers/dense/vars/0"]
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.models.load_model(tmp_path / "m")


def test_h5_configurations_are_read(tmp_path):
    import json

    import h5py
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        config = json.loads(file.attrs["model_config"])
    assert keras_private.model_of_h5_config(config).output_shape == (None, 3)


def test_a_loss_function_gives_a_value_a_row():
    import keras

    loss = keras_private.loss_of_rows(keras.losses.mean_squared_error)
    assert np.asarray(loss(np.zeros((3, 2)), np.ones((3, 2)))).tolist() == [1.0, 1.0, 1.0]


def test_a_learning_rate_is_read_and_replaced():
    import keras

    optimizer = keras.optimizers.SGD(0.25)
    assert float(keras_private.learning_rate_of(optimizer)) == 0.25
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    keras_private.set_learning_rate(optimizer, schedule)
    assert float(optimizer.learning_rate) == 0.5


def test_random_generators_are_found_in_their_order_each_once():
    import keras

    model = functional()
    found = keras_private.seed_generators_of(model)
    assert len(found) == len({id(generator) for generator in found}) == 2
    assert all(isinstance(generator, keras.random.SeedGenerator) for generator in found)
    again = keras_private.seed_generators_of(
        keras_private.load_from_memory(_saved(model), safe_mode=True)
    )
    assert [generator.state.shape for generator in again] == [(2,), (2,)]


def _saved(model) -> bytes:
    from irisspark.model import keras_file

    return io.BytesIO(keras_file.to_bytes(model)).getvalue()


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_lora_update_of_zero_is_no_reason_to_quantize_anew(tmp_path, mode):
    import keras

    # The smaller the weights, the farther a new rounding moves the scales.
    small = keras.initializers.RandomUniform(-1e-4, 1e-4, seed=1)
    layers = [
        keras.layers.Dense(6, kernel_initializer=small),
        keras.layers.EinsumDense("ab,bc->ac", 6, kernel_initializer=small),
    ]
    model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3, "softmax")])
    for layer in layers:
        layer.enable_lora(2)
    model.quantize(mode)
    model.save(tmp_path / "m.keras")
    opened = keras.models.load_model(tmp_path / "m.keras")
    enabled = [layer.lora_enabled for layer in opened.layers[:2]]
    with keras_private.as_quantized(opened):
        opened.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    for one, other in zip(opened.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [layer.lora_enabled for layer in opened.layers[:2]] == enabled == [True, True]
    # A later Keras that saves such a layer as it is needs none of this.
    opened.save(tmp_path / "moved.keras")
    moved = keras.models.load_model(tmp_path / "moved.keras")
    pairs = zip(opened.weights, moved.weights, strict=True)
    assert any((one.numpy() != other.numpy()).any() for one, other in pairs)


def test_structures_are_those_that_the_model_was_made_with():
    import keras

    inputs = {name: keras.Input((2,), name=name) for name in "ab"}
    outputs = [keras.layers.Add()([inputs["a"], inputs["b"]])]
    taken, put_out = keras_private.structures_of(keras.Model(inputs, outputs))
    assert (set(taken), len(put_out)) == ({"a", "b"}, 1)


def test_outputs_have_the_names_that_compile_knows():
    import keras

    taken = keras.Input((2,))
    ends = [keras.layers.Dense(1, name=name)(taken) for name in ("price", "sold")]
    for outputs, names in (
        (ends, ["price", "sold"]),
        (ends[1], ["sold"]),
        ({"b": ends[0], "a": ends[1]}, ["a", "b"]),
    ):
        model = keras.Model(taken, outputs)
        assert keras_private.names_of_outputs(model) == names
    layers = [keras.Input((2,)), keras.layers.Dense(1, name="price")]
    assert keras_private.names_of_outputs(keras.Sequential(layers)) == ["price"]


def test_a_tensor_tells_what_made_it_of_what():
    import keras

    inputs = keras.Input((2,))
    tensor = keras.ops.add(inputs, 3.0)
    operation, arguments, place = keras_private.maker_of(tensor)
    assert (type(operation).__name__, place) == ("Add", 0)
    assert keras_private.is_kerass_own(operation)
    assert not keras_private.is_kerass_own(object())
    first, second = keras_private.flat_arguments(arguments)
    assert (first is inputs, keras_private.is_symbolic(first)) == (True, True)
    assert (second, keras_private.is_symbolic(second)) == (3.0, False)


def test_safe_mode_refuses_code_within():
    import keras

    layer = keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: x + 1))
    with pytest.raises(ValueError, match="safe"), keras_private.safe_mode(True):
        keras.saving.deserialize_keras_object(layer)
    with keras_private.safe_mode(False):
        keras.saving.deserialize_keras_object(layer)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_an_optimizer_remembers_what_its_file_holds(tmp_path, suffix):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    if suffix == ".h5":
        assert keras_private.restore_optimizer_of_h5(optimizer, str(path))
    else:
        with zipfile.ZipFile(path) as archive:
            archive.extract("model.weights.h5", tmp_path)
        assert keras_private.restore_optimizer(optimizer, str(tmp_path / "model.weights.h5"))
    for restored, kept in zip(optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(restored.numpy(), kept.numpy())
    other = keras.optimizers.Adam()
    other.build([keras.Variable(np.ones((7, 7)))])
    if suffix == ".h5":
        assert not keras_private.restore_optimizer_of_h5(other, str(path))


def test_an_empty_lookup_is_told():
    import keras

    filled, empty = keras.layers.IntegerLookup(vocabulary=[1, 2]), keras.layers.IntegerLookup()
    assert [keras_private.is_empty_lookup(layer) for layer in (filled, empty)] == [False, True]
    assert not keras_private.is_empty_lookup(keras.layers.Dense(1))


def test_short_names_are_losses():
    import keras

    names = keras_private.short_names()
    assert names["mse"] is names["MSE"] is keras.losses.get("mean_squared_error")
