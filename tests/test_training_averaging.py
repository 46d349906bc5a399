"""Variables cut into chunks and averaged; no Spark, no TensorFlow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irisspark.training.averaging import (
    WeightedChunk,
    average,
    average_chunks,
    chunk_bytes,
    lay_out,
    put_together,
    take_chunk,
)

SHAPES = [(3, 4), (), (0,), (5,), (2, 3, 4), (1,)]


def variables(seed: int, shapes=SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    floats = [np.asarray(rng.normal(size=shape), dtype="float32") for shape in shapes]
    return [*floats, np.asarray(rng.integers(1, 1 << 40), dtype="int64")]


@given(st.integers(8, 400), st.lists(st.lists(st.integers(0, 7), max_size=3), max_size=6))
@settings(max_examples=60, deadline=None)
def test_chunks_of_any_size_put_together_are_the_variables(max_bytes, shapes):
    given_ = variables(0, [tuple(shape) for shape in shapes])
    layout = lay_out(given_, max_bytes)
    chunks = [take_chunk(layout, number, given_) for number in range(len(layout.chunks))]
    assert all(sum(array.nbytes for array in chunk) <= max_bytes for chunk in chunks)
    found = list(put_together(layout, chunks))
    assert len(found) == len(given_)
    for one, other in zip(found, given_, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one, other)
    assert layout.num_bytes == sum(array.nbytes for array in given_)


def parts(rows: list[int]) -> list[WeightedChunk]:
    layouts = [(n, variables(n)) for n in range(len(rows))]
    flat = [[np.asarray(v).reshape(-1) for v in values] for _, values in layouts]
    return [
        WeightedChunk(n, num, arrays)
        for n, (num, arrays) in enumerate(zip(rows, flat, strict=True))
    ]


def test_averages_are_weighted_by_rows_and_counters_are_the_largest():
    given_ = parts([10, 1, 7])
    averaged = average(given_)
    for number, values in enumerate(averaged[:-1]):
        stacked = [part.arrays[number].astype("float64") for part in given_]
        expected = np.average(stacked, axis=0, weights=[10, 1, 7])
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)
        assert values.dtype == np.float32
    assert averaged[-1] == max(part.arrays[-1] for part in given_)


def test_the_order_of_arrival_changes_no_bit():
    # Sums of these differ with the order: 1e16 swallows what is added to it.
    values = [1e16, 1.0, -1e16, 1.0, 3.0]
    given_ = [WeightedChunk(n, 1, [np.array([value])]) for n, value in enumerate(values)]
    expected = average(given_)[0][0]
    rng = np.random.default_rng(4)
    for _ in range(10):
        rng.shuffle(given_)
        assert average(given_)[0][0] == expected


def test_replicas_that_agree_stay_as_they_are():
    one = parts([5])[0]
    same = [WeightedChunk(n, rows, one.arrays) for n, rows in enumerate([5, 3, 11])]
    assert all(np.array_equal(a, b) for a, b in zip(average(same), one.arrays, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(average([one]), one.arrays, strict=True))


def test_chunks_are_averaged_one_by_one_and_reports_passed_on():
    given_ = parts([4, 6])
    pairs = [(1, given_[1]), (-1, "report"), (0, given_[0]), (1, given_[0])]
    found = dict(average_chunks(pairs))
    assert found[-1] == "report"
    assert np.array_equal(found[1][0], average(given_)[0])
    assert np.array_equal(found[0][0], given_[0].arrays[0])


@pytest.mark.parametrize(("workers", "mib"), [(1, 64), (4, 64), (16, 16), (1000, 4)])
def test_more_workers_get_smaller_chunks(workers, mib):
    assert chunk_bytes(workers) == mib << 20
