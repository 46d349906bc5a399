"""How long a run waits for its first executor, by the clock that Spark's start has run on too."""

import time
from types import SimpleNamespace

import pytest

from irisspark.errors import IrissparkError
from irisspark.startup.executors import NOTICE_SECONDS, Limit, Patience


def context_without_executors() -> SimpleNamespace:
    """What Patience asks of a context, of a master that tells nothing of what it has."""
    status = SimpleNamespace(size=lambda: 1)  # the driver's own
    scala = SimpleNamespace(getExecutorMemoryStatus=lambda: status)
    return SimpleNamespace(
        master="k8s://https://cluster:6443",
        _jsc=SimpleNamespace(sc=lambda: scala),
        getConf=lambda: {"spark.executor.memory": "3g", "spark.executor.cores": "2"},
    )


def began(seconds_ago: float, limit: int) -> Patience:
    """A run whose start began some time ago."""
    return Patience(context_without_executors(), Limit(limit, began=time.monotonic() - seconds_ago))


def test_the_seconds_of_sparks_start_count_towards_the_limit():
    began(15, limit=20).look()
    with pytest.raises(IrissparkError, match=r"no executor after 21 s.*ended by -waitFor 20"):
        began(21, limit=20).look()


def test_a_run_without_a_limit_is_told_once_what_was_asked_for(capsys):
    patience = began(NOTICE_SECONDS + 1, limit=0)
    patience.look()
    patience.look()
    told = capsys.readouterr().err
    line = "no executor after 31 s: each was asked to have 3g of memory and 2 cores"
    assert told.count(line) == 1
    assert told.endswith("waiting on\n")
    began(NOTICE_SECONDS - 1, limit=0).look()
    assert capsys.readouterr().err == ""
