"""Labels in several columns, of CSV and of Parquet: the same rows, and the same bad ones."""

import numpy as np
import pyarrow as pa
import pytest

from irisspark.data.columns import ColumnChoice, Columns, Head, resolve
from irisspark.data.csv.blocks import Block
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.csv.reading import parse_block
from irisspark.data.parquet.cell_arrays import rows_of
from irisspark.data.targets import Marks, OneHot, Quantities
from irisspark.errors import DataError

GOOD = [["1", "0", "0"], ["0", "1.0", "0"], ["0", "0", "1e0"]]
NO_MARK, MISSING, NO_NUMBER = ["2", "0", "0"], ["1", "", "0"], ["0", "x", "1"]
NONE, SEVERAL = ["0", "0", "0"], ["1", "0", "1"]
ROWS = [*GOOD, NO_MARK, MISSING, NO_NUMBER, NONE, SEVERAL, GOOD[1]]


def columns_of(targets) -> Columns:
    return Columns(4, (0,), label=3, more_labels=(1, 2), targets=targets)


def from_csv(rows, targets):
    lines = [",".join([str(number), *row]) for number, row in enumerate(rows)]
    return parse_block(Block(0, 0, "\n".join(lines).encode()), columns_of(targets), CsvFormat())


def from_parquet(rows, targets):
    cells = {0: pa.array(range(len(rows)), pa.float32())}
    for place, of_column in enumerate(zip(*rows, strict=True)):
        cells[place + 1] = pa.array([cell or None for cell in of_column], pa.utf8())
    return rows_of(cells, columns_of(targets), 0, 0)


@pytest.mark.parametrize("read", [from_csv, from_parquet])
@pytest.mark.parametrize(
    ("targets", "bad"),
    [
        (Quantities(), {"missing": 1, "not a number": 1}),
        (Marks(), {"missing": 1, "not a number": 1, "neither 0 nor 1": 1}),
        (OneHot(), {"missing": 1, "not a number": 1, "neither 0 nor 1": 1, "not one-hot": 2}),
    ],
)
def test_each_format_gives_the_same_labels_and_bad_rows(read, targets, bad):
    found = read(ROWS, targets)
    assert found.bad.counts == bad
    good = [int(number) for number in found.features[:, 0]]
    assert len(good) == len(ROWS) - sum(bad.values())
    # The model's order is that of the label columns: the last one of the file first.
    wanted = np.array([ROWS[number] for number in good], dtype="float64")[:, [2, 0, 1]]
    if isinstance(targets, OneHot):
        wanted = wanted.argmax(axis=1)
    np.testing.assert_array_equal(found.labels, wanted)
    assert found.labels.dtype == (np.int64 if isinstance(targets, Marks) else np.float64)


@pytest.mark.parametrize("read", [from_csv, from_parquet])
def test_rows_that_are_good_need_no_closer_look(read):
    found = read(GOOD, OneHot())
    assert (found.good, found.labels.tolist()) == (None, [1, 2, 0])


def test_label_columns_are_found_by_names_and_ranges():
    head = Head("a.csv", 6, ("id", "x", "price", "y", "sold", "kept"))
    for label in (("price", "sold"), (2, 4)):
        columns = resolve(ColumnChoice(label, keep=("id",)), head, "float32")
        assert (columns.labels, columns.features) == ((2, 4), (1, 3, 5))
    columns = resolve(ColumnChoice(((4, 5), "x")), head, "float32")
    assert (columns.labels, columns.features) == ((4, 5, 1), (0, 2, 3))
    with pytest.raises(DataError, match="is both a label"):
        resolve(ColumnChoice((1, 2), features=(2, 3)), head, "float32")
    by_output = (("cost", ("price",)), ("state", ((4, 5),)))
    columns = resolve(ColumnChoice(outputs=by_output), head, "float32")
    assert (columns.labels, columns.features) == ((2, 4, 5), (0, 1, 3))
    assert columns.outputs == (("cost", (2,)), ("state", (4, 5)))
    with pytest.raises(DataError, match="names column 2 more than once"):
        resolve(ColumnChoice(outputs=(("a", (2,)), ("b", ("price",)))), head, "float32")
