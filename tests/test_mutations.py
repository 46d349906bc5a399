"""Some hundred of the mutations of ``benchmarks/mutations.py``, by their numbers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import mutations


@pytest.mark.parametrize(
    ("kind", "first", "good", "bad"),
    [("models", 0, "opened", "ModelError"), ("csvs", 120, "read", "DataError")],
)
def test_each_is_opened_or_is_one_of_the_errors(kind, first, good, bad, capsys):
    """Among them are what an importer's table lacks, and a line break in what a message shows."""
    counts = mutations.tried(kind, 80, seed=0, first=first)
    assert counts["bad"] == 0, capsys.readouterr().out
    assert counts.total() == 80
    assert min(counts[good], counts[bad]) > 10, counts


def test_a_mutation_is_made_from_its_number_alone(tmp_path):
    import random

    content = bytes(range(256)) * 4
    first, second = (mutations.mutate(content, random.Random("0 models 5")) for _ in range(2))
    assert first == second != content
