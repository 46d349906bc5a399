"""What a model is trained with: its loss and its optimizer, the file's or the user's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from irisspark.errors import ModelError
from irisspark.model import keras_private
from irisspark.model.loading import file_of, regularization_loss_of, with_input
from irisspark.model.optimizers import optimizer_state, rate_owner
from irisspark.model.output import Kind, LabelsMeaning, OutputMeaning, RegressionMeaning, Target
from irisspark.model.spec import ModelSpec
from irisspark.training.history import metric_name
from irisspark.training.worker.replica import seed_states

if TYPE_CHECKING:
    import keras

    from irisspark.model.loading import LoadedModel
    from irisspark.training.train_settings import TrainSettings

_LOGITS = {
    "module": "keras.losses",
    "registered_name": None,
    "class_name": "SparseCategoricalCrossentropy",
    "config": {"from_logits": True, "reduction": "sum_over_batch_size"},
}
# The cross-entropy that fits an output, where nothing else is said, and what it compares with.
_DEFAULT_LOSSES: dict[Kind, tuple[str | dict[str, Any], Kind, Target]] = {
    "softmax": ("sparse_categorical_crossentropy", "softmax", "index"),
    "sigmoids": ("binary_crossentropy", "sigmoids", "one_hot"),
    "scores": (_LOGITS, "logits", "index"),
    "sigmoid": ("binary_crossentropy", "sigmoid", "binary"),
}


@dataclass(frozen=True)
class Configured:
    """A model that is ready to be trained.

    Attributes:
        network: Compiled with what it is trained with; its optimizer is built.
        shared: What the workers have copies of: the network, or its layers behind an input that
            takes batches of any size.
        spec: Of these copies, as they are before the first round.
        optimizer: Keras's serialized optimizer, with the user's own learning rate.
    """

    network: keras.Model
    shared: keras.Model
    spec: ModelSpec
    optimizer: dict[str, Any]

    @property
    def variables(self) -> list[Any]:
        """All that training changes: weights, optimizer's variables, random generators' states."""
        network = self.network
        return [
            *network.weights,
            *optimizer_state(network.optimizer),
            *seed_states(network),
        ]

    def trained_spec(self) -> ModelSpec:
        """Give the spec of the network as it is now."""
        spec = self.spec.with_file(file_of(self.shared))
        return replace(spec, regularization_loss=regularization_loss_of(self.network))

    def rate_after(self, num_steps: int) -> float:
        """Give the user's own learning rate after so many steps of the optimizer."""
        rate = keras_private.learning_rate_of(rate_owner(self.network.optimizer))
        return float(rate(num_steps)) if callable(rate) else float(rate)


def configure(model: LoadedModel, settings: TrainSettings) -> Configured:
    """Settle loss and optimizer: the user's, the file's, or the defaults.

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
    new_loss = settings.replace_loss or model.spec.loss is None
    recipe, metric = _optimizer_recipe(before, settings), metric_name(spec.output)
    _compile(network, recipe, spec.loss if new_loss else None, metric)
    state = optimizer_state(network.optimizer)
    # A file may hold an optimizer that never made a step, without what it would remember.
    if settings.optimizer is None and len(memory) == len(state):
        for variable, value in zip(state, memory, strict=True):
            variable.assign(value)
    shared = network
    if spec.batch_rows is not None:  # the last batch may be smaller
        shared = with_input(network, dtype=spec.input_dtype, batch_rows=None)
        spec = replace(spec.with_file(file_of(shared)), batch_rows=None)
    return Configured(network, shared, spec, keras.optimizers.serialize(network.optimizer))


def _optimizer_recipe(optimizer: Any, settings: TrainSettings) -> dict[str, Any]:
    """Serialize the optimizer that is asked for, with its learning rate."""
    import keras

    if settings.optimizer is not None:
        optimizer = keras.optimizers.get(settings.optimizer)
    recipe: dict[str, Any] = keras.optimizers.serialize(optimizer)
    if settings.learning_rate is not None:
        owner = recipe["config"]
        while "inner_optimizer" in owner:
            owner = owner["inner_optimizer"]["config"]
        owner["learning_rate"] = settings.learning_rate
    return recipe


def _compile(
    network: keras.Model,
    optimizer: dict[str, Any],
    loss: dict[str, Any] | str | None,
    metric: str,
) -> None:
    """Compile the network with a new optimizer, a new loss where one is given, and its own rest."""
    import keras

    config = network.get_compile_config() | {"optimizer": optimizer}
    if loss is not None:
        config |= {"loss": loss, "loss_weights": None, "metrics": [metric]}
    elif isinstance(config["loss"], str):  # short names, as mse, Keras does not read from HDF5
        config["loss"] = keras.losses.get(config["loss"]).__name__
    network.compile_from_config(config)


def _with_default_loss(spec: ModelSpec) -> ModelSpec:
    if isinstance(spec.output, RegressionMeaning):
        return replace(spec, loss="mean_squared_error")
    if isinstance(spec.output, LabelsMeaning):  # without a loss it ends in sigmoids
        return replace(spec, loss="binary_crossentropy")
    assert isinstance(spec.output, OutputMeaning)
    loss, kind, target = _DEFAULT_LOSSES[spec.output.kind]
    return replace(spec, loss=loss, output=replace(spec.output, kind=kind, target=target))
