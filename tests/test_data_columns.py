"""What the text of a label stands for, and what counts as a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irisspark.data.cells import parse_number, shorten
from irisspark.data.columns import Columns
from irisspark.data.targets import LabelCodes


@pytest.mark.parametrize("text", ["2", "2.0", "2.", "1e0", " 2 ", "+2", "02", "\t2", "0.2e1"])
def test_number_is_the_class_of_that_number(text):
    codes = LabelCodes(("1", "2", "7"))
    assert codes.encode(text) == (0 if text == "1e0" else 1)


@pytest.mark.parametrize("text", ["3", "2.5", "", "x", "-2", "nan", "2 2", "1e400", "\u00b2"])
def test_text_that_is_no_class(text):
    assert LabelCodes(("1", "2", "7")).encode(text) is None


def test_names_are_found_as_they_are_and_without_blanks():
    codes = LabelCodes(("r\u00f6d", "bl\u00e5 ", "NA", "2.50"))
    assert [codes.encode(t) for t in ("r\u00f6d", " r\u00f6d ", "bl\u00e5 ", "NA", "2.5")] == [
        0, 0, 1, 2, 3
    ]  # fmt: skip
    assert codes.encode("R\u00f6d") is None


def test_exact_name_wins_over_the_number():
    assert LabelCodes(("1", "1.0")).encode("1.0") == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_pythons_own(number):
    assert parse_number(f" {number!r}\t") == number


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "1_0", "0x1", "1e", ".", "\u0661", "1\n", "--1"]
)
def test_texts_that_are_no_numbers(text):
    assert parse_number(text) is None


def test_used_columns_are_each_there_once_in_the_order_of_the_file():
    columns = Columns(6, (5, 0), label=2, keep=(4,))
    assert columns.used == (0, 2, 4, 5)


def test_column_is_named_by_the_header():
    assert Columns(2, (0,), names=("a", "b")).name(1) == '"b" (column 1)'
    assert Columns(2, (0,)).name(1) == "column 1"


def test_long_text_is_cut():
    assert shorten("x" * 60) == "x" * 60
    assert len(shorten("x" * 61)) == 60
