"""What YARN says of an application that is about to start: Spark waits for it and tells nothing."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from irisspark.errors import first_line

if TYPE_CHECKING:
    from pyspark import SparkConf

_TAGS_KEY = "spark.yarn.tags"
_PENDING = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED")
_ADDRESS_KEY = "yarn.resourcemanager.address"
# Hadoop's own client would ask for a quarter of an hour.
_ASK_ONCE = {
    "yarn.resourcemanager.connect.max-wait.ms": 3000,
    "yarn.resourcemanager.connect.retry-interval.ms": 1000,
    "yarn.client.failover-max-attempts": 2,
    "ipc.client.connect.max.retries": 0,
    "ipc.client.connect.max.retries.on.timeouts": 0,
    "ipc.client.connect.timeout": 3000,
}


class YarnApplication:
    """An application that is found by a tag, as nobody tells its id before it runs."""

    def __init__(self, conf: SparkConf) -> None:
        """Put the tag into the conf of a context that is to be opened."""
        self._conf = conf
        self._tag = f"irisspark-{uuid.uuid4()}"
        theirs = conf.get(_TAGS_KEY, None)
        conf.set(_TAGS_KEY, f"{theirs},{self._tag}" if theirs else self._tag)

    def describe(self) -> str:
        """Say what the application waits for."""
        settings = _settings(self._conf)
        try:
            with _client(settings) as client:
                waiting = self._find(client)
                machines = _describe_machines(client)
        except Exception as error:
            return _say_no_answer(settings, error)
        if waiting is None:
            return f"its files are on the way to {settings.get('fs.defaultFS')}"
        name, queue = waiting.getApplicationId().toString(), waiting.getQueue()
        reason = summarize(waiting.getDiagnostics())
        return f"YARN has {name} in the queue {queue}: {reason}; {machines}"

    def kill(self) -> None:
        """Take the application out of YARN's queue, where nobody would wait for it any more."""
        with _client(_settings(self._conf)) as client:
            waiting = self._find(client)
            if waiting is not None:
                client.killApplication(waiting.getApplicationId())

    def _find(self, client: Any) -> Any:
        """Give YARN's report of the application, None where it does not wait."""
        from pyspark import SparkContext

        kind = SparkContext._jvm.org.apache.hadoop.yarn.api.records.YarnApplicationState
        states = SparkContext._jvm.java.util.EnumSet.of(*(getattr(kind, s) for s in _PENDING))
        reports = client.getApplications(states)
        ours = (report for report in reports if report.getApplicationTags().contains(self._tag))
        return next(ours, None)


def _settings(conf: SparkConf) -> Any:
    from pyspark import SparkContext

    jvm = SparkContext._jvm
    theirs = jvm.org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(conf._jconf)
    settings = jvm.org.apache.hadoop.yarn.conf.YarnConfiguration(theirs)
    for key, value in _ASK_ONCE.items():
        settings.setInt(key, value)
    return settings


def describe_machines(conf: SparkConf) -> str:
    """Say what YARN's machines have to give."""
    settings = _settings(conf)
    try:
        with _client(settings) as client:
            return _describe_machines(client)
    except Exception as error:
        return _say_no_answer(settings, error)


def _describe_machines(client: Any) -> str:
    from pyspark import SparkContext

    kind = SparkContext._jvm.org.apache.hadoop.yarn.api.records.NodeState
    running = SparkContext._gateway.new_array(kind, 1)
    running[0] = kind.RUNNING
    return list_free("YARN", "node", [_free_of(node) for node in client.getNodeReports(running)])


def _free_of(node: Any) -> tuple[int, int, int, int]:
    has, used = node.getCapability(), node.getUsed()
    memory, cores = has.getMemorySize(), has.getVirtualCores()
    free = (memory - used.getMemorySize(), cores - used.getVirtualCores()) if used else None
    free_memory, free_cores = free or (memory, cores)
    return free_memory, memory, free_cores, cores


def list_free(master: str, kind: str, machines: Sequence[tuple[int, int, int, int]]) -> str:
    """Say what machines of a master have: memory in MiB that is free and in all, and cores."""
    if not machines:
        return f"{master} has no {kind}s"
    listed = ", ".join(
        f"{free_memory} of {memory} MiB and {free_cores} of {cores} cores"
        for free_memory, memory, free_cores, cores in machines[:8]
    )
    number = f"{len(machines)} {kind}{'s' if len(machines) > 1 else ''}"
    return f"{master} has {number}, with {listed} free"


@contextlib.contextmanager
def _client(settings: Any) -> Iterator[Any]:
    from pyspark import SparkContext

    client = SparkContext._jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
    client.init(settings)
    client.start()
    try:
        yield client
    finally:
        client.stop()


def _say_no_answer(settings: Any, error: Exception) -> str:
    reason = first_line(error).split("; For more details")[0]
    return (
        f"YARN's resource manager, {addresses(settings)}, does not answer ({reason}); look at "
        f"{_ADDRESS_KEY} in the folder HADOOP_CONF_DIR, and whether it is running"
    )


def summarize(diagnostics: str) -> str:
    """Give the sentence of a scheduler's diagnostics, without its date and the queue's numbers."""
    found = re.match(r"\s*(?:\[[^\]]*\]\s*)?(.*?)\.?\s*(?:Details\s*:|;|$)", diagnostics)
    return (found and found[1]) or "it does not say why"


def addresses(settings: Any) -> str:
    """List where resource managers are, by the settings; there are several of them with HA."""
    names = settings.get("yarn.resourcemanager.ha.rm-ids")
    if not names:
        return str(settings.get(_ADDRESS_KEY))
    return ", ".join(
        str(
            settings.get(f"{_ADDRESS_KEY}.{name}")
            or settings.get(f"yarn.resourcemanager.hostname.{name}")
        )
        for name in names.split(",")
    )
