"""Where rows go, tested with lists; no Spark."""

from itertools import pairwise

import numpy as np
import pytest

from irisspark.data.holdout import HashedRows, LastRows
from irisspark.scattering import mix
from irisspark.training.worker.rows import (
    PlacedRows,
    Placement,
    ReadBlock,
    ReadReport,
    assemble,
    digest,
    find_position,
    route,
)

NUM_ROWS = 103


def blocks(cuts: list[int], *, file_index: int = 0) -> list[list[ReadBlock | ReadReport]]:
    """Cut 103 rows, each 10 bytes long and holding its number, into tasks of one block."""
    bounds = [0, *cuts, NUM_ROWS]
    tasks = []
    for task, (start, stop) in enumerate(pairwise(bounds)):
        numbers = np.arange(start, stop)
        features = np.stack([numbers, -numbers], axis=1).astype("float32")
        block = ReadBlock(task, file_index, numbers * 10, features, numbers % 3)
        tasks.append([block, ReadReport(task, stop - start, 0)])
    return tasks


def place(cuts: list[int], workers: int, *, seed: int | None = 7, holdout=None, held_out=False):
    tasks = blocks(cuts)
    counts = []
    for block, _ in tasks:
        held = holdout.mask(0, block.positions) if holdout else np.zeros(len(block.labels), bool)
        counts.append(int((held if held_out else ~held).sum()))
    starts = dict(enumerate(np.cumsum([0, *counts[:-1]]).tolist()))
    plan = Placement(starts, sum(counts), workers, seed, holdout, held_out)
    pieces: list[list] = [[] for _ in range(workers)]
    for task in tasks:
        for worker, rows in route(task, plan):
            pieces[worker].append((worker, rows))
    for arrived in pieces:
        np.random.default_rng(0).shuffle(arrived)
    return [list(assemble(arrived)) for arrived in pieces]


def numbers(rows: list[PlacedRows]) -> list[int]:
    return [int(number) for block in rows for number in block.features[:, 0]]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 103, 200])
@pytest.mark.parametrize("seed", [None, 7])
def test_every_row_goes_to_one_worker_and_no_worker_has_two_more_than_another(workers, seed):
    placed = place([20, 50], workers, seed=seed)
    assert sorted(n for rows in placed for n in numbers(rows)) == list(range(NUM_ROWS))
    sizes = [len(numbers(rows)) for rows in placed]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("seed", [None, 7])
def test_how_the_files_are_cut_and_when_blocks_arrive_changes_nothing(seed):
    once = [numbers(rows) for rows in place([], 4, seed=seed)]
    for cuts in ([1], [50], list(range(1, NUM_ROWS))):
        assert [numbers(rows) for rows in place(cuts, 4, seed=seed)] == once


def test_without_shuffling_each_worker_has_one_stretch_of_the_rows():
    placed = [numbers(rows) for rows in place([40], 4, seed=None)]
    assert [n for rows in placed for n in rows] == list(range(NUM_ROWS))


def test_shuffled_rows_are_spread_whatever_their_period():
    placed = [numbers(rows) for rows in place([40], 4)]
    for rows in placed:
        # Every fourth row: a plain deal would give a worker only rows of one remainder.
        assert len({number % 4 for number in rows}) == 4
    assert placed != [numbers(rows) for rows in place([40], 4, seed=8)]


def test_held_out_rows_and_the_others_are_all_rows():
    holdout = HashedRows(7, 0.3)
    kept = [n for rows in place([9, 60], 3, holdout=holdout) for n in numbers(rows)]
    held = [
        n
        for rows in place([9, 60], 3, seed=None, holdout=holdout, held_out=True)
        for n in numbers(rows)
    ]
    assert sorted(kept + held) == list(range(NUM_ROWS))
    assert held == np.flatnonzero(holdout.mask(0, np.arange(NUM_ROWS) * 10)).tolist()


def test_a_hash_holds_out_the_fraction_and_depends_on_seed_and_file():
    positions = np.arange(0, 4_000_000, 40)
    mask = HashedRows(7, 0.2).mask(0, positions)
    assert mask.mean() == pytest.approx(0.2, abs=0.005)
    for other in (HashedRows(8, 0.2).mask(0, positions), HashedRows(7, 0.2).mask(1, positions)):
        # Independent of the first: 0.2 * 0.2 of the rows are in both.
        assert (mask & other).mean() == pytest.approx(0.04, abs=0.003)
    assert not (HashedRows(7, 0.1).mask(0, positions) & ~mask).any()


def test_the_last_rows_begin_at_a_place_and_take_the_files_behind_it():
    last = LastRows(1, 30)
    positions = np.array([0, 20, 30, 40])
    assert last.mask(0, positions).tolist() == [False] * 4
    assert last.mask(1, positions).tolist() == [False, False, True, True]
    assert last.mask(2, positions).tolist() == [True] * 4


def test_the_place_of_a_row_is_found_in_its_group():
    task = blocks([])[0]
    assert list(find_position(task, 17)) == [(0, 170)]


def total(placed: list[list[PlacedRows]]) -> int:
    return sum(value for rows in placed for _, value in digest(rows)) % 2**64


def test_the_digest_of_the_data_is_the_same_for_any_placement_and_sees_any_change():
    expected = total(place([], 1))
    assert {total(place(cuts, workers)) for cuts, workers in [([3], 2), ([50, 60], 7)]} == {
        expected
    }
    for change in ("features", "labels", "index"):
        placed = place([], 1)
        getattr(placed[0][0], change)[5] += 1
        assert total(placed) != expected


def test_blocks_are_cut_where_spark_would_choke_on_them(monkeypatch):
    monkeypatch.setattr("irisspark.training.worker.rows.BLOCK_BYTES", 80)
    rows = place([], 1, seed=None)[0]
    assert max(len(block) for block in rows) == 10
    assert numbers(rows) == list(range(NUM_ROWS))


def test_mix_is_splitmix64():
    # The first outputs of the reference implementation for the seed 1234567.
    state, outputs = 1234567, []
    for _ in range(3):
        outputs.append(int(mix(np.uint64(state))))
        state = (state + 0x9E3779B97F4A7C15) % 2**64
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]
