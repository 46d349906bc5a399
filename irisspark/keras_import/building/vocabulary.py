"""Keras 3.15's own layers: what each takes, and which arrays it learns, in their order.

A layer that is not in ``ARGUMENTS`` never reaches Keras. An array's shape is a tuple with ``None``
where the layer's settings do not say the size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from irisspark.keras_import.building.network import Config, Layer, Network
from irisspark.keras_import.words import names

_W = "kernel_initializer kernel_regularizer kernel_constraint"
_B = "bias_initializer bias_regularizer bias_constraint use_bias"
_CONV = (
    f"filters kernel_size strides padding data_format dilation_rate activation {_W} {_B} "
    "activity_regularizer"
)
_DEPTHWISE = (
    "kernel_size strides padding depth_multiplier data_format dilation_rate activation "
    f"depthwise_initializer depthwise_regularizer depthwise_constraint {_B} activity_regularizer"
)
_SEPARABLE = (
    f"{_DEPTHWISE} filters pointwise_initializer pointwise_regularizer pointwise_constraint"
)
_CELL = (
    f"units activation {_W} {_B} recurrent_initializer recurrent_regularizer recurrent_constraint "
    "dropout recurrent_dropout seed"
)
_SEQUENCE = "return_sequences return_state go_backwards stateful"
_RECURRENT = f"{_CELL} {_SEQUENCE} unroll activity_regularizer"
_CONV_LSTM = (
    f"{_CONV} recurrent_activation recurrent_initializer recurrent_regularizer unit_forget_bias "
    f"recurrent_constraint dropout recurrent_dropout seed {_SEQUENCE}"
)
_SCALED = (
    "epsilon center scale beta_initializer gamma_initializer beta_regularizer gamma_regularizer "
    "beta_constraint gamma_constraint"
)
_POOL = "pool_size strides padding data_format"
_GLOBAL = "data_format keepdims"

_RAW_ARGUMENTS = {
    "Activation": "activation",
    "ActivityRegularization": "l1 l2",
    "Add": "",
    "AdditiveAttention": "use_scale dropout",
    "AlphaDropout": "rate noise_shape seed",
    "Attention": "use_scale score_mode dropout seed",
    "Average": "",
    "AveragePooling1D": _POOL,
    "AveragePooling2D": _POOL,
    "AveragePooling3D": _POOL,
    "BatchNormalization": f"axis momentum {_SCALED} moving_mean_initializer "
    "moving_variance_initializer",
    "Bidirectional": "merge_mode",
    "CategoryEncoding": "num_tokens output_mode sparse",
    "CenterCrop": "height width data_format",
    "Concatenate": "axis",
    "Conv1D": f"{_CONV} groups",
    "Conv1DTranspose": f"{_CONV} output_padding",
    "Conv2D": f"{_CONV} groups",
    "Conv2DTranspose": f"{_CONV} output_padding",
    "Conv3D": f"{_CONV} groups",
    "Conv3DTranspose": f"{_CONV} output_padding",
    "ConvLSTM1D": _CONV_LSTM,
    "ConvLSTM2D": _CONV_LSTM,
    "ConvLSTM3D": _CONV_LSTM,
    "Cropping1D": "cropping",
    "Cropping2D": "cropping data_format",
    "Cropping3D": "cropping data_format",
    "Dense": f"units activation {_W} {_B} activity_regularizer",
    "DepthwiseConv1D": _DEPTHWISE,
    "DepthwiseConv2D": _DEPTHWISE,
    "Discretization": "bin_boundaries num_bins epsilon output_mode sparse",
    "Dot": "axes normalize",
    "Dropout": "rate noise_shape seed",
    "ELU": "alpha",
    "EinsumDense": f"equation output_shape activation bias_axes {_W} {_B} activity_regularizer",
    "Embedding": "input_dim output_dim embeddings_initializer embeddings_regularizer "
    "embeddings_constraint mask_zero",
    "Flatten": "data_format",
    "GRU": f"{_RECURRENT} recurrent_activation reset_after",
    "GRUCell": f"{_CELL} recurrent_activation reset_after",
    "GaussianDropout": "rate seed",
    "GaussianNoise": "stddev seed",
    "GlobalAveragePooling1D": _GLOBAL,
    "GlobalAveragePooling2D": _GLOBAL,
    "GlobalAveragePooling3D": _GLOBAL,
    "GlobalMaxPooling1D": _GLOBAL,
    "GlobalMaxPooling2D": _GLOBAL,
    "GlobalMaxPooling3D": _GLOBAL,
    "GroupNormalization": f"groups axis {_SCALED}",
    "Hashing": "num_bins mask_value salt output_mode sparse",
    "Identity": "",
    "InputLayer": "batch_shape sparse",
    "IntegerLookup": "max_tokens num_oov_indices mask_token oov_token vocabulary vocabulary_dtype "
    "idf_weights invert output_mode sparse pad_to_max_tokens",
    "LSTM": f"{_RECURRENT} recurrent_activation unit_forget_bias",
    "LSTMCell": f"{_CELL} recurrent_activation unit_forget_bias",
    "LayerNormalization": f"axis {_SCALED}",
    "LeakyReLU": "negative_slope",
    "Masking": "mask_value",
    "MaxPooling1D": _POOL,
    "MaxPooling2D": _POOL,
    "MaxPooling3D": _POOL,
    "Maximum": "",
    "Minimum": "",
    "MultiHeadAttention": "num_heads key_dim value_dim dropout use_bias output_shape "
    f"attention_axes {_W} {_B} activity_regularizer seed",
    "Multiply": "",
    "Normalization": "axis mean variance invert",
    "PReLU": "alpha_initializer alpha_regularizer alpha_constraint shared_axes",
    "Permute": "dims",
    "RNN": f"{_SEQUENCE} unroll zero_output_for_mask",
    "RandomBrightness": "factor value_range seed",
    "RandomContrast": "factor value_range seed",
    "RandomCrop": "height width seed",
    "RandomFlip": "mode seed",
    "RandomRotation": "factor fill_mode interpolation seed fill_value",
    "RandomTranslation": "height_factor width_factor fill_mode interpolation seed fill_value",
    "RandomZoom": "height_factor width_factor fill_mode interpolation seed fill_value",
    "ReLU": "max_value negative_slope threshold",
    "RepeatVector": "n",
    "Rescaling": "scale offset",
    "Reshape": "target_shape",
    "Resizing": "height width interpolation crop_to_aspect_ratio",
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": _RECURRENT,
    "SimpleRNNCell": _CELL,
    "Softmax": "axis",
    "SpatialDropout1D": "rate seed",
    "SpatialDropout2D": "rate data_format seed",
    "SpatialDropout3D": "rate data_format seed",
    "StackedRNNCells": "",
    "Subtract": "",
    "TimeDistributed": "",
    "UnitNormalization": "axis",
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "UpSampling3D": "size data_format",
    "ZeroPadding1D": "padding",
    "ZeroPadding2D": "padding data_format",
    "ZeroPadding3D": "padding data_format",
}
ARGUMENTS: Mapping[str, frozenset[str]] = {
    name: frozenset(args.split()) for name, args in _RAW_ARGUMENTS.items()
}

ACTIVATIONS = names(
    "celu elu exponential gelu glu hard_shrink hard_silu hard_sigmoid hard_swish "
    "hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid "
    "silu soft_shrink softmax softplus softsign sparse_plus sparsemax squareplus swish "
    "tanh tanh_shrink threshold"
)

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Slot:
    """One array of a layer: its name, whether training changes it, what is known of its shape."""

    name: str
    trainable: bool = True
    shape: Shape | None = None


Slots = tuple[Slot, ...]


def _sizes(value: Any, rank: int) -> Shape:
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,) * rank


def _bias(config: Config, size: int | None) -> Slots:
    return (Slot("bias", shape=(size,)),) if config.get("use_bias", True) else ()


def _dense(config: Config) -> Slots:
    units = config.get("units")
    return (Slot("kernel", shape=(None, units)), *_bias(config, units))


def _conv(rank: int, transposed: bool = False) -> Callable[[Config], Slots]:
    def slots(config: Config) -> Slots:
        filters = config.get("filters")
        channels = (filters, None) if transposed else (None, filters)
        shape = (*_sizes(config.get("kernel_size"), rank), *channels)
        return (Slot("kernel", shape=shape), *_bias(config, filters))

    return slots


def _depthwise(rank: int) -> Callable[[Config], Slots]:
    def slots(config: Config) -> Slots:
        shape = (*_sizes(config.get("kernel_size"), rank), None, config.get("depth_multiplier", 1))
        return (Slot("depthwise_kernel", shape=shape), *_bias(config, None))

    return slots


def _separable(rank: int) -> Callable[[Config], Slots]:
    def slots(config: Config) -> Slots:
        kernel = (*_sizes(config.get("kernel_size"), rank), None, config.get("depth_multiplier", 1))
        filters = config.get("filters")
        pointwise = Slot("pointwise_kernel", shape=(*(1,) * rank, None, filters))
        return (Slot("depthwise_kernel", shape=kernel), pointwise, *_bias(config, filters))

    return slots


def _recurrent(gates: int) -> Callable[[Config], Slots]:
    def slots(config: Config) -> Slots:
        units = config.get("units")
        width = units * gates if type(units) is int else None
        kernels = (Slot("kernel", shape=(None, width)), Slot("recurrent", shape=(units, width)))
        double = gates == 3 and config.get("reset_after")
        bias = Slot("bias", shape=(2, width) if double else (width,))
        return (*kernels, bias) if config.get("use_bias", True) else kernels

    return slots


def _conv_lstm(rank: int) -> Callable[[Config], Slots]:
    def slots(config: Config) -> Slots:
        filters = config.get("filters")
        width = filters * 4 if type(filters) is int else None
        size = _sizes(config.get("kernel_size"), rank)
        kernel = Slot("kernel", shape=(*size, None, width))
        recurrent = Slot("recurrent", shape=(*size, filters, width))
        return (kernel, recurrent, *_bias(config, width))

    return slots


def _scaled(config: Config) -> Slots:
    gamma = (Slot("gamma"),) if config.get("scale", True) else ()
    return (*gamma, Slot("beta")) if config.get("center", True) else gamma


def _batch_normalization(config: Config) -> Slots:
    moving = (Slot("moving_mean", trainable=False), Slot("moving_variance", trainable=False))
    return (*_scaled(config), *moving)


def _embedding(config: Config) -> Slots:
    return (Slot("embeddings", shape=(config.get("input_dim"), config.get("output_dim"))),)


def _attention(config: Config) -> Slots:
    scale = (Slot("scale"),) if config.get("use_scale") else ()
    concat = config.get("score_mode") == "concat"
    return (*scale, Slot("concat_score_weight")) if concat else scale


def _additive_attention(config: Config) -> Slots:
    return (Slot("scale"),) if config.get("use_scale", True) else ()


def _multi_head(config: Config) -> Slots:
    parts = ("query", "key", "value", "output")
    kinds = ("kernel", "bias") if config.get("use_bias", True) else ("kernel",)
    return tuple(Slot(f"{part}_{kind}") for part in parts for kind in kinds)


def _normalization(config: Config) -> Slots:
    if config.get("mean") is not None:
        return ()
    return tuple(Slot(name, trainable=False) for name in ("mean", "variance", "count"))


def _einsum_dense(config: Config) -> Slots:
    return (Slot("kernel"), Slot("bias")) if config.get("bias_axes") else (Slot("kernel"),)


SLOTS: Mapping[str, Callable[[Config], Slots]] = {
    "AdditiveAttention": _additive_attention,
    "Attention": _attention,
    "BatchNormalization": _batch_normalization,
    "Conv1D": _conv(1),
    "Conv2D": _conv(2),
    "Conv3D": _conv(3),
    "Conv1DTranspose": _conv(1, transposed=True),
    "Conv2DTranspose": _conv(2, transposed=True),
    "Conv3DTranspose": _conv(3, transposed=True),
    "ConvLSTM1D": _conv_lstm(1),
    "ConvLSTM2D": _conv_lstm(2),
    "ConvLSTM3D": _conv_lstm(3),
    "Dense": _dense,
    "DepthwiseConv1D": _depthwise(1),
    "DepthwiseConv2D": _depthwise(2),
    "EinsumDense": _einsum_dense,
    "Embedding": _embedding,
    "GRU": _recurrent(3),
    "GRUCell": _recurrent(3),
    "GroupNormalization": _scaled,
    "LSTM": _recurrent(4),
    "LSTMCell": _recurrent(4),
    "LayerNormalization": _scaled,
    "MultiHeadAttention": _multi_head,
    "Normalization": _normalization,
    "PReLU": lambda config: (Slot("alpha"),),
    "SeparableConv1D": _separable(1),
    "SeparableConv2D": _separable(2),
    "SimpleRNN": _recurrent(1),
    "SimpleRNNCell": _recurrent(1),
}


def slots_of(layer: Layer) -> Slots:
    """The arrays of a layer and of what it wraps, in Keras 3's order."""
    own = SLOTS[layer.class_name](layer.config) if layer.class_name in SLOTS else ()
    inner = [slot for wrapped in layer.inner.values() for slot in slots_of(wrapped)]
    nested = [slot for child in _children(layer.network) for slot in slots_of(child)]
    return (*own, *inner, *nested)


def _children(network: Network | None) -> tuple[Layer, ...]:
    return network.layers if network else ()
