"""The shape of a model between the eras: networks of layers, their calls and their arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from irisspark.errors import IrissparkError, ModelError, first_line

Array = NDArray[Any]
Config = dict[str, Any]

# Begins the key of a wrapped layer that the wrapper makes itself: it has arrays, and no settings.
IMPLIED = "implied."


@dataclass(frozen=True)
class TensorRef:
    """One output of one call of a layer: ``call`` and ``tensor`` count from zero."""

    layer: str
    call: int = 0
    tensor: int = 0


@dataclass(frozen=True)
class Call:
    """One use of a layer: its positional and named arguments, which may hold ``TensorRef``s."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def map_refs(self, change: Callable[[TensorRef], Any]) -> Call:
        """Replace every tensor in the arguments by ``change(tensor)``."""
        args = tuple(map_refs(arg, change) for arg in self.args)
        return Call(args, {key: map_refs(value, change) for key, value in self.kwargs.items()})

    def refs(self) -> list[TensorRef]:
        """Every tensor in the arguments, in order."""
        found: list[TensorRef] = []
        self.map_refs(found.append)
        return found


@dataclass(frozen=True)
class Layer:
    """A layer: what it is, how it is set up, where it is called, and what it has learned.

    ``inner`` holds the layers of a wrapper by the config key they stand under; ``network`` makes
    the layer a nested model. ``weights`` are in the order of the era the layer is in.
    """

    class_name: str
    name: str
    config: Config
    calls: tuple[Call, ...] = ()
    weights: tuple[Array, ...] = ()
    inner: Mapping[str, Layer] = field(default_factory=dict)
    network: Network | None = None

    def renamed(self, class_name: str, **config: Any) -> Layer:
        """The same layer as another class, with some of its settings replaced."""
        return replace(self, class_name=class_name, config={**self.config, **config})


@dataclass(frozen=True)
class Network:
    """A Sequential model (no calls) or a graph of calls, with structures of inputs and outputs."""

    name: str
    layers: tuple[Layer, ...]
    sequential: bool
    inputs: Any = None
    outputs: Any = None

    def map_layers(self, change: Callable[[Layer], Layer]) -> Network:
        """Apply ``change`` to every layer from the inside out: wrapped and nested ones first."""
        return replace(self, layers=tuple(map_layer(layer, change) for layer in self.layers))

    def walk(self) -> Iterator[Layer]:
        """Every layer, wrapped and nested ones too."""
        for layer in self.layers:
            yield from walk_layer(layer)


def map_layer(layer: Layer, change: Callable[[Layer], Layer]) -> Layer:
    """Apply ``change`` to the layers inside ``layer``, then to itself.

    Raises:
        ModelError: the layer's settings are not such as Keras writes.
    """
    inner = {key: map_layer(wrapped, change) for key, wrapped in layer.inner.items()}
    network = layer.network.map_layers(change) if layer.network else None
    with fitting(f"the settings of layer {layer.name!r} ({layer.class_name})"):
        return change(replace(layer, inner=inner, network=network))


@contextlib.contextmanager
def fitting(what: str) -> Iterator[None]:
    """Say in a line that settings do not fit together, where an odd one brings about any error."""
    try:
        yield
    except IrissparkError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(
            f"{what} do not fit together ({reason}): the file is damaged, or not Keras's"
        ) from error


def walk_layer(layer: Layer) -> Iterator[Layer]:
    """``layer`` and every layer inside it."""
    yield layer
    for wrapped in layer.inner.values():
        yield from walk_layer(wrapped)
    if layer.network:
        yield from layer.network.walk()


def followed(network: Network, name: str, follower: Layer) -> Network:
    """A graph in which what read the layer ``name`` reads ``follower``, which reads ``name``."""

    def divert(ref: TensorRef) -> TensorRef:
        return replace(ref, layer=follower.name) if ref.layer == name else ref

    layers: list[Layer] = []
    for layer in network.layers:
        diverted = tuple(call.map_refs(divert) for call in layer.calls)
        layers.append(replace(layer, calls=diverted))
        if layer.name == name:
            calls = tuple(Call((TensorRef(name, i),)) for i in range(len(layer.calls)))
            layers.append(replace(follower, calls=calls))
    outputs = map_refs(network.outputs, divert)
    return replace(network, layers=tuple(layers), outputs=outputs)


def map_networks(network: Network, change: Callable[[Network], Network]) -> Network:
    """Apply ``change`` to every network inside ``network``, then to itself."""

    def within(layer: Layer) -> Layer:
        inner = {key: within(wrapped) for key, wrapped in layer.inner.items()}
        nested = map_networks(layer.network, change) if layer.network else None
        return replace(layer, inner=inner, network=nested)

    return change(replace(network, layers=tuple(within(layer) for layer in network.layers)))


def map_refs(value: Any, change: Callable[[TensorRef], Any]) -> Any:
    """Replace the tensors in a structure of lists, tuples and dictionaries."""
    if isinstance(value, TensorRef):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(map_refs(item, change) for item in value)
    if isinstance(value, Mapping):
        return {key: map_refs(item, change) for key, item in value.items()}
    return value


def chain(name: str, layers: list[Layer]) -> Network:
    """A Sequential model of ``layers``."""
    return Network(name=name, layers=tuple(layers), sequential=True)


def nest(layer: Layer, parts: list[Layer]) -> Layer:
    """``layer`` as a Sequential model of ``parts``, under its own name and calls."""
    return Layer(
        "Sequential", layer.name, {}, layer.calls, network=chain(layer.name, _named(layer, parts))
    )


def part(class_name: str, role: str, weights: tuple[Array, ...] = (), **config: Any) -> Layer:
    """One layer of a rebuilt one; ``role`` becomes the end of its name."""
    return Layer(class_name, role, config, weights=weights)


def _named(layer: Layer, parts: list[Layer]) -> list[Layer]:
    return [
        replace(
            p, name=f"{layer.name}_{p.name}", config={**p.config, "name": f"{layer.name}_{p.name}"}
        )
        for p in parts
    ]
