"""HDF5 from a stranger -> attributes and arrays, with nothing read that is not in the file.

Keras writes plain groups, attributes and contiguous datasets. Whatever else HDF5 can do (links,
storage in other files, virtual datasets, more data than the file has bytes for) is refused before
memory is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import h5py
import numpy as np

from irisspark.errors import ModelError
from irisspark.keras_import.building.network import Array

MAX_ATTRIBUTE_BYTES = 256 * 2**20
# Weights hardly compress: 100 times is far beyond any pruned model, far below a bomb.
MAX_COMPRESSION = 100
_FREE_BYTES = 2**20
# What is damaged shows as any of these, by where the damage lies.
_DAMAGED = (
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)


@contextmanager
def open_file(path: str, content: IO[bytes] | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; ``content`` where it does not lie on the disk by itself.

    Raises:
        ModelError: HDF5 cannot open it, or it turns out to be damaged while it is read.
    """
    try:
        with h5py.File(content or path, "r") as file:
            yield file
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path} cannot be read as HDF5 ({reason}): the file is damaged") from None


def attribute(group: h5py.Group, name: str) -> Any:
    """An attribute as Python text, a list of texts, or None; chunked lists are put together.

    Keras cuts a long list into ``name0``, ``name1``, ... since an HDF5 header holds 64 KB.
    """
    if name in group.attrs:
        return _text(_attribute_value(group, name))
    parts: list[Any] = []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(_text(_attribute_value(group, f"{name}{len(parts)}")))
    return [item for part in parts for item in part] if parts else None


def group_at(group: h5py.Group, path: str) -> h5py.Group:
    """The group under ``path``; ``/`` in a layer's name makes a path of it.

    Raises:
        ModelError: there is none, or it is reached through a link.
    """
    found = _follow(group, path)
    if not isinstance(found, h5py.Group):
        raise ModelError(f"{group.file.filename}: {path!r} is not a group: no Keras wrote that")
    return found


def array_at(group: h5py.Group, path: str) -> Array:
    """The dataset under ``path``, read into memory.

    Raises:
        ModelError: there is none, it is not in this file, or it claims more than the file holds.
    """
    dataset = _follow(group, path)
    if not isinstance(dataset, h5py.Dataset):
        raise ModelError(f"{group.file.filename}: {path!r} is not an array: no Keras wrote that")
    _check_storage(dataset)
    return np.asarray(dataset[()])


def checked_size(weights: h5py.Group) -> int:
    """The bytes of all arrays of a model, each checked as ``array_at`` does, none of them read.

    Raises:
        ModelError: one of them is not safe to read.
    """
    size = 0
    for name in attribute(weights, "layer_names") or ():
        group = group_at(weights, name)
        for array in attribute(group, "weight_names") or ():
            dataset = _follow(group, array)
            if not isinstance(dataset, h5py.Dataset):
                raise ModelError(f"{weights.file.filename}: {array!r} is not an array")
            _check_storage(dataset)
            size += dataset.nbytes
    return size


def check_all(file: h5py.File) -> None:
    """Check every link and array of a file, none of them read.

    Raises:
        ModelError: one of them is not safe to read.
    """

    def other_link(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name

    def check_array(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            _check_bytes(node)

    linked = file.visititems_links(other_link)
    if linked is not None:
        raise _linked(file, linked)
    file.visititems(check_array)


def _follow(group: h5py.Group, path: str) -> Any:
    node: Any = group
    for part in path.split("/"):
        if part in ("", "."):
            continue
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise ModelError(
                f"{group.file.filename} has no {path!r}: the file is damaged or incomplete"
            )
        if not isinstance(link, h5py.HardLink):
            raise _linked(group.file, path)
        node = node[part]
    return node


def _linked(file: h5py.File, name: str) -> ModelError:
    return ModelError(
        f"{file.filename}: {name!r} is a link to another place, which no Keras writes: "
        "the file is refused"
    )


def _check_storage(dataset: h5py.Dataset) -> None:
    if dataset.shape is None or dataset.dtype.kind not in "fiub":
        where = f"{dataset.file.filename}: the array {dataset.name!r}"
        raise ModelError(f"{where} does not hold numbers (it holds {dataset.dtype})")
    _check_bytes(dataset)


def _check_bytes(dataset: h5py.Dataset) -> None:
    where = f"{dataset.file.filename}: the array {dataset.name!r}"
    if dataset.is_virtual or dataset.external:
        raise ModelError(f"{where} keeps its data in another file: the file is refused")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > _FREE_BYTES and dataset.nbytes > MAX_COMPRESSION * stored:
        raise ModelError(
            f"{where} claims {dataset.nbytes:,} bytes of which the file holds {stored:,}: "
            "the file is refused"
        )


def _attribute_value(group: h5py.Group, name: str) -> Any:
    stored = group.attrs.get_id(name)
    size = math.prod(stored.shape or ()) * stored.dtype.itemsize
    if size > MAX_ATTRIBUTE_BYTES:
        raise ModelError(f"{group.file.filename}: the attribute {name!r} has {size:,} bytes")
    return group.attrs[name]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return [_text(item) for item in value.tolist()] if value.ndim else _text(value.item())
    return value.item() if isinstance(value, np.generic) else value
