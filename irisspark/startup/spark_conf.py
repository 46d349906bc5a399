"""What irisspark reads and sets in Spark's configuration."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from irisspark.errors import IrissparkError
from irisspark.startup import worker_daemon
from irisspark.startup.job_errors import OVERHEAD_KEY, overhead_mb
from irisspark.startup.masters import master_problem
from irisspark.startup.own_code import find_archive

if TYPE_CHECKING:
    from pyspark import SparkConf

_MASTER_TIMEOUT_SECONDS = 10.0
DAEMON_KEY = "spark.python.daemon.module"
_FILES_KEY, _ARCHIVES_KEY = "spark.files", "spark.archives"
_OUR_OVERHEAD = "spark.irisspark.memoryOverhead"
_OVERHEAD_KEYS = (
    OVERHEAD_KEY,
    "spark.executor.memoryOverheadFactor",
    "spark.kubernetes.memoryOverheadFactor",
    "spark.executor.pyspark.memory",
)
_PYTHONPATH_KEY = "spark.executorEnv.PYTHONPATH"


def turn_on_daemon(conf: SparkConf, *, verbose: bool) -> bool:
    """Let executors fork their workers from ``worker_daemon``, unless the user has other plans."""
    if conf.contains(DAEMON_KEY) or conf.get("spark.python.use.daemon", "true") == "false":
        return False
    if sys.platform != "linux" and is_on_one_machine(str(conf.get("spark.master"))):
        return False  # macOS ends a process that has used Apple's frameworks when it forks
    archive = find_archive()
    if archive is not None:
        # The daemon has to find the archive on its own: an executor fetches it to its working
        # directory, where YARN calls it __app__.jar; a local one works in the driver's folder.
        places = [str(archive)]
        if not is_local(conf):
            places = [archive.name, "__app__.jar", *places]
        theirs = conf.get(_PYTHONPATH_KEY, None)
        conf.set(_PYTHONPATH_KEY, os.pathsep.join([*places, theirs] if theirs else places))
    if verbose:
        conf.set(f"spark.executorEnv.{worker_daemon.VERBOSE_VARIABLE}", "1")
    conf.set(DAEMON_KEY, worker_daemon.__name__)
    return True


def is_local(conf: SparkConf) -> bool:
    """Tell whether driver and executors are one JVM."""
    return str(conf.get("spark.master")).split("[")[0] == "local"


def is_on_one_machine(master: str) -> bool:
    """Tell whether they are on one machine: ``local-cluster`` has a JVM for each executor."""
    return master.startswith("local")


def configure(*, use_local: bool, verbose: bool) -> SparkConf:
    """Make the session's configuration: what the user set comes first."""
    from pyspark import SparkConf

    conf = SparkConf()
    if conf.get("spark.master", None) is None:
        if not use_local:
            raise IrissparkError(
                "no Spark master is named: start irisspark with spark-submit --master MASTER, "
                "or pass -useSparkLocal true to run on this machine"
            )
        conf.set("spark.master", "local[*]")
    if conf.get("spark.app.name", None) is None:
        conf.setAppName("irisspark")
    if not verbose:
        conf.setIfMissing("spark.log.level", "WARN")
    master = str(conf.get("spark.master"))
    if master.startswith(("yarn", "k8s")):
        _settle_containers(conf)
    if _on_terminal():
        conf.setIfMissing("spark.ui.showConsoleProgress", "true")
    # Python's ``-m``, by which Spark starts its daemons, would let files of the working directory
    # stand in for modules: a ``random.py``, an older checkout.
    conf.setIfMissing("spark.executorEnv.PYTHONSAFEPATH", "1")
    if "error" in os.environ.get("PYTHONWARNINGS", ""):
        conf.setIfMissing("spark.executorEnv.PYTHONWARNINGS", "ignore")  # as settle_warnings does
    if is_local(conf):
        # It takes most of a second to start, and is gone with the run.
        conf.setIfMissing("spark.ui.enabled", "false")
    is_near = is_on_one_machine(master)
    if is_near and not conf.contains("spark.pyspark.python"):
        # The driver's Python has what irisspark needs; a bare python3 on the PATH may not.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return conf


def _settle_containers(conf: SparkConf) -> None:
    if not any(map(conf.contains, _OVERHEAD_KEYS)):
        # The Python workers live in it, and are killed where it is too small for TensorFlow.
        conf.set(OVERHEAD_KEY, f"{overhead_mb(dict(conf.getAll()))}m").set(_OUR_OVERHEAD, "true")
    if os.environ.get("PYSPARK_PYTHON", "").startswith("./"):
        # It comes in an archive, without pyspark, which YARN ships for Python's applications alone.
        conf.setIfMissing("spark.yarn.isPython", "true")


def lower_overhead(conf: SparkConf, error: Exception) -> bool:
    """Take our own default of the executors' overhead back where the cluster has no such machines.

    Returns:
        Whether that is so; Spark can be started again then.
    """
    if not conf.contains(_OUR_OVERHEAD) or "above the max threshold" not in str(error):
        return False
    conf._jconf.remove(OVERHEAD_KEY).remove(_OUR_OVERHEAD)
    return True


def _on_terminal() -> bool:
    """Tell whether the JVM, which draws the progress bar, has a terminal."""
    from pyspark import SparkContext

    console = SparkContext._jvm.java.lang.System.console()
    is_terminal = getattr(console, "isTerminal", None)  # Java 22 has a console without a terminal
    try:
        return console is not None and (is_terminal is None or bool(is_terminal()))
    except Exception:
        return console is not None


def check_master(master: str) -> None:
    """Make sure that a master is one, and that a standalone one answers.

    Spark itself would show a trace, or log for a minute first.

    Raises:
        IrissparkError: It is none, or does not answer.
    """
    if (problem := master_problem(master)) is not None:
        raise IrissparkError(problem)
    if not master.startswith("spark://"):
        return
    problems = []
    for address in master.removeprefix("spark://").split(","):
        parts = urlsplit(f"//{address}")
        try:
            host, port = parts.hostname or "", parts.port or 7077
            with socket.create_connection((host, port), _MASTER_TIMEOUT_SECONDS):
                return
        except (OSError, ValueError) as error:
            problems.append(f"{address}: {getattr(error, 'strerror', None) or error}")
    raise IrissparkError(
        f"the Spark master {master} does not answer ({'; '.join(problems)}); "
        "look at --master, and whether the master is running"
    )


def shipped_names(conf: SparkConf) -> dict[str, str]:
    """List what ``--files`` and ``--archives`` brought to every machine.

    Returns:
        From the names that the user may give to files, to those that ``SparkFiles`` knows; the
        folder of an archive ends in ``/``.
    """
    names: dict[str, str] = {}
    for uri in _listed(conf, _FILES_KEY):
        path, alias = _path_and_alias(uri)
        name = os.path.basename(path)
        names |= {alias: alias} if _renames(conf) and alias else {name: name, alias or name: name}
    for uri in _listed(conf, _ARCHIVES_KEY):
        path, alias = _path_and_alias(uri)
        folder = f"{alias or os.path.basename(path)}/"
        names[folder] = folder
    return names


def forget_aliases(conf: SparkConf) -> None:
    """Take the aliases off ``--files`` where Spark makes nothing of them: ``local`` refuses them.

    Those of archives stay, and are told to Spark where it has taken them for parts of names.

    Raises:
        IrissparkError: Two files would have one name.
    """
    archives = _listed(conf, _ARCHIVES_KEY)
    if archives != (mended := [_with_alias(uri) for uri in archives]):
        conf.set(_ARCHIVES_KEY, ",".join(mended))
    uris = _listed(conf, _FILES_KEY)
    plain = [_with_alias(uri).split("#")[0] for uri in uris]
    if _renames(conf) or plain == uris:
        return
    names = [os.path.basename(_path_and_alias(uri)[0]) for uri in dict.fromkeys(plain)]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise IrissparkError(
            f"--files ships two files called {repeated}, which {conf.get('spark.master')} cannot "
            "tell apart, whatever stands behind a #; rename one of them"
        )
    conf.set(_FILES_KEY, ",".join(plain))


def _renames(conf: SparkConf) -> bool:
    """Tell whether the cluster's manager puts a file where its alias says."""
    return str(conf.get("spark.master")).startswith(("yarn", "k8s"))


def _listed(conf: SparkConf, key: str) -> list[str]:
    return [uri for uri in str(conf.get(key, "") or "").split(",") if uri]


def _with_alias(uri: str) -> str:
    """Give back the ``#`` that Spark takes for a part of a name where there is a space, too."""
    whole, hidden = unquote(urlsplit(uri).path), "%23" in uri and "#" not in uri
    return uri.replace("%23", "#", 1) if hidden and not os.path.lexists(whole) else uri


def _path_and_alias(uri: str) -> tuple[str, str]:
    path, _, alias = _with_alias(uri).partition("#")
    return unquote(urlsplit(path).path), unquote(alias)
