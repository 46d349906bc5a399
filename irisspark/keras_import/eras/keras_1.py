"""Keras 1 (1.0 to 1.2) layers -> Keras 2 layers: one table entry a layer.

Sources: the ``get_config`` of Keras 1.2.2 and 1.0.0, and ``legacy/interfaces.py`` and
``preprocess_weights_for_loading`` of Keras 2.3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array, Config, Layer, Network, followed
from irisspark.keras_import.eras.recurrent import join_gates
from irisspark.keras_import.findings import Findings

Weights = tuple[Array, ...]


@dataclass(frozen=True)
class Old:
    """A layer of Keras 1: its Keras 2 name, its renamed settings, and what else changed in it."""

    class_name: str
    renames: Mapping[str, str] = field(default_factory=dict)
    settings: Callable[[Config], Config] | None = None
    weights: Callable[[Layer], Weights] | None = None


_DENSE = {
    "output_dim": "units",
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
}
_ORDERED = {"dim_ordering": "data_format"}
_CONV = {
    **_DENSE,
    **_ORDERED,
    "nb_filter": "filters",
    "border_mode": "padding",
    "subsample": "strides",
    "atrous_rate": "dilation_rate",
}
_CONV_1D = {**_CONV, "filter_length": "kernel_size", "subsample_length": "strides"}
_RECURRENT = {
    **_DENSE,
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "U_regularizer": "recurrent_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_CONV_LSTM = {**_CONV, **_RECURRENT}
_POOL_1D = {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"}
_POOL = {**_ORDERED, "border_mode": "padding"}
_RATE = {"p": "rate"}
_EMBEDDING = {
    "init": "embeddings_initializer",
    "W_regularizer": "embeddings_regularizer",
    "W_constraint": "embeddings_constraint",
}
_ONLY_KERAS_1 = frozenset({"W_regularizer", "border_mode", "dim_ordering", "init", "nb_filter"})
_KERNEL_SIZES = ("nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3")
_DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}


def _is_first(layer: Layer) -> bool:
    return layer.config.get("data_format") == "channels_first"


def _kernel_size(config: Config) -> Config:
    size = [config.pop(key) for key in _KERNEL_SIZES if key in config]
    return {**config, "kernel_size": size} if size else config


def _without_dropout(config: Config) -> Config:
    """Leave out whole words that an Embedding dropped while it was trained."""
    return {key: value for key, value in config.items() if key != "dropout"}


def _conv_1d_kernel(layer: Layer) -> Weights:
    """[length, 1, inputs, filters], and [filters, inputs, length, 1] before 1.1."""
    kernel, *bias = layer.weights
    length, filters = layer.config["kernel_size"], layer.config["filters"]
    if kernel.ndim == 4 and (kernel.shape[:2] != (length, 1) or kernel.shape[3] != filters):
        kernel = kernel.transpose(2, 3, 1, 0)
    return (kernel[:, 0], *bias)


def _conv_2d_kernel(layer: Layer) -> Weights:
    kernel, *bias = layer.weights
    return (kernel.transpose(2, 3, 1, 0) if _is_first(layer) else kernel, *bias)


def _conv_3d_kernel(layer: Layer) -> Weights:
    kernel, *bias = layer.weights
    return (kernel.transpose(2, 3, 4, 1, 0) if _is_first(layer) else kernel, *bias)


def _transposed_kernel(layer: Layer) -> Weights:
    kernel, *bias = layer.weights
    return (kernel.transpose((2, 3, 0, 1) if _is_first(layer) else (0, 1, 3, 2)), *bias)


def _separable_kernels(layer: Layer) -> Weights:
    if not _is_first(layer):
        return layer.weights
    depthwise, pointwise, *bias = layer.weights
    return (depthwise.transpose(2, 3, 1, 0), pointwise.transpose(2, 3, 1, 0), *bias)


def _lstm_gates(layer: Layer) -> Weights:
    return join_gates(layer.weights, "0213") if len(layer.weights) == 12 else layer.weights


def _gru_gates(layer: Layer) -> Weights:
    return join_gates(layer.weights, "012") if len(layer.weights) == 9 else layer.weights


def _conv_lstm_gates(layer: Layer) -> Weights:
    turned = [
        a.transpose(2, 3, 1, 0) if _is_first(layer) and a.ndim == 4 else a for a in layer.weights
    ]
    return _lstm_gates(replace(layer, weights=tuple(turned)))


def _highway_order(layer: Layer) -> Weights:
    """Both kernels, then both biases; before 1.2 each kernel stood beside its bias."""
    return tuple(sorted(layer.weights, key=lambda array: -array.ndim))


def _gates(arrays: int) -> Callable[[Config], Config]:
    """``consume_less="gpu"`` keeps three arrays; otherwise there are three for each gate."""

    def settings(config: Config) -> Config:
        whole = config.pop("consume_less", None) == "gpu"
        forget = config.pop("forget_bias_init", None)
        if forget is not None:
            config["unit_forget_bias"] = forget == "one"
        return {**config, "keras_1_arrays": 3 if whole else arrays}

    return settings


def _conv_lstm_settings(config: Config) -> Config:
    return _gates(12)(_kernel_size(config))


def _batch_normalization(config: Config) -> Config:
    mode = config.pop("mode", 0)
    if mode != 0:
        raise ModelError(
            f"layer {config['name']!r} is a BatchNormalization in mode {mode}, "
            "which Keras has dropped: it normalizes by the rows it is predicting"
        )
    return config


def _padding_2d(config: Config) -> Config:
    padding = config.get("padding")
    if isinstance(padding, Mapping):
        sides = [[padding.get(f"{a}_pad", 0), padding.get(f"{b}_pad", 0)] for a, b in _SIDES]
        return {**config, "padding": sides}
    if isinstance(padding, list) and len(padding) == 4:
        return {**config, "padding": [padding[:2], padding[2:]]}
    return config


_SIDES = (("top", "bottom"), ("left", "right"))


def _padding_1d(config: Config) -> Config:
    padding = config.get("padding")
    if isinstance(padding, Mapping):
        return {**config, "padding": [padding.get("left_pad", 0), padding.get("right_pad", 0)]}
    return config


def _no_output_shape(config: Config) -> Config:
    return {key: value for key, value in _kernel_size(config).items() if key != "output_shape"}


def _maxout(config: Config) -> Config:
    return {**config, "output_dim": config.pop("units")}


_COSINE = "keras_1_cosine"
_MERGE_MODES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum"}


def _merge(layer: Layer) -> Layer:
    """``Merge`` and the functional ``merge``: a layer for each mode in Keras 2."""
    mode, axes = layer.config.get("mode"), layer.config.get("dot_axes")
    config: Config = {"name": layer.name}
    if mode in _MERGE_MODES:
        return replace(layer, class_name=_MERGE_MODES[mode], config=config)
    if mode == "concat":
        axis = layer.config.get("concat_axis", -1)
        return replace(layer, class_name="Concatenate", config={**config, "axis": axis})
    if mode == "dot":
        return replace(layer, class_name="Dot", config={**config, "axes": axes})
    if mode == "cos":
        settings = {**config, "axes": axes, "normalize": True, _COSINE: True}
        return replace(layer, class_name="Dot", config=settings)
    kind = "a function" if layer.config.get("mode_type") in ("lambda", "function") else repr(mode)
    raise ModelError(
        f"layer {layer.name!r} merges by {kind}, whose code a model file does not hold"
    )


OLD: Mapping[str, Old] = {
    "AtrousConvolution1D": Old("Conv1D", _CONV_1D, None, _conv_1d_kernel),
    "AtrousConvolution2D": Old("Conv2D", _CONV, _kernel_size, _conv_2d_kernel),
    "AveragePooling1D": Old("AveragePooling1D", _POOL_1D),
    "AveragePooling2D": Old("AveragePooling2D", _POOL),
    "AveragePooling3D": Old("AveragePooling3D", _POOL),
    "BatchNormalization": Old("BatchNormalization", {}, _batch_normalization),
    "ConvLSTM2D": Old("ConvLSTM2D", _CONV_LSTM, _conv_lstm_settings, _conv_lstm_gates),
    "Convolution1D": Old("Conv1D", _CONV_1D, None, _conv_1d_kernel),
    "Convolution2D": Old("Conv2D", _CONV, _kernel_size, _conv_2d_kernel),
    "Convolution3D": Old("Conv3D", _CONV, _kernel_size, _conv_3d_kernel),
    "Cropping2D": Old("Cropping2D", _ORDERED),
    "Cropping3D": Old("Cropping3D", _ORDERED),
    "Deconvolution2D": Old("Conv2DTranspose", _CONV, _no_output_shape, _transposed_kernel),
    "Dense": Old("Dense", _DENSE),
    "Dropout": Old("Dropout", _RATE),
    "Embedding": Old("Embedding", _EMBEDDING, _without_dropout),
    "GRU": Old("GRU", _RECURRENT, _gates(9), _gru_gates),
    "GaussianDropout": Old("GaussianDropout", _RATE),
    "GaussianNoise": Old("GaussianNoise", {"sigma": "stddev"}),
    "GlobalAveragePooling2D": Old("GlobalAveragePooling2D", _ORDERED),
    "GlobalAveragePooling3D": Old("GlobalAveragePooling3D", _ORDERED),
    "GlobalMaxPooling2D": Old("GlobalMaxPooling2D", _ORDERED),
    "GlobalMaxPooling3D": Old("GlobalMaxPooling3D", _ORDERED),
    "Highway": Old("Highway", _DENSE, None, _highway_order),
    "LSTM": Old("LSTM", _RECURRENT, _gates(12), _lstm_gates),
    "LocallyConnected1D": Old("LocallyConnected1D", _CONV_1D),
    "LocallyConnected2D": Old("LocallyConnected2D", _CONV, _kernel_size),
    "MaxPooling1D": Old("MaxPooling1D", _POOL_1D),
    "MaxPooling2D": Old("MaxPooling2D", _POOL),
    "MaxPooling3D": Old("MaxPooling3D", _POOL),
    "MaxoutDense": Old("MaxoutDense", _DENSE, _maxout),
    "PReLU": Old("PReLU", {"init": "alpha_initializer"}),
    "SeparableConvolution2D": Old(
        "SeparableConv2D",
        {**_CONV, "init": "depthwise_initializer"},
        _kernel_size,
        _separable_kernels,
    ),
    "SimpleRNN": Old("SimpleRNN", _RECURRENT, _gates(3)),
    "SpatialDropout1D": Old("SpatialDropout1D", _RATE),
    "SpatialDropout2D": Old("SpatialDropout2D", {**_RATE, **_ORDERED}),
    "SpatialDropout3D": Old("SpatialDropout3D", {**_RATE, **_ORDERED}),
    "TimeDistributedDense": Old("Dense", _DENSE),
    "UpSampling1D": Old("UpSampling1D", {"length": "size"}),
    "UpSampling2D": Old("UpSampling2D", _ORDERED),
    "UpSampling3D": Old("UpSampling3D", _ORDERED),
    "ZeroPadding1D": Old("ZeroPadding1D", {}, _padding_1d),
    "ZeroPadding2D": Old("ZeroPadding2D", _ORDERED, _padding_2d),
    "ZeroPadding3D": Old("ZeroPadding3D", _ORDERED),
}


# What does not store its ordering: it had that of the user's own settings.
_UNORDERED = frozenset(
    ["Cropping2D", "Cropping3D", "UpSampling2D", "UpSampling3D", "ZeroPadding2D", "ZeroPadding3D"]
)


def with_ordering(network: Network, findings: Findings, *, theano: bool) -> Network:
    """Give the layers that do not store their ordering that of the others in the model."""
    layers = list(network.walk())
    found = {str(layer.config.get("dim_ordering")) for layer in layers} & {"tf", "th"}
    ordering = next(iter(found)) if len(found) == 1 else "th" if theano else "tf"
    silent = next((x for x in layers if x.class_name in _UNORDERED), None)
    if len(found) != 1 and silent is not None and "dim_ordering" not in silent.config:
        findings.note(
            f"the file does not say how the images of {silent.name!r} ({silent.class_name}) are "
            f"laid out: taken as with channels {'first' if ordering == 'th' else 'last'}"
        )

    def ordered(layer: Layer) -> Layer:
        if layer.class_name not in _UNORDERED or "dim_ordering" in layer.config:
            return layer
        return layer.renamed(layer.class_name, dim_ordering=ordering)

    return network.map_layers(ordered)


def settings_to_keras_2(layer: Layer, findings: Findings) -> Layer:
    """Convert a layer's name and settings; its arrays stay as they are (``weights_to_keras_2``)."""
    if layer.class_name == "Merge":
        merged = _merge(layer)
        findings.converted(f"Merge in mode {layer.config.get('mode')} -> {merged.class_name}")
        return merged
    if layer.network or layer.class_name not in OLD:
        return layer
    old = OLD[layer.class_name]
    config = {old.renames.get(key, key): value for key, value in layer.config.items()}
    if "data_format" in config:
        config["data_format"] = _DATA_FORMATS.get(config["data_format"], config["data_format"])
    if old.settings:
        config = old.settings(config)
    if old.class_name != layer.class_name or config.keys() != layer.config.keys():
        findings.converted(f"Keras 1 {layer.class_name} -> {old.class_name}")
    return replace(layer, class_name=old.class_name, config={**config, "keras_1": layer.class_name})


def with_cosine_shapes(network: Network) -> Network:
    """Give the cosine of two vectors the shape (1, 1) that Keras 1 gave it."""
    for layer in network.layers:
        if layer.config.get(_COSINE):
            name = f"{layer.name}_shape"
            reshape = Layer("Reshape", name, {"name": name, "target_shape": [1, 1]})
            plain = {key: value for key, value in layer.config.items() if key != _COSINE}
            layers = [replace(x, config=plain) if x is layer else x for x in network.layers]
            network = followed(replace(network, layers=tuple(layers)), layer.name, reshape)
    return network


def weights_to_keras_2(layer: Layer) -> Layer:
    """Bring a layer's arrays into Keras 2's order and layout, after ``settings_to_keras_2``."""
    config = {**layer.config}
    origin = config.pop("keras_1", None)
    config.pop("keras_1_arrays", None)
    old = OLD.get(origin) if origin else None
    weights = old.weights(layer) if old and old.weights and layer.weights else layer.weights
    return replace(layer, config=config, weights=weights)


def is_keras_1(settings: Mapping[str, Any]) -> bool:
    """Whether a layer's settings are named as only Keras 1 named them."""
    return not settings.keys().isdisjoint(_ONLY_KERAS_1)
