"""What a model takes and puts out, and which columns of the data it would take: for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from irisspark.data.columns import Columns
    from irisspark.data.reader import Batch
    from irisspark.model.inputs import ModelInput

Array = npt.NDArray[Any]

_MAX_SHOWN = 12
_MAX_LINE = 96


def ends_text(model: Any) -> str:
    """List the inputs and outputs of a ``keras.Model``: names, dtypes, the shape of a row."""
    lines = []
    for what in ("inputs", "outputs"):
        tensors = getattr(model, what, None) or ()
        lines += [f"{what}:", *(f"  {_tensor(tensor)}" for tensor in tensors)]
        if not tensors:
            lines.append("  not known before the model is built: call it once, and save it again")
    return "\n".join(lines) + "\n"


def _tensor(tensor: Any) -> str:
    return f"{tensor.name}: {tensor.dtype}, {tuple(tensor.shape[1:])} a row"


def columns_text(columns: Columns, path: str) -> str:
    """Say which columns of the data a model would take, and for what."""
    others = sorted(set(range(columns.num_columns)) - set(columns.used))
    features = columns.inputs or (("features", columns.features),)
    parts = {
        **{f"input {name}" if columns.inputs else name: found for name, found in features},
        "label" if len(columns.labels) < 2 else "labels": columns.labels,
        "kept": columns.keep,
        "left out": others,
    }
    lines = [f"data: {path}, {columns.num_columns} columns"]
    lines += [f"  {what}: {_named(found, columns)}" for what, found in parts.items()]
    return "\n".join(lines) + "\n"


def _named(found: Sequence[int], columns: Columns) -> str:
    if not found:
        return "none"
    shown = ", ".join(columns.name(column) for column in found[:_MAX_SHOWN])
    more = len(found) - _MAX_SHOWN
    return shown + (f" and {more} more, the last {columns.name(found[-1])}" if more > 0 else "")


def first_row_text(
    row: Batch,
    shape: tuple[int, ...],
    columns: Columns,
    class_names: Sequence[str] | None,
    inputs: Sequence[ModelInput] = (),
) -> str:
    """Show a row as a model takes it.

    Args:
        row: One row.
        shape: That the model takes it in.
        columns: What each column is for.
        class_names: The classes in the order of the model's outputs.
        inputs: Of a model that has several.
    """
    lines, starts = ["first row, as the model takes it:"], [0, 0]
    parts = row.features[0].item() if row.features.dtype.names else (row.features[0],)
    for one in inputs:
        start = starts[one.is_text]
        values = parts[one.is_text][start : start + one.size].reshape(one.shape)
        values = _decoded(values) if one.is_text else values.astype(one.dtype)
        lines += [f"  {one.name}: {one.dtype} {one.shape}", *_indented(_values(values))]
        starts[one.is_text] += one.size
    if not inputs:
        values = row.features[0].reshape(shape)
        lines += [f"  {values.dtype} {values.shape}", *_indented(_values(values))]
    if row.labels is not None:
        label = row.labels[0]
        name = f"output {label}, the class {class_names[label]}" if class_names else f"{label}"
        if label.ndim:
            name = ", ".join(map(str, label.tolist()))
        lines.append(f"  label: {name}")
    for column, cells in zip(columns.keep, row.kept, strict=True):
        lines.append(f"  kept {columns.name(column)}: {cells[0].as_py()}")
    return "\n".join(lines) + "\n"


def _decoded(texts: Array) -> Array:
    return np.array([text.decode() for text in texts.ravel()], dtype=object).reshape(texts.shape)


def _values(values: Array) -> str:
    return np.array2string(values, max_line_width=_MAX_LINE, threshold=100)


def _indented(text: str) -> Iterable[str]:
    return (f"  {line}" for line in text.splitlines())
