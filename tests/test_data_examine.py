"""What is wrong with a row, how many there are, and which came first."""

import pytest
from csv_oracle import parse
from hypothesis import given
from hypothesis import strategies as st

from irisspark.data.bad_rows import REASONS, BadRow, BadRows
from irisspark.data.cells import is_missing
from irisspark.data.columns import Columns
from irisspark.data.csv.blocks import Block
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.reading import parse_block
from irisspark.data.targets import LabelCodes

COLUMNS = Columns(3, (0, 1), label=2, targets=LabelCodes(("a", "b")))


def only_bad_row(line: bytes, columns: Columns = COLUMNS) -> BadRow:
    """Read a line between two good ones, and give the only bad row."""
    good = b"1,2,a\n"
    parsed = parse_block(Block(3, 100, good + line + b"\n" + good), columns, CsvFormat())
    assert len(parsed.features) == 2
    assert parsed.bad.total == 1
    (row,) = parsed.bad.first
    assert (row.file_index, row.position) == (3, 106)
    return row


@pytest.mark.parametrize(
    ("line", "reason", "column", "value"),
    [
        (b"1,2", "wrong number of columns", -1, "2"),
        (b"1,2,a,", "wrong number of columns", -1, "4"),
        (b" ", "wrong number of columns", -1, "1"),
        (b"1,x,a", "not a number", 1, "x"),
        (b"1-2,2,a", "not a number", 0, "1-2"),
        (b"0x10,2,a", "not a number", 0, "0x10"),
        (b"1_0,2,a", "not a number", 0, "1_0"),
        (b"1,,a", "missing", 1, ""),
        (b'1,"",a', "missing", 1, ""),
        (b"1, ,a", "missing", 1, " "),
        (b"N/A,2,a", "missing", 0, "N/A"),
        (b"1,2,", "missing", 2, ""),
        (b"1,2,null", "missing", 2, "null"),
        (b"1,2,NaN", "missing", 2, "NaN"),
        (b"1,2,?", "missing", 2, "?"),
        (b"-,2,a", "missing", 0, "-"),
        (b"1,NaN,a", "not finite", 1, "NaN"),
        (b"-inf,2,a", "not finite", 0, "-inf"),
        (b"1,1e39,a", "not finite", 1, "1e39"),
        (b"1,2,c", "unknown label", 2, "c"),
        (b"1,2,A", "unknown label", 2, "A"),
        (b'1,2,"a', "broken quotes", -1, '1,2,"a'),
        (b'"1,2,a', "broken quotes", -1, '"1,2,a'),
        (b"1,\xff,a", "bad encoding", 1, "\\xff"),
        (b"1,2,\xe9", "bad encoding", 2, "\\xe9"),
        (b"1,\x002,a", "bad encoding", 1, "\\x002"),
        (b"x,,c", "not a number", 0, "x"),  # the first from the left
        (b"1,nan,c", "not finite", 1, "nan"),
    ],
)
def test_reason_column_and_value(line, reason, column, value):
    row = only_bad_row(line)
    assert (row.reason, row.column, row.value) == (reason, column, value)


def test_kept_column_must_be_text():
    columns = Columns(3, (0, 1), keep=(2,))
    assert only_bad_row(b"1,2,caf\xe9", columns).reason == "bad encoding"
    batch = parse(b"1,2,\n1,2,NA\n", columns)
    assert batch.kept[0].to_pylist() == ["", "NA"]


def test_long_value_is_shortened():
    assert only_bad_row(b"1," + b"x" * 500 + b",a").value == "x" * 57 + "..."


def test_reason_of_a_cell_does_not_depend_on_its_neighbours():
    alone = {
        cell: only_bad_row(cell + b",2,a").reason for cell in (b"nan(ind)", b"nan", b"1-", b"")
    }
    data = b"".join(cell + b",2,a\n" for cell in alone)
    batch = parse(data, COLUMNS)
    assert [row.reason for row in batch.bad.first] == list(alone.values())


@pytest.mark.parametrize(
    "text", ["", " ", "NA", "na", "N/A", "null", "None", "<NA>", "?", "-", "--", ".", "\\N", "nil"]
)
def test_texts_that_stand_for_no_value(text):
    assert is_missing(text)


@pytest.mark.parametrize("text", ["nan", "0", "+", "??", "nothing", "-1", ".5", "N"])
def test_texts_that_stand_for_something(text):
    assert not is_missing(text)


bad_rows = st.builds(
    lambda rows: [BadRow(f, o, r, 0, "x") for (f, o), r in rows.items()],
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 99)), st.sampled_from(REASONS), max_size=40
    ),
)


def counted(rows: list[BadRow]) -> BadRows:
    return sum((BadRows({row.reason: 1}, (row,)) for row in rows), BadRows())


@given(bad_rows, st.integers(0, 40), st.randoms())
def test_bad_rows_add_up_in_any_order(rows, at, random):
    whole = counted(rows)
    random.shuffle(rows)
    assert counted(rows[at:]) + counted(rows[:at]) == whole
    assert whole.total == len(rows)
    assert whole.first == tuple(sorted(rows)[:10])


def test_all_rows_bad():
    batch = parse(b"x,1,a\n" * 1000, COLUMNS)
    assert len(batch) == 0
    assert batch.features.shape == (0, 2)
    assert batch.bad.counts == {"not a number": 1000}
    assert [row.position for row in batch.bad.first] == list(range(0, 60, 6))
