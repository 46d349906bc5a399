"""What the columns of a Parquet file may hold: numbers, text, and what is neither."""

from __future__ import annotations

from pyarrow import DataType, types

from irisspark.data.targets import is_text

NUMBERS, TEXT, NOTHING = "numbers", "text", "nothing"
_KINDS = (
    (types.is_integer, NUMBERS),
    (types.is_floating, NUMBERS),
    (types.is_decimal, NUMBERS),
    (types.is_boolean, NUMBERS),
    (is_text, TEXT),
    (types.is_null, NOTHING),
    (types.is_timestamp, "timestamps"),
    (types.is_date, "dates"),
    (types.is_time, "times"),
    (types.is_duration, "durations"),
    (types.is_fixed_size_binary, "bytes"),
    (types.is_struct, "structs"),
    (types.is_map, "maps"),
    (types.is_list, "lists"),
    (types.is_large_list, "lists"),
    (types.is_fixed_size_list, "lists"),
)


def kind_of(type_: DataType) -> str:
    """Say in a word what a column holds."""
    if types.is_dictionary(type_):
        return kind_of(type_.value_type)
    return next((kind for is_such, kind in _KINDS if is_such(type_)), str(type_))


def is_nested(type_: DataType) -> bool:
    """Tell whether a cell holds more than one value."""
    return bool(types.is_nested(type_))
