"""What the options say about columns, held against the first record."""

import pytest

from irisspark.data.csv import schema
from irisspark.data.csv.columns import Columns
from irisspark.data.csv.schema import Head
from irisspark.errors import DataError

IRIS = Head("/data/iris.csv", ("id", "sepal", "petal", "species"), ("7", "5.1", "1.4", "setosa"))
ROW = Head("/data/a.csv", ("5.1", "3.5", "1.4", "0"), ("4.9", "3.0", "1.4", "0"))


def resolve(head: Head, **given) -> Columns:
    settings = {
        "label_index": -1, "feature_indices": None, "keep_columns": (), "class_names": None,
        "delimiter": ",", "header": head is IRIS, "multi_line": False, "dtype": "float32",
    }  # fmt: skip
    return schema.resolve(head, **settings | given)


@pytest.mark.parametrize(
    ("given", "features", "label", "keep"),
    [
        ({}, (0, 1, 2), 3, ()),
        ({"label_index": 0}, (1, 2, 3), 0, ()),
        ({"label_index": -4}, (1, 2, 3), 0, ()),
        ({"label_index": None}, (0, 1, 2, 3), None, ()),
        ({"label_index": "species", "keep_columns": ("id",)}, (1, 2), 3, (0,)),
        ({"keep_columns": (0, -2)}, (1,), 3, (0, 2)),
        ({"feature_indices": ((1, 2),)}, (1, 2), 3, ()),
        ({"feature_indices": ("petal", 1)}, (2, 1), 3, ()),
        ({"label_index": " species "}, (0, 1, 2), 3, ()),
    ],
)
def test_columns_that_the_options_mean(given, features, label, keep):
    columns = resolve(IRIS, **given)
    assert (columns.features, columns.label, columns.keep) == (features, label, keep)
    assert columns.names == IRIS.first


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label_index": 4}, r"-labelIndex 4: /data/iris.csv has 4 columns, 0 to 3"),
        ({"label_index": -5}, r"-labelIndex -5: .*\(or -4 to -1 from the end\)"),
        ({"label_index": "Species"}, r"-labelIndex Species: the header of .* has id, sepal"),
        ({"feature_indices": (0, "id")}, r"-featureIndices names column 0 more than once"),
        ({"feature_indices": (1, 3)}, r'"species" \(column 3\) is both the label .* and a feature'),
        ({"keep_columns": ("species",)}, r'"species" \(column 3\) is both the label .* and kept'),
        ({"keep_columns": (1,), "feature_indices": (1, 2)}, r"is both a feature .* and kept"),
        ({"keep_columns": (0, 1, 2)}, r"none is left for the features"),
    ],
)
def test_options_that_do_not_fit_the_data(given, message):
    with pytest.raises(DataError, match=message):
        resolve(IRIS, **given)


def test_name_that_two_columns_have_needs_the_index():
    head = Head("a", ("x", "x", "y"), None)
    with pytest.raises(DataError, match="2 columns of a have that name; give the index"):
        resolve(head, label_index="x", header=True)


@pytest.mark.parametrize(
    ("line", "given", "named"),
    [("1;2;3", ",", "';'"), ("1\t2", ",", "tab"), ("1|2,5|3", ";", r"'\|'"), ("1,2", ";", ",")],
)
def test_one_column_names_the_delimiter_that_fits(line, given, named):
    with pytest.raises(DataError, match=rf"has one column .* pass -delimiter {named}"):
        resolve(Head("a", (line,)), delimiter=given)


def test_delimiter_is_hinted_at_only_where_it_gives_more_columns():
    assert schema.delimiter_hint(Head("a", ("5", "1;3", "5;1", "4")), ",") is None
    assert "';'" in str(schema.delimiter_hint(Head("a", ("1;2;3;x", "y")), ","))


@pytest.mark.parametrize(
    ("cells", "is_header"),
    [
        (("sepal", "petal", "_x", "class"), True),
        (("sepal", "petal", "x", "0"), True),
        (("sepal", "petal", "5", "class"), False),
        (("NA", "NA", "NA", "0"), False),
        (("nan", "nan", "nan", "0"), False),
        (("?", "?", "?", "0"), False),
        (("1", "2", "3", "class"), False),
    ],
)
def test_first_line_that_reads_like_names(cells, is_header):
    columns = resolve(ROW)
    assert schema.looks_like_header(Head("a", cells), columns) == is_header


def test_first_records_are_read_without_mark_blank_lines_and_quotes():
    data = b'\xef\xbb\xbf\r\n\n"a ""b""",c\xff\r\n1,"2,5"\n3,4\n'
    assert schema.read_records(data, ",", 2, multi_line=False) == [
        ('a "b"', "c\\xff"), ("1", "2,5")
    ]  # fmt: skip
    assert schema.read_records(b"", ",", 2, multi_line=False) == []
    assert schema.read_records(b'"a\nb",c\n', ",", 2, multi_line=True) == [("a\nb", "c")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_refused_by_name(encoding):
    with pytest.raises(DataError, match=r"a\.csv is not UTF-8 but looks like UTF-16"):
        schema.check_encoding("a.csv", "1,2,3\n".encode(encoding))


def test_other_encodings_pass_the_first_look():
    for data in (b"", b"1", b"caf\xe9,1\n", "\ufeff1,2".encode(), b"1,\x002,3,4,5\n"):
        schema.check_encoding("a.csv", data)
