"""Records found in bytes, held against Python's csv module."""

import pytest
from csv_oracle import csv_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.data.csv.first_lines import split_cells
from irisspark.data.csv.records import find_records, open_quotes, quoted_record_end

troubled = st.text(alphabet='a1,;" \r\n\u00fc', max_size=40)


@settings(max_examples=500, deadline=None)
@given(troubled)
def test_lines_are_those_of_bytes_splitlines(text):
    data = text.encode()
    records = find_records(data, ",", multi_line=False)
    assert [records[i] for i in range(len(records))] == [r for r in data.splitlines() if r]
    assert list(records.starts) == sorted(records.starts)


fields = st.text(alphabet='ab,;"\r\n \u00fc', max_size=6)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.lists(fields, min_size=2, max_size=3), min_size=1, max_size=5),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_written_records_are_found_with_their_line_breaks(rows, delimiter, line_end, is_ended):
    def quote(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    text = line_end.join(delimiter.join(map(quote, row)) for row in rows)
    data = (text + line_end * is_ended).encode()
    records = find_records(data, delimiter, multi_line=True)
    assert [list(split_cells(records[i], delimiter)) for i in range(len(records))] == rows
    assert open_quotes(data, delimiter, multi_line=True) == []
    end = quoted_record_end(delimiter)(data)
    is_whole = is_ended and line_end != "\r"  # a last CR may be half of a CRLF
    assert end == (len(data) if is_whole else records.starts[-1])


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet='ab,"', min_size=1, max_size=12))
def test_cells_of_a_line_are_those_of_the_csv_module(line):
    assert list(split_cells(line.encode(), ",")) == csv_rows(line.encode())[0]


@pytest.mark.parametrize(
    ("line", "is_open"),
    [
        ('"a",b', False),
        ('a,"b', True),
        ('"a""', True),
        ('"a"""', False),
        ('""', False),
        ('"', True),
        ('a"b,c', False),
        ('"a"b"c,d', False),
        ('a",b,"', True),
        ('"a",""",b', True),
    ],
)
def test_open_quotes_are_told_from_closed_ones(line, is_open):
    for data in (line, f"1,2\n{line}", f"{line}\n1,2"):
        assert bool(open_quotes(data.encode(), ",", multi_line=False)) == is_open


def test_quote_that_is_never_closed_takes_the_rest():
    data = b'1,2\n3,"4\n5,6\n'
    records = find_records(data, ",", multi_line=True)
    assert [records[i] for i in range(len(records))] == [b"1,2", b'3,"4\n5,6\n']
    assert quoted_record_end(",")(data) == 4
    assert open_quotes(data, ",", multi_line=True) == [6]


def test_record_end_looks_past_a_byte_order_mark():
    assert quoted_record_end(",")(b'\xef\xbb\xbf"a\nb",c\nd') == 11


def test_position_is_found_in_its_record():
    records = find_records(b"ab\n\ncd\nef", ",", multi_line=False)
    assert list(records.index_at(records.starts + 1)) == [0, 1, 2]
