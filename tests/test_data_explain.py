"""Messages that say what was found, where, and what to do."""

import pytest

from irisspark.data import explain
from irisspark.data.bad_rows import REASONS, BadRow
from irisspark.data.cells import shorten
from irisspark.data.columns import Columns
from irisspark.data.csv.advice import advice, other_header
from irisspark.data.csv.csv_format import CsvFormat

COLUMNS = Columns(3, (0, 1), label=2, names=("a", "b", "kind"), names_path="/d/one.csv")


def row(reason: str, column: int = 1, value: str = "x") -> BadRow:
    return BadRow(0, 17, reason, column, value)


def test_place_names_file_line_and_column():
    assert explain.place(row("missing"), "/d/one.csv", 5, COLUMNS) == (
        '/d/one.csv, line 5, "b" (column 1)'
    )
    assert explain.place(row("missing", -1), "a.csv", None, COLUMNS) == "a.csv, row 17"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row("wrong number of columns", -1, "1"), "1 column where the first line has 3"),
        (row("wrong number of columns", -1, "5"), "5 columns where the first line has 3"),
        (row("missing", value=" "), "the value is missing"),
        (row("missing", value="NA"), "the value is missing (NA)"),
        (row("not a number"), "'x' is not a number"),
        (row("not finite", value="inf"), "'inf' is not a finite number"),
        (row("unknown label", 2), "the label 'x' is none of the classes"),
        (row("broken quotes", -1, '"x'), "a quote is opened and never closed in '\"x'"),
        (row("bad encoding", value="\\xff"), "'\\xff' holds bytes that are not UTF-8 text"),
    ],
)
def test_what_is_wrong(bad, said):
    assert explain.fault(bad, COLUMNS) == said


def test_whole_numbers_are_asked_for_where_the_model_takes_them():
    said = explain.fault(row("not a number", value="1.5"), Columns(3, (0, 1), "int32"))
    assert said == "'1.5' is not a whole number that the model's input (int32) holds"


@pytest.mark.parametrize(
    ("bad", "delimiter", "said"),
    [
        (row("broken quotes", -1), ",", "-multiLine true"),
        (row("bad encoding"), ",", "save the file as UTF-8"),
        (row("not a number", value="1,5"), ";", "-decimal ,"),
        (row("not a number", value="1;3"), ",", "-delimiter ';'"),
        (row("not a number", value="1\t3"), ",", "-delimiter tab"),
        (row("not a number", 0), ",", "-keepColumns 0"),
        (row("not a number", 1), ",", "-badRows skip"),
        (row("missing", 1), ",", "-badRows skip"),
    ],
)
def test_what_to_do(bad, delimiter, said):
    assert said in advice(bad, Columns(3, (0, 1)), CsvFormat(delimiter))


@pytest.mark.parametrize(
    ("found", "num_classes", "said"),
    [
        (["1", "2", "3"], 3, "pass -classNames 1,2,3"),
        (["10", "9", "8.0"], 3, "pass -classNames 8,9,10"),
        (["-1", "1"], 2, "pass -classNames -1,1"),
        (["1", "2", "3", "5", "6", "7"], 6, "pass -classNames 1,2,3,5,6,7"),
        (["1", "2"], 3, "pass -classNames with all 3 names"),
        (["a", "b", "c"], 2, "3 labels do not fit 2 classes; look at -labelIndex"),
        (["b", "a"], 2, "pass -classNames a,b"),
        (["0.5", "1.5"], 2, "pass -classNames 0.5,1.5"),
        ([str(i) for i in range(30)], 3, "18, 19, ... (30 in all)"),
    ],
)
def test_labels_that_are_no_classes_end_with_what_to_pass(found, num_classes, said):
    message = explain.unknown_labels(found, num_classes)
    assert said in message
    assert f"the model's classes are 0 to {num_classes - 1}" in message


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("a", "c", "kind"), "column 1 is 'c' here and 'b' there"),
        (("a", "b"), "column 2 is nothing here and 'kind' there"),
        (("a", "b", "kind", "x"), "column 3 is 'x' here and nothing there"),
    ],
)
def test_other_header_names_both_files_and_the_first_difference(found, said):
    message = other_header(found, "/d/two.csv", COLUMNS)
    assert message.startswith("/d/two.csv begins with another header than /d/one.csv")
    assert said in message


def test_what_a_message_shows_of_a_cell_is_one_line_and_nothing_that_a_terminal_obeys():
    shown = shorten("a\nb\r\x1b[31m\0\x85\u2028\tä")
    assert shown == "a\\nb\\r\\x1b[31m\\x00\\x85\\u2028\\tä"
    assert shorten("\n" * 1000) == "\\n" * 28 + "\\..."


@pytest.mark.parametrize("reason", [r for r in REASONS if r != "wrong number of columns"])
def test_no_reason_shows_the_cell_where_it_may_not_be_seen(reason):
    assert "s3cret" not in explain.fault(row(reason, value="s3cret"), COLUMNS, show_values=False)
    assert explain.fault(row(reason, value="{}"), COLUMNS)
