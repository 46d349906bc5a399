"""The columns of a table: those of its files, and the keys of its partition folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from irisspark.data.columns import Columns
from irisspark.data.parquet.field_kinds import kind_of
from irisspark.data.parquet.footers import Footer
from irisspark.data.targets import plain_type
from irisspark.errors import DataError
from irisspark.storage.opening import DataFile

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True)
class Field:
    """A column.

    Attributes:
        name: Its name.
        type: What its cells are kept as.
        is_key: True where it is a key of partition folders, and in no file.
    """

    name: str
    type: pa.DataType
    is_key: bool = False

    def key_cells(self, file: DataFile, num_rows: int) -> pa.Array:
        """Give the cells of a key in some rows of a file."""
        text = dict(file.keys)[self.name]
        value = None if text == _NO_VALUE else pa.scalar(text).cast(self.type)
        return pa.repeat(pa.scalar(value, self.type), num_rows)


def fields_of(files: Sequence[DataFile], footers: Sequence[Footer | None]) -> tuple[Field, ...]:
    """List the columns of the first file, and the keys behind them.

    What pandas writes of an index without a name is no column, as it is none to pandas.

    Args:
        files: The files.
        footers: Of each, None for a file without rows.

    Raises:
        DataError: Two columns have the same name, or files lie in folders of other keys.
    """
    file, first = next((f, t.schema) for f, t in zip(files, footers, strict=True) if t is not None)
    names = [name for name in first.names if not _PANDAS_INDEX.fullmatch(name)]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise DataError(f"{file.path} has several columns of the name {repeated[0]!r}")
    schemas = list(dict.fromkeys(footer.schema for footer in footers if footer is not None))
    fields = [Field(name, _type_of(name, schemas)) for name in names]
    keys = _keys_of(files)
    return (*fields, *(Field(n, t, is_key=True) for n, t in keys.items() if n not in names))


def _type_of(name: str, schemas: Sequence[pa.Schema]) -> pa.DataType:
    """Give the type of a column in the first file that holds more of it than nulls."""
    having = (schema for schema in schemas if schema.get_field_index(name) >= 0)
    types = [plain_type(schema.field(name).type) for schema in having]
    return next((type_ for type_ in types if not pa.types.is_null(type_)), types[0])


def _keys_of(files: Sequence[DataFile]) -> Mapping[str, pa.DataType]:
    """Find the types of the partition folders' keys: whole numbers, else text."""
    names = [name for name, _ in files[0].keys]
    for file in files:
        if [name for name, _ in file.keys] != names:
            raise DataError(
                f"{file.path} lies in partition folders of other keys than {files[0].path}"
            )
    texts = {name: {dict(file.keys)[name] for file in files} - {_NO_VALUE} for name in names}
    return {
        name: pa.int64() if all(map(_WHOLE.fullmatch, values)) else pa.utf8()
        for name, values in texts.items()
    }


def check_schemas(
    fields: Sequence[Field], columns: Columns, footers: Sequence[Footer | None]
) -> None:
    """Hold the columns of every file that are used against those of the first one.

    A feature may be of numbers of another width, and a file may hold nothing but nulls.

    Raises:
        DataError: A file lacks one, or has something else in it.
    """
    seen: set[pa.Schema] = set()
    for footer in footers:
        if footer is not None and footer.schema not in seen:
            seen.add(footer.schema)
            for column in columns.used:
                _check_column(fields[column], column, columns, footer)


def _check_column(field: Field, column: int, columns: Columns, footer: Footer) -> None:
    if field.is_key:
        return
    place = footer.schema.get_field_index(field.name)
    if place < 0:
        raise DataError(
            f"{footer.path} has no column {field.name!r}, as {columns.names_path} has: "
            "the files of one -dataPath have the same columns"
        )
    found = plain_type(footer.schema.field(place).type)
    is_same = found == field.type or pa.types.is_null(found) or pa.types.is_null(field.type)
    if not is_same and (column in columns.keep or kind_of(found) != kind_of(field.type)):
        raise DataError(
            f"{footer.path}: {columns.name(column)} holds {_words(found)}, and in "
            f"{columns.names_path} {_words(field.type)}: "
            "the files of one -dataPath have the same columns"
        )


def _words(type_: pa.DataType) -> str:
    kind = kind_of(type_)
    return kind if kind == str(type_) else f"{kind} ({type_})"
