"""Initializers, regularizers, constraints, activations and dtypes of any era -> Keras 3's.

Only names in these tables come out. What only steers training (an unknown regularizer, say) is
left out with a note; an activation changes predictions, so an unknown one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Config
from irisspark.keras_import.building.vocabulary import ACTIVATIONS
from irisspark.keras_import.findings import Findings

_SEED = ("seed",)
_RANGE = ("minval", "maxval", "seed")
_NORMAL = ("mean", "stddev", "seed")

# Keras 3's class -> the settings it takes.
INITIALIZERS: Mapping[str, tuple[str, ...]] = {
    "Constant": ("value",),
    "GlorotNormal": _SEED,
    "GlorotUniform": _SEED,
    "HeNormal": _SEED,
    "HeUniform": _SEED,
    "Identity": ("gain",),
    "LecunNormal": _SEED,
    "LecunUniform": _SEED,
    "Ones": (),
    "Orthogonal": ("gain", "seed"),
    "RandomNormal": _NORMAL,
    "RandomUniform": _RANGE,
    "TruncatedNormal": _NORMAL,
    "VarianceScaling": ("scale", "mode", "distribution", "seed"),
    "Zeros": (),
}
REGULARIZERS: Mapping[str, tuple[str, ...]] = {
    "L1": ("l1",),
    "L1L2": ("l1", "l2"),
    "L2": ("l2",),
    "OrthogonalRegularizer": ("factor", "mode"),
}
CONSTRAINTS: Mapping[str, tuple[str, ...]] = {
    "MaxNorm": ("max_value", "axis"),
    "MinMaxNorm": ("min_value", "max_value", "rate", "axis"),
    "NonNeg": (),
    "UnitNorm": ("axis",),
}
_KINDS = {
    "initializer": ("keras.initializers", INITIALIZERS),
    "regularizer": ("keras.regularizers", REGULARIZERS),
    "constraint": ("keras.constraints", CONSTRAINTS),
}

# Names by which the eras called them, in lower case without underscores, where they differ.
_ALIASES = {
    "normal": "RandomNormal",
    "uniform": "RandomUniform",
    "one": "Ones",
    "zero": "Zeros",
    "weightregularizer": "L1L2",
    "activityregularizer": "L1L2",
    "l1l2regularizer": "L1L2",
    "minmaxnorm": "MinMaxNorm",
    "nonnegative": "NonNeg",
    "unitnormalization": "UnitNorm",
}
_SETTING_ALIASES = {"m": "max_value", "low": "min_value", "high": "max_value"}

_ACTIVATION_ALIASES = {
    "identity": "linear",
}

# Keras 1 and 2 meant clip(0.2 x + 0.5, 0, 1); Keras 3 means relu6(x + 3) / 6.
_OLD_HARD_SIGMOID: Config = {
    "module": "keras",
    "class_name": "Sequential",
    "registered_name": None,
    "config": {
        "name": "hard_sigmoid_of_keras_2",
        "layers": [
            {
                "module": "keras.layers",
                "class_name": "Rescaling",
                "registered_name": None,
                "config": {"scale": 0.2, "offset": 0.5},
            },
            {
                "module": "keras.layers",
                "class_name": "ReLU",
                "registered_name": None,
                "config": {"max_value": 1.0},
            },
        ],
    },
}


def convert_object(kind: str, value: Any, where: str, findings: Findings) -> Config | None:
    """An initializer, regularizer or constraint (``kind``) in Keras 3's terms, or None.

    Args:
        kind: ``initializer``, ``regularizer`` or ``constraint``.
        value: a name, or a dictionary in any era's form.
        where: the layer, for the note.
        findings: gets a note where the object is not Keras's own.
    """
    if value is None:
        return None
    name, settings = _name_and_settings(value)
    module, table = _KINDS[kind]
    class_name = _lookup(name, table)
    if class_name is None:
        if kind != "initializer":
            findings.note(f"{where}: the {kind} {name!r} is not Keras's own and is left out")
        return None
    known = {_SETTING_ALIASES.get(key, key): item for key, item in settings.items()}
    config = {key: known[key] for key in table[class_name] if key in known}
    if config.get("distribution") == "normal":
        config["distribution"] = "truncated_normal"
    if class_name == "Constant" and not isinstance(config.get("value", 0), int | float):
        return None  # an embedding matrix: the arrays of the file take its place
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def convert_activation(value: Any, where: str) -> Any:
    """An activation in Keras 3's terms: a name, or the configuration of an equal layer.

    Raises:
        ModelError: the activation is not Keras's own.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = (
            value.get("config")
            if value.get("class_name") == "function"
            else value.get("class_name")
        )
    name = _ACTIVATION_ALIASES.get(str(value), str(value).removesuffix("_v2"))
    if name == "hard_sigmoid":
        return _OLD_HARD_SIGMOID
    if name not in ACTIVATIONS:
        raise ModelError(
            f"layer {where!r} has the activation {name!r}, which is not Keras's own: "
            "a model file does not hold its code"
        )
    return name


def convert_dtype(value: Any) -> Any:
    """A dtype or mixed-precision policy in Keras 3's terms, or None where the default will do."""
    if isinstance(value, Mapping):
        config = value.get("config")
        value = config.get("name") if isinstance(config, Mapping) else None
    if value in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"):
        return value
    return None


def _name_and_settings(value: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        return str(value), {}
    if "class_name" in value:
        settings = value.get("config")
        return str(value["class_name"]), settings if isinstance(settings, Mapping) else {}
    return str(value.get("name")), value  # Keras 1: {"name": "MaxNorm", "m": 2}


def _lookup(name: str, table: Mapping[str, Any]) -> str | None:
    key = name.rsplit(">", 1)[-1].replace("_", "").lower()
    for suffix in ("v1", "v2"):
        key = key.removesuffix(suffix)
    if key in _ALIASES:
        return _ALIASES[key] if _ALIASES[key] in table else None
    return next((known for known in table if known.lower() == key), None)
