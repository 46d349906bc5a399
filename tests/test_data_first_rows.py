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
    may_be_names,
    may_be_row,
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
    assert looks_like_names(first, rows, columns_of(), 3)


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
    assert not looks_like_names(first, rows, columns_of(), 3)
    assert not may_be_names(first, rows, columns_of())


def test_label_in_front_is_no_feature():
    rows = [("1", "7", "0", "3"), ("2", "1", "9", "3")]
    columns = columns_of(4, label=0)
    assert looks_like_names(("label", "1x1", "1x2", "2x1"), rows, columns, 3)
    assert (
        looks_like_names(("label", "1", "2", "3"), rows, columns, 3) is False
    )  # but three of them
    assert looks_like_names(("label", "1", "2", "3", "4"), [], columns_of(5, label=0), 3) is False
    wide = [("1", "7", "0", "3", "5")]
    assert looks_like_names(("label", "1", "2", "3", "4"), wide, columns_of(5, label=0), 3)


def test_column_numbers_whose_last_may_be_a_label_may_be_a_row():
    first = ("0", "1", "2", "3", "4")
    assert looks_like_names(first, PIXELS, columns_of(), 3)  # the label 4 is none of 0 to 2
    assert not looks_like_names(first, PIXELS, columns_of(), 10)
    assert may_be_names(first, PIXELS, columns_of())
    assert not looks_like_names(first, PIXELS, columns_of(), 0)  # a regression's
    assert looks_like_names(first, NUMBERS, columns_of(), 10)  # they are written with a point
    assert looks_like_names(first, TEXTS, columns_of(), 10)
    named = columns_of(class_names=("4", "0", "1"))
    assert not looks_like_names(first, PIXELS, named, 3)
    wide = [str(number) for number in range(10)]
    assert looks_like_names(wide, [["7", *wide[:9]], ["1"] * 10], columns_of(10), 10)


ALL_FEATURES = columns_of(4, label=None)
WAVELENGTHS = ("400.5", "401.0", "401.5", "402.0")
SPECTRA = [("0.1", "0.9", "0.3", "0.2"), ("0.2", "0.8", "0.5", "0.1")]
WINDOWS = [tuple(str(start + i) for i in range(4)) for start in range(1, 5)]


def test_a_window_of_a_series_is_a_row():
    first, *others = WINDOWS
    assert not looks_like_names(first, others, ALL_FEATURES, 3)
    assert may_be_names(first, others, ALL_FEATURES)
    wide = [[str(start + i) for i in range(20)] for start in range(1, 5)]
    assert not looks_like_names(wide[0], wide[1:], columns_of(20, label=None), 3)
    rising = [["1", "2", "4", "9"], ["2", "3", "7", "8"], ["1", "5", "6", "7"]]
    assert not may_be_names(rising[0], rising[1:], ALL_FEATURES)


def test_one_word_among_features_is_a_bad_row_without_labels_too():
    first = ("0.3", "oops", "0.1", "0.7")
    assert not looks_like_names(first, SPECTRA, ALL_FEATURES, 3)
    assert looks_like_names(("0.3", "oops", "a", "0.7"), SPECTRA, ALL_FEATURES, 3)
    counted = ("id", "0", "1", "2", "3")
    rows = [(str(i), *row) for i, row in enumerate(SPECTRA)]
    assert looks_like_names(counted, rows, columns_of(5, label=None), 3)


@pytest.mark.parametrize("step", [0.5, -2.0, 1.0])
def test_wavelengths_are_a_header(step):
    wide = [str(400.5 + step * i) for i in range(8)]
    rows = [row + row for row in SPECTRA]
    assert looks_like_names(wide, rows, columns_of(8, label=None), 3)
    assert looks_like_names([*wide, "label"], [(*row, "x") for row in rows], columns_of(9), 3)
    assert not looks_like_names([*wide, "x"], [(*row, "x") for row in rows], columns_of(9), 3)
    assert not looks_like_names([*wide, "1"], [(*row, "0") for row in rows], columns_of(9), 3)
    few = wide[:4]
    assert not looks_like_names(few, SPECTRA, ALL_FEATURES, 3)  # four may be an accident
    assert may_be_names(few, SPECTRA, ALL_FEATURES)


@pytest.mark.parametrize(
    ("names", "rows", "is_row"),
    [
        (NUMBERS[0], NUMBERS, True),
        (TEXTS[0], TEXTS, True),
        (("400.5", "401.0", "401.5", "402.0", "label"), NUMBERS, False),
        ((*WAVELENGTHS, "1"), NUMBERS, False),
        (("0", "1", "2", "3", "4"), NUMBERS, False),
        (("2019", "2020", "2021", "2022", "0"), PIXELS, False),
        (PIXELS[0], PIXELS, True),  # two names are the same
        (("True", "False", "True", "True", "0"), PIXELS, True),
        (("a", "b", "c", "d", "e"), NUMBERS, False),
        (("5.1", "b", "c", "d", "0"), NUMBERS, False),
    ],
)
def test_names_that_are_a_row(names, rows, is_row):
    assert looks_like_row(names, rows, columns_of()) == is_row


def test_names_that_are_numbers_may_be_a_row():
    assert not looks_like_row(WAVELENGTHS, SPECTRA, ALL_FEATURES)
    assert may_be_row(WAVELENGTHS, SPECTRA, ALL_FEATURES)
    assert looks_like_row(SPECTRA[0], SPECTRA, ALL_FEATURES)
    assert may_be_row(("7", "5", "3", "9", "1"), PIXELS, columns_of())
    assert not may_be_row(("7", "5", "3", "9", "label"), PIXELS, columns_of())


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
