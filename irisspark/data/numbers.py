"""The text of cells -> numbers in the dtype of the model's input, and which cells hold none."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from irisspark.data.cells import FALSE_TEXTS, NUMBER_PATTERN, TRUE_TEXTS

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_IS_STRANGE = np.ones(256, dtype=bool)
"""Which bytes no number holds."""
_IS_STRANGE[np.frombuffer(b"0123456789+-.eE", dtype=np.uint8)] = False
_BLANKS = " \t"


@functools.cache
def _texts(texts: tuple[str, ...]) -> pa.Array:
    """Make an Arrow array, for which Arrow imports pandas: so not while this file is imported."""
    return pa.array(texts)


def arrow_number_type(dtype: np.dtype[Any]) -> pa.DataType:
    """Give the Arrow type that a column is parsed as: float64 for integers, to check them."""
    narrow = dtype.kind == "f" and dtype.itemsize <= 4
    return pa.float32() if narrow else pa.float64()


def not_representable(values: Array, dtype: np.dtype[Any]) -> Mask:
    """Mark the parsed numbers that the dtype of the model's input cannot hold."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            fits: Mask = np.isfinite(values.astype(dtype, copy=False))
    elif dtype.kind == "b":
        fits = np.isin(values, (0, 1))
    else:
        info = np.iinfo(dtype)
        # A float64 of 2**53 may be the integer above it, rounded.
        low, high = max(info.min, 1 - 2**53), min(info.max, 2**53 - 1)
        fits = (values == np.floor(values)) & (values >= low) & (values <= high)
    return ~fits


def convert_numbers(
    cells: pa.Array, dtype: np.dtype[Any], *, likely_bad: bool = False
) -> tuple[Array, Mask, bool]:
    """Convert cells with the conversion of the typed parser, blanks around them left out.

    Booleans, as pandas and others write them, are 1 and 0.

    Args:
        cells: Binary Arrow array without nulls.
        dtype: Of the model's input.
        likely_bad: True saves the attempt to convert all cells at once.

    Returns:
        (the values as parsed, 0 for a cell that holds no number; which cells cannot be used;
        whether there were booleans).
    """
    texts = _as_text(cells)
    if not likely_bad:
        try:
            values = _to_numpy(texts.cast(arrow_number_type(dtype)))
            return values, not_representable(values, dtype), False
        except pa.ArrowInvalid:
            pass
    numbers, has_booleans = _without_booleans(_trimmed(texts))
    values, is_bad = _convert_some(numbers, dtype)
    return values, is_bad | not_representable(values, dtype), has_booleans


def _without_booleans(texts: pa.Array) -> tuple[pa.Array, bool]:
    """Write 1 and 0 for booleans; tell whether there were any."""
    is_true = pc.is_in(texts, value_set=_texts(TRUE_TEXTS))
    is_false = pc.is_in(texts, value_set=_texts(FALSE_TEXTS))
    has_true, has_false = (pc.any(mask, min_count=0).as_py() for mask in (is_true, is_false))
    if has_true:
        texts = pc.if_else(is_true, pa.scalar("1"), texts)
    if has_false:
        texts = pc.if_else(is_false, pa.scalar("0"), texts)
    return texts, has_true or has_false


def _convert_some(texts: pa.Array, dtype: np.dtype[Any]) -> tuple[Array, Mask]:
    """Convert the cells that hold numbers, and tell which do not."""
    is_bad = _cannot_be_number(texts)
    try:
        values = _cast(texts, is_bad, dtype)
    except pa.ArrowInvalid:  # only the right bytes, in a wrong order: 1-2
        is_bad |= ~_to_numpy(pc.match_substring_regex(texts, f"^(?:{NUMBER_PATTERN})$"))
        values = _cast(texts, is_bad, dtype)
    return values, is_bad


def _as_text(cells: pa.Array) -> pa.Array:
    """Take bytes for UTF-8 unchecked; what is not ASCII is found to be no number anyway."""
    return pa.Array.from_buffers(pa.utf8(), len(cells), cells.buffers(), offset=cells.offset)


def _trimmed(texts: pa.Array) -> pa.Array:
    data, _ = _bytes_and_offsets(texts)
    has_blanks = any(ord(blank) in data for blank in _BLANKS)
    return pc.ascii_trim(texts, characters=_BLANKS) if has_blanks else texts


def _cannot_be_number(texts: pa.Array) -> Mask:
    """Mark the cells that are empty or hold a byte that no number does."""
    data, offsets = _bytes_and_offsets(texts)
    is_bad: Mask = offsets[1:] == offsets[:-1]
    strange = np.flatnonzero(_IS_STRANGE[data]) + int(offsets[0])
    is_bad[np.searchsorted(offsets, strange, side="right") - 1] = True
    return is_bad


def _bytes_and_offsets(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], Array]:
    _, offset_buffer, byte_buffer = texts.buffers()
    if not len(texts):
        return np.empty(0, dtype=np.uint8), np.zeros(1, dtype=np.int32)
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(byte_buffer or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    return data, offsets


def _cast(texts: pa.Array, is_bad: Mask, dtype: np.dtype[Any]) -> Array:
    if is_bad.any():
        texts = pc.if_else(pa.array(is_bad), pa.scalar("0"), texts)
    return _to_numpy(texts.cast(arrow_number_type(dtype)))


def _to_numpy(array: pa.Array) -> Array:
    values: Array = array.to_numpy(zero_copy_only=False)
    return values
