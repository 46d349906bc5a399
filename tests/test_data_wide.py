"""Tables of hundreds of columns give the same rows as the plain way of reading them."""

import time
import tracemalloc

import numpy as np
import pytest
from csv_oracle import bad_of, csv_rows, data_file, open_local, parse, read_splits, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.data.columns import ColumnChoice, Columns, Head, resolve
from irisspark.data.csv import wide
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.targets import LabelCodes

THREE = LabelCodes(("0", "1", "2"))
cells = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-300, 300).map(str),
    st.sampled_from(
        ["", "x", "NA", " 1 ", "1e39", "nan", "True", '"1"', '"1,2"', "3.0", "-0", "#"]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(cells, min_size=4, max_size=5), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t", " "]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(),
    st.sampled_from(["float32", "float64", "int32", "uint8", "float16"]),
    st.sampled_from([(0, 1, 2, 3), (3, 1, 0), (0, 1), (1, 2, 3)]),
)  # fmt: skip
def test_both_ways_give_the_same_rows(rows, delimiter, line_end, is_ended, dtype, features):
    text = line_end.join(delimiter.join(row) for row in rows) + line_end * is_ended
    others = [c for c in range(4) if c not in features]
    label = others[0] if others else None
    targets = THREE if others else None
    columns = Columns(4, features, dtype, label, targets=targets, keep=tuple(others[1:2]))
    csv = CsvFormat(delimiter)
    narrow = parse(text.encode(), columns, csv)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wide, "MIN_COLUMNS", 1)
        found = parse(text.encode(), columns, csv)
    assert rows_of([found]) == rows_of([narrow])
    assert found.features.tobytes() == narrow.features.tobytes()
    assert found.bad == narrow.bad


@pytest.mark.parametrize("label", [0, 400, 700, 799, -1])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_rows_are_those_of_the_csv_module(tmp_path, label, line_end):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50, 800)).round(4).astype(str)
    table[:, label] = rng.choice(["red", "blue"], 50)
    table[:, 5] = [f"id {i}" for i in range(50)]
    data = line_end.join(",".join(row) for row in table).encode()
    columns = resolve(
        ColumnChoice(label, keep=(5,), class_names=("red", "blue")), Head("a", 800), "float32"
    )
    assert wide.parse_wide(data, columns, CsvFormat()) is not None
    batches = read_splits([data_file(tmp_path / "a.csv", data)], columns, block_bytes=40_000)
    assert len(batches) > 3
    found = rows_of(batches)
    expected = csv_rows(data)
    names = ("red", "blue")
    assert [(row[4][0], names[row[3]]) for row in found] == [
        (row[5], row[label]) for row in expected
    ]
    features = [[float(np.float32(row[c])) for c in columns.features] for row in expected]
    assert [list(row[2]) for row in found] == features


def test_lines_of_other_widths_do_not_make_up_for_each_other():
    line = ",".join("1" * 300)
    data = f"{line},0\n{line}\n{line},1,0\n{line},2\n".encode()
    columns = Columns(301, tuple(range(300)), label=300, targets=THREE)
    batch = parse(data, columns)
    assert batch.bad.counts == {"wrong number of columns": 2}
    assert batch.labels.tolist() == [0, 2]


def test_flat_images_are_read_in_the_memory_of_a_few_blocks(tmp_path):
    num_pixels, num_rows = 150_528, 60
    pixels = np.random.default_rng(0).integers(0, 256, num_pixels)
    line = ",".join(map(str, pixels))
    file = data_file(
        tmp_path / "a.csv", "".join(f"{line},{i % 3}\n" for i in range(num_rows)).encode()
    )
    reader = CsvReader()
    started = time.process_time()
    head = reader.head([file], open_local)
    columns = resolve(ColumnChoice(class_names=("0", "1", "2")), head, "uint8")
    (split,) = reader.cut([file], 1e12)
    tracemalloc.start()
    try:
        num_read = 0
        for batch in reader.read(split, columns, open_local):
            assert (batch.features == pixels).all()
            num_read += len(batch)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert num_read == num_rows
    assert peak_bytes < 10 * (16 << 20)
    assert time.process_time() - started < 30


@pytest.mark.parametrize("header", [True, False])
def test_columns_of_flat_images_are_found_at_once(header):
    num_columns = 150_529
    names = tuple(f"p{i}" for i in range(num_columns)) if header else None
    chosen = names[:-1] if names else tuple(range(num_columns - 1))
    started = time.process_time()
    head = Head("a", num_columns, names)
    columns = resolve(ColumnChoice(-1, features=chosen), head, "float32")
    assert columns.features == tuple(range(num_columns - 1))
    assert columns.used == tuple(range(num_columns))
    assert time.process_time() - started < 5


def test_a_bad_row_among_many_columns_is_found(tmp_path):
    rows = [["1"] * 600 + ["0"] for _ in range(40)]
    rows[17][300] = "oops"
    rows[23][599] = "True"
    file = data_file(tmp_path / "a.csv", "\n".join(map(",".join, rows)).encode())
    columns = Columns(601, tuple(range(600)), label=600, targets=THREE)
    batches = read_splits([file], columns, block_bytes=5000)
    (bad,) = bad_of(batches).first
    assert (bad.position, bad.column, bad.value) == (17 * 1202, 300, "oops")
    assert len(rows_of(batches)) == 39
