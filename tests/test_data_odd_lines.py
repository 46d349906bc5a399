"""Lines that are no rows, booleans, and quotes escaped by a backslash, as others write them."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from csv_oracle import bad_of, data_file, open_local, parse, read_splits, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.data.columns import ColumnChoice, Columns, resolve
from irisspark.data.csv.backslashes import with_doubled_quotes
from irisspark.data.csv.blocks import Block
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.csv.reading import parse_block
from irisspark.data.targets import LabelCodes
from irisspark.errors import DataError

THREE = LabelCodes(("0", "1", "2"))
COLUMNS = Columns(3, (0, 1), label=2, targets=THREE)
NAMED = Columns(3, (0, 1), label=2, targets=THREE, names=("x", "y", "label"))
PLAIN, HEADER = CsvFormat(), CsvFormat(header=True)

COMMENTS = [
    b"# made by a script",
    b"# made by a script, on Monday, with 1, 2 and 3",
    b"  # indented",
    b'"# quoted, as spreadsheets do"',
    b"|1x3 Cross validator",
    b"% a comment",
    b"// another",
    b"#",
    b"# x, y, label",
    b"# it's \"quoted, once",
]


@pytest.mark.parametrize("comment", COMMENTS)
def test_comments_before_the_rows_are_left_out_and_later_ones_are_counted(tmp_path, comment):
    before, lines = [comment, b"", comment], [b"1,2,0", comment, comment, b"5,6,2", comment]
    for end in (b"\n", b"\r\n"):
        file = data_file(tmp_path / "a.csv", end.join([*before, *lines]))
        for block_bytes in (1, 16, 1 << 20):
            batches = read_splits([file], COLUMNS, block_bytes=block_bytes)
            assert bad_of(batches).counts == {"comment": 3}
            assert [(row[2], row[3]) for row in rows_of(batches)] == [((1, 2), 0), ((5, 6), 2)]
    assert CsvReader().head([file], open_local).rows[0] == ("1", "2", "0")


@pytest.mark.parametrize("split_bytes", [1, 7, 30, 1e9])
def test_comments_behind_the_first_row_are_counted_however_the_file_is_cut(tmp_path, split_bytes):
    lines = [b"1,2,0", *COMMENTS, b"sep=;", b"5,6,2", b"#17"]
    file = data_file(tmp_path / "a.csv", b"\n".join(lines))
    batches = read_splits([file], COLUMNS, split_bytes=split_bytes, block_bytes=16)
    assert bad_of(batches).counts == {"comment": len(COMMENTS) + 2}
    assert len(rows_of(batches)) == 2


def test_comments_between_a_header_and_the_rows_are_left_out(tmp_path):
    file = data_file(tmp_path / "a.csv", b"# a\nx,y,label\n# m, s\n#\n1,2,0\n# a\n")
    for block_bytes in (1, 1 << 20):
        batches = read_splits([file], NAMED, HEADER, block_bytes=block_bytes)
        assert bad_of(batches).counts == {"comment": 1}
        assert len(rows_of(batches)) == 1


def test_comments_are_those_of_pandas():
    data = b"# a\n#b,c,d\n# b,c,d,e\n1,2,0\n5,6,2\n"
    expected = pd.read_csv(io.BytesIO(data), comment="#", header=None).to_numpy()
    batch = parse(data, COLUMNS)
    assert batch.bad.total == 0
    assert np.column_stack([batch.features, batch.labels]).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"#DIV/0!,2,0", "not a number"),
        (b"#N/A,2,0", "missing"),
        (b"#NAME?,2", "wrong number of columns"),
        (b"#1,2,0", "not a number"),
        (b"1,#,0", "not a number"),
        (b"1,2,# 0", "unknown label"),
    ],
)
def test_a_bad_row_is_no_comment(line, reason):
    batch = parse(b"1,2,0\n" + line + b"\n3,4,1\n", COLUMNS)
    assert batch.bad.counts == {reason: 1}


def test_a_row_with_a_text_like_a_comment_stays_one():
    columns = Columns(3, (1, 2), keep=(0,))
    batch = parse(b"#17,1,2\n#18,3,4\n#19,oops,4\n", columns)
    assert batch.kept[0].to_pylist() == ["#17", "#18"]
    assert batch.bad.counts == {"not a number": 1}


def test_the_delimiter_begins_no_comment():
    batch = parse(b"|2|0\n", COLUMNS, CsvFormat("|"))
    assert batch.bad.counts == {"missing": 1}


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_excels_first_line_is_left_out(tmp_path, delimiter, header):
    text = f"\ufeffsep={delimiter}\r\n" + ("x,y,label\r\n" if header else "") + "1,2,0\r\n3,4,1"
    text = text.replace(",", delimiter)
    file = data_file(tmp_path / "a.csv", text.encode())
    form = CsvFormat(delimiter, header=header)
    head = CsvReader(form).head([file], open_local)
    assert head.rows == (("1", "2", "0"), ("3", "4", "1"))
    batches = read_splits([file], NAMED if header else COLUMNS, form)
    assert bad_of(batches).total == 0
    assert [row[2] for row in rows_of(batches)] == [(1, 2), (3, 4)]


def test_excels_first_line_names_the_delimiter_to_pass(tmp_path):
    file = data_file(tmp_path / "a.csv", b"sep=;\n1;2;0\n")
    with pytest.raises(DataError, match=r"line 1 says that ';' parts .* pass -delimiter ';'"):
        CsvReader().head([file], open_local)


@pytest.mark.parametrize(
    "before", [[], [b"# a"], [b"# a, b", b"% c"], [b"sep=,"], [b"sep=,", b"#"]]
)
@pytest.mark.parametrize("block_bytes", [1, 9, 1 << 20])
def test_header_stands_behind_comments(tmp_path, before, block_bytes):
    lines = [*before, b"x,y,label", b"1,2,0", b"3,4,1"]
    files = [data_file(tmp_path / name, b"\n".join(lines)) for name in ("a.csv", "b.csv")]
    assert CsvReader(HEADER).head(files, open_local).names == NAMED.names
    batches = read_splits(files, NAMED, HEADER, block_bytes=block_bytes)
    assert bad_of(batches).total == 0
    assert [row[2] for row in rows_of(batches)] == [(1, 2), (3, 4)] * 2


def test_header_that_is_a_comment_is_numpys_own(tmp_path):
    rows = np.array([[1.5, 2.5, 0], [3.5, 4.5, 1]])
    path = tmp_path / "a.csv"
    np.savetxt(path, rows, delimiter=",", header="x,y,label")
    file = data_file(path, path.read_bytes())
    assert CsvReader(HEADER).head([file], open_local).names == ("# x", "y", "label")
    assert CsvReader().head([file], open_local).rows[0][0].startswith("1.5")
    labels = LabelCodes(("0", "1"))
    for form, names in ((PLAIN, None), (HEADER, ("# x", "y", "label"))):
        columns = Columns(3, (0, 1), label=2, targets=labels, names=names)
        batches = read_splits([file], columns, form)
        assert [row[2] for row in rows_of(batches)] == [(1.5, 2.5), (3.5, 4.5)]
        assert bad_of(batches).total == 0


@pytest.mark.parametrize("label", [b"0", b"setosa"])
@pytest.mark.parametrize("names", [b"#,0,1,label", b"%change,2019,2020,label", b"# 1,2,3,label"])
def test_no_row_is_lost_to_a_header_like_a_comment_with_numbers(tmp_path, names, label):
    file = data_file(tmp_path / "a.csv", names + b"\n7,5,3,%s\n8,4,2,%s\n" % (label, label))
    head = CsvReader(HEADER).head([file], open_local)
    assert head.names == tuple(names.decode().split(","))
    assert [row[0] for row in head.rows] == ["7", "8"]


def test_a_header_may_hold_quotes_escaped_by_a_backslash(tmp_path):
    data = b'"say \\"a, b\\"",y,label\n1,2,0\n3,4,1\n5,6,2\n'
    files = [data_file(tmp_path / name, data) for name in ("a.csv", "b.csv")]
    names = CsvReader(HEADER).head(files, open_local).names
    assert names == ('say "a, b"', "y", "label")
    batches = read_splits(files, Columns(3, (0, 1), label=2, targets=THREE, names=names), HEADER)
    assert [row[2] for row in rows_of(batches)] == [(1, 2), (3, 4), (5, 6)] * 2
    assert bad_of(batches).total == 0


def test_a_commented_row_above_a_header_is_none(tmp_path):
    for names in (b"x,y,label", b"2019,y,label"):
        file = data_file(tmp_path / "a.csv", b"#1,2,0\n" + names + b"\n3,4,1\n")
        assert CsvReader(HEADER).head([file], open_local).names == tuple(names.decode().split(","))


@pytest.mark.parametrize("split_bytes", [1, 9, 1e9])
def test_header_in_the_middle_is_bad_for_a_reason_of_its_own(tmp_path, split_bytes):
    data = b'x,y,label\n1,2,0\n"x",y,label\n3,4,1\nx,y,label\nx,4,label\n'
    file = data_file(tmp_path / "a.csv", data)
    bad = bad_of(read_splits([file], NAMED, HEADER, split_bytes=split_bytes))
    assert bad.counts == {"repeated header": 2, "not a number": 1}
    assert [row.position for row in bad.first] == [16, 34, 44]


@pytest.mark.parametrize("split_bytes", [1, 7, 20, 1e9])
def test_a_mark_in_the_middle_of_a_merged_file(tmp_path, split_bytes):
    data = "\ufeffx,y,label\n1,2,0\n\ufeffx,y,label\n3,4,1\n\ufeff5,6,2\n".encode()
    file = data_file(tmp_path / "a.csv", data)
    batches = read_splits([file], NAMED, HEADER, split_bytes=split_bytes, block_bytes=1)
    assert [row[2] for row in rows_of(batches)] == [(1, 2), (3, 4)]
    assert bad_of(batches).counts == {"repeated header": 1, "not a number": 1}


@pytest.mark.parametrize("suspects", [None, frozenset({0}), frozenset[int]()])
def test_row_of_another_width_that_is_not_utf_8(suspects):
    data = b"1,2,0\ncaf\xe9,2\n\xff\n1,\xff,0\n3,4,1\n\xe9,1,2,3\n"
    parsed = parse_block(Block(0, 7, data), COLUMNS, PLAIN, suspects)
    assert parsed.features.tolist() == [[1, 2], [3, 4]]
    assert parsed.bad.counts == {"wrong number of columns": 3, "bad encoding": 1}
    assert [row.value for row in parsed.bad.first] == ["2", "1", "\\xff", "4"]


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        (True, b"a,b,c\n1,1,2,0\n2,3,4,1\n", "header has 3 columns where the rows .* have 4"),
        (True, b"a,b,c,d,e\n1,2,0\n3,4,1\n", "header has 5 columns where the rows below it have 3"),
        (
            True,
            b"Flowers\nx,y,label\n1,2,0\n",
            "header has 1 column where the rows .* have 3",
        ),
        (True, b"a,b\n1,2,0\n", "header has 2 columns where the rows below it have 3"),
        (False, b"My table, 2024\n1,2,0\n3,4,1\n", "first line has 2 columns where .* have 3"),
        (
            False,
            b"Title\n1,2,0\n3,4,1\n",
            "first line has 1 column where the lines .* have 3",
        ),
    ],
)
def test_first_line_of_another_width_is_told_with_both_numbers(tmp_path, header, data, said):
    file = data_file(tmp_path / "a.csv", data)
    with pytest.raises(DataError, match=rf"a\.csv: the {said}"):
        CsvReader(CsvFormat(header=header)).head([file], open_local)


def test_hives_delimiter_is_named_and_read(tmp_path):
    file = data_file(tmp_path / "a.csv", b"1\x012\x010\n3\x014\x011\n")
    with pytest.raises(DataError, match=r"one column .* 2 of '\\x01': pass -delimiter '\\001'"):
        CsvReader().head([file], open_local)
    batches = read_splits([file], COLUMNS, CsvFormat("\x01"))
    assert [row[2] for row in rows_of(batches)] == [(1, 2), (3, 4)]


def test_one_column_that_is_no_utf_8_is_told(tmp_path):
    file = data_file(tmp_path / "a.csv", "5.1,3,0\n4.9,3,1\n".encode("cp500"))
    head = CsvReader().head([file], open_local)
    with pytest.raises(DataError, match=r"has one column, and none is left .*not UTF-8: save"):
        resolve(ColumnChoice(), head, "float32")


@pytest.mark.parametrize("header", [True, False])
def test_one_row_of_another_width_is_a_bad_row_and_no_more(tmp_path, header):
    data = b"x,y,label\n" * header + b"1,2,0\n1,2\n3,4,1\n"
    file = data_file(tmp_path / "a.csv", data)
    assert CsvReader(CsvFormat(header=header)).head([file], open_local).num_columns == 3


def test_booleans_are_those_of_pandas(tmp_path):
    table = pd.DataFrame({"x": [0.5, 1.5, 2.5, 3.5], "kind": ["a", "b", "a", "c"]})
    dummies = pd.get_dummies(table).assign(label=[0, 1, 2, 0])
    text = dummies.to_csv(index=False, header=False)
    assert "True" in text
    columns = Columns(5, (0, 1, 2, 3), label=4, targets=THREE)
    batch = parse(text.encode(), columns)
    assert batch.bad.total == 0
    assert batch.features.tolist() == dummies.iloc[:, :4].to_numpy("float32").tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("block_bytes", [1, 13, 1 << 20])
def test_booleans_are_1_and_0_in_any_dtype_and_any_cut(tmp_path, dtype, block_bytes):
    texts = ["True", "False", "TRUE", "FALSE", "true", "false", " True ", "1", "0", "1.0"]
    data = "".join(f"{text},{1 - i % 2},x\n" for i, text in enumerate(texts))
    file = data_file(tmp_path / "a.csv", data.encode())
    batches = read_splits([file], Columns(3, (0, 1), dtype, keep=(2,)), block_bytes=block_bytes)
    assert bad_of(batches).total == 0
    assert [row[2][0] for row in rows_of(batches)] == [1, 0, 1, 0, 1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("text", ["yes", "T", "tRUE", "Truee", "on", "True 1", "TrueFalse"])
def test_other_words_are_no_booleans(text):
    batch = parse(f"{text},2,0\nTrue,2,0\n".encode(), COLUMNS)
    assert batch.bad.counts == {"not a number": 1}


@pytest.mark.parametrize("text", ["?", "NA", "N/A", "-", "null", "None", "\\N", ".", "(null)", ""])
def test_missing_numbers_and_labels_have_a_reason_of_their_own(text):
    data = f"{text},2,0\n1,2,{text}\n1,2,0\n".encode()
    assert parse(data, COLUMNS).bad.counts == {"missing": 2}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet='ab", ', max_size=8), min_size=1, max_size=5), st.integers(1, 60))
def test_quotes_that_spark_escapes_are_read_as_the_csv_module_reads_them(
    tmp_path_factory, texts, split_bytes
):
    text = io.StringIO()
    settings_of_spark = {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_NONNUMERIC}
    writer = csv.writer(text, lineterminator="\n", **settings_of_spark)
    writer.writerows([number, text, 0] for number, text in enumerate(texts))
    lines = text.getvalue().splitlines()
    expected = list(csv.reader(lines, doublequote=False, escapechar="\\"))
    assert [row[1] for row in expected] == texts
    file = data_file(tmp_path_factory.mktemp("csv") / "a.csv", text.getvalue().encode())
    columns = Columns(3, (0,), label=2, targets=THREE, keep=(1,))
    batches = read_splits([file], columns, split_bytes=split_bytes)
    assert bad_of(batches).total == 0
    assert [row[4][0] for row in rows_of(batches)] == texts


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (r'1,"say \"hi\"",0', 'say "hi"'),
        (r'1,"say \"hi, you\" now",0', 'say "hi, you" now'),
        (r'1,"a\", b",0', 'a", b'),
        (r'1,"\"hi\"",0', '"hi"'),
        (r'1,"{\"a\": 1, \"b\": [2]}",0', '{"a": 1, "b": [2]}'),
        (r'1,"C:\dir\",0', "C:\\dir\\"),  # RFC 4180: the field ends in a backslash
        (r"1,5\" nail,0", '5\\" nail'),
        (r'1,"a ""b"" c",0', 'a "b" c'),
    ],
)
def test_a_backslash_before_a_quote(line, kept):
    batch = parse(
        f"7,x,1\n{line}\n8,y,2\n".encode(), Columns(3, (0,), label=2, targets=THREE, keep=(1,))
    )
    assert batch.bad.total == 0
    assert batch.kept[0].to_pylist() == ["x", kept, "y"]
    assert batch.positions.tolist() == [0, 6, 7 + len(line)]


def _is_no_row(text: str) -> bool:
    """RFC 4180 makes a cell of what precedes this, and a row where as many cells follow."""
    return '",' not in text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(alphabet='ab", \n', max_size=8).filter(_is_no_row), min_size=1, max_size=5),
    st.integers(1, 60),
)
def test_escaped_quotes_over_lines_are_read_as_the_csv_module_reads_them(
    tmp_path_factory, texts, block_bytes
):
    text = io.StringIO()
    settings_of_spark = {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_NONNUMERIC}
    writer = csv.writer(text, lineterminator="\n", **settings_of_spark)
    writer.writerows([number, text, 0] for number, text in enumerate(["x\ny", *texts, "last"]))
    data = text.getvalue()
    expected = [row[1] for row in csv.reader(io.StringIO(data), doublequote=False, escapechar="\\")]
    assert expected == ["x\ny", *texts, "last"]
    file = data_file(tmp_path_factory.mktemp("csv") / "a.csv", data.encode())
    columns = Columns(3, (0,), label=2, targets=THREE, keep=(1,))
    form = CsvFormat(multi_line=True)
    assert [row[1] for row in CsvReader(form).head([file], open_local).rows] == expected
    batches = read_splits([file], columns, form, block_bytes=block_bytes)
    assert bad_of(batches).total == 0
    rows = rows_of(batches)
    assert [row[4][0] for row in rows] == expected
    lines = data.encode()[: rows[-1][1]].decode().count("\n")
    assert lines == sum(text.count("\n") + 1 for text in expected[:-1])


@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_rows_over_lines_that_are_no_escaped_ones_stay_as_they_are(tmp_path, block_bytes):
    data = b'7,x,1\n1,"C:\\dir\\",0\n2,"a ""b""\n\\",1\n3,"open\\" x,2\n4,z,0\n'
    file = data_file(tmp_path / "a.csv", data)
    columns = Columns(3, (0,), label=2, targets=THREE, keep=(1,))
    batches = read_splits([file], columns, CsvFormat(multi_line=True), block_bytes=block_bytes)
    assert [row[4][0] for row in rows_of(batches)] == [
        "x", "C:\\dir\\", 'a "b"\n\\', "open\\ x", "z"
    ]  # fmt: skip
    assert bad_of(batches).total == 0


@given(st.text(alphabet='a1,"\\\r\n', max_size=60).map(str.encode), st.integers(1, 4))
def test_doubling_quotes_moves_nothing(data, num_columns):
    doubled = with_doubled_quotes(data, num_columns, PLAIN)
    assert len(doubled) == len(data)
    changed = [(b, c) for b, c in zip(data, doubled, strict=True) if b != c]
    assert set(changed) <= {(ord("\\"), ord('"'))}
