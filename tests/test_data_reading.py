"""Rows read from bytes, held against Python's csv module and against a single pass."""

import csv
import io
import re
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from csv_oracle import (
    bad_of,
    csv_rows,
    data_file,
    open_local,
    parse,
    read_splits,
    read_whole,
    rows_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.data.bad_rows import COMMENT, NO_MARK, NOT_ONE_HOT, REASONS, REPEATED_HEADER
from irisspark.data.columns import Columns
from irisspark.data.csv.blocks import Block
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.csv.reading import parse_block
from irisspark.data.splits import cut
from irisspark.data.targets import LabelCodes
from irisspark.errors import DataError

THREE = LabelCodes(("0", "1", "2"))
PLAIN, HEADER = CsvFormat(), CsvFormat(header=True)
TROUBLE = (
    b"1.5,2,0,a\n"
    b"2.5,3,1,b\r\n"
    b"\n"
    b"3,oops,2,c\n"  # not a number
    b"4,5,7,d\n"  # unknown label
    b"5,6\n"  # too few columns
    b"6,7,0,e,more\n"  # too many
    b"7,,1,f\n"  # missing
    b"8,NA,2,g\n"  # missing
    b"9,nan,0,h\n"  # not finite
    b"10,1e39,1,i\n"  # not finite in float32
    b'11,12,2,"j,1"\n'
    b'12,13,0,"k\n'  # a quote that stays open
    b"13,14,1,\xff\n"  # not UTF-8
    b"14,1\x005,2,l\n"  # NUL
    b' 15 , 16,"1","say ""m"""\n'
    b"16,17,2.0,n\r\n"
    b"\r\n"
    b"17,18,1e0,\xc3\xbc\n"
    b"18," + b"0" * 90 + b"19,2,p\n"
    b"+1,-.5e1,,q\n"  # missing label
    b"19,20, 2 ,r"
)
TROUBLE_COLUMNS = Columns(4, (0, 1), label=2, targets=THREE, keep=(3,))


def test_every_kind_of_trouble_is_found():
    batch = parse(TROUBLE, TROUBLE_COLUMNS)
    assert batch.bad.counts == {
        "bad encoding": 2,
        "broken quotes": 1,
        "missing": 3,
        "not a number": 1,
        "not finite": 2,
        "unknown label": 1,
        "wrong number of columns": 2,
    }
    of_others = {REPEATED_HEADER, COMMENT, NO_MARK, NOT_ONE_HOT}
    assert {*batch.bad.counts, *of_others} == set(REASONS)
    assert batch.features.tolist() == [
        [1.5, 2],
        [2.5, 3],
        [11, 12],
        [15, 16],
        [16, 17],
        [17, 18],
        [18, 19],
        [19, 20],
    ]
    assert batch.labels is not None and batch.labels.tolist() == [0, 1, 2, 1, 2, 1, 2, 2]
    assert batch.kept[0].to_pylist() == ["a", "b", "j,1", 'say "m"', "n", "\u00fc", "p", "r"]
    starts = [TROUBLE.index(text) for text in (b"1.5,", b"2.5,", b"11,12", b" 15", b"16,17")]
    assert batch.positions.tolist()[:5] == starts


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_cut_gives_the_rows_of_a_single_pass(tmp_path, end):
    data = b"\xef\xbb\xbfx,y,label,name" + end + TROUBLE.replace(b"\r\n", b"\n").replace(b"\n", end)
    columns = Columns(
        4, (0, 1), label=2, targets=THREE, keep=(3,), names=("x", "y", "label", "name")
    )
    files = [data_file(tmp_path / name, data) for name in ("a.csv", "b.csv")]
    whole = read_splits(files, columns, HEADER)
    assert len(rows_of(whole)) == 16
    for split_bytes in [*range(1, 60), 100, 200, 500]:
        for block_bytes in (1, 37, 4 << 20) if split_bytes in (1, 7, 50) else (64,):
            parts = read_splits(
                files, columns, HEADER, split_bytes=split_bytes, block_bytes=block_bytes
            )
            assert rows_of(parts) == rows_of(whole)
            assert bad_of(parts) == bad_of(whole)


def test_what_was_bad_before_changes_nothing():
    columns = Columns(4, (0, 1), label=2, targets=THREE, keep=(3,))
    suspects_of_all = parse_block(Block(0, 0, TROUBLE), columns, PLAIN).suspects
    blocks = [*TROUBLE.splitlines(keepends=True), TROUBLE]
    for data in blocks:
        alone = parse_block(Block(0, 9, data), columns, PLAIN)
        for suspects in (
            frozenset[int](),
            frozenset({0}),
            frozenset({1, 2}),
            frozenset({0, 1}),
        ):
            told = parse_block(Block(0, 9, data), columns, PLAIN, suspects)
            assert told.features.tolist() == alone.features.tolist()
            assert (told.kept, told.bad) == (alone.kept, alone.bad)
    assert suspects_of_all == {0, 1, 2, 3} - {0}
    parsed = parse_block(Block(0, 0, b"1,2,0,a\n"), columns, PLAIN, suspects_of_all)
    assert parsed.suspects is None


def test_first_ten_bad_rows_are_those_of_the_input_whatever_the_order(tmp_path):
    lines = [b"1,2,0" if i % 3 else b"1,x%d,0" % i for i in range(90)]
    file = data_file(tmp_path / "a.csv", b"\n".join(lines))
    columns = Columns(3, (0, 1), label=2, targets=THREE)
    parts = read_splits([file], columns, split_bytes=17)
    for batches in (parts, parts[::-1]):
        bad = bad_of(batches)
        assert bad.total == 30
        assert [row.value for row in bad.first] == [f"x{i}" for i in range(0, 30, 3)]


cells = st.text(alphabet='ab1,;"\t \u00fc\u4e16', max_size=5)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False),
                       st.integers(0, 2), cells), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.booleans(), st.booleans(), st.integers(1, 200),
)  # fmt: skip
def test_rows_are_those_of_the_csv_module(
    tmp_path_factory, rows, delimiter, line_end, quoting, with_bom, is_ended, split_bytes
):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(rows)
    data = text.getvalue().removesuffix("" if is_ended else line_end).encode()
    data = b"\xef\xbb\xbf" * with_bom + data
    file = data_file(tmp_path_factory.mktemp("csv") / "a.csv", data)
    columns = Columns(3, (0,), label=1, targets=THREE, keep=(2,))
    batches = read_splits([file], columns, CsvFormat(delimiter), split_bytes=split_bytes)
    expected = csv_rows(data, delimiter)
    assert bad_of(batches).total == 0
    assert [(row[2], row[3], row[4]) for row in rows_of(batches)] == [
        ((float(np.float32(x)),), int(label), (kept,)) for x, label, kept in expected
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='a1,"\r\n', max_size=40), st.integers(1, 50))
def test_any_text_is_read_as_the_csv_module_reads_its_lines(tmp_path_factory, text, split_bytes):
    file = data_file(tmp_path_factory.mktemp("csv") / "a.csv", text.encode())
    columns = Columns(2, (), keep=(0, 1))
    batches = read_splits([file], columns, split_bytes=split_bytes, block_bytes=7)
    good = [row[4] for row in rows_of(batches)]
    bad = bad_of(batches)
    expected = csv_rows(text.encode())
    broken = bad.counts.get("broken quotes", 0)
    assert len(good) + bad.total == len(expected)
    assert bad.counts.get("wrong number of columns", 0) <= sum(len(r) != 2 for r in expected)
    rows = [tuple(r) for r in expected if len(r) == 2]
    assert good == rows if not broken else is_part_of(good, rows)
    # Quotes break the line that they are in, and no other.
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line and '"' not in line]
    assert is_part_of([tuple(r) for line in lines if len(r := line.split(",")) == 2], good)
    assert len(rows) - len(good) <= broken


def is_part_of(some: list, all_of_them: list) -> bool:
    """Whether some are among others, in their order."""
    left = iter(all_of_them)
    return all(row in left for row in some)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False),
                       st.text(alphabet='ab,"\r\n', max_size=6)), min_size=1, max_size=8),
    st.integers(1, 64), st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_quoted_line_breaks_are_read_with_multi_line(tmp_path_factory, rows, block_bytes, line_end):
    text = io.StringIO()
    # Before Python 3.13 the csv module leaves a lone carriage return unquoted by itself.
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows(rows)
    data = text.getvalue().encode()
    file = data_file(tmp_path_factory.mktemp("csv") / "a.csv", data)
    columns = Columns(2, (0,), keep=(1,))
    spanning = CsvFormat(multi_line=True)
    batches = read_splits([file], columns, spanning, split_bytes=1, block_bytes=block_bytes)
    assert bad_of(batches).total == 0
    assert [(row[2][0], row[4][0]) for row in rows_of(batches)] == [
        (float(np.float32(x)), kept) for x, kept in csv_rows(data, multi_line=True)
    ]


def test_quoted_line_break_without_multi_line_is_two_bad_rows_and_no_more():
    data = b'1,a,0\n2,"b\nc",1\n3,d,2\n'
    batch = parse(data, Columns(3, (0,), label=2, targets=THREE, keep=(1,)))
    assert batch.bad.counts == {"broken quotes": 1, "wrong number of columns": 1}
    assert batch.labels is not None and batch.labels.tolist() == [0, 2]


number_texts = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: f"{x:.9g}"),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"[+-]?[0-9]{0,30}\.?[0-9]{0,30}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["16777217", "3.4028235e38", "3.4028236e38", "1e-45", "1e-46", "7e-46", "-0"]),
    st.text(alphabet="0123456789+-.eE \t_nafixd", max_size=8),
)


DTYPES = ["float32", "float64", "float16", "int32", "int64", "uint8", "bool"]


@settings(max_examples=150, deadline=None)
@given(st.lists(number_texts, min_size=1, max_size=4), st.sampled_from(DTYPES))
def test_both_ways_of_reading_give_the_same_numbers(texts, dtype):
    columns = Columns(2, (0,), dtype, keep=(1,))
    alone = [parse(f"{text},x\n".encode(), columns) for text in texts]
    # A quote that stays open sends the whole block the other way.
    together = parse("".join(f"{text},x\n" for text in texts).encode() + b'0,"\n', columns)
    assert together.features.tolist() == [row for b in alone for row in b.features.tolist()]
    reasons = sum((Counter(b.bad.counts) for b in alone), Counter({"broken quotes": 1}))
    assert together.bad.counts == reasons


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60)))
def test_float64_is_pythons_own(number):
    batch = parse(f"{number!r},x\n".encode(), Columns(2, (0,), "float64"))
    assert batch.features.tolist() == [[float(number)]]


@settings(max_examples=300, deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_comes_back_from_its_shortest_text(number):
    text = str(np.float32(number))
    batch = parse(f"{text},x\n".encode(), Columns(2, (0,), "float32"))
    assert batch.features[0, 0] == np.float32(number)


@pytest.mark.parametrize(
    ("dtype", "text", "expected"),
    [
        ("int32", "16777217", 16777217),
        ("int32", "2147483647", 2147483647),
        ("int32", "-2147483648", -2147483648),
        ("int32", "3.0", 3),
        ("int32", "1e3", 1000),
        ("int64", "9007199254740991", 2**53 - 1),
        ("int64", "-9007199254740991", -(2**53) + 1),
        ("int64", "-9007199254740993", None),
        ("int64", "9007199254740993", None),  # float64 takes it for 2**53
        ("int32", "2147483648", None),
        ("int32", "1.5", None),
        ("uint8", "256", None),
        ("uint8", "-1", None),
        ("bool", "1", True),
        ("bool", "2", None),
    ],
)
def test_integers_are_exact_or_bad(dtype, text, expected):
    batch = parse(f"{text},x\n".encode(), Columns(2, (0,), dtype))
    assert batch.features.dtype == dtype
    assert batch.features.ravel().tolist() == ([] if expected is None else [expected])
    assert batch.bad.counts == ({} if expected is not None else {"not a number": 1})


def test_features_come_in_the_order_asked_for():
    batch = parse(b"1,2,3\n", Columns(3, (2, 0), label=1, targets=THREE))
    assert batch.features.tolist() == [[3, 1]]


def test_unused_column_may_hold_anything():
    batch = parse(b"1,x,0\n2,,1\n3,\xff,2\n", Columns(3, (0,), label=2, targets=THREE))
    assert batch.bad.total == 0
    assert batch.features.tolist() == [[1], [2], [3]]


def test_data_of_a_header_alone_has_no_rows(tmp_path):
    columns = Columns(2, (0,), label=1, targets=THREE, names=("a", "b"))
    for data in (b"a,b", b"a,b\n", b"\n\na,b\n\n"):
        batch = parse(data, columns, HEADER)
        assert len(batch) == 0
        assert batch.bad.total == 0


def test_blank_lines_before_the_header_are_skipped():
    columns = Columns(2, (0,), label=1, targets=THREE, names=("a", "b"))
    batch = parse(b"\r\n\na,b\r\n5,1\n", columns, HEADER)
    assert batch.features.tolist() == [[5]]
    assert batch.positions.tolist() == [8]


def test_another_header_is_an_error_that_names_both_files(tmp_path):
    columns = Columns(3, (0, 1), label=2, targets=THREE, names=("a", "b", "c"),
                      names_path="/data/first.csv")  # fmt: skip
    same = data_file(tmp_path / "same.csv", b'\xef\xbb\xbf"a",b,c\n1,2,0\n')
    assert len(rows_of(read_splits([same], columns, HEADER, split_bytes=2))) == 1
    for data in (b"a,c,b\n1,2,0\n", b"1,2,0\n3,4,1\n", b"a,b\n1,2\n"):
        other = data_file(tmp_path / "other.csv", data)
        with pytest.raises(DataError, match=r"other\.csv .*another header than /data/first\.csv"):
            read_splits([other], columns, HEADER, split_bytes=4)


def test_line_of_fifty_megabytes(tmp_path):
    data = b"1,a,0\n2," + b"x" * 50_000_000 + b",1\n3,b,2\n4,c\n"
    file = data_file(tmp_path / "a.csv", data)
    columns = Columns(3, (0,), label=2, targets=THREE, keep=(1,))
    batches = read_splits([file], columns, split_bytes=20_000_000)
    assert [row[3] for row in rows_of(batches)] == [0, 1, 2]
    assert max(len(text) for row in rows_of(batches) for text in row[4]) == 50_000_000
    assert [(row.position, row.reason) for row in bad_of(batches).first] == [
        (len(data) - 4, "wrong number of columns")
    ]


def test_ten_thousand_columns(tmp_path):
    row = [str(i) for i in range(9_999)]
    lines = [",".join([*row, "1"]), ",".join([*row[:5000], "oops", *row[5001:], "2"])]
    file = data_file(tmp_path / "a.csv", "\n".join(lines).encode())
    columns = Columns(10_000, tuple(range(9_999)), label=9_999, targets=THREE)
    batches = read_splits([file], columns, split_bytes=9_000)
    ((_, _, features, label, _),) = rows_of(batches)
    assert features == tuple(map(float, range(9_999)))
    assert label == 1
    assert bad_of(batches).first[0].column == 5000


def test_memory_stays_within_a_few_blocks(tmp_path):
    file = data_file(tmp_path / "a.csv", b"1.5,2.5,1\n" * 1_000_000)
    columns = Columns(3, (0, 1), label=2, targets=THREE)
    (split,) = cut([file], 1e9)
    tracemalloc.start()
    try:
        num_rows = sum(len(b) for b in CsvReader().read(split, columns, open_local, 1 << 18))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert num_rows == 1_000_000
    assert peak_bytes < 10 << 18


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_compressed_file_reads_as_the_plain_one(tmp_path, suffix):
    file = data_file(tmp_path / f"a.csv{suffix}", TROUBLE)
    batches = read_whole(file, TROUBLE_COLUMNS, 50)
    assert rows_of(batches) == rows_of([parse(TROUBLE, TROUBLE_COLUMNS)])
