"""TensorFlow operations in a graph (``TFOpLambda``, ``TensorFlowOpLayer``) -> Keras 3 operations.

Only the operations in this table can come out: a model file names a function, and no function is
ever looked up by a name from a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Call, Config, Layer, TensorRef

OPERATION_CLASSES = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod"})
_NUMPY, _NN, _CORE = "keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.core"


@dataclass(frozen=True)
class Operation:
    """A Keras 3 operation: where it is, its tensors and its settings, as TensorFlow names them."""

    module: str
    class_name: str
    tensors: tuple[str, ...] = ("x",)
    settings: Mapping[str, str] | None = None  # TensorFlow's name -> Keras 3's
    defaults: Mapping[str, Any] | None = None


def _unary(*names: str, module: str = _NUMPY) -> dict[str, Operation]:
    return {name.lower(): Operation(module, name) for name in names}


def _binary(class_name: str, *names: str) -> dict[str, Operation]:
    return {name: Operation(_NUMPY, class_name, ("x", "y")) for name in names}


def _reduction(class_name: str, *names: str) -> dict[str, Operation]:
    settings = {"axis": "axis", "keepdims": "keepdims", "keep_dims": "keepdims"}
    return {name: Operation(_NUMPY, class_name, ("input_tensor",), settings) for name in names}


_AXIS = {"axis": "axis"}
OPERATIONS: Mapping[str, Operation] = {
    **_unary(
        "Exp", "Log", "Sqrt", "Square", "Negative", "Sign", "Sin", "Cos", "Tan", "Floor", "Ceil"
    ),
    **_unary("Tanh", "Log1p", "Expm1", "Reciprocal", "Round"),
    **_unary("Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Softplus", "Softsign", "Silu", module=_NN),
    "abs": Operation(_NUMPY, "Absolute"),
    "neg": Operation(_NUMPY, "Negative"),
    "swish": Operation(_NN, "Silu"),
    "gelu": Operation(
        _NN, "Gelu", ("features",), {"approximate": "approximate"}, {"approximate": False}
    ),
    "leaky_relu": Operation(_NN, "LeakyRelu", ("features",), {"alpha": "negative_slope"}),
    "softmax": Operation(_NN, "Softmax", ("logits",), _AXIS, {"axis": -1}),
    "log_softmax": Operation(_NN, "LogSoftmax", ("logits",), _AXIS, {"axis": -1}),
    **_binary("Add", "add", "addv2", "biasadd"),
    **_binary("Subtract", "subtract", "sub"),
    **_binary("Multiply", "multiply", "mul"),
    **_binary("TrueDivide", "divide", "truediv", "realdiv", "div"),
    **_binary("FloorDivide", "floordiv"),
    **_binary("Power", "pow"),
    **_binary("Maximum", "maximum"),
    **_binary("Minimum", "minimum"),
    **_reduction("Mean", "reduce_mean", "mean"),
    **_reduction("Sum", "reduce_sum", "sum"),
    **_reduction("Max", "reduce_max", "max"),
    **_reduction("Min", "reduce_min", "min"),
    **_reduction("Prod", "reduce_prod", "prod"),
    **_reduction("Std", "reduce_std"),
    **_reduction("Var", "reduce_variance"),
    "reshape": Operation(_NUMPY, "Reshape", ("tensor",), {"shape": "newshape"}),
    "expand_dims": Operation(_NUMPY, "ExpandDims", ("input",), _AXIS),
    "squeeze": Operation(_NUMPY, "Squeeze", ("input",), _AXIS),
    "transpose": Operation(_NUMPY, "Transpose", ("a",), {"perm": "axes"}),
    "concat": Operation(_NUMPY, "Concatenate", ("values",), _AXIS),
    "stack": Operation(_NUMPY, "Stack", ("values",), _AXIS, {"axis": 0}),
    "tile": Operation(_NUMPY, "Tile", ("input",), {"multiples": "repeats"}),
    "clip_by_value": Operation(
        _NUMPY, "Clip", ("t",), {"clip_value_min": "x_min", "clip_value_max": "x_max"}
    ),
    "matmul": Operation(_NUMPY, "Matmul", ("a", "b")),
    "l2_normalize": Operation(_NN, "Normalize", ("x",), _AXIS, {"axis": -1}),
    "identity": Operation("keras.layers", "Identity", ("input",)),
    "stop_gradient": Operation(_CORE, "StopGradient", ("input",)),
    "cast": Operation(_CORE, "Cast", ("x",), {"dtype": "dtype"}),
}
_IGNORED = frozenset({"name", "conjugate", "validate_indices", "output_type"})
_PREFIXES = ("compat.v1.", "math.", "nn.", "linalg.", "__operators__.", "keras.backend.")


def convert_operation(layer: Layer) -> Layer:
    """Convert one operation of the graph.

    Raises:
        ModelError: the operation, or one of its settings, is not in the table.
    """
    if len(layer.calls) != 1:
        raise _refused(layer, str(layer.config.get("function")))
    if layer.class_name == "SlicingOpLambda":
        return _sliced(layer, layer.calls[0])
    if layer.class_name == "TensorFlowOpLayer":
        return _graph_operation(layer)
    function = str(layer.config.get("function"))
    call = layer.calls[0]
    operation = OPERATIONS.get(_short(function))
    if operation is None:
        raise _refused(layer, function)
    arguments = {operation.tensors[0]: call.args[0], **call.kwargs}
    if "x" in call.kwargs and operation.tensors[0] != "x":
        arguments[operation.tensors[0]] = arguments.pop("x")
    return _made(layer, operation, arguments, function)


def _made(layer: Layer, operation: Operation, arguments: Config, function: str) -> Layer:
    turned = [arguments.pop(key, False) for key in ("transpose_a", "transpose_b")]
    if operation.class_name == "Matmul" and any(turned):
        return _dot(layer, operation, arguments, turned)
    settings, known = dict(operation.defaults or {}), operation.settings or {}
    for key, value in arguments.items():
        if key in operation.tensors or key in _IGNORED or value is None:
            continue
        if key not in known or isinstance(value, TensorRef):
            raise _refused(layer, f"{function} with {key}={value!r}")
        settings[known[key]] = value
    tensors = tuple(arguments[name] for name in operation.tensors)
    config = {"__module__": operation.module, "name": layer.name, **settings}
    return replace(layer, class_name=operation.class_name, config=config, calls=(Call(tensors),))


def _dot(layer: Layer, operation: Operation, arguments: Config, turned: list[Any]) -> Layer:
    """A product with one side turned round, as an einsum."""
    left = "ji" if turned[0] else "ij"
    right = "kj" if turned[1] else "jk"
    config = {
        "__module__": _NUMPY,
        "name": layer.name,
        "subscripts": f"...{left},...{right}->...ik",
    }
    tensors = tuple(arguments[name] for name in operation.tensors)
    return replace(layer, class_name="Einsum", config=config, calls=(Call(tensors),))


def _sliced(layer: Layer, call: Call) -> Layer:
    """``x[...]``: Keras 3 writes a slice as it writes any other argument."""
    spec = call.kwargs.get("slice_spec")
    items = [_slice(item, layer) for item in (spec if isinstance(spec, list) else [spec])]
    config = {"__module__": _NUMPY, "name": layer.name}
    return replace(layer, class_name="GetItem", config=config, calls=(Call((call.args[0], items)),))


def _slice(item: Any, layer: Layer) -> Any:
    if isinstance(item, Mapping) and "start" in item:
        ends = {key: item.get(key) for key in ("start", "stop", "step")}
        if any(isinstance(end, TensorRef | list) for end in ends.values()):
            raise _refused(layer, "a slice whose ends are computed")
        return {"class_name": "__slice__", "config": ends}
    if isinstance(item, Mapping) and item.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    if item is None or type(item) is int:
        return item
    raise _refused(layer, "a slice by a tensor")


# What TensorFlow 2.0 to 2.3 keeps as a constant input, by its place, or as an attribute.
_CONSTANT_INPUTS: Mapping[str, dict[int, str]] = {
    "Mean": {1: "axis"},
    "Sum": {1: "axis"},
    "Max": {1: "axis"},
    "Min": {1: "axis"},
    "Prod": {1: "axis"},
    "Reshape": {1: "shape"},
    "ExpandDims": {1: "axis"},
    "Transpose": {1: "perm"},
    "Tile": {1: "multiples"},
}
_GRAPH_NAMES = {"ConcatV2": "concat", "ExpandDims": "expand_dims", "Pow": "pow"}


def _graph_operation(layer: Layer) -> Layer:
    """A node of a TensorFlow graph, with its constants beside it."""
    node = layer.config.get("node_def")
    node = json.loads(node) if isinstance(node, str) and node.startswith("{") else node
    if not isinstance(node, Mapping):
        raise _refused(layer, "an operation in a form that is not JSON")
    kind = str(node.get("op"))
    first = layer.calls[0].args[0]
    tensors = list(first) if isinstance(first, list) else [first]
    constants = {int(key): value for key, value in (layer.config.get("constants") or {}).items()}
    inputs: list[Any] = []
    for place in range(len(tensors) + len(constants)):
        inputs.append(constants[place] if place in constants else tensors.pop(0))
    attributes = node.get("attr") or {}
    if kind == "StridedSlice":
        return _strided(layer, inputs, attributes)
    operation = OPERATIONS.get(_GRAPH_NAMES.get(kind, kind.lower()))
    if operation is None:
        raise _refused(layer, kind)
    arguments = _graph_arguments(kind, operation, inputs, attributes)
    return _made(layer, operation, arguments, kind)


def _graph_arguments(
    kind: str, operation: Operation, inputs: list[Any], attributes: Mapping[str, Any]
) -> Config:
    if kind == "ConcatV2":
        return {"values": inputs[:-1], "axis": inputs[-1]}
    if kind == "Squeeze":
        dims = attributes.get("squeeze_dims", {}).get("list", {}).get("i", [])
        return {"input": inputs[0], "axis": [int(dim) for dim in dims] or None}
    named = _CONSTANT_INPUTS.get(kind, {})
    arguments: Config = {}
    positions = iter(operation.tensors)
    for place, value in enumerate(inputs):
        arguments[named[place] if place in named else next(positions)] = value
    if attributes.get("keep_dims", {}).get("b"):
        arguments["keepdims"] = True
    for side in ("a", "b"):
        if attributes.get(f"transpose_{side}", {}).get("b"):
            arguments[f"transpose_{side}"] = True
    return arguments


def _strided(layer: Layer, inputs: list[Any], attributes: Mapping[str, Any]) -> Layer:
    def mask(name: str) -> int:
        return int(attributes.get(name, {}).get("i", 0))

    tensor, begin, end, step = inputs
    if any(isinstance(v, TensorRef) for v in inputs[1:]):
        raise _refused(layer, "StridedSlice of that form")
    spec: list[Any] = []
    for i, (start, stop, stride) in enumerate(zip(begin, end, step, strict=True)):
        if mask("ellipsis_mask") >> i & 1:
            spec.append({"class_name": "__ellipsis__"})
            continue
        if mask("new_axis_mask") >> i & 1:
            spec.append(None)
            continue
        if mask("shrink_axis_mask") >> i & 1:
            spec.append(start)
            continue
        first = None if mask("begin_mask") >> i & 1 else start
        last = None if mask("end_mask") >> i & 1 else stop
        spec.append({"start": first, "stop": last, "step": stride})
    return _sliced(layer, Call((tensor,), {"slice_spec": spec}))


def _short(function: str) -> str:
    for prefix in _PREFIXES:
        function = function.removeprefix(prefix)
    return function.lower()


def _refused(layer: Layer, what: str) -> ModelError:
    return ModelError(
        f"layer {layer.name!r} is the TensorFlow operation {what}, which cannot be converted"
    )
