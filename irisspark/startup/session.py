"""Opens and stops the Spark context, and ships the archive to the workers."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from irisspark.errors import IrissparkError, first_line
from irisspark.startup import fork_server, worker_daemon
from irisspark.startup.executors import Limit, Patience
from irisspark.startup.fork_server import ForkServer
from irisspark.startup.gateway import has_jvm, open_gateway
from irisspark.startup.import_ahead import wait_for_import
from irisspark.startup.import_system import hidden, keep_archives
from irisspark.startup.job_errors import Place, is_crash, is_final, job_problem
from irisspark.startup.meter import Meter, Work
from irisspark.startup.notices import say
from irisspark.startup.own_code import code_digest, difference, find_archive, place, versions
from irisspark.startup.progress import watched
from irisspark.startup.spark_conf import (
    DAEMON_KEY,
    check_master,
    configure,
    forget_aliases,
    is_local,
    is_on_one_machine,
    lower_overhead,
    shipped_names,
    turn_on_daemon,
)
from irisspark.startup.spark_log import shorten_log
from irisspark.startup.start_watch import StartWatch
from irisspark.startup.warm_up import WarmUp

if TYPE_CHECKING:
    from pyspark import RDD, SparkConf, SparkContext

T = TypeVar("T")

_LOG_LEVEL = "spark.log.level"
_SPARKS_DAEMON = "pyspark.daemon"
_ATTEMPTS = 4
_GROUP = "spark.jobGroup.id"
_JOB_PROPERTIES = (_GROUP, "spark.job.description", "spark.job.interruptOnCancel")


class Session:
    """A Spark context, and what the rest of the driver asks about it.

    Attributes:
        shipped: What ``--files`` and ``--archives`` shipped: ``spark_conf.shipped_names``.
        group: The group of its jobs, by which Spark's page and its history name the run.
        meter: Shows how far jobs are; None shows nothing.
    """

    def __init__(self, context: SparkContext) -> None:
        """Go on as ``attach`` says."""
        self._context = context
        self.shipped = shipped_names(context.getConf())
        self.group = f"irisspark {secrets.token_hex(4)}"
        self.meter: Meter | None = None
        self._lacks_hdfs: bool | None = None

    @classmethod
    def attach(cls, context: SparkContext) -> Session:
        """Use a context of somebody else's, who stops it; nothing of it is changed.

        Its workers must be able to import irisspark, and use Spark's daemon or what it names.
        """
        return cls(context)

    @property
    def context(self) -> SparkContext:
        """The context, once its workers are ready."""
        self.wait_for_workers()
        return self._context

    def wait_for_workers(self) -> None:
        """Wait until the workers have imported what they need, where that can be known."""

    def run(self, job: Callable[[], T], work: Work | str, *, again: bool = True) -> T:
        """Run a job: the one place through which all jobs go.

        Where a worker's process dies it is run again, as Spark itself does but for a local master.
        A job gives the same each time, so nothing is lost but time.

        Args:
            job: Starts it, and waits for what it gives.
            work: What it does, for a person.
            again: False runs it once, whatever dies, and leaves it to others to watch it.

        Raises:
            IrissparkError: Spark could not run it.
        """
        work = work if isinstance(work, Work) else Work(work)
        attempts_left = _ATTEMPTS if again and self._spark_gives_up_at_once else 1
        while True:
            try:
                with self.named(work.what), self._watched(work, again):
                    return job()
            except KeyboardInterrupt:
                self._context.cancelJobGroup(self.group)
                raise
            except Exception as error:
                attempts_left -= 1
                if attempts_left and is_crash(error):
                    say("a worker's process died; its job is run again")
                    continue
                if (problem := job_problem(error, self._place())) is not None:
                    raise IrissparkError(problem) from error
                raise

    @contextlib.contextmanager
    def _watched(self, work: Work, is_watched: bool) -> Iterator[None]:
        if not is_watched:
            yield
            return
        shown = self.meter.showing(work) if self.meter else contextlib.nullcontext(False)
        with (
            shown as is_shown,
            watched(self._context, self.group, self.meter if is_shown else None),
        ):
            yield

    @contextlib.contextmanager
    def named(self, what: str) -> Iterator[None]:
        """Give jobs of this thread a description and the run's group, and leave none behind."""
        context = self._context
        before = {name: context.getLocalProperty(name) for name in _JOB_PROPERTIES}
        context.setJobGroup(self.group, what, interruptOnCancel=False)
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # a JVM that has ended has no properties
                for name, value in before.items():
                    context.setLocalProperty(name, value)

    def estimating(self, work: Work) -> contextlib.AbstractContextManager[None]:
        """Show a work of many jobs by the time that it takes; the jobs inside are not shown."""
        return self.meter.estimating(work) if self.meter else contextlib.nullcontext()

    @property
    def _spark_gives_up_at_once(self) -> bool:
        return re.fullmatch(r"local(\[[^,]*\])?", str(self._context.master)) is not None

    def _place(self) -> Place:
        """Say where jobs run, as far as a context that may have ended tells."""
        context = self._context
        with contextlib.suppress(Exception):
            settings: dict[str, str] = dict(context.getConf().getAll())
            return Place(str(context.master), int(context.defaultParallelism), settings)
        return Place("", 1, {})

    @property
    def hadoop(self) -> tuple[Any, Any] | None:
        """Spark's JVM and Hadoop's configuration in it, as py4j shows them; no worker is needed."""
        return self._context._jvm, self._context._jsc.hadoopConfiguration()

    @property
    def has_tokens(self) -> bool:
        """True where a worker finds tokens or tickets of Kerberos.

        YARN puts tokens into its containers; on one machine there is the user's own ticket.
        """
        return self.is_local or str(self._context.master).startswith("yarn")

    @property
    def lacks_hdfs(self) -> bool:
        """True where a worker says that it has no client of HDFS; it waits for all of them."""
        self.wait_for_workers()
        if self._lacks_hdfs is None:
            tasks = self.spread(list(range(self.parallelism)))
            answers = tasks.mapPartitions(worker_daemon.report_hdfs)
            work = "ask the workers for their client of HDFS"
            self._lacks_hdfs = not all(self.run(answers.collect, work))
        return self._lacks_hdfs

    @property
    def parallelism(self) -> int:
        """How many tasks Spark means to run at once."""
        return int(self.context.defaultParallelism)

    @property
    def threads_per_task(self) -> int:
        """How many threads a task may use: ``spark.task.cpus``."""
        return int(self.context.getConf().get("spark.task.cpus", "1") or 1)

    @property
    def is_local(self) -> bool:
        """True where driver and workers are on this machine."""
        return is_on_one_machine(str(self._context.master))

    @property
    def is_in_cluster_mode(self) -> bool:
        """True where the driver runs on a machine of the cluster."""
        return bool(self._context.getConf().get("spark.submit.deployMode") == "cluster")

    @property
    def spark_version(self) -> str:
        """The version of the Spark that runs."""
        return str(self.context.version)

    @property
    def resolve(self) -> Callable[[str], str]:
        """From the name of a shipped file to its path, on the machine that calls it."""
        from pyspark import SparkFiles

        resolve: Callable[[str], str] = SparkFiles.get
        return resolve

    def spread(self, items: list[T]) -> RDD[T]:
        """Make a partition of each item."""
        return self.context.parallelize(items, len(items))


class OwnSession(Session):
    """A session whose context was opened here, with workers on the way and an end of its own."""

    def __init__(
        self,
        context: SparkContext,
        conf: SparkConf,
        shipped: dict[str, str],
        server: ForkServer | None = None,
    ) -> None:
        """Take a context.

        Args:
            context: The context.
            conf: What it was opened with.
            shipped: What was shipped before it was.
            server: What serves its daemons.
        """
        super().__init__(context)
        self._server = server
        self.shipped = shipped
        self._conf = conf
        self._warm_up: WarmUp | None = None
        self._patience: Patience
        self._uses_daemon = False

    def warm_up(self, *, uses_daemon: bool, limit: Limit) -> None:
        """Begin to start the workers.

        Args:
            uses_daemon: From irisspark's daemon, which the conf names.
            limit: How long a run without executors waits for them.
        """
        self._uses_daemon = uses_daemon
        self._patience = Patience(self._context, limit)
        level = self._conf.get(_LOG_LEVEL, None)
        once = functools.partial(self.run, work="start the workers", again=False)
        end_forks = self._server.kill if self._server else lambda: None
        self._warm_up = WarmUp(self._context, level, once, end_forks)

    def wait_for_workers(self) -> None:
        """Wait until the workers have imported what they need.

        Raises:
            IrissparkError: There are none, or they run another irisspark.
        """
        if self._warm_up is None:
            return
        start = self._warm_up.wait(self._patience.look)
        warm_up, self._warm_up = self._warm_up, None
        if start.error is not None and is_final(start.error.__cause__ or start.error):
            raise start.error
        if self._uses_daemon and start.problem:
            say(f"the workers start on Spark's own daemon, which is slower: {start.problem}")
        if start.error is None:
            _check_workers(warm_up.states)
            self._lacks_hdfs = not all(state.has_hdfs for state in warm_up.states)
            return
        if not self._uses_daemon:
            raise start.error
        limit = Limit(self._patience.limit.seconds)
        self._context = _without_daemon(self._context, self._conf, limit)
        self.warm_up(uses_daemon=False, limit=limit)
        self.wait_for_workers()

    def stop(self) -> None:
        """Stop Spark; where its workers are still on the way, without their last words."""
        unfinished, self._warm_up = self._warm_up, None
        if unfinished is not None:
            unfinished.give_up()
        _stop(self._context)
        if unfinished is not None:
            unfinished.restore_log()


@contextlib.contextmanager
def open_session(
    *,
    use_local: bool = False,
    verbose: bool = False,
    fast_workers: bool = True,
    wait_for: int = 0,
    importing: threading.Thread | None = None,
    meter: Meter | None = None,
) -> Iterator[Session]:
    """Open the Spark context that spark-submit's options describe, and stop it at the end.

    The workers start while the caller goes on: ``Session.context`` waits for them.

    Args:
        use_local: Run on ``local[*]`` where no master is named.
        verbose: Leave Spark's log as it is; otherwise it is set to WARN where the user has not.
        fast_workers: Fork the workers from a daemon that has imported TensorFlow.
        wait_for: Seconds after which a run ends that has no executor yet; 0: never.
        importing: Imports TensorFlow in this process; started here, and at its end once the session
            is open.
        meter: Shows how far jobs are; None shows nothing.

    Raises:
        IrissparkError: Spark does not start, or its master does not answer.
    """
    import pyspark  # noqa: F401  # first, for it takes less than what is imported meanwhile

    jvm_waits = has_jvm()
    if importing and jvm_waits:
        importing.start()
    if not verbose:  # py4j would log the trace of every failed call, of which cli tells in a line
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
    with hidden("pandas"):  # which pyspark imports at its first call to Java with an argument
        # The JVM of spark-submit knows the master; a conf before the gateway is open does not.
        open_gateway(functools.partial(wait_for_import, importing))
        if importing and not jvm_waits:  # only now: the import leads away what a JVM inherits
            importing.start()
        conf = configure(use_local=use_local, verbose=verbose)
    master = str(conf.get("spark.master"))
    check_master(master)
    shipped = shipped_names(conf)
    forget_aliases(conf)
    uses_daemon = fast_workers and turn_on_daemon(conf, verbose=verbose)
    shares = uses_daemon and importing is not None and is_on_one_machine(master)
    server = fork_server.reserve() if shares else None
    if server:
        conf.set(f"spark.executorEnv.{fork_server.VARIABLE}", server.path)
    session = None
    try:
        limit = Limit(wait_for)
        session = OwnSession(_start(conf, limit), conf, shipped, server)
        session.meter = meter
        session.warm_up(uses_daemon=uses_daemon, limit=limit)
        wait_for_import(importing)
        if server:
            server.start(worker_daemon.serve)
        if not verbose:  # only now: while the import has Python's lock, each call of it waits
            shorten_log()
        yield session
    finally:
        if server:
            server.stop()
        if session:
            session.stop()


def _check_workers(states: list[worker_daemon.WorkerState]) -> None:
    """Refuse workers that run other code than the driver, whose numbers would mean something else.

    Where what the code runs on differs, numbers may: that is told.

    Raises:
        IrissparkError: They run other code.
    """
    for state in states:
        if getattr(state, "code", None) != code_digest():
            where = getattr(state, "place", "an older one")
            raise IrissparkError(
                f"the workers run another irisspark, {where}, than the driver, {place()}: take "
                "it off their PYTHONPATH, or out of their Python's packages"
            )
    for state in states:
        sides = difference(state.versions, versions())
        if sides is not None:
            return say(
                f"the workers run {sides[0]} ({state.place}), the driver {sides[1]}: numbers may "
                "differ; let PYSPARK_PYTHON name the same packages on every machine"
            )


def _start(conf: SparkConf, limit: Limit) -> SparkContext:
    level = conf.get(_LOG_LEVEL, None)
    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        if level:  # Spark would log the trace of an error that is told in a line
            conf.set(_LOG_LEVEL, "OFF")
        context = _open(conf, limit)
    finally:
        if level:
            conf.set(_LOG_LEVEL, level)
    if level:
        context.setLogLevel(level)
    if callable(ctrl_c) and ctrl_c is not signal.default_int_handler:
        signal.signal(signal.SIGINT, ctrl_c)  # pyspark puts one of its own in the place of ours
    archive = find_archive()
    if archive is not None:
        keep_archives()
        context.addPyFile(str(archive))
    return context


def _open(conf: SparkConf, limit: Limit) -> SparkContext:
    from pyspark import SparkContext

    watch = StartWatch(conf, limit)
    try:
        with watch:
            return SparkContext(conf=conf)
    except Exception as error:
        if watch.problem is None and lower_overhead(conf, error):
            return _open(conf, limit)
        reason = watch.problem or f"Spark did not start: {first_line(error)}"
        raise IrissparkError(reason) from error


def _stop(context: SparkContext) -> None:
    """Stop Spark without waiting for pyspark's accumulator server, which looks up once a second."""
    server = getattr(context, "_accumulatorServer", None)
    if server is not None:
        threading.Thread(target=server.shutdown, daemon=True).start()
        context._accumulatorServer = None
    with contextlib.suppress(Exception):  # a JVM that has ended takes no result with it
        context.stop()


def _without_daemon(context: SparkContext, conf: SparkConf, limit: Limit) -> SparkContext:
    """Go on with Spark's own daemon: executors read the setting when they start."""
    if is_local(conf):
        context._jsc.sc().conf().set(DAEMON_KEY, _SPARKS_DAEMON)
        return context
    _stop(context)
    # Set and not removed: the JVM's system properties, which a conf begins with, have ours too.
    return _start(conf.set(DAEMON_KEY, _SPARKS_DAEMON), limit)
