"""The order of the tests."""

import pytest

FORKS = {"test_startup_handover.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that fork come first: threads of TensorFlow and Spark do not survive it."""
    items.sort(key=lambda item: item.path.name not in FORKS)
