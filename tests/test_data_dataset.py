"""How the files of a run are cut into tasks."""

import pytest

from irisspark.data.columns import Columns
from irisspark.data.csv.csv_reader import CsvReader
from irisspark.data.dataset import TASK_BYTES, Dataset
from irisspark.storage.opening import DataFile, opener

MIB = 1 << 20


def task_bytes(sizes: list[int], parallelism: int) -> list[int]:
    """Cut files of some sizes, and give the bytes of each task."""
    files = tuple(DataFile(f"{index}.csv", size) for index, size in enumerate(sizes))
    dataset = Dataset(files, CsvReader(), Columns(5, (0, 1, 2, 3)), opener(str), None)
    tasks = dataset.tasks(parallelism)
    return [sum((s.end or s.file.size) - s.start for s in task.splits) for task in tasks]


@pytest.mark.parametrize("parallelism", [1, 2, 7, 64])
@pytest.mark.parametrize("share", [1.0, 1.6, 2.0, 3.3, 10.0])
def test_workers_get_equal_tasks_of_a_second_or_two(parallelism: int, share: float) -> None:
    size = int(share * TASK_BYTES * parallelism)
    tasks = task_bytes([size], parallelism)
    assert len(tasks) % parallelism == 0  # none of the workers ends last
    assert min(tasks) >= TASK_BYTES - 1
    assert max(tasks) < 2 * TASK_BYTES
    assert sum(tasks) == size


def test_every_worker_has_a_task_where_there_is_less() -> None:
    assert len(task_bytes([100 * MIB], 8)) == 8
    assert len(task_bytes([40 * MIB, 60 * MIB], 8)) == 8


def test_little_data_is_not_spread_thin() -> None:
    assert len(task_bytes([3 * MIB], 64)) == 3
    assert len(task_bytes([100], 64)) == 1
