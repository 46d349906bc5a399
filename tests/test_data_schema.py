"""What the user says about columns, held against the first lines of the data."""

import pytest
from csv_oracle import data_file, open_local

from irisspark.data import columns, first_rows
from irisspark.data.columns import ColumnChoice, Columns, Head
from irisspark.data.csv import first_lines
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.csv.kinds import check_text
from irisspark.data.csv.records import UTF8_BOM
from irisspark.errors import DataError

IRIS = Head(
    "/data/iris.csv", 4, ("id", "sepal", "petal", "species"), (("7", "5.1", "1.4", "setosa"),)
)
ROW = Head("/data/a.csv", 4, None, (("5.1", "3.5", "1.4", "0"), ("4.9", "3.0", "1.4", "0")))


def resolve(head: Head, **given) -> Columns:
    return columns.resolve(ColumnChoice(**given), head, "float32")


@pytest.mark.parametrize(
    ("given", "features", "label", "keep"),
    [
        ({}, (0, 1, 2), 3, ()),
        ({"label": 0}, (1, 2, 3), 0, ()),
        ({"label": -4}, (1, 2, 3), 0, ()),
        ({"label": None}, (0, 1, 2, 3), None, ()),
        ({"label": "species", "keep": ("id",)}, (1, 2), 3, (0,)),
        ({"keep": (0, -2)}, (1,), 3, (0, 2)),
        ({"features": ((1, 2),)}, (1, 2), 3, ()),
        ({"features": ("petal", 1)}, (2, 1), 3, ()),
        ({"label": " species "}, (0, 1, 2), 3, ()),
    ],
)
def test_columns_that_the_options_mean(given, features, label, keep):
    found = resolve(IRIS, **given)
    assert (found.features, found.label, found.keep) == (features, label, keep)
    assert found.names == IRIS.names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": 4}, r"-labelIndex 4: /data/iris.csv has 4 columns, 0 to 3"),
        ({"label": -5}, r"-labelIndex -5: .*\(or -4 to -1 from the end\)"),
        ({"label": "Species"}, r"-labelIndex Species: the header of .* has id, sepal"),
        ({"features": (0, "id")}, r"-featureIndices names column 0 more than once"),
        ({"features": (1, 3)}, r'"species" \(column 3\) is both the label .* and a feature'),
        ({"keep": ("species",)}, r'"species" \(column 3\) is both the label .* and kept'),
        ({"keep": (1,), "features": (1, 2)}, r"is both a feature .* and kept"),
        ({"keep": (0, 1, 2)}, r"none is left for the features"),
    ],
)
def test_options_that_do_not_fit_the_data(given, message):
    with pytest.raises(DataError, match=message):
        resolve(IRIS, **given)


def test_name_in_a_header_that_is_not_utf_8_says_so(tmp_path):
    file = data_file(tmp_path / "a.csv", "a,gr\u00f6\u00dfe\n1,2\n3,4\n".encode("latin-1"))
    head = CsvReader(CsvFormat(header=True)).head([file], open_local)
    with pytest.raises(DataError, match=r"has a, gr\\xf6\\xdfe; it is not UTF-8: save"):
        resolve(head, label="gr\u00f6\u00dfe")
    with pytest.raises(DataError, match=r"has a, gr\\xf6\\xdfe$"):
        resolve(head, label="b")


def test_name_that_two_columns_have_needs_the_index():
    head = Head("a", 3, ("x", "x", "y"))
    with pytest.raises(DataError, match="2 columns of a have that name; give the index"):
        resolve(head, label="x")


@pytest.mark.parametrize(
    ("line", "given", "named"),
    [("1;2;3", ",", "';'"), ("1\t2", ",", "tab"), ("1|2,5|3", ";", r"'\|'"), ("1,2", ";", ",")],
)
def test_one_column_names_the_delimiter_that_fits(tmp_path, line, given, named):
    file = data_file(tmp_path / "a.csv", line.encode())
    with pytest.raises(DataError, match=rf"has one column .* pass -delimiter {named}"):
        CsvReader(CsvFormat(given)).head([file], open_local)


def test_title_with_another_delimiter_in_it_is_a_title(tmp_path):
    file = data_file(tmp_path / "a.csv", b"; made by us\n1,2,0\n3,4,1\n")
    with pytest.raises(DataError, match=r"the first line has 1 column where the lines .* have 3"):
        CsvReader().head([file], open_local)


@pytest.mark.parametrize("line", ["1 2 3", "5.1 3.5 setosa"])
def test_blanks_are_named_as_the_delimiter(tmp_path, line):
    file = data_file(tmp_path / "a.csv", f"{line}\n{line}\n".encode())
    with pytest.raises(DataError, match=r"has one column .* pass -delimiter ' '"):
        CsvReader().head([file], open_local)
    file = data_file(tmp_path / "b.csv", f"{line}\n".replace(" ", "  ").encode())
    with pytest.raises(DataError, match=r"several blanks part its columns.*tr -s ' '"):
        CsvReader().head([file], open_local)


def test_delimiter_at_the_end_of_each_line_is_named(tmp_path):
    file = data_file(tmp_path / "a.csv", b"1,2,0,\n3,4,1,\n")
    reader = CsvReader()
    assert reader.hint(reader.head([file], open_local)) == (
        "each line ends in ',', so its last column is empty"
    )


def test_delimiter_is_hinted_at_only_where_it_gives_more_columns():
    assert first_lines.delimiter_hint(("5", "1;3", "5;1", "4"), ",") is None
    assert "';'" in str(first_lines.delimiter_hint(("1;2;3;x", "y"), ","))


@pytest.mark.parametrize(
    ("cells", "is_header"),
    [
        (("sepal", "petal", "_x", "class"), True),
        (("sepal", "petal", "x", "0"), True),
        (("sepal", "petal", "5", "class"), True),
        (("NA", "NA", "NA", "0"), False),
        (("nan", "nan", "nan", "0"), False),
        (("?", "?", "?", "0"), False),
        (("1", "2", "3", "class"), False),
    ],
)
def test_first_line_that_reads_like_names(cells, is_header):
    assert first_rows.looks_like_names(cells, ROW.rows, resolve(ROW), 3) == is_header


def first_records(data: bytes, csv: CsvFormat) -> list[tuple[str, ...]]:
    records = first_lines.records_of(data.removeprefix(UTF8_BOM), csv)
    return [*first_lines.cells_from(records, 0, csv, 2)]


def test_first_records_are_read_without_mark_blank_lines_and_quotes():
    data = b'\xef\xbb\xbf\r\n\n"a ""b""",c\xff\r\n1,"2,5"\n3,4\n'
    assert first_records(data, CsvFormat()) == [
        ('a "b"', "c\\xff"), ("1", "2,5")
    ]  # fmt: skip
    assert first_records(b"", CsvFormat()) == []
    assert first_records(b'"a\nb",c\n', CsvFormat(multi_line=True)) == [("a\nb", "c")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_refused_by_name(encoding):
    with pytest.raises(DataError, match=r"a\.csv is no CSV but text in UTF-16"):
        check_text("a.csv", "1,2,3\n".encode(encoding))


def test_other_encodings_pass_the_first_look():
    for data in (b"", b"1", b"caf\xe9,1\n", "\ufeff1,2".encode(), b"1,\x002,3,4,5\n"):
        check_text("a.csv", data)
