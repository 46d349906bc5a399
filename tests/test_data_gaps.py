"""Missing numbers and decimal commas, against pandas on the same bytes."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from csv_oracle import parse
from hypothesis import given
from hypothesis import strategies as st

from irisspark.data.columns import ColumnChoice, Columns, Head, resolve
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.gaps import FilledCells, Gaps
from irisspark.data.parquet.cell_arrays import rows_of
from irisspark.data.reader import Batch
from irisspark.data.targets import Quantities
from irisspark.errors import DataError

USUAL = ("", "NA", "N/A", "NaN", "nan", "null", "None", "?", "-", "nA", "n/a")
GERMAN = CsvFormat(";", decimal=",")


def columns(gaps: Gaps, dtype: str = "float32") -> Columns:
    return Columns(3, (0, 1), dtype, label=2, targets=Quantities(gaps), gaps=gaps)


def with_pandas(data: bytes, missing: tuple[str, ...], csv: CsvFormat) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(data), header=None, sep=csv.delimiter, decimal=csv.decimal,
        na_values=list(missing), keep_default_na=False, float_precision="round_trip",
        dtype="float64", skip_blank_lines=False,
    )  # fmt: skip


def features(data: bytes, gaps: Gaps, csv: CsvFormat) -> Batch:
    return parse(data, columns(gaps), csv)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(USUAL), st.floats(-1e6, 1e6, width=32).map(repr)),
            st.one_of(st.sampled_from(USUAL), st.integers(-999, 999).map(str)),
        ),
        min_size=1,
    ),
    st.sampled_from([CsvFormat(), CsvFormat(";"), GERMAN]),
)
def test_what_is_missing_is_filled_and_counted_as_pandas_does(rows, csv):
    text = "".join(
        csv.delimiter.join([*(c.replace(".", csv.decimal) for c in row), "1"]) + "\n"
        for row in rows
    )
    batch = features(text.encode(), Gaps(fills={0: -1.5, 1: 7.0}), csv)
    table = with_pandas(text.encode(), USUAL, csv)[[0, 1]]
    assert not batch.bad.total
    filled = table.fillna({0: -1.5, 1: 7.0}).to_numpy("float32")
    assert np.array_equal(batch.features, filled)
    counts = {c: n for c, n in batch.filled.counts.items() if n}
    assert counts == {c: int(n) for c, n in table.isna().sum().items() if n}


def test_named_texts_and_numbers_take_the_place_of_the_usual_ones():
    data = b"99,1,1\n99.0,2,2\nx,3,3\n5,,4\n6,NA,5\n7,7,-999\n"
    gaps = Gaps(frozenset({"99", "x", "-999"}), {0: 40.0, 1: 50.0})
    batch = features(data, gaps, CsvFormat())
    assert batch.features.tolist() == [[40, 1], [40, 2], [40, 3]]
    assert batch.filled.counts == {0: 3}
    assert batch.bad.counts == {"missing": 1, "not a number": 2}  # a label is never filled
    typed = features(data[:16], gaps, CsvFormat())  # without a closer look
    assert typed.features.tolist() == [[40, 1], [40, 2]]


def test_a_named_number_that_nothing_stands_in_for_is_a_bad_row():
    batch = features(b"99,1,1\n5,6,1\n", Gaps(frozenset({"99"})), CsvFormat())
    assert batch.features.tolist() == [[5, 6]]
    assert batch.bad.counts == {"missing": 1}


def test_a_gap_in_a_column_that_is_not_filled_is_a_bad_row_and_not_counted_as_filled():
    batch = features(b"NA,NA,1\nNA,2,1\n", Gaps(fills={0: 3.0}), CsvFormat())
    assert batch.features.tolist() == [[3, 2]]
    assert batch.bad.counts == {"missing": 1}
    assert batch.filled == FilledCells({0: 1})


def test_a_number_that_is_too_large_is_not_missing():
    batch = features(b"1e39,1,1\ninf,1,1\nx,1,1\n", Gaps(fills={0: 3.0}), CsvFormat())
    assert batch.bad.counts == {"not finite": 2, "not a number": 1}


def test_numbers_with_a_point_are_none_where_the_comma_is_said():
    batch = features(b"2,6;1;0,5\n2.6;1;1\n", Gaps(), GERMAN)
    assert batch.features.tolist() == [[np.float32(2.6), 1]]
    assert batch.labels.tolist() == [0.5]
    assert batch.bad.counts == {"not a number": 1}


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_parquet_is_filled_as_csv_is(dtype):
    gaps = Gaps(fills={0: -1.0, 1: 7.0})
    ids = [2**53 + 1 if dtype == "int64" else 3, None, 5]
    cells = {
        0: pa.array(ids, pa.int64()),
        1: pa.array([1.0, float("nan"), None]),
        2: pa.array([1.0, 2.0, 3.0]),
    }
    rows = rows_of(cells, columns(gaps, dtype), 0, 0)
    assert rows.features.tolist() == [[ids[0], 1], [-1, 7], [5, 7]]
    assert rows.filled.counts == {0: 1, 1: 2}
    assert not rows.bad.total
    named = rows_of(cells, columns(Gaps(frozenset({"5", "2"}), {0: 9.0, 1: 8.0}), dtype), 0, 0)
    assert named.features.tolist() == [[ids[0], 1], [9, 8]]
    assert named.bad.counts == {"not finite": 1}  # NaN is not named


def test_a_fill_that_does_not_fit_is_named():
    head = Head("a.csv", 3, ("age", "dose", "label"), ())
    choice = ColumnChoice(fills=(("label", 1.0),))
    with pytest.raises(DataError, match=r'-fillMissing: "label" .* is no feature'):
        resolve(choice, head, "float32")
    with pytest.raises(DataError, match=r"-fillMissing 0\.5: .*int32.* cannot hold"):
        resolve(ColumnChoice(fills=((None, 0.5),)), head, "int32")
    with pytest.raises(DataError, match="-fillMissing oops: the header"):
        resolve(ColumnChoice(fills=(("oops", 0.5),)), head, "float32")
