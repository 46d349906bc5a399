"""Rows read from Parquet, held against what pandas reads."""

import datetime
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.data import explain, queries
from irisspark.data.bad_rows import BadRows
from irisspark.data.columns import ColumnChoice, Columns, resolve
from irisspark.data.first_rows import describe_text
from irisspark.data.parquet.parquet_file import is_parquet
from irisspark.data.parquet.parquet_reader import ParquetReader, open_parquet
from irisspark.data.reader import Batch
from irisspark.data.splits import TaskSplits
from irisspark.data.targets import LabelCodes, Quantities
from irisspark.errors import DataError
from irisspark.storage.finding import find_data
from irisspark.storage.opening import DataFile, opener

OPEN = opener(str)
YES_NO = ("no", "yes")


def files_of(path: Path | str) -> list[DataFile]:
    return find_data(str(path), {}, str)


def columns_of(
    path: Path | str,
    label: int | str | None = None,
    features: list[str] | None = None,
    keep: tuple[str, ...] = (),
    dtype: str = "float32",
    classes: tuple[str, ...] = (),
) -> tuple[ParquetReader, Columns]:
    """Open files as a run does, up to what the columns are for."""
    files = files_of(path)
    reader = open_parquet(files, OPEN)
    head = reader.head(files, OPEN)
    choice = ColumnChoice(label, features, keep)
    columns = resolve(choice, head, dtype)
    assert reader.check(head, columns, 2) is None
    return reader, replace(columns, targets=LabelCodes(classes) if classes else None)


def read(
    path: Path | str, reader: ParquetReader, columns: Columns, split_bytes: float = 1e9
) -> Iterator[Batch]:
    for split in reader.cut(files_of(path), split_bytes):
        yield from reader.read(split, columns, OPEN)


def bad_of(batches: list[Batch]) -> BadRows:
    return sum((batch.bad for batch in batches), BadRows())


def joined(batches: list[Batch]) -> dict[str, list]:
    return {
        "features": np.concatenate([batch.features for batch in batches]).tolist(),
        "labels": [y for batch in batches if batch.labels is not None for y in batch.labels],
        "kept": [
            cell
            for batch in batches
            for cell in zip(*(k.to_pylist() for k in batch.kept), strict=True)
        ],
        "places": [(b.piece.file_index, int(p)) for b in batches for p in b.positions],
    }


def table_of(num_rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": rng.integers(-(2**62), 2**62, num_rows),
            "a": rng.normal(size=num_rows),
            "b": rng.normal(size=num_rows).astype("float32"),
            "c": rng.integers(-100, 100, num_rows).astype("int8"),
            "label": rng.choice(YES_NO, num_rows),
        }
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any),
    group_rows=st.integers(1, 20),
    split_bytes=st.sampled_from([1.0, 700.0, 3000.0, 1e9]),
)
def test_any_cut_gives_the_rows_of_pandas(tmp_path_factory, sizes, group_rows, split_bytes):
    folder = tmp_path_factory.mktemp("cut")
    tables = [table_of(size, seed) for seed, size in enumerate(sizes)]
    for number, table in enumerate(tables):
        table.to_parquet(folder / f"part-{number}.parquet", row_group_size=group_rows)
    reader, columns = columns_of(folder, "label", ["b", "c", "a"], ("id",), classes=YES_NO)
    found = joined([*read(folder, reader, columns, split_bytes)])
    whole = pd.concat(tables)
    assert found["features"] == whole[["b", "c", "a"]].to_numpy("float32").tolist()
    assert found["labels"] == [YES_NO.index(label) for label in whole["label"]]
    assert found["kept"] == [(one,) for one in whole["id"]]
    assert found["places"] == [(i, row) for i, size in enumerate(sizes) for row in range(size)]
    splits = reader.cut(files_of(folder), split_bytes)
    assert all(split.start % group_rows == 0 for split in splits)
    if split_bytes == 1.0:
        assert len(splits) == sum(-(-size // group_rows) for size in sizes)


def test_reading_from_a_place_on_gives_the_rows_behind_it(tmp_path):
    path = tmp_path / "a.parquet"
    table = table_of(50)
    table.to_parquet(path, row_group_size=7)
    reader, columns = columns_of(path, None, ["a"])
    task = TaskSplits(0, tuple(reader.cut(files_of(path), 1e9))).from_place((0, 24))
    batches = [b for split in task.splits for b in reader.read(split, columns, OPEN)]
    assert [p for _, p in joined(batches)["places"]] == list(range(24, 50))
    few = [b for split in task.splits for b in reader.read(split, columns, OPEN, 1)]
    assert joined(few) == joined(batches)


EVERY_NUMBER = {
    **{t: pa.array([1, 0, 127], t) for t in ("int8", "uint8", "int16", "uint16", "int32")},
    **{t: pa.array([1, 0, 127], t) for t in ("uint32", "int64", "uint64", "float32", "float64")},
    "half": pa.array(np.array([1, 0, 127], "float16")),
    "bool": pa.array([True, False, True]),
    "decimal": pa.array([Decimal("1.25"), Decimal("0.10"), Decimal("-127.99")]),
    "long decimal": pa.array(
        [Decimal("0.1"), Decimal("-127.99"), Decimal(7)], pa.decimal128(38, 12)
    ),
    "decimal256": pa.array([Decimal(1), Decimal(0), Decimal(127)], pa.decimal256(60, 2)),
    "category": pa.array([5, 6, 5]).dictionary_encode(),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_kind_of_number_is_a_feature(tmp_path, dtype):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(EVERY_NUMBER), path)
    reader, columns = columns_of(path, dtype=dtype)
    (batch,) = read(path, reader, columns)
    assert batch.features.dtype == dtype
    expected = pd.read_parquet(path).astype("float64").to_numpy().astype(dtype)
    assert batch.features.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (pa.array([2**63 - 1, -(2**63), 2**53 + 1]), "int64"),
        (pa.array([2**64 - 1, 0, 2**53 + 1], "uint64"), "uint64"),
        (pa.array([Decimal(10**17 + 1)]), "int64"),
        (pa.array([3.0, -4.0]), "int32"),
        (pa.array([True, False]), "int8"),
        (pa.array([0, 1]), "bool"),
    ],
)
def test_whole_numbers_stay_exact(tmp_path, cells, dtype):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": cells}), path)
    reader, columns = columns_of(path, dtype=dtype)
    (batch,) = read(path, reader, columns)
    assert batch.features[:, 0].tolist() == [int(cell) for cell in cells.to_pylist()]


@pytest.mark.parametrize(
    ("cells", "dtype", "reasons"),
    [
        (pa.array([1.0, None, float("nan"), float("inf"), 1e39]), "float32",
         {"missing": 1, "not finite": 3}),
        (pa.array([1, None, 300, -1]), "uint8", {"missing": 1, "not a number": 2}),
        (pa.array([1, 2**63], "uint64"), "int64", {"not a number": 1}),
        (pa.array([1.0, 1.5, float("nan")]), "int32", {"not a number": 1, "not finite": 1}),
        (pa.array([1, 70_000]), "float16", {"not finite": 1}),
        (pa.array([1, 2]), "bool", {"not a number": 1}),
        (pa.array([None, True]), "float32", {"missing": 1}),
        (pa.array([None, Decimal("1.5")]), "float32", {"missing": 1}),
    ],
)  # fmt: skip
def test_cells_that_are_no_numbers_are_bad_rows(tmp_path, cells, dtype, reasons):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": cells, "n": [*range(len(cells))]}), path, row_group_size=2)
    reader, columns = columns_of(path, None, ["x"], ("n",), dtype=dtype)
    batches = [*read(path, reader, columns)]
    bad = bad_of(batches)
    assert bad.counts == reasons
    found = joined(batches)
    assert len(found["features"]) == len(cells) - bad.total
    taken = [row for _, row in found["places"]]
    assert [kept for (kept,) in found["kept"]] == taken
    assert sorted([*taken, *(row.position for row in bad.first)]) == list(range(len(cells)))


def test_fault_of_a_row_is_the_first_from_the_left_and_is_told_by_its_number(tmp_path):
    path = tmp_path / "a.parquet"
    rows = {
        "a": [1.0, None, 1.0, 1.0, 1.0],
        "label": ["yes", None, "oh", "no", None],
        "b": [1.0, None, None, float("nan"), 1.0],
        "k": pa.array([b"x", b"\xff", b"y", b"z", b"\xfe"]),
    }
    pq.write_table(pa.table(rows), path)
    reader, columns = columns_of(path, "label", ["a", "b"], ("k",), classes=YES_NO)
    bad = bad_of([*read(path, reader, columns)])
    told = [
        f"{explain.place(row, 'a.parquet', None, columns)}: {explain.fault(row, columns)}"
        for row in bad.first
    ]
    assert told == [
        'a.parquet, row 1, "a" (column 0): the value is missing',
        "a.parquet, row 2, \"label\" (column 1): the label 'oh' is none of the classes",
        "a.parquet, row 3, \"b\" (column 2): 'nan' is not a finite number",
        'a.parquet, row 4, "label" (column 1): the value is missing',
    ]
    reader, columns = columns_of(path, None, ["a"], ("k",))
    assert bad_of([*read(path, reader, columns)]).counts == {"missing": 1, "bad encoding": 1}


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (pa.array([2, 0, 1]), ("0", "1", "2")),
        (pa.array([2.0, 0.0, 1.0]), ("0", "1", "2")),
        (pa.array([2**62 + 1, 2**62, 0]), ("0", str(2**62), str(2**62 + 1))),
        (pa.array([True, False, True]), ("0", "1")),
        (pa.array(["b", "a", "c"]).dictionary_encode(), ("a", "b", "c")),
        (pa.array(["b", "a", "c"], pa.large_string()), ("a", "b", "c")),
        (pa.array([b"b", b"a", b"c"]), ("a", "b", "c")),
        (pa.array([Decimal("2.0"), Decimal("0.0"), Decimal("1.0")]), ("0", "1", "2")),
    ],
)
def test_labels_of_any_type_are_their_classes(tmp_path, cells, classes):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [0.0] * len(cells), "y": cells}), path)
    reader, columns = columns_of(path, "y", classes=classes)
    found = joined([*read(path, reader, columns)])["labels"]
    named = [classes.index(name) for name in map(_class_name, cells.to_pylist())]
    assert found == named
    task = TaskSplits(0, tuple(reader.cut(files_of(path), 1e9)))
    (labels,) = queries.find_labels([task], reader, columns, OPEN)
    assert {columns.targets.encode(text) for text in labels.labels} == set(named)


def _class_name(value: object) -> str:
    if isinstance(value, str | bytes):
        return value if isinstance(value, str) else value.decode()
    return str(int(value))  # type: ignore[call-overload]


def test_decimals_with_gaps_are_the_nearest_numbers(tmp_path):
    path = tmp_path / "a.parquet"
    cents = [Decimal(n) / 100 for n in range(-5000, 5000, 7)]
    cells = [None if n % 5 == 0 else cell for n, cell in enumerate(cents)]
    pq.write_table(pa.table({"x": pa.array(cells, pa.decimal128(12, 2))}), path)
    reader, columns = columns_of(path, dtype="float64")
    (batch,) = read(path, reader, columns)
    assert batch.features[:, 0].tolist() == [float(cell) for cell in cells if cell is not None]


def test_only_the_columns_that_are_used_are_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1.0], "b": [2.0], "a.b": [3.0]}), path)
    reader, columns = columns_of(path, None, ["a", "a.b"])
    (batch,) = read(path, reader, columns)
    assert batch.features.tolist() == [[1.0, 3.0]]
    assert batch.piece.read_bytes < 250
    damaged = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(1).dictionary_page_offset
    damaged[start : start + 20] = bytes(20)
    path.write_bytes(damaged)
    (batch,) = read(path, reader, columns)
    assert batch.features.tolist() == [[1.0, 3.0]]
    columns = replace(columns, features=(0, 1))
    with pytest.raises(DataError, match=r"a\.parquet is a damaged Parquet file: .*write it again$"):
        list(read(path, reader, columns))


def test_keys_of_partition_folders_are_columns(tmp_path):
    table = table_of(10)
    for year in (2023, 2024):
        for town in ("Köln", "A/B 1"):
            folder = tmp_path / "t" / f"year={year}" / f"town={town.replace('/', '%2F')}"
            folder.mkdir(parents=True)
            table.to_parquet(folder / "part-0.parquet")
    hidden = ("_SUCCESS", "_metadata", ".part-0.parquet.crc", "year=2023/_temporary.parquet")
    for name in hidden:
        (tmp_path / "t" / name).write_bytes(b"no table")
    reader, columns = columns_of(
        tmp_path / "t", "town", ["year", "a"], ("year",)[:0], classes=("A/B 1", "Köln")
    )
    assert columns.names == ("id", "a", "b", "c", "label", "year", "town")
    found = joined([*read(tmp_path / "t", reader, columns)])
    expected = [[float(year), a] for year in (2023, 2024) for _ in range(2)
                for a in table["a"].astype("float32")]  # fmt: skip
    assert found["features"] == expected
    assert found["labels"] == ([0] * 10 + [1] * 10) * 2
    reader, columns = columns_of(tmp_path / "t", None, ["a"], ("year", "town"))
    kept = joined([*read(tmp_path / "t", reader, columns)])["kept"]
    assert kept[::10] == [(2023, "A/B 1"), (2023, "Köln"), (2024, "A/B 1"), (2024, "Köln")]


def test_partition_without_a_value_is_missing(tmp_path):
    for value in ("1", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / f"k={value}").mkdir()
        table_of(3).to_parquet(tmp_path / f"k={value}" / "a.parquet")
    reader, columns = columns_of(tmp_path, None, ["k", "a"])
    batches = [*read(tmp_path, reader, columns)]
    assert bad_of(batches).counts == {"missing": 3}
    assert joined(batches)["features"][0][0] == 1.0


def test_index_without_a_name_is_no_column(tmp_path):
    table = table_of(6).iloc[[0, 1, 4]]
    table.to_parquet(tmp_path / "a.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "a.parquet").names
    reader, columns = columns_of(tmp_path / "a.parquet", -1, ["a"], classes=YES_NO)
    found = joined([*read(tmp_path / "a.parquet", reader, columns)])
    assert found["labels"] == [YES_NO.index(label) for label in table["label"]]


def test_kept_columns_keep_their_types(tmp_path):
    path = tmp_path / "a.parquet"
    day = datetime.date(2024, 2, 29)
    cells = {
        "when": pa.array([datetime.datetime(2024, 2, 29, 12)] * 2, pa.timestamp("us")),
        "day": pa.array([day, None]),
        "name": pa.array(["ä", None]).dictionary_encode(),
        "id": pa.array([2**62, 1]),
        "x": pa.array([1.0, 2.0]),
    }
    pq.write_table(pa.table(cells), path)
    reader, columns = columns_of(path, None, ["x"], ("when", "day", "name", "id"))
    (batch,) = read(path, reader, columns)
    assert [cells.type for cells in batch.kept] == [
        pa.timestamp("us"), pa.date32(), pa.utf8(), pa.int64()
    ]  # fmt: skip
    assert joined([batch])["kept"][0] == (datetime.datetime(2024, 2, 29, 12), day, "ä", 2**62)
    assert joined([batch])["kept"][1][1:] == (None, None, 1)


def test_text_that_is_not_utf_8_is_a_bad_row(tmp_path):
    path = tmp_path / "a.parquet"
    raw = pa.array([b"yes", b"n\xff", b"no"])
    text = pa.Array.from_buffers(pa.utf8(), 3, raw.buffers())  # whatever its type says
    pq.write_table(pa.table({"x": [1.0] * 3, "t": text}), path)
    reader, columns = columns_of(path, None, ["x"], ("t",))
    assert bad_of([*read(path, reader, columns)]).counts == {"bad encoding": 1}
    reader, columns = columns_of(path, "t", ["x"], classes=YES_NO)
    batches = [*read(path, reader, columns)]
    assert bad_of(batches).counts == {"bad encoding": 1}
    assert joined(batches)["labels"] == [1, 0]


OTHERS = {
    "a_number": pa.array([1.0]),
    "when": pa.array([datetime.datetime(2024, 1, 1)]),
    "day": pa.array([datetime.date(2024, 1, 1)]),
    "list": pa.array([[1.0, 2.0]]),
    "fixed": pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)),
    "struct": pa.array([{"a": 1}]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.utf8(), pa.int64())),
    "text": pa.array(["1"]),
}


def test_columns_that_hold_no_numbers_are_named_as_features(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(OTHERS), path)
    files = files_of(path)
    head = open_parquet(files, OPEN).head(files, OPEN)
    assert head.kinds == (
        "", "timestamps", "dates", "lists", "lists", "structs", "maps", "text"
    )  # fmt: skip
    columns = resolve(ColumnChoice(None, [0, 2]), head, "float32")
    assert describe_text(head, columns) == (
        '"day" (column 2) holds dates: write numbers in it, or leave it out with -featureIndices 0'
    )


@pytest.mark.parametrize("name", ["list", "fixed", "struct", "map"])
def test_nested_columns_are_neither_kept_nor_labels(tmp_path, name):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(OTHERS), path)
    with pytest.raises(DataError, match=rf'a\.parquet: "{name}" \(column \d\) holds .*kept'):
        columns_of(path, None, ["a_number"], (name,))
    with pytest.raises(DataError, match=rf'"{name}" \(column \d\) holds .* the label cannot be'):
        columns_of(path, name, ["a_number"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"y": ["no"]}, r"b\.parquet has no column 'x', as .*a\.parquet has"),
        ({"x": ["1"], "y": ["no"]}, r'b\.parquet: "x" \(column 0\) holds text \(string\), and in '
         r".*a\.parquet numbers \(double\)"),
        ({"x": [1.0], "y": [3]}, r'b\.parquet: "y" \(column 1\) holds numbers \(int64\)'),
        ({"x": [1.0], "y": ["no"], "k": [1.5]}, r'"k" \(column 2\) holds numbers \(double\), '
         r"and in .*numbers \(int64\)"),
    ],
)  # fmt: skip
def test_file_with_other_columns_is_named(tmp_path, other, message):
    pq.write_table(pa.table({"x": [1.0], "y": ["no"], "k": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"k": [1], **other}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=message):
        columns_of(tmp_path, "y", ["x"], ("k",))


def test_files_may_differ_in_what_changes_nothing(tmp_path):
    first = {"x": pa.array([1.0]), "n": pa.nulls(1), "y": ["no"]}
    second = {"more": ["?"], "y": ["yes"], "x": pa.array([2], "int8"), "n": ["text"]}
    third = {"y": pa.nulls(1), "x": pa.nulls(1), "n": pa.nulls(1)}
    for name, cells in zip("abc", (first, second, third), strict=True):
        pq.write_table(pa.table(cells), tmp_path / f"{name}.parquet")
    (tmp_path / "d.parquet").touch()
    reader, columns = columns_of(tmp_path, "y", ["x"], ("n",), classes=YES_NO)
    batches = [*read(tmp_path, reader, columns)]
    assert joined(batches)["features"] == [[1.0], [2.0]]
    assert bad_of(batches).counts == {"missing": 1}
    assert [cells.type for batch in batches for cells in batch.kept] == [pa.utf8()] * 3


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), path)
    with pytest.raises(DataError, match=r"a\.parquet has several columns of the name 'x'"):
        columns_of(path)


def whole(table: pd.DataFrame, path: Path) -> bytes:
    table.to_parquet(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a.parquet", lambda data: data[:-9], "damaged Parquet file: it ends before its footer"),
        ("a.parquet", lambda data: data[:4], "damaged Parquet file: it ends before its footer"),
        (
            "a.parquet",
            lambda data: data[:-400] + b"\xff" * 392 + data[-8:],
            "damaged Parquet file: ",
        ),
        ("a.parquet", lambda _: b"1,2\n3,4\n", "no Parquet file: if it is a CSV, give it a name"),
        ("a.parquet", lambda _: b"<html><body>", "no Parquet file but a web page"),
        ("a.parquet", lambda _: b"PARE\0\0", "an encrypted Parquet file"),
    ],
)
def test_file_that_is_damaged_or_something_else_is_named(tmp_path, name, change, message):
    path = tmp_path / name
    path.write_bytes(change(whole(table_of(5), path)))
    (file,) = files_of(path)
    with pytest.raises(DataError, match=f"a\\.parquet is (a |no |an )?.*{message}") as told:
        assert is_parquet(file, OPEN)
        open_parquet([file], OPEN)
    assert "\n" not in str(told.value)


def test_file_of_another_format_among_parquet_is_named(tmp_path):
    table_of(5).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("1,2\n3,4\n")
    with pytest.raises(DataError, match=r"b\.csv stands among Parquet files and is none: if it"):
        open_parquet(files_of(tmp_path), OPEN)
    (tmp_path / "b.csv").rename(tmp_path / "b.csv.gz")
    with pytest.raises(DataError, match=r"b\.csv\.gz stands among .* compressed as a whole"):
        open_parquet(files_of(tmp_path), OPEN)


def test_parquet_of_any_name_is_told_by_its_bytes(tmp_path):
    table_of(5).to_parquet(tmp_path / "a.csv")
    (file,) = files_of(tmp_path / "a.csv")
    assert is_parquet(file, OPEN)


def test_table_without_rows_is_empty(tmp_path):
    table_of(0).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"the data is empty: .*a\.parquet holds no rows"):
        columns_of(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("cells", "expected", "reasons"),
    [
        (pa.array([1, 2**40]), [1.0, 2.0**40], {}),
        (pa.array([Decimal("0.10"), Decimal("-127.99")]), [0.1, -127.99], {}),
        (pa.array([1.5, None, float("nan")]), [1.5], {"missing": 1, "not finite": 1}),
        (pa.array(["1.5", "oh", ""]), [1.5], {"not a number": 1, "missing": 1}),
        (pa.array([True, False]), [1.0, 0.0], {}),
    ],
)
def test_labels_of_a_regression_are_numbers(tmp_path, cells, expected, reasons):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [0.0] * len(cells), "y": cells}), path)
    reader, columns = columns_of(path, "y")
    batches = [*read(path, reader, replace(columns, targets=Quantities()))]
    assert joined(batches)["labels"] == expected
    assert bad_of(batches).counts == reasons
