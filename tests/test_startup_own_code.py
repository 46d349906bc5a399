"""What driver and workers run on, and in what it differs."""

import sys
from importlib import metadata

import numpy
import pytest

from irisspark.startup.own_code import difference, versions

OURS = {"Python": "3.11", "numpy": "1.26.4", "keras": "3.15.0"}


@pytest.mark.parametrize(
    ("theirs", "sides"),
    [
        (OURS, None),
        ({}, None),
        (OURS | {"tensorflow": "2.19.0"}, None),
        (OURS | {"numpy": "1.26.3"}, ("numpy 1.26.3", "numpy 1.26.4")),
        (
            {"Python": "3.12", "keras": "3.15.1"},
            ("Python 3.12, keras 3.15.1", "Python 3.11, keras 3.15.0"),
        ),
    ],
)
def test_versions_that_both_know_are_compared(
    theirs: dict[str, str], sides: tuple[str, str] | None
) -> None:
    assert difference(theirs, OURS) == sides


def test_versions_are_those_of_what_is_imported_else_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numpy, "__version__", "0.1")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    found = versions()
    assert found["Python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["numpy"] == "0.1"
    assert found["keras"] == metadata.version("keras")
    assert "keras" not in sys.modules
