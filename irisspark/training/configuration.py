"""What a model is trained with: its loss and its optimizer, the file's or the user's."""

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from irisspark.errors import ModelError
from irisspark.model_spec import ModelSpec
from irisspark.outputs import Kind, OutputMeaning
from irisspark.workers.replica import optimizer_state, rate_owner

if TYPE_CHECKING:
    import keras

    from irisspark.models import LoadedModel
    from irisspark.options import Options

_LOGITS = {
    "module": "keras.losses",
    "registered_name": None,
    "class_name": "SparseCategoricalCrossentropy",
    "config": {"from_logits": True, "reduction": "sum_over_batch_size"},
}
# The cross-entropy that fits an output, where nothing else is said, and what it compares with.
_DEFAULT_LOSSES: dict[Kind, tuple[str | dict[str, Any], OutputMeaning]] = {
    "softmax": ("sparse_categorical_crossentropy", OutputMeaning("softmax", 0, "index")),
    "sigmoids": ("binary_crossentropy", OutputMeaning("sigmoids", 0, "one_hot")),
    "scores": (_LOGITS, OutputMeaning("logits", 0, "index")),
    "sigmoid": ("binary_crossentropy", OutputMeaning("sigmoid", 1, "binary")),
}


@dataclass(frozen=True)
class Configured:
    """A model that is ready to be trained.

    Attributes:
        network: Compiled with what it is trained with; its optimizer is built.
        spec: What is trained, with the weights it starts from.
        optimizer: Keras's serialized optimizer, with the user's own learning rate.
    """

    network: "keras.Model"
    spec: ModelSpec
    optimizer: dict[str, Any]

    def rate_after(self, num_steps: int) -> float:
        """Give the user's own learning rate after so many steps of the optimizer."""
        rate = rate_owner(self.network.optimizer)._learning_rate
        return float(rate(num_steps)) if callable(rate) else float(rate)


def configure(model: "LoadedModel", options: "Options") -> Configured:
    """Settle loss and optimizer: the options', the file's, or the defaults.

    Raises:
        ModelError: The model has nothing to train.
    """
    import keras

    network, spec = model.network, model.spec
    if not network.trainable_variables:
        raise ModelError("the model has no trainable weights: every layer of it is frozen")
    if spec.loss is None:
        spec = _with_default_loss(spec)
    before = network.optimizer
    memory = [variable.numpy() for variable in optimizer_state(before)] if before.built else []
    new_loss = options.loss is not None or model.spec.loss is None
    _compile(network, _optimizer_recipe(before, options), spec.loss if new_loss else None)
    state = optimizer_state(network.optimizer)
    # A file may hold an optimizer that never made a step, without what it would remember.
    if options.optimizer is None and len(memory) == len(state):
        for variable, value in zip(state, memory, strict=True):
            variable.assign(value)
    return Configured(network, _any_batch(spec), keras.optimizers.serialize(network.optimizer))


def _optimizer_recipe(optimizer: Any, options: "Options") -> dict[str, Any]:
    """Serialize the optimizer that is asked for, with its learning rate."""
    import keras

    if options.optimizer is not None:
        optimizer = keras.optimizers.get(options.optimizer)
    recipe: dict[str, Any] = keras.optimizers.serialize(optimizer)
    if options.learning_rate is not None:
        owner = recipe["config"]
        while "inner_optimizer" in owner:
            owner = owner["inner_optimizer"]["config"]
        owner["learning_rate"] = options.learning_rate
    return recipe


def _compile(
    network: "keras.Model", optimizer: dict[str, Any], loss: dict[str, Any] | str | None
) -> None:
    """Compile the network with a new optimizer, a new loss where one is given, and its own rest."""
    config = network.get_compile_config() | {"optimizer": optimizer}
    if loss is not None:
        config |= {"loss": loss, "loss_weights": None, "metrics": ["accuracy"]}
    network.compile_from_config(config)


def _with_default_loss(spec: ModelSpec) -> ModelSpec:
    loss, meaning = _DEFAULT_LOSSES[spec.output.kind]
    return replace(spec, loss=loss, output=replace(meaning, num_units=spec.output.num_units))


def _any_batch(spec: ModelSpec) -> ModelSpec:
    """Free a model of the batch size that it insists on: the last batch may be smaller."""
    if spec.batch_rows is None:
        return spec
    config = json.loads(spec.config)
    for layer in config["config"].get("layers", []):
        for key in ("batch_shape", "batch_input_shape"):
            if layer["config"].get(key):
                layer["config"][key][0] = None
    for key in ("build_input_shape",):
        if config["config"].get(key):
            config["config"][key][0] = None
    return replace(spec, config=json.dumps(config), batch_rows=None)
