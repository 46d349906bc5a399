"""How an old model was trained -> the arguments of Keras 3's ``model.compile``.

What is not Keras's own is left out with a note: an evaluation needs no loss, and a training can be
given one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from irisspark.keras_import.building.network import Array, Config
from irisspark.keras_import.findings import Findings

# Keras 3's class -> the settings it takes; ``lr`` and ``decay`` are converted.
OPTIMIZERS: Mapping[str, tuple[str, ...]] = {
    "Adadelta": ("rho", "epsilon"),
    "Adagrad": ("initial_accumulator_value", "epsilon"),
    "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
    "AdamW": ("beta_1", "beta_2", "epsilon", "amsgrad", "weight_decay"),
    "Adamax": ("beta_1", "beta_2", "epsilon"),
    "Ftrl": (
        "learning_rate_power",
        "initial_accumulator_value",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "beta",
    ),
    "Nadam": ("beta_1", "beta_2", "epsilon"),
    "RMSprop": ("rho", "momentum", "epsilon", "centered"),
    "SGD": ("momentum", "nesterov"),
}
SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "CosineDecay": ("initial_learning_rate", "decay_steps", "alpha"),
    "ExponentialDecay": ("initial_learning_rate", "decay_steps", "decay_rate", "staircase"),
    "InverseTimeDecay": ("initial_learning_rate", "decay_steps", "decay_rate", "staircase"),
    "PiecewiseConstantDecay": ("boundaries", "values"),
    "PolynomialDecay": (
        "initial_learning_rate",
        "decay_steps",
        "end_learning_rate",
        "power",
        "cycle",
    ),
}
# Keras 3's name of each loss, and the settings its class takes beside ``reduction`` and ``name``.
LOSSES: Mapping[str, tuple[str, ...]] = {
    "binary_crossentropy": ("from_logits", "label_smoothing", "axis"),
    "binary_focal_crossentropy": ("from_logits", "label_smoothing", "axis", "alpha", "gamma"),
    "categorical_crossentropy": ("from_logits", "label_smoothing", "axis"),
    "categorical_hinge": (),
    "cosine_similarity": ("axis",),
    "hinge": (),
    "huber": ("delta",),
    "kl_divergence": (),
    "log_cosh": (),
    "mean_absolute_error": (),
    "mean_absolute_percentage_error": (),
    "mean_squared_error": (),
    "mean_squared_logarithmic_error": (),
    "poisson": (),
    "sparse_categorical_crossentropy": ("from_logits", "ignore_class"),
    "squared_hinge": (),
}
_SHORT_LOSSES = {
    "bce": "binary_crossentropy",
    "cosine_proximity": "cosine_similarity",
    "huber_loss": "huber",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
}
_LOSS_CLASSES = {"kl_divergence": "KLDivergence", "log_cosh": "LogCosh"}
_METRICS = frozenset(
    {
        *LOSSES,
        *_SHORT_LOSSES,
        "acc",
        "accuracy",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
        "top_k_categorical_accuracy",
    }
)
_METRIC_CLASSES: Mapping[str, tuple[str, ...]] = {
    "AUC": ("num_thresholds", "curve", "multi_label", "from_logits"),
    "BinaryAccuracy": ("threshold",),
    "CategoricalAccuracy": (),
    "FalseNegatives": (),
    "FalsePositives": (),
    "MeanAbsoluteError": (),
    "MeanSquaredError": (),
    "Precision": ("class_id", "top_k"),
    "Recall": ("class_id", "top_k"),
    "RootMeanSquaredError": (),
    "SparseCategoricalAccuracy": (),
    "SparseTopKCategoricalAccuracy": ("k",),
    "TopKCategoricalAccuracy": ("k",),
    "TrueNegatives": (),
    "TruePositives": (),
}


def convert_training(stored: Mapping[str, Any] | None, findings: Findings) -> Config | None:
    """The training configuration in Keras 3's terms, or None where there is nothing to keep."""
    if not stored:
        return None
    optimizer = _optimizer(stored.get("optimizer_config"), findings)
    loss, complete = _losses(stored.get("loss"), findings)
    if not complete or loss is None:
        return None
    if optimizer is None:
        findings.note("RMSprop, Keras's default, stands in for the optimizer of the file")
        optimizer = _object("keras.optimizers", "RMSprop", {})
    return {
        "optimizer": optimizer,
        "loss": loss,
        "metrics": _of_one_output(_metrics(stored.get("metrics"), findings)),
        "loss_weights": stored.get("loss_weights") or None,
    }


def _optimizer(stored: Any, findings: Findings) -> Config | None:
    if isinstance(stored, str):
        stored = {"class_name": stored}
    if not isinstance(stored, Mapping):
        return None
    name = str(stored.get("class_name")).rsplit(">", 1)[-1]
    found = next((known for known in OPTIMIZERS if known.lower() == name.lower()), None)
    if found is None:
        findings.note(f"the optimizer {name!r} is not Keras's own and is left out")
        return None
    settings = stored.get("config")
    settings = settings if isinstance(settings, Mapping) else {}
    config = {key: settings[key] for key in OPTIMIZERS[found] if settings.get(key) is not None}
    rate = _rate(settings, findings)
    if rate is not None:
        config["learning_rate"] = rate
    for key in ("clipnorm", "clipvalue"):
        if settings.get(key):
            config[key] = settings[key]
    return _object("keras.optimizers", found, config)


def _rate(settings: Mapping[str, Any], findings: Findings) -> Any:
    """The learning rate: a number, a schedule, or ``lr`` with Keras 2's decay as a schedule."""
    rate = settings.get("learning_rate", settings.get("lr"))
    if isinstance(rate, Mapping):
        name = str(rate.get("class_name"))
        if name not in SCHEDULES:
            findings.note(
                f"the learning rate schedule {name!r} is not Keras's own: the default is used"
            )
            return None
        config = rate.get("config") or {}
        kept = {key: config[key] for key in SCHEDULES[name] if key in config}
        return _object("keras.optimizers.schedules", name, kept)
    decay = settings.get("decay")
    if isinstance(rate, int | float) and isinstance(decay, int | float) and decay:
        findings.converted("decay -> an InverseTimeDecay schedule of the learning rate")
        config = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        return _object("keras.optimizers.schedules", "InverseTimeDecay", config)
    return rate if isinstance(rate, int | float) else None


def _losses(stored: Any, findings: Findings) -> tuple[Any, bool]:
    """The loss, or a list or dictionary of losses by output; and whether all of them are known."""
    if isinstance(stored, Mapping) and "class_name" not in stored:
        pairs = {key: _losses(value, findings) for key, value in stored.items()}
        return {key: loss for key, (loss, _) in pairs.items()}, all(ok for _, ok in pairs.values())
    if isinstance(stored, list):
        found = [_losses(value, findings) for value in stored]
        return [loss for loss, _ in found], all(ok for _, ok in found)
    if stored is None:
        return None, True
    loss = _loss(stored)
    if loss is None:
        name = stored.get("class_name") if isinstance(stored, Mapping) else stored
        findings.note(
            f"the loss {name!r} is not Keras's own and is left out: the model is not compiled"
        )
    return loss, loss is not None


def _loss(stored: Any) -> Any:
    if not isinstance(stored, Mapping):
        name = _SHORT_LOSSES.get(_snake(str(stored)), _snake(str(stored)))
        return name if name in LOSSES else None
    if stored.get("class_name") == "function":
        return _loss(stored.get("config"))
    name = _SHORT_LOSSES.get(
        _snake(str(stored.get("class_name"))), _snake(str(stored["class_name"]))
    )
    if name not in LOSSES:
        return None
    config = stored.get("config") if isinstance(stored.get("config"), Mapping) else {}
    assert isinstance(config, Mapping)
    kept = {key: config[key] for key in LOSSES[name] if config.get(key) is not None}
    class_name = _LOSS_CLASSES.get(name, "".join(part.capitalize() for part in name.split("_")))
    return _object("keras.losses", class_name, kept)


def _metrics(stored: Any, findings: Findings) -> Any:
    if isinstance(stored, Mapping) and "class_name" not in stored:
        return {key: _metrics(value, findings) for key, value in stored.items()}
    if isinstance(stored, list):
        return [m for m in (_metrics(item, findings) for item in stored) if m is not None]
    if stored is None:
        return None
    metric = _metric(stored)
    if metric is None:
        name = stored.get("class_name") if isinstance(stored, Mapping) else stored
        findings.note(f"the metric {name!r} is not Keras's own and is left out")
    return metric


def _of_one_output(metrics: Any) -> Any:
    """tf.keras lists the metrics of each output, also where there is only one."""
    if isinstance(metrics, list) and len(metrics) == 1 and isinstance(metrics[0], list):
        return metrics[0]
    return metrics


def _metric(stored: Any) -> Any:
    if not isinstance(stored, Mapping):
        return stored if _snake(str(stored)) in _METRICS else None
    name = str(stored.get("class_name"))
    config = stored.get("config")
    if name == "function":
        return _metric(config)
    settings = config if isinstance(config, Mapping) else {}
    if name == "MeanMetricWrapper":
        return _metric(settings.get("fn", settings.get("name")))
    if name not in _METRIC_CLASSES:
        return None
    kept = {key: settings[key] for key in _METRIC_CLASSES[name] if settings.get(key) is not None}
    return _object("keras.metrics", name, kept)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _object(module: str, class_name: str, config: Config) -> Config:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def order_optimizer_weights(
    optimizer: str,
    arrays: tuple[Array, ...],
    trained: list[tuple[int, ...]],
    states: list[tuple[str, tuple[int, ...]]],
) -> list[Array | None] | None:
    """The stored arrays in the order of Keras 3's ``optimizer.variables``, None if they don't fit.

    Args:
        optimizer: Keras 3's class.
        arrays: as stored: the number of steps (where there is one), then one kind of moment after
            the other, each in the order of the trained variables (or all of a variable's
            moments together, from tf.keras 2.11 on).
        trained: the shapes of the trained variables, in order.
        states: the name and shape of each of Keras 3's variables.

    Returns:
        One array a variable; None for the learning rate, which is in the configuration.
    """
    count = len(trained)
    rest = list(arrays)
    scalars = [rest.pop(0) for _ in range(2) if rest and np.shape(rest[0]) == ()]
    steps = scalars[0] if scalars else None
    kinds = _MOMENTS.get(optimizer)
    if kinds is None or count == 0 or len(rest) < kinds * count:
        return None
    moments = rest[: kinds * count]
    shapes = [np.shape(moment) for moment in moments]
    if shapes == trained * kinds:
        by_variable = [moments[kind * count + i] for i in range(count) for kind in range(kinds)]
    elif shapes == [shape for shape in trained for _ in range(kinds)]:
        by_variable = moments  # tf.keras 2.11 and later: variable after variable, as Keras 3
    else:
        return None
    ordered: list[Array | None] = []
    for name, shape in states:
        if name == "iteration":
            ordered.append(None if steps is None else np.asarray(steps))
        elif name == "learning_rate":
            ordered.append(None)
        else:
            array = by_variable.pop(0) if by_variable else None
            if array is None or np.shape(array) != shape:
                return None
            ordered.append(array)
    return ordered if not by_variable else None


# How many arrays each optimizer keeps for a trained variable.
_MOMENTS = {"Adagrad": 1, "Adam": 2, "Adamax": 2, "RMSprop": 1, "SGD": 1}
