"""What the first rows tell: names, titles, text where numbers are wanted, a label in columns."""

import pandas as pd
import pytest
from sklearn import datasets

from irisspark.data.columns import ColumnChoice, Columns, Head, resolve
from irisspark.data.first_rows import (
    describe_counter,
    describe_one_hot,
    describe_text,
    looks_like_names,
    looks_like_row,
    one_hot_columns,
)

NUMBERS = [("5.1", "3.5", "1.4", "0.2", "0"), ("4.9", "3.0", "1.4", "0.2", "2")]
TEXTS = [("5.1", "3.5", "1.4", "0.2", "setosa"), ("4.9", "3.0", "1.4", "0.2", "virginica")]
PIXELS = [("0", "128", "255", "0", "1"), ("7", "0", "0", "13", "0")]


def columns_of(num_columns: int = 5, **choice) -> Columns:
    return resolve(ColumnChoice(**choice), Head("a.csv", num_columns), "float32")


@pytest.mark.parametrize("rows", [NUMBERS, TEXTS, PIXELS, NUMBERS[:1]])
@pytest.mark.parametrize(
    "first",
    [
        ("sepal length", "sepal width", "petal length", "petal width", "species"),
        ("1x1", "1x2", "2x1", "2x2", "label"),
        ("", "b", "c", "d", "species"),
        ("0", "1", "2", "3", "4"),
        ("1", "2", "3", "4", "5"),
        ("0", "1", "2", "3", "class"),
        ("1", "2", "3", "4", "class"),
        ("150", "4", "setosa", "versicolor", "name"),
        ("f 0", "f 1", "f 2", "f 3", "?"),
        ("_", "\u00e4", "(c)", "$d", "y"),
    ],
)
def test_first_line_that_is_no_row(rows, first):
    assert looks_like_names(first, rows, columns_of())


@pytest.mark.parametrize("rows", [NUMBERS, TEXTS, PIXELS, []])
@pytest.mark.parametrize(
    "first",
    [
        ("5.1", "3.5", "1.4", "0.2", "0"),
        ("5.1", "3.5", "1.4", "oops", "0"),
        ("5.1", "3.5", "1.4", "0.2", "setosa"),
        ("?", "?", "?", "?", "0"),
        ("NA", "NA", "NA", "NA", "0"),
        ("nan", "nan", "inf", "nan", "0"),
        ("True", "False", "TRUE", "false", "0"),
        ("0", "0", "0", "0", "0"),
        ("3", "2", "1", "0", "0"),
        ("0", "1", "2", "3", "0"),
    ],
)
def test_first_line_that_is_a_row_a_bad_one_perhaps(rows, first):
    assert not looks_like_names(first, rows, columns_of())


def test_label_in_front_is_no_feature():
    rows = [("1", "7", "0", "3"), ("2", "1", "9", "3")]
    columns = columns_of(4, label=0)
    assert looks_like_names(("label", "1x1", "1x2", "2x1"), rows, columns)
    assert looks_like_names(("label", "1", "2", "3"), rows, columns) is False  # but three of them
    assert looks_like_names(("label", "1", "2", "3", "4"), [], columns_of(5, label=0)) is False
    wide = [("1", "7", "0", "3", "5")]
    assert looks_like_names(("label", "1", "2", "3", "4"), wide, columns_of(5, label=0))


@pytest.mark.parametrize(
    ("names", "rows", "is_row"),
    [
        (NUMBERS[0], NUMBERS, True),
        (TEXTS[0], TEXTS, True),
        (("400.5", "401.0", "401.5", "402.0", "label"), NUMBERS, False),  # wavelengths
        (("0", "1", "2", "3", "4"), NUMBERS, False),
        (("a", "b", "c", "d", "e"), NUMBERS, False),
        (("5.1", "b", "c", "d", "0"), NUMBERS, False),
    ],
)
def test_names_that_are_a_row(names, rows, is_row):
    assert looks_like_row(names, rows, columns_of()) == is_row


def test_numbers_written_in_another_way_are_no_text():
    rows = (("5,1", "'3'", "0"), ("4,9", "'2'", "1"))
    assert describe_text(Head("a", 3, None, rows), columns_of(3)) is None


def test_columns_of_text_are_named_with_what_to_pass_instead():
    rows = (("39", "State-gov", "77516", "Male", "?", "0"),
            ("50", "Private", "83311", "Female", "?", "1"),
            ("38", "?", "215646", "Male", "?", "0"),
            ("38", "Private", "215646", "Male", "?", "0"))  # fmt: skip
    head = Head("adult.csv", 6, ("age", "workclass", "weight", "sex", "none", "income"), rows)
    columns = resolve(ColumnChoice(), head, "float32")
    assert describe_text(head, columns) == (
        '"workclass" (column 1), "sex" (column 3) hold text: write numbers in them, '
        "or leave them out with -featureIndices 0,2,4"
    )
    only_two = resolve(ColumnChoice(features=(1, 3)), head, "float32")
    assert describe_text(head, only_two) == "all features hold text: write numbers in them"
    assert describe_text(head, resolve(ColumnChoice(keep=(1, 3)), head, "float32")) is None
    assert describe_text(Head("a", 6, None, rows[:1]), columns) is None


def test_a_column_that_counts_the_rows_is_named():
    rows = tuple((str(i), "5.1", "3.5", "0") for i in range(4))
    head = Head("a", 4, ("Unnamed: 0", "x", "y", "label"), rows)
    columns = resolve(ColumnChoice(), head, "float32")
    said = describe_counter(head, columns)
    assert said == '"Unnamed: 0" (column 0) counts the rows: leave it out with -keepColumns 0'
    assert describe_counter(head, resolve(ColumnChoice(keep=(0,)), head, "float32")) is None
    for other in (rows[::-1], rows[2:], rows[:1], (*rows, ("7", "1", "2", "0"))):
        assert describe_counter(Head("a", 4, None, other), columns) is None


@pytest.mark.parametrize("dtype", [int, bool, float])
@pytest.mark.parametrize("first", [True, False])
def test_one_hot_label_is_found_at_either_end(first, dtype):
    iris = datasets.load_iris(as_frame=True)
    one_hot = pd.get_dummies(iris.target).astype(dtype)
    table = pd.concat([one_hot, iris.data] if first else [iris.data, one_hot], axis=1)
    rows = tuple(tuple(map(str, row)) for row in table.iloc[::10].to_numpy(dtype=object))
    head = Head("a.csv", 7, None, rows)
    span = one_hot_columns(head, columns_of(7), 3)
    assert span == (range(3) if first else range(4, 7))
    said = describe_one_hot(head, columns_of(7), 3)
    assert said is not None
    assert f"columns {span[0]} to {span[-1]} look like a label in one-hot form" in said


def test_what_is_not_one_hot():
    for rows in (
        (("0", "0", "1"), ("1", "1", "0")),
        (("0", "0", "1"),),
        (("0", "0", "1"), ("0", "0", "0")),
        (("0", "0.5", "0.5"), ("0", "0", "1")),
    ):
        assert one_hot_columns(Head("a", 3, None, rows), columns_of(3), 3) is None
    assert one_hot_columns(Head("a", 3, None, (("0", "0", "1"),) * 2), columns_of(3), 5) is None
