"""A session whose tasks run here, one after another: the workers' own code without the start-up.

What real workers add (pickling, forks, retries) is tested with the ``spark`` fixture.
"""

import contextlib
import functools
import pickle
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from irisspark.startup.session import Session


class Partitions:
    """What the driver asks of an RDD."""

    def __init__(self, partitions: list[list[Any]]) -> None:
        self._partitions = partitions

    def mapPartitions(self, function: Callable[[Any], Iterable[Any]]) -> "Partitions":  # noqa: N802
        return Partitions([list(function(iter(part))) for part in self._partitions])

    def collect(self) -> list[Any]:
        return [pickle.loads(pickle.dumps(item)) for part in self._partitions for item in part]

    def treeReduce(self, function: Callable[[Any, Any], Any]) -> Any:  # noqa: N802
        # In the order of arrival, which is any.
        return functools.reduce(function, reversed(self.collect()))


class InProcessSession(Session):
    """Has the face of a session, and no Spark behind it."""

    def __init__(self, parallelism: int = 3) -> None:
        context = SimpleNamespace(
            defaultParallelism=parallelism,
            master="local[3]",
            broadcast=lambda value: SimpleNamespace(value=value, destroy=lambda: None),
            getConf=dict,
        )
        super().__init__(context)  # type: ignore[arg-type]

    def named(self, what: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @property
    def resolve(self) -> Callable[[str], str]:
        return str

    @property
    def hadoop(self) -> None:
        return None

    def spread(self, items: list[Any]) -> Partitions:  # type: ignore[override]
        return Partitions([[pickle.loads(pickle.dumps(item))] for item in items])


def run_command_line(monkeypatch: Any, *words: str) -> int:
    """Run the whole command line in this process, and give its exit code."""
    from irisspark import cli

    @contextlib.contextmanager
    def here(**_: Any) -> Any:
        yield InProcessSession()

    monkeypatch.setattr(cli, "open_session", here)
    monkeypatch.setattr(InProcessSession, "spark_version", "none", raising=False)
    return cli.main(words)
