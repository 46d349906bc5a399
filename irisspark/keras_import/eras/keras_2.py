"""Keras 2 and tf.keras (2.0 to 2.15) layers -> Keras 3 layers: one entry a layer that changed.

A layer that is not in ``CHANGED`` kept its name, its settings and its arrays. Sources: the
``get_config`` of Keras 2.0.8 to 2.3.1 and tf.keras 1.13 to 2.15.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Config, Layer, Network
from irisspark.keras_import.building.objects import (
    convert_activation,
    convert_dtype,
    convert_object,
)
from irisspark.keras_import.building.vocabulary import ARGUMENTS
from irisspark.keras_import.eras import rebuilt, recurrent
from irisspark.keras_import.eras.operations import OPERATION_CLASSES, convert_operation
from irisspark.keras_import.findings import Findings
from irisspark.keras_import.words import names

Convert = Callable[[Layer], Layer]


@dataclass(frozen=True)
class Changed:
    """What became of a layer: its Keras 3 name, its renamed settings, and what else is done."""

    class_name: str | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    convert: Convert | None = None


def _first_axis(layer: Layer) -> Layer:
    """tf.keras writes the axis of a batch normalization as a list of one."""
    axis = layer.config.get("axis", -1)
    if isinstance(axis, list) and len(axis) != 1:
        raise ModelError(f"layer {layer.name!r} normalizes over the axes {axis}: Keras 3 takes one")
    return layer.renamed(layer.class_name, axis=axis[0] if isinstance(axis, list) else axis)


def _input_layer(layer: Layer) -> Layer:
    config = {**layer.config}
    shape = config.pop("batch_input_shape", None) or config.get("batch_shape")
    if config.get("ragged"):
        raise ModelError(f"the input {layer.name!r} is ragged, which Keras 3 does not run here")
    return replace(layer, config={**config, "batch_shape": shape})


def _smart_resizing(layer: Layer) -> Layer:
    """Where a ``RandomCrop`` predicts, it cuts to the wanted proportions and resizes."""
    size = {key: layer.config[key] for key in ("height", "width")}
    return replace(layer, config={"name": layer.name, **size, "crop_to_aspect_ratio": True})


def _bare(layer: Layer) -> Layer:
    """Nothing is left of a layer that changes its input in training alone."""
    return replace(layer, config={"name": layer.name})


def _multi_hot(layer: Layer) -> Layer:
    mode = layer.config.get("output_mode")
    return layer.renamed(layer.class_name, output_mode="multi_hot") if mode == "binary" else layer


def _finite_bins(layer: Layer) -> Layer:
    """Before 2.6 the last boundary was infinite; now one of boundaries and their number stands."""
    bins = layer.config.get("bin_boundaries")
    if not isinstance(bins, list):
        return layer
    config = {key: value for key, value in layer.config.items() if key != "num_bins"}
    return replace(layer, config={**config, "bin_boundaries": [b for b in bins if b < math.inf]})


def _without_renorm(layer: Layer) -> Layer:
    """What renormalization keeps beside the moving statistics steers training alone."""
    layer = _first_axis(layer)
    if not layer.config.get("renorm"):
        return layer
    config = {k: v for k, v in layer.config.items() if not k.startswith("renorm")}
    scaled = config.get("scale", True) + config.get("center", True)
    return replace(layer, config=config, weights=layer.weights[: scaled + 2])


def _with_its_table(layer: Layer) -> Layer:
    """A table lies in the configuration, or nowhere in an ``.h5``."""
    if not isinstance(layer.config.get("vocabulary"), list):
        raise ModelError(
            f"the table of layer {layer.name!r} (IntegerLookup) is not in the file's "
            "configuration: make the layer with its vocabulary as a list, and save the model again"
        )
    return layer


def _causal(layer: Layer) -> Layer:
    """Keras 3 takes ``causal`` where the attention is called."""
    config = {**layer.config}
    if not config.pop("causal", False):
        return replace(layer, config=config)
    calls = tuple(
        replace(call, kwargs={**call.kwargs, "use_causal_mask": True}) for call in layer.calls
    )
    return replace(layer, config=config, calls=calls)


def _shared_axes(layer: Layer) -> Layer:
    """Keras 1 does not store which axes share their slopes, and the array tells: it has 1 there."""
    if layer.config.get("shared_axes") is not None or not layer.weights:
        return layer
    shared = [axis for axis, size in enumerate(layer.weights[0].shape, 1) if size == 1]
    return replace(layer, config={**layer.config, "shared_axes": shared or None})


CHANGED: Mapping[str, Changed] = {
    "AdditiveAttention": Changed(convert=_causal),
    "Attention": Changed(convert=_causal),
    "BatchNormalization": Changed(convert=_without_renorm),
    "BatchNormalizationV1": Changed("BatchNormalization", convert=_without_renorm),
    "BatchNormalizationV2": Changed("BatchNormalization", convert=_without_renorm),
    "CategoryEncoding": Changed(renames={"max_tokens": "num_tokens"}, convert=_multi_hot),
    "CuDNNGRU": Changed("GRU", convert=recurrent.from_cudnn_gru),
    "CuDNNLSTM": Changed("LSTM", convert=recurrent.from_cudnn_lstm),
    "Discretization": Changed(renames={"bins": "bin_boundaries"}, convert=_finite_bins),
    "GRU": Changed(convert=recurrent.without_reset_after),
    "GRUCell": Changed(convert=recurrent.without_reset_after),
    "Highway": Changed(convert=rebuilt.highway),
    "InputLayer": Changed(convert=_input_layer),
    "IntegerLookup": Changed(convert=_with_its_table),
    "LeakyReLU": Changed(renames={"alpha": "negative_slope"}),
    "LocallyConnected1D": Changed(convert=rebuilt.locally_connected),
    "LocallyConnected2D": Changed(convert=rebuilt.locally_connected),
    "MaxoutDense": Changed(convert=rebuilt.maxout_dense),
    "PReLU": Changed(convert=_shared_axes),
    "RandomCrop": Changed("Resizing", convert=_smart_resizing),
    "RandomHeight": Changed("Identity", convert=_bare),
    "RandomWidth": Changed("Identity", convert=_bare),
    "SyncBatchNormalization": Changed("BatchNormalization", convert=_first_axis),
    "ThresholdedReLU": Changed("ReLU", {"theta": "threshold"}),
    "UnifiedGRU": Changed("GRU", convert=recurrent.without_reset_after),
    "UnifiedLSTM": Changed("LSTM"),
}

_RECURRENT = names("Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D GRU LSTM RNN SimpleRNN")
# Settings without a word in Keras 3, and the values that mean nothing there.
_DROPPED = names(
    "batch_input_shape batch_size cacheable _cacheable cell_class data_format filters "
    "fused implementation input_dim input_dtype input_length input_shape input_spec "
    "interpolation key_shape layer num_constants optional query_shape renorm_momentum "
    "rank value_shape zero_output_for_mask autocast build_config groups noise_shape "
    "vocabulary_size ragged trainable"
)
_HARMLESS = {"groups": (1,), "data_format": ("channels_last", "channels_first"), "ragged": (False,)}
# From which tf.keras on a layer computes as Keras 3's, as far as tried.
_SINCE = {"Hashing": (2, 8), "RandomCrop": (2, 8)}
# What Keras 3 makes without the word "trainable".
_NEVER_FROZEN = names("Discretization SpatialDropout1D SpatialDropout2D SpatialDropout3D")
_KNOWN = frozenset(CHANGED) | frozenset(ARGUMENTS) | OPERATION_CLASSES
_COMMON = frozenset({"name", "trainable", "dtype"})
_OBJECT_KINDS = ("initializer", "regularizer", "constraint")


def to_keras_3(layer: Layer, findings: Findings) -> Layer:
    """Convert one layer; what it wraps has been converted before.

    Raises:
        ModelError: the layer, its activation or one of its settings is not in Keras 3.
    """
    if layer.network:
        return layer
    if layer.class_name in OPERATION_CLASSES:
        findings.converted("TensorFlow operation -> Keras 3 operation")
        return convert_operation(layer)
    change = CHANGED.get(layer.class_name, Changed())
    renamed = {change.renames.get(key, key): value for key, value in layer.config.items()}
    new = replace(layer, class_name=change.class_name or layer.class_name, config=renamed)
    if change.convert:
        new = change.convert(new)
    if new.class_name in _RECURRENT:
        new = recurrent.with_initial_state(new)
    if new.network:
        findings.converted(f"{layer.class_name} rebuilt from Keras 3 layers")
        return replace(new, network=new.network.map_layers(lambda part: _settle(part, findings)))
    if new.class_name not in ARGUMENTS and "__module__" not in new.config:
        raise _unknown(layer)
    if new.class_name != layer.class_name:
        findings.converted(f"{layer.class_name} -> {new.class_name}")
    return _settle(new, findings)


def check_classes(network: Network, version: str | None) -> None:
    """Refuse a model with a layer that is not in the tables, before its arrays are looked at.

    Raises:
        ModelError: names the layer and its class.
    """
    for layer in network.walk():
        if layer.class_name in _SINCE and _numbers(version) < _SINCE[layer.class_name]:
            raise ModelError(
                f"layer {layer.name!r} is a {layer.class_name} of tf.keras {version}, which "
                "computes otherwise than Keras 3's"
            )
        if not layer.network and layer.class_name not in _KNOWN:
            raise _unknown(layer)


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version or "0")[:2])


def _settle(layer: Layer, findings: Findings) -> Layer:
    """Give every setting in Keras 3's form, and drop those that it has no word for."""
    if layer.network or "__module__" in layer.config:
        return layer
    known = ARGUMENTS[layer.class_name] | _COMMON
    if layer.class_name in _NEVER_FROZEN:
        known -= {"trainable"}
    config: Config = {}
    for key, value in layer.config.items():
        if key in known:
            settled = _value(key, value, layer, findings)
            if settled is not None or key.endswith("activation") or key == "merge_mode":
                config[key] = settled
        elif not _may_go(key, value):
            raise ModelError(
                f"layer {layer.name!r} ({layer.class_name}) has the setting {key}={value!r}, "
                "which Keras 3 does not know"
            )
    return replace(layer, config=config)


def _value(key: str, value: Any, layer: Layer, findings: Findings) -> Any:
    if key in ("activation", "recurrent_activation"):
        return _activation(key, value, layer, findings)
    kind = key.rsplit("_", 1)[-1]
    if kind in _OBJECT_KINDS:
        return convert_object(kind, value, f"layer {layer.name!r}", findings)
    if key == "dtype":
        return value if layer.class_name == "InputLayer" else convert_dtype(value)
    return value


def _activation(key: str, value: Any, layer: Layer, findings: Findings) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") in (
        "ReLU",
        "LeakyReLU",
        "ELU",
        "Softmax",
    ):
        part = Layer(str(value["class_name"]), f"{layer.name}_{key}", dict(value.get("config", {})))
        converted = to_keras_3(part, findings)
        return {
            "module": "keras.layers",
            "class_name": converted.class_name,
            "config": converted.config,
            "registered_name": None,
        }
    new = convert_activation(value, layer.name)
    if isinstance(new, dict) and value is not new:
        findings.converted("hard_sigmoid kept with the slope of Keras 1 and 2")
    return new


def _may_go(key: str, value: Any) -> bool:
    if not value or key.rsplit("_", 1)[-1] in _OBJECT_KINDS:
        return True
    if key in _HARMLESS:
        return value in _HARMLESS[key]
    return key in _DROPPED


def _unknown(layer: Layer) -> ModelError:
    if layer.class_name == "Lambda":
        return ModelError(
            f"layer {layer.name!r} is a Lambda: it holds code for the Python that saved it, which "
            "no other Python can run. Put Keras's own layers in its place and save the model again"
        )
    return ModelError(
        f"layer {layer.name!r} is of the class {layer.class_name!r}, which is not Keras's own: "
        "a model file does not hold the code of a custom layer"
    )
