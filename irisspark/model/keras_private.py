"""What Keras does and does not promise: every use of a private name of it, each with a test.

A new Keras may change these; then a test of this room fails, and nothing else needs a look.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import keras

T = TypeVar("T")


def load_from_memory(file: bytes, *, safe_mode: bool) -> keras.Model:
    """Open the bytes of a ``.keras`` file, uncompiled; ``keras.saving`` itself opens paths only."""
    from keras.src.saving import saving_lib

    with without_random_values():
        return saving_lib.load_model(io.BytesIO(file), compile=False, safe_mode=safe_mode)


@contextlib.contextmanager
def without_random_values() -> Iterator[None]:
    """Fill weights with zeros where Keras would draw them, for a file's values come right after.

    To draw a weight takes its size in memory three times over, which TensorFlow then keeps, and
    more time than to read it. Other initial values stay: the states of random generators are in no
    file. That this is so, and that a weight missing in a file is an error, are Keras's rules.
    """
    import keras
    import tensorflow as tf
    from keras.src.initializers.random_initializers import RandomInitializer

    kind = keras.Variable
    drawing = kind._initialize_with_initializer

    def initialize(variable: Any, initializer: Any) -> None:
        if isinstance(initializer, RandomInitializer):
            initializer = tf.zeros
        drawing(variable, initializer)

    kind._initialize_with_initializer = initialize
    try:
        yield
    finally:
        kind._initialize_with_initializer = drawing


@contextlib.contextmanager
def masks_of_keras_2() -> Iterator[None]:
    """Let layers that join tensors mask a step where any of their inputs masks it, as Keras 2 did.

    Keras 3 masks a step where all inputs do. What is built here holds its masks as operations of
    its graph, and so does the file that it is saved to.
    """
    from keras import ops
    from keras.src.layers.merging.base_merge import Merge
    from keras.src.layers.merging.concatenate import Concatenate

    originals = {kind: kind.compute_mask for kind in (Merge, Concatenate)}

    def compute_mask(self: Any, inputs: Any, mask: Any = None) -> Any:
        masks = [one for one in mask or () if one is not None]
        if not masks:
            return None
        rank = len(inputs[0].shape)
        if isinstance(self, Concatenate) and self.axis % rank != rank - 1:
            return originals[Concatenate](self, inputs, mask)
        return functools.reduce(ops.logical_and, masks)

    for kind in originals:
        kind.compute_mask = compute_mask
    try:
        yield
    finally:
        for kind, original in originals.items():
            kind.compute_mask = original


def reserve_names(names: Iterable[str]) -> None:
    """Keep Keras from giving operations of its own, as of masks, the names of a file's layers."""
    from keras.src.backend.common import global_state

    taken = global_state.get_global_attribute(
        "object_name_uids", default=collections.defaultdict(int), set_to_default=True
    )
    for name in names:
        stem, _, number = name.rpartition("_")
        if not number.isdecimal():
            stem, number = name, "0"
        taken[stem] = max(taken[stem], int(number) + 1)


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Go through a model's layers and through what they hold: models, wrapped layers, cells."""
    yield from model._flatten_layers(recursive=True, include_self=False)


def consumers_of(model: keras.Model, tensor: Any) -> list[keras.layers.Layer]:
    """List the layers of a model that take a tensor, such as one of its inputs."""
    return [
        layer
        for layer in model.layers
        if any(taken is tensor for node in layer._inbound_nodes for taken in node.input_tensors)
    ]


@contextlib.contextmanager
def as_quantized(model: keras.Model) -> Iterator[None]:
    """Keep Keras from quantizing anew, when it saves, kernels whose LoRA update is zero.

    It merges every update, scales and rounds again: each save would move the scales a little. A
    file never holds an update, and one that is zero has no gradient: it stays so in a training.
    """
    idle = [layer for layer in layers_of(model) if _has_idle_lora(layer)]
    for layer in idle:
        layer.lora_enabled = False
    try:
        yield
    finally:
        for layer in idle:
            layer.lora_enabled = True


def _has_idle_lora(layer: Any) -> bool:
    if not getattr(layer, "lora_enabled", False) or layer.quantization_mode is None:
        return False
    factors = [weight for weight in layer.weights if weight.name.startswith("lora_")]
    return any(not weight.numpy().any() for weight in factors)


def outputs_of(layer: keras.layers.Layer) -> Iterator[Any]:
    """Go through the symbolic tensors that a layer of a functional model puts out."""
    for node in getattr(layer, "_inbound_nodes", ()):
        yield from node.output_tensors


def structures_of(model: keras.Model) -> tuple[Any, Any]:
    """Give the structures, of lists and dictionaries, of a model's inputs and outputs."""
    graph = getattr(model, "_functional", None) or model
    return graph._inputs_struct, graph._outputs_struct


def names_of_inputs(model: keras.Model) -> list[str]:
    """Name a model's inputs, in the order of ``model.inputs``: as its dictionary does, if any."""
    structure, _ = structures_of(model)
    keys = {id(tensor): key for key, tensor in structure.items()} if is_flat(structure) else {}
    return [str(keys.get(id(tensor), tensor.name)) for tensor in model.inputs]


def names_of_outputs(model: keras.Model) -> list[str]:
    """Name a model's outputs, in the order of ``model.outputs``, as ``compile`` knows them."""
    _, structure = structures_of(model)
    if is_flat(structure):
        keys = {id(tensor): str(key) for key, tensor in structure.items()}
        return [keys[id(tensor)] for tensor in model.outputs]
    graph = getattr(model, "_functional", None) or model
    return [str(name) for name in graph.output_names]


def is_flat(structure: Any) -> bool:
    """Tell whether a structure is a dictionary of tensors."""
    return isinstance(structure, dict) and all(map(is_symbolic, structure.values()))


def as_inputs(model: keras.Model, tensors: list[Any]) -> Any:
    """Put tensors, in the order of ``model.inputs``, into the structure that a model takes."""
    import keras

    structure, _ = structures_of(model)
    return keras.tree.pack_sequence_as(structure, tensors)


def is_symbolic(value: Any) -> bool:
    """Tell whether a value is a tensor of a functional model's graph."""
    import keras

    return isinstance(value, keras.KerasTensor)


def maker_of(tensor: Any) -> tuple[Any, Any, int]:
    """Give what made a symbolic tensor: the operation, what that took, and which output it is."""
    operation, node, place = tensor._keras_history
    return operation, operation._inbound_nodes[node].arguments, place


def flat_arguments(arguments: Any) -> list[Any]:
    """List what an operation took by position: symbolic tensors, and constants."""
    import keras

    flat: list[Any] = keras.tree.flatten(list(arguments.args))
    return flat


def is_kerass_own(operation: Any) -> bool:
    """Tell whether an operation is one of Keras's, whose meaning is known by its class's name."""
    return type(operation).__module__.startswith("keras.")


def safe_mode(on: bool) -> contextlib.AbstractContextManager[None]:
    """Refuse code in a configuration (``on``), or let it in, wherever Keras reads one inside."""
    from keras.src.saving import serialization_lib

    scope: contextlib.AbstractContextManager[None] = serialization_lib.SafeModeScope(on)
    return scope


def without_memory(build: Callable[[], T], *, forget: bool = False) -> T:
    """Build a model whose variables have shapes and no values, so that it can be looked at first.

    Args:
        build: Builds it.
        forget: Whether its variables never get values; otherwise they do when ``build`` has
            returned.
    """
    import keras
    from keras.src.backend.common import global_state

    def forget_variables() -> None:
        global_state.get_global_attribute("uninitialized_variables", []).clear()

    try:
        with keras.StatelessScope():  # whose end gives the variables their values
            done = False
            try:
                built = build()
                done = True
            finally:
                if forget or not done:
                    forget_variables()
    except BaseException:
        forget_variables()  # the next model would be blamed for them
        raise
    return built


def model_of_h5_config(config: Mapping[str, Any]) -> keras.Model:
    """Build the model of an ``.h5``'s ``model_config``, without its weights."""
    from keras.src.legacy.saving import json_utils, saving_options, saving_utils

    with saving_options.keras_option_scope(use_legacy_config=True):
        return saving_utils.model_from_config(json_utils.decode(json.dumps(config)))


def restore_optimizer(optimizer: keras.optimizers.Optimizer, weights: str) -> bool:
    """Give a built optimizer what it remembered, from a ``.weights.h5`` or a list of shards.

    Returns:
        Whether what the file holds fits, or the optimizer that it holds never made a step.
    """
    from keras.src.saving import saving_lib

    opened = saving_lib.ShardedH5IOStore if weights.endswith(".json") else saving_lib.H5IOStore
    store = opened(weights, mode="r")
    failed: set[int] = set()
    with contextlib.closing(store), warnings.catch_warnings(record=True) as skipped:
        warnings.simplefilter("always")
        saving_lib._load_state(
            optimizer, store, None, "optimizer", failed_saveables=failed, error_msgs={}
        )
        stored = store.get("optimizer")
        remembers = any(len(stored[name].shape) for name in stored.keys())  # noqa: SIM118
    return not (failed or skipped) or not remembers


def restore_optimizer_of_h5(optimizer: keras.optimizers.Optimizer, path: str) -> bool:
    """Give a built optimizer what it remembered, from an ``.h5``.

    Returns:
        Whether what the file holds fits, or it holds nothing: the optimizer never made a step.
    """
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "r") as file:
        if "optimizer_weights" not in file:
            return True
        try:
            values = legacy_h5_format.load_optimizer_weights_from_hdf5_group(file)
            optimizer.set_weights([value[()] for value in values])
        except ValueError:
            return False
    return True


def is_empty_lookup(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer looks numbers or words up in a table that has nothing in it."""
    from keras.src.layers.preprocessing.index_lookup import IndexLookup

    inner = getattr(layer, "_lookup_layer", layer)
    return isinstance(inner, IndexLookup) and int(inner.lookup_table.size()) == 0


def short_names() -> dict[str, Callable[..., Any]]:
    """Give the losses whose short names Keras writes into an ``.h5`` and does not find again."""
    import keras

    return {
        spelled: keras.losses.get(spelled)
        for name in ("mse", "mae", "mape", "msle", "bce", "kld")
        for spelled in (name, name.upper())
    }


def loss_of_rows(function: Callable[..., Any]) -> keras.losses.Loss:
    """Wrap a loss function so that it gives a value a row, as a ``keras.losses.Loss``."""
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper(function, reduction=None)


def learning_rate_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Give an optimizer's learning rate as it holds it: a variable, or a schedule."""
    return optimizer._learning_rate


def set_learning_rate(optimizer: keras.optimizers.Optimizer, schedule: Any) -> None:
    """Give an optimizer a schedule of learning rates, which Keras allows while it is made only."""
    optimizer._learning_rate = schedule


def seed_generators_of(model: keras.Model) -> list[keras.random.SeedGenerator]:
    """List the random generators in a model, in the order of its layers, each once."""
    found: dict[int, Any] = {}
    for layer in [model, *layers_of(model)]:
        for generator in getattr(layer, "_seed_generators", ()):
            found.setdefault(id(generator), generator)
    return list(found.values())
