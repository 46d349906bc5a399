"""The arrays of a file -> the layers they belong to.

A file has a group for each layer of the model; a nested model or a wrapper has the arrays of
everything inside it in one flat list: first what is trained, then what is not. The names of the
arrays say whose they are where they are whole; otherwise the order does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array, Layer, Network
from irisspark.keras_import.building.vocabulary import SLOTS, Slot

NamedArrays = list[tuple[str, Array]]
Groups = Mapping[str, NamedArrays]
Path = tuple[str, ...]

# How many arrays a layer has in the file, (trained, not trained), where Keras 3 has no such layer.
_OLD_COUNTS: Mapping[str, tuple[int, int]] = {
    "CuDNNGRU": (3, 0),
    "CuDNNLSTM": (3, 0),
    "Highway": (4, 0),
    "LocallyConnected1D": (2, 0),
    "LocallyConnected2D": (2, 0),
    "MaxoutDense": (2, 0),
    "ParametricSoftplus": (2, 0),
    "SReLU": (4, 0),
}
_SAME_AS = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "UnifiedGRU": "GRU",
    "UnifiedLSTM": "LSTM",
}
# What a BatchNormalization keeps beside its own where it renormalizes.
_RENORM = 3
# State of random number generators, which tf.keras keeps among the arrays.
_STATE = ("StateVar", "seed_generator_state", "rng_state")


def assign(network: Network, groups: Groups) -> Network:
    """Give every layer of ``network`` its arrays.

    Raises:
        ModelError: the file has other layers, or other numbers of arrays, than its configuration.
    """
    stored = {name: _without_state(arrays) for name, arrays in groups.items()}
    stored = {name: arrays for name, arrays in stored.items() if arrays}
    takers = [layer for layer in network.layers if sum(_total(layer))]
    names = [layer.name for layer in takers]
    if set(names) != set(stored):
        if len(names) != len(stored):
            raise _mismatch(names, list(stored))
        stored = dict(zip(names, stored.values(), strict=True))
    filled = {layer.name: fill(layer, stored[layer.name]) for layer in takers}
    return replace(network, layers=tuple(filled.get(layer.name, layer) for layer in network.layers))


def fill(layer: Layer, arrays: NamedArrays) -> Layer:
    """Give a layer, and all that is inside it, its arrays out of a flat list."""
    leaves = dict(_leaves(layer, ()))
    expected = sum(sum(counts_of(leaf)) for leaf in leaves.values())
    if expected != len(arrays):
        raise ModelError(
            f"layer {layer.name!r} ({layer.class_name}) has {len(arrays)} arrays in the file where "
            f"its configuration makes {expected}: the file is damaged, or from another model"
        )
    by_leaf = _by_name(leaves, arrays) if len(leaves) > 1 and layer.network else None
    return _place(layer, by_leaf or _by_order(leaves, arrays), ())


def counts_of(layer: Layer) -> tuple[int, int]:
    """How many arrays a single layer has in the file: trained, and not trained."""
    config = layer.config
    if layer.class_name in _OLD_COUNTS:
        trained, fixed = _OLD_COUNTS[layer.class_name]
        return (trained if config.get("use_bias", True) else trained // 2, fixed)
    if "keras_1_arrays" in config:
        return (int(config["keras_1_arrays"]), 0)
    slots: tuple[Slot, ...] = ()
    class_name = _SAME_AS.get(layer.class_name, layer.class_name)
    if class_name in SLOTS:
        slots = SLOTS[class_name](config)
    fixed = sum(not slot.trainable for slot in slots) + _RENORM * bool(config.get("renorm"))
    return (sum(slot.trainable for slot in slots), fixed)


def _total(layer: Layer) -> tuple[int, int]:
    counts = [counts_of(leaf) for _, leaf in _leaves(layer, ())]
    return (sum(trained for trained, _ in counts), sum(fixed for _, fixed in counts))


def _leaves(layer: Layer, path: Path) -> Iterator[tuple[Path, Layer]]:
    if not layer.inner and not layer.network:
        yield path, layer
    for key, wrapped in layer.inner.items():
        yield from _leaves(wrapped, (*path, key))
    for child in layer.network.layers if layer.network else ():
        yield from _leaves(child, (*path, child.name))


def _by_order(leaves: Mapping[Path, Layer], arrays: NamedArrays) -> dict[Path, list[Array]]:
    """Deal the arrays out: what is trained of each layer in turn, then what is not."""
    first: list[Path] = []
    last: list[Path] = []
    for path, leaf in leaves.items():
        trained, fixed = counts_of(leaf)
        frozen = leaf.config.get("trainable") is False
        (last if frozen else first).extend([path] * trained)
        last.extend([path] * fixed)
    dealt: dict[Path, list[Array]] = {path: [] for path in leaves}
    for path, (_, array) in zip(first + last, arrays, strict=True):
        dealt[path].append(array)
    return dealt


def _by_name(leaves: Mapping[Path, Layer], arrays: NamedArrays) -> dict[Path, list[Array]] | None:
    """Each array to the layer that its name names, or None where the names do not tell."""
    owners: dict[str, list[Path]] = {}
    for path, leaf in leaves.items():
        owners.setdefault(leaf.name, []).append(path)
    dealt: dict[Path, list[Array]] = {path: [] for path in leaves}
    for name, array in arrays:
        found = [owners[part] for part in name.split("/")[:-1] if part in owners]
        if len(found) != 1 or len(found[0]) != 1:
            return None
        dealt[found[0][0]].append(array)
    whole = all(len(dealt[path]) == sum(counts_of(leaf)) for path, leaf in leaves.items())
    return dealt if whole else None


def _place(layer: Layer, dealt: Mapping[Path, list[Array]], path: Path) -> Layer:
    if not layer.inner and not layer.network:
        return replace(layer, weights=tuple(dealt[path]))
    inner = {key: _place(wrapped, dealt, (*path, key)) for key, wrapped in layer.inner.items()}
    network = layer.network
    if network:
        children = tuple(_place(child, dealt, (*path, child.name)) for child in network.layers)
        network = replace(network, layers=children)
    return replace(layer, inner=inner, network=network)


def _without_state(arrays: NamedArrays) -> NamedArrays:
    return [(name, array) for name, array in arrays if not any(word in name for word in _STATE)]


def _mismatch(names: list[str], stored: list[str]) -> ModelError:
    missing = [name for name in names if name not in stored][:3]
    extra = [name for name in stored if name not in names][:3]
    return ModelError(
        f"the file has arrays for {len(stored)} layers where its configuration has {len(names)} "
        f"(without arrays: {missing}; without a layer: {extra}): the file is damaged or incomplete"
    )
