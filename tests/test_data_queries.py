"""Distinct labels: all of them where they may be classes, and few of an id column."""

import functools
import operator
import pickle
import tracemalloc

import pytest
from csv_oracle import data_file, open_local

from irisspark.data.columns import Columns
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.explain import MAX_LABELS, unknown_labels
from irisspark.data.queries import FoundLabels, find_labels
from irisspark.data.splits import TaskSplits

MILLION = 1_000_000
COLUMNS = Columns(2, (0,), label=1)


def find(file, split_bytes: float, limit: int = MAX_LABELS) -> list[FoundLabels]:
    reader = CsvReader()
    splits = reader.cut([file], split_bytes)
    tasks = [TaskSplits(number, (split,)) for number, split in enumerate(splits)]
    return list(find_labels(tasks, reader, COLUMNS, open_local, limit))


def test_a_million_labels_take_little_memory_on_workers_and_driver(tmp_path):
    lines = (b"1.5,name-%07d\n" % number for number in range(MILLION))
    file = data_file(tmp_path / "ids.csv", b"".join(lines))
    tracemalloc.start()
    try:
        found = find(file, file.size / 4)
        total = functools.reduce(operator.add, found, FoundLabels())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 4
    assert max(len(pickle.dumps(part)) for part in found) < 200_000  # a million texts: 16 MB
    assert peak < 60 << 20  # a set of a million texts takes 130 MB
    assert total.labels == {f"name-{number:07d}" for number in range(MAX_LABELS + 1)}
    message = unknown_labels(sorted(total.labels), 3)
    assert "the labels found are name-0000000, name-0000001" in message
    assert f"(more than {MAX_LABELS} in all)" in message
    assert "look at -labelIndex" in message


@pytest.mark.parametrize("split_bytes", [1e9, 1000, 317])
@pytest.mark.parametrize("limit", [3, 40, 5000])
def test_those_that_are_kept_are_the_same_whatever_the_cut(tmp_path, split_bytes, limit):
    numbers = [(7 * number) % 101 for number in range(400)]
    text = "".join(f"1,{n}\n2, x{n} \n3,\n" for n in numbers)
    parts = find(data_file(tmp_path / "d.csv", text.encode()), split_bytes, limit)
    total = functools.reduce(operator.add, parts, FoundLabels(limit=0))
    everything = [*map(str, range(101)), *sorted(f"x{n}" for n in range(101))]
    assert total.labels == set(everything[: limit + 1] if limit < len(everything) else everything)


def test_a_model_of_many_classes_has_all_its_labels_found(tmp_path):
    labels = [f"class-{number}" for number in range(MAX_LABELS + 500)]
    file = data_file(tmp_path / "d.csv", "".join(f"1,{text}\n" for text in labels).encode())
    (found,) = find(file, 1e9, limit=len(labels))
    assert found.labels == set(labels)
    assert (found + FoundLabels()).labels == set(labels)
