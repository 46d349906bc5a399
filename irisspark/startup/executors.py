"""Waits for executors, and says what was asked for and what is there where none comes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from irisspark.errors import IrissparkError
from irisspark.startup.notices import say
from irisspark.startup.yarn import describe_machines, list_free

if TYPE_CHECKING:
    from pyspark import SparkContext

NOTICE_SECONDS = 30.0


@dataclass(frozen=True)
class Limit:
    """How long a run waits for its cluster: for Spark to start, and for executors, by one clock.

    Attributes:
        seconds: So long; 0: without an end.
        began: When the waiting began.
    """

    seconds: int
    began: float = field(default_factory=time.monotonic)

    def waited(self) -> float:
        """Give the seconds that have passed."""
        return time.monotonic() - self.began


class Patience:
    """How long a run waits for its first executor."""

    def __init__(self, context: SparkContext, limit: Limit) -> None:
        """Go on waiting."""
        self._context, self.limit = context, limit
        self._told = self._satisfied = False

    def look(self) -> None:
        """Tell the user, once, that there is no executor yet.

        Raises:
            IrissparkError: There is none, and the limit is reached.
        """
        if self._satisfied:
            return
        seconds = self.limit.waited()
        is_over = bool(self.limit.seconds) and seconds >= self.limit.seconds
        if not is_over and (self._told or seconds < NOTICE_SECONDS):
            return
        self._satisfied = _has_executors(self._context)
        if self._satisfied:
            return
        message = (
            f"no executor after {seconds:.0f} s: {_asked(self._context)}; {_has(self._context)}"
        )
        if is_over:
            raise IrissparkError(f"{message}; ended by -waitFor {self.limit.seconds}")
        self._told = True
        say(f"{message}; waiting on")


def _has_executors(context: Any) -> bool:
    """Tell whether anything but the driver has registered."""
    return bool(context.master.split("[")[0] == "local") or bool(
        context._jsc.sc().getExecutorMemoryStatus().size() > 1
    )


def _asked(context: SparkContext) -> str:
    conf = context.getConf()
    memory = conf.get("spark.executor.memory", "1g")
    cores = conf.get("spark.executor.cores", None)
    if cores is None and context.master.startswith("spark://"):
        cores = "all of a machine's"
    asked = f"each was asked to have {memory} of memory and {cores or 1} cores"
    limits = {"spark.cores.max": "cores in all", "spark.executor.instances": "executors"}
    found = [f"{value} {what}" for key, what in limits.items() if (value := conf.get(key, None))]
    return f"{asked} ({', '.join(found)})" if found else asked


def _has(context: SparkContext) -> str:
    """Say what the master has to give, which a standalone one and YARN tell."""
    if context.master.startswith("yarn"):
        return describe_machines(context.getConf())
    address = re.fullmatch(r"spark://\[?([^\]]+)\]?:(\d+)", context.master.split(",")[0])
    if address is None:
        return f"ask {context.master} what it has to give, and who else is using it"
    try:
        workers = _workers_of(context, address[1], int(address[2]))
    except Exception:
        return f"{context.master} does not say what it has"
    if not workers:
        return f"{context.master} has no workers"
    free = [(w.memoryFree(), w.memory(), w.coresFree(), w.cores()) for w in workers]
    return list_free(str(context.master), "worker", free)


def _workers_of(context: Any, host: str, port: int) -> list[Any]:
    """Ask a standalone master for its live workers, as its own web page does."""
    jvm = context._jvm
    spark = jvm.org.apache.spark
    rpc = context._jsc.sc().schedulerBackend().rpcEnv()
    master = rpc.setupEndpointRef(spark.rpc.RpcAddress(host, port), "Master")
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    name = "org.apache.spark.deploy.DeployMessages$RequestMasterState$"
    request = loader.loadClass(name).getField("MODULE$").get(None)
    answer_class = loader.loadClass("org.apache.spark.deploy.DeployMessages$MasterStateResponse")
    tag = jvm.scala.reflect.ClassTag.apply(answer_class)
    workers = master.askSync(request, tag).workers()
    return [worker for worker in workers if str(worker.state()) == "ALIVE"]
