"""What the numbers of a model's output can be, told from the graph that makes them.

Intervals go through the graph from where an activation bounds them, and with them the sum over the
last axis, where it is the same in every row: probabilities are numbers that are not negative and
add up to 1, whatever layers or operations made them so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from irisspark.model import keras_private

if TYPE_CHECKING:
    import keras

_INF = math.inf
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Range:
    """What is known of a tensor's numbers in every row.

    Attributes:
        low: None is smaller.
        high: None is larger.
        total: What they add up to over the last axis, None where that is not fixed.
        logarithm: Whether their exponentials add up to 1 over the last axis.
        name: Keras's name of the activation that made them, for people.
        opposite: Of which other tensor this one is 1 minus the numbers.
    """

    low: float = -_INF
    high: float = _INF
    total: float | None = None
    logarithm: bool = False
    name: str | None = None
    opposite: int | None = None

    @property
    def probabilities(self) -> bool:
        """Whether the numbers over the last axis are probabilities."""
        return (
            self.total is not None and self.low >= -_TOLERANCE and abs(self.total - 1) <= _TOLERANCE
        )

    @property
    def unit_interval(self) -> bool:
        """Whether each number lies between 0 and 1."""
        return self.low >= -_TOLERANCE and self.high <= 1 + _TOLERANCE


_UNKNOWN = Range()
_SIMPLEX = Range(0.0, 1.0, 1.0)
Inputs = Sequence[Range]
Rule = Callable[[Any, "_Call"], Range]


def output_range(model: keras.Model) -> Range:
    """Tell what is known of the numbers that a model with one output puts out."""
    try:
        return _Reader().of(model.outputs[0])
    except RecursionError:
        return _UNKNOWN


class _Reader:
    """Goes from a tensor back to what made it, as far as that matters."""

    def __init__(self, given: Mapping[int, Range] | None = None) -> None:
        self._known: dict[int, Range] = dict(given or {})

    def of(self, tensor: Any) -> Range:
        if not keras_private.is_symbolic(tensor):
            return _constant(tensor)
        if id(tensor) not in self._known:
            operation, arguments, place = keras_private.maker_of(tensor)
            call = _Call(self, arguments, tensor)
            self._known[id(tensor)] = _made(operation, call, place)
        return self._known[id(tensor)]


class _Call:
    """One use of an operation: what it takes, and the tensor that comes of it."""

    def __init__(self, reader: _Reader, arguments: Any, output: Any) -> None:
        self.reader, self.arguments, self.output = reader, arguments, output
        self.tensors = keras_private.flat_arguments(arguments)
        self.named: Mapping[str, Any] = arguments.kwargs

    @property
    def ranges(self) -> list[Range]:
        return [self.reader.of(tensor) for tensor in self.tensors]

    @property
    def first(self) -> Range:
        return self.reader.of(self.tensors[0])

    def keeps_last_axis(self) -> bool:
        """Whether what adds up in the first input does so in the output."""
        return _last(self.tensors[0]) == _last(self.output) is not None

    @property
    def stretched(self) -> list[Range]:
        """The ranges of the inputs; one that is stretched over the last axis adds up to more."""
        width = _last(self.output)
        return [
            one if _last(tensor) == width is not None else _unsorted(one)
            for tensor, one in zip(self.tensors, self.ranges, strict=True)
        ]


def _made(operation: Any, call: _Call, place: int) -> Range:
    import keras

    if not keras_private.is_kerass_own(operation):
        return _UNKNOWN
    if isinstance(operation, keras.Model):
        return _nested(operation, call, place)
    kind = type(operation).__name__
    if kind in _RULES:
        return _RULES[kind](operation, call)
    if kind in _ACTIVATIONS and not isinstance(operation, keras.layers.Layer):
        return _ACTIVATIONS[kind](call.first)
    activation = getattr(operation, "activation", None)
    if activation is None:
        return _UNKNOWN
    return _activated(activation, _UNKNOWN)


def _nested(model: Any, call: _Call, place: int) -> Range:
    if not getattr(model, "outputs", None):
        return _UNKNOWN
    given = {id(own): call.reader.of(t) for own, t in zip(model.inputs, call.tensors, strict=False)}
    return _Reader(given).of(model.outputs[place])


def _activated(activation: Any, before: Range) -> Range:
    """What an activation makes: a function of Keras's, or a layer or a model in its place."""
    import keras

    if isinstance(activation, keras.Sequential):
        made = reduce(lambda found, layer: _activated(layer, found), activation.layers, before)
        return replace(made, name="hard_sigmoid" if made.unit_interval else made.name)
    if activation is None:
        return before
    name = getattr(activation, "__name__", None) or type(activation).__name__
    if isinstance(activation, keras.layers.Layer):
        return _by_layer(activation, name, before)
    known = _ACTIVATIONS.get(_camel(name))
    return replace(known(before) if known else _UNKNOWN, name=name)


def _by_layer(layer: Any, name: str, before: Range) -> Range:
    if name == "Softmax":
        return replace(_softmax_over(layer.axis), name="softmax")
    if name == "ReLU":
        return replace(_relu_layer(layer, before), name="relu")
    if name == "Rescaling":
        return _rescaled(layer, before)
    if name == "Activation":
        return _activated(layer.activation, before)
    return replace(_UNKNOWN, name=name)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _last(tensor: Any) -> int | None:
    shape = tuple(tensor.shape) if hasattr(tensor, "shape") else np.shape(tensor)
    return shape[-1] if shape else None


def _constant(value: Any) -> Range:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return _UNKNOWN
    if not numbers.size or np.isnan(numbers).any():
        return _UNKNOWN
    return Range(float(numbers.min()), float(numbers.max()))


def _number(value: Range) -> float | None:
    """The number that a constant is, None where it is no single one."""
    return value.low if value.low == value.high else None


# Functions of one tensor, by the names of Keras's operations.


def _monotone(function: Callable[[float], float]) -> Callable[[Range], Range]:
    def apply(before: Range) -> Range:
        return Range(function(before.low), function(before.high))

    return apply


def _between(low: float, high: float) -> Callable[[Range], Range]:
    return lambda before: Range(low, high)


def _exp(before: Range) -> Range:
    if before.logarithm:
        return _SIMPLEX
    return Range(_exp_of(before.low), _exp_of(before.high))


def _exp_of(value: float) -> float:
    return math.exp(min(value, 700.0)) if value < _INF else _INF


def _log(before: Range) -> Range:
    low = math.log(before.low) if 0 < before.low < _INF else -_INF
    high = math.log(before.high) if 0 < before.high < _INF else _INF
    return Range(low, high, logarithm=before.probabilities, name="log")


def _absolute(before: Range) -> Range:
    if before.low >= 0:
        return before
    return Range(max(0.0, -before.high), max(abs(before.low), abs(before.high)))


def _square(before: Range) -> Range:
    size = _absolute(before)
    return Range(_times(size.low, size.low), _times(size.high, size.high))


def _relu(before: Range) -> Range:
    return before if before.low >= 0 else Range(0.0, max(before.high, 0.0))


def _linear(before: Range) -> Range:
    return before


_ACTIVATIONS: Mapping[str, Callable[[Range], Range]] = {
    "Abs": _absolute,
    "Absolute": _absolute,
    "Exp": _exp,
    "Exponential": _exp,
    "HardSigmoid": _between(0.0, 1.0),
    "HardTanh": _between(-1.0, 1.0),
    "Linear": _linear,
    "Log": _log,
    "LogSigmoid": _between(-_INF, 0.0),
    "LogSoftmax": lambda before: Range(-_INF, 0.0, logarithm=True),
    "Relu": _relu,
    "Relu6": lambda before: Range(_relu(before).low, min(_relu(before).high, 6.0)),
    "Sigmoid": _between(0.0, 1.0),
    "Softmax": lambda before: _SIMPLEX,
    "Softplus": _between(0.0, _INF),
    "Softsign": _between(-1.0, 1.0),
    "Sparsemax": _between(0.0, _INF),  # Keras's does not add up to 1 where a number is large
    "Sqrt": _monotone(lambda value: math.sqrt(value) if 0 <= value < _INF else max(value, 0.0)),
    "Square": _square,
    "Tanh": _between(-1.0, 1.0),
}


# Operations and layers that need more than a function.


def _same(operation: Any, call: _Call) -> Range:
    """What only moves numbers about, or does nothing where a model predicts."""
    if call.named.get("training"):
        return _UNKNOWN
    before = call.first
    if getattr(operation, "data_format", None) == "channels_first":
        return _unsorted(before)
    return before if call.keeps_last_axis() else _unsorted(before)


def _unsorted(before: Range) -> Range:
    """The same numbers, no longer side by side."""
    return replace(before, total=None, logarithm=False, opposite=None)


def _hull(ranges: Inputs) -> Range:
    name = next((one.name for one in ranges if one.name), None)
    return Range(min(r.low for r in ranges), max(r.high for r in ranges), name=name)


def _permuted(operation: Any, call: _Call) -> Range:
    axes = getattr(operation, "dims", None) or getattr(operation, "axes", None)
    rank = len(call.output.shape)
    stays = axes is not None and axes[-1] in (-1, rank - 1)
    return call.first if stays else _unsorted(call.first)


def _sliced(operation: Any, call: _Call) -> Range:
    """``x[...]``: whole rows of the last axis are what they were."""
    key = call.arguments.args[1] if len(call.arguments.args) > 1 else call.named.get("key")
    parts = list(key) if isinstance(key, list | tuple) else [key]
    taken = [part for part in parts if part is not None]
    if any(keras_private.is_symbolic(part) for part in taken):
        return _unsorted(call.first)
    open_end = len(taken) < len(call.tensors[0].shape) and Ellipsis not in taken
    whole = open_end or (taken and (taken[-1] is Ellipsis or taken[-1] == slice(None)))
    return call.first if whole else _unsorted(call.first)


def _padded(operation: Any, call: _Call) -> Range:
    """Zeros may stand among the numbers."""
    return _hull([_unsorted(call.first), Range(0.0, 0.0)])


def _pooled(operation: Any, call: _Call) -> Range:
    """Averages over places: what adds up at each of them does so in the average."""
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return _unsorted(call.first)
    return replace(call.first, logarithm=False, opposite=None)


def _extreme(operation: Any, call: _Call) -> Range:
    return _unsorted(_hull(call.ranges))


def _maximum(operation: Any, call: _Call) -> Range:
    ranges = call.stretched
    floors = [one for one in ranges if 0 <= (1 if (n := _number(one)) is None else n) <= _TOLERANCE]
    rest = [one for one in ranges if one not in floors]
    if floors and len(rest) == 1 and rest[0].probabilities:
        return rest[0]  # what keeps a logarithm finite
    return _extreme(operation, call)


def _mean(operation: Any, call: _Call) -> Range:
    before = replace(call.first, logarithm=False, opposite=None)
    axis, rank = operation.axis, len(call.tensors[0].shape)
    axes = [axis] if isinstance(axis, int) else axis
    if axes is None or any(one % rank == rank - 1 for one in axes):
        return _unsorted(before)
    return before


def _softmax_over(axis: Any) -> Range:
    return _SIMPLEX if axis in (-1, [-1], (-1,)) else Range(0.0, 1.0)


def _softmax(operation: Any, call: _Call) -> Range:
    axis, rank = operation.axis, len(call.output.shape)
    axis = axis - rank if isinstance(axis, int) and axis >= 0 else axis
    return replace(_softmax_over(axis), name="softmax")


def _log_softmax(operation: Any, call: _Call) -> Range:
    over_last = _softmax(operation, call).total is not None
    return Range(-_INF, 0.0, logarithm=over_last, name="log_softmax")


def _activation_layer(operation: Any, call: _Call) -> Range:
    return _activated(operation.activation, call.first)


def _relu_layer(layer: Any, before: Range) -> Range:
    if layer.negative_slope or layer.threshold:
        return _UNKNOWN
    ceiling = _INF if layer.max_value is None else float(layer.max_value)
    after = _relu(before)
    return after if after.high <= ceiling else Range(after.low, ceiling)


def _clipped(operation: Any, call: _Call) -> Range:
    before = call.first
    low, high = (_constant(getattr(operation, name)) for name in ("x_min", "x_max"))
    if before.low >= low.high and before.high <= high.low:
        return before
    inside = abs(low.high) <= _TOLERANCE and abs(high.low - 1) <= _TOLERANCE
    if before.probabilities and inside:
        return before  # what keeps a logarithm finite
    return Range(max(before.low, low.low), min(before.high, high.high), name="clip")


def _rescaled(layer: Any, before: Range) -> Range:
    scale, offset = _constant(layer.scale), _constant(layer.offset)
    if np.size(layer.scale) > 1 or np.size(layer.offset) > 1:
        before = _unsorted(before)  # it may be stretched
    return _sum_of([_product(before, scale), offset])


def _rescaling(operation: Any, call: _Call) -> Range:
    before = call.first
    after = _rescaled(operation, before)
    turned = _number(_constant(operation.scale)) == -1 and _number(_constant(operation.offset)) == 1
    return replace(after, opposite=id(call.tensors[0])) if turned else after


def _product(one: Range, other: Range) -> Range:
    factor = _number(other)
    if factor is None and _number(one) is not None:
        one, other, factor = other, one, _number(one)
    if factor == 1:
        return replace(one, opposite=None)
    ends = [_times(a, b) for a in (one.low, one.high) for b in (other.low, other.high)]
    total = one.total * factor if factor is not None and one.total is not None else None
    name = one.name if factor is not None else None
    return Range(min(ends), max(ends), total, name=name)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _sum_of(ranges: Inputs) -> Range:
    totals = [one.total for one in ranges if one.total is not None]
    none_added = [one for one in ranges if _number(one) != 0]
    if len(none_added) == 1:
        return none_added[0]
    low, high = sum(one.low for one in ranges), sum(one.high for one in ranges)
    return Range(
        -_INF if math.isnan(low) else low,  # of infinities of both signs
        _INF if math.isnan(high) else high,
        sum(totals) if len(totals) == len(ranges) else None,
        name=next((one.name for one in ranges if one.name), None),
    )


def _added(operation: Any, call: _Call) -> Range:
    return _sum_of(call.stretched)


def _subtracted(operation: Any, call: _Call) -> Range:
    one, other = call.stretched
    found = _sum_of([one, _product(other, Range(-1.0, -1.0))])
    return replace(found, opposite=id(call.tensors[1])) if _number(one) == 1 else found


def _negated(operation: Any, call: _Call) -> Range:
    return _product(call.first, Range(-1.0, -1.0))


def _multiplied(operation: Any, call: _Call) -> Range:
    return reduce(_product, call.stretched)


def _divided(operation: Any, call: _Call) -> Range:
    one, other = call.stretched
    divisor = _number(other)
    if divisor:
        return _product(one, Range(1 / divisor, 1 / divisor))
    if one.low >= 0 and _is_own_sum(*call.tensors):
        return _SIMPLEX
    return _UNKNOWN


def _is_own_sum(tensor: Any, divisor: Any) -> bool:
    """Whether a tensor is divided by what it adds up to over the last axis."""
    if not keras_private.is_symbolic(divisor):
        return False
    operation, arguments, _ = keras_private.maker_of(divisor)
    if type(operation).__name__ != "Sum" or not operation.keepdims:
        return False
    axes = [operation.axis] if isinstance(operation.axis, int) else operation.axis
    last = len(tensor.shape) - 1
    return (
        axes is not None
        and [axis % (last + 1) for axis in axes] == [last]
        and keras_private.flat_arguments(arguments)[0] is tensor
    )


def _averaged(operation: Any, call: _Call) -> Range:
    import keras

    if not isinstance(operation, keras.layers.Layer):
        return _mean(operation, call) if len(call.tensors) == 1 else _UNKNOWN
    count = len(call.tensors)
    return _product(_added(operation, call), Range(1 / count, 1 / count))


def _concatenated(operation: Any, call: _Call) -> Range:
    ranges, rank = call.ranges, len(call.output.shape)
    if operation.axis % rank != rank - 1:
        return _stacked(operation, call)
    if _complementary(call.tensors, ranges) and all(one.unit_interval for one in ranges):
        return _SIMPLEX
    totals = [one.total for one in ranges]
    known = [total for total in totals if total is not None]
    return replace(_hull(ranges), total=sum(known) if len(known) == len(totals) else None)


def _complementary(tensors: Sequence[Any], ranges: Inputs) -> bool:
    """Whether two columns are a number and 1 minus it."""
    if len(tensors) != 2 or any(_last(tensor) != 1 for tensor in tensors):
        return False
    return ranges[0].opposite == id(tensors[1]) or ranges[1].opposite == id(tensors[0])


def _stacked(operation: Any, call: _Call) -> Range:
    ranges = call.ranges
    at_end = operation.axis in (-1, len(call.output.shape) - 1)
    same = {one.total for one in ranges}
    total = same.pop() if len(same) == 1 and not at_end else None
    return replace(_hull(ranges), total=total)


def _recurrent(operation: Any, call: _Call) -> Range:
    """A gate between 0 and 1 times an activation, beginning with a state of zeros."""
    inner = getattr(operation, "cell", operation)
    made = _activated(getattr(inner, "activation", None), _UNKNOWN)
    gate = _activated(getattr(inner, "recurrent_activation", None), _UNKNOWN)
    if not gate.unit_interval or (made.low == -_INF and made.high == _INF):
        return Range(name=made.name)
    return replace(_hull([_unsorted(made), Range(0.0, 0.0)]), name=made.name)


def _time_distributed(operation: Any, call: _Call) -> Range:
    """A layer at each step, as if it stood alone."""
    import keras

    inner = operation.layer
    if not keras_private.is_kerass_own(inner):
        return _UNKNOWN
    if isinstance(inner, keras.Model):
        return _Reader().of(inner.outputs[0]) if getattr(inner, "outputs", None) else _UNKNOWN
    kind = type(inner).__name__
    if kind in ("Softmax", "ReLU", "Rescaling", "Activation"):
        return _activated(inner, call.first)
    if kind in _STILL:
        return call.first
    activation = getattr(inner, "activation", None)
    if activation is None or kind in _WITH_GATES:
        return _UNKNOWN
    return _activated(activation, _UNKNOWN)


_WITH_GATES = ("RNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_STILL = (
    "ActivityRegularization",
    "AlphaDropout",
    "Cast",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StopGradient",
)
_MOVING = (
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "ExpandDims",
    "Flatten",
    "Ravel",
    "RepeatVector",
    "Reshape",
    "Squeeze",
)
_PADDING = ("Masking", "Pad", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
_MAXIMA = (
    *(f"{kind}MaxPooling{rank}D" for kind in ("", "Global") for rank in (1, 2, 3)),
    "Max",
    "Min",
    "Minimum",
)
_AVERAGES = tuple(f"{kind}AveragePooling{rank}D" for kind in ("", "Global") for rank in (1, 2, 3))
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys((*_STILL, *_MOVING), _same),
    **dict.fromkeys(_PADDING, _padded),
    **dict.fromkeys(_MAXIMA, _extreme),
    **dict.fromkeys(_AVERAGES, _pooled),
    **dict.fromkeys(_WITH_GATES, _recurrent),
    "Activation": _activation_layer,
    "Add": _added,
    "Average": _averaged,
    "Clip": _clipped,
    "Concatenate": _concatenated,
    "Divide": _divided,
    "GetItem": _sliced,
    "LogSoftmax": _log_softmax,
    "Maximum": _maximum,
    "Mean": _mean,
    "Multiply": _multiplied,
    "Negative": _negated,
    "Permute": _permuted,
    "ReLU": lambda layer, call: replace(_relu_layer(layer, call.first), name="relu"),
    "Rescaling": _rescaling,
    "Softmax": _softmax,
    "Stack": _stacked,
    "Subtract": _subtracted,
    "TimeDistributed": _time_distributed,
    "Transpose": _permuted,
    "TrueDivide": _divided,
}
