"""The second half of ``submit.sh``: from a job in the user's words to spark-submit's command.

Standard library only. The working directory is the user's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irisspark.bundle.packing import build, find_java, find_spark_home, is_current
from irisspark.errors import IrissparkError, OptionsError
from irisspark.options.spark_names import DEPLOY_MODE, DRIVER_FLAGS, FILES, SWITCHES
from irisspark.startup.masters import master_problem
from irisspark.startup.nameless import has_name, java_options
from irisspark.storage.uris import is_on_this_disk, lost_results
from irisspark.submit.early import start_early
from irisspark.submit.environment import ANSWER_SECONDS, ROOT, check_java, read_spark_version
from irisspark.submit.sharing import share_classes
from irisspark.submit.shipped_python import SWITCH, ship_packages
from irisspark.submit.shipping import read_option, ship
from irisspark.submit.spark_options import (
    DRIVER_PYTHON_KEY,
    WORKER_PYTHON_KEYS,
    Configuration,
    choose_master,
    is_local,
    merge_flags,
    parse_spark_options,
    read_configuration,
    read_properties,
)

CONF = ROOT / "conf"
DEMO_MODEL = ROOT / "my_model.h5"
DEMO_DATA = ROOT / "irisspark" / "samples" / "iris.txt"

_LOG_LEVEL = "spark.log.level"
_LOG4J_FLAG = re.compile(r"-Dlog4j2?\.configuration(File)?=")
_LOG4J_SUFFIXES = frozenset({".properties", ".xml", ".yaml", ".yml", ".json", ".jsn"})
_FLAG_VARIABLES = ("SPARK_SUBMIT_OPTS", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS")
_NOTEBOOK = re.compile(r"(^|/)(jupyter|ipython)[^/]*$")


def main(argv: Sequence[str] | None = None) -> int:
    """Start spark-submit in the place of this process; returns only where that fails."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = sys.argv[1:] if argv is None else list(argv)
    at = words.index("--") if "--" in words else -1
    try:
        environ = os.environ | {"SPARK_HOME": str(find_spark_home().absolute())}
        job = prepare(words[: max(at, 0)], words[at + 1 :], environ)
        additions = job.additions | _mend(job.sourced)
        environ |= additions
        if job.has_our_driver:
            environ |= start_early(ROOT / "irisspark.zip", job.sourced | additions)
        os.execve(job.command[0], job.command, environ)
    except (IrissparkError, OSError) as error:  # the latter: what may not be run, or is not there
        print(f"irisspark: {error}", file=sys.stderr)
        return getattr(error, "exit_code", IrissparkError.exit_code)
    except KeyboardInterrupt:
        print("irisspark: interrupted", file=sys.stderr)
        return 130


def _mend(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what an environment lacks for Java: a locale that has all letters, a home folder."""
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environ[name] for name in names if environ.get(name)), "C")
    is_utf8 = re.search(r"utf-?8", locale, re.IGNORECASE)
    return ({} if is_utf8 else {"LC_ALL": "C.UTF-8"}) | java_options(environ)


@dataclass(frozen=True)
class Job:
    """A job, ready to be started.

    Attributes:
        command: spark-submit's.
        additions: What to add to the environment.
        sourced: The environment as spark-env.sh leaves it.
        has_our_driver: The driver runs on this machine, and on this Python.
    """

    command: list[str]
    additions: dict[str, str]
    sourced: dict[str, str]
    has_our_driver: bool


def prepare(spark_words: Sequence[str], args: Sequence[str], environ: Mapping[str, str]) -> Job:
    """Make sure that all a job needs is there, and put spark-submit's command together.

    Args:
        spark_words: Spark's options, and ``--ship-python``.
        args: The runner's words; none: the demo, for which the sample model is trained.
        environ: The environment, with SPARK_HOME.

    Raises:
        IrissparkError: Java does not fit, or something cannot be built.
        OptionsError: Spark's options, or the names of files, cannot work.
    """
    spark_home = Path(environ["SPARK_HOME"])
    if SWITCH in args:
        raise OptionsError(f"{SWITCH} stands before --: ./submit.sh {SWITCH} -- -modelPath ...")
    ships_python = SWITCH in spark_words
    spark_words = [word for word in spark_words if word != SWITCH]
    options = parse_spark_options(spark_words)
    effective = source_spark_env(environ)
    conf_dir = Path(effective["SPARK_CONF_DIR"])
    configuration = read_configuration(options, conf_dir, Path.cwd())
    master, tell_master = choose_master(configuration, environ.get("MASTER"))
    if (problem := master_problem(master)) is not None:
        raise OptionsError(problem)
    on_cluster = configuration.get(DEPLOY_MODE) == "cluster"

    java_version = check_java(read_spark_version(spark_home), effective)
    archive = ROOT / "irisspark.zip"
    if not is_current(archive):
        build(archive)
    if not args:
        args = make_demo()

    _tell_of_lost_results(args, on_cluster=on_cluster)
    added = ["--master", master] if tell_master else []
    verbose = (read_option(args, "verbose") or "").lower() == "true"
    added += list_conf(configuration, local=is_local(master), verbose=verbose)
    if not on_cluster:  # where the driver runs elsewhere, so do its JVM and its files
        ours = [] if verbose or has_log4j(configuration, effective) else [_log4j_flag()]
        if is_local(master):
            java = Path(find_java(effective))
            flags = _read_ours(local=True).get(DRIVER_FLAGS, "").split()
            ours += share_classes(spark_home, java, java_version, flags, effective, verbose=verbose)
        added += add_flags(configuration, ours, effective, local=is_local(master))
    if not is_local(master):
        shipment = ship(args, configuration.get(FILES) or "")
        args = shipment.args
        added += ["--files", shipment.files] if shipment.files else []
    if ships_python and not is_local(master):
        packages = ship_packages(configuration, effective, master, on_cluster=on_cluster)
        added, additions = added + packages.words, packages.additions
    else:
        additions = choose_python(configuration, effective, local=is_local(master))
    words = [*options.words, *added]
    runs_here = not on_cluster and not SWITCHES.intersection(spark_words)
    if runs_here and not has_name():
        return _without_spark_submit(archive, words, args, additions, effective)
    # Standalone clusters take only a .jar there.
    program = archive.with_suffix(".jar") if on_cluster else archive
    command = [str(spark_home / "bin" / "spark-submit"), *words, str(program)]
    return Job(
        [*command, *args],
        additions,
        effective,
        runs_here and additions.get("PYSPARK_DRIVER_PYTHON") == sys.executable,
    )


def _without_spark_submit(
    archive: Path,
    words: Sequence[str],
    args: Sequence[str],
    additions: Mapping[str, str],
    environ: Mapping[str, str],
) -> Job:
    """Let Python start the JVM, and tell Hadoop who the user is before it asks the system.

    spark-submit would ask first, for the class in the archive, and find a user without a name.
    """
    names = ("PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON")
    python = next((found for name in names if (found := {**environ, **additions}.get(name))), "")
    given = {"PYSPARK_SUBMIT_ARGS": shlex.join([*words, "pyspark-shell"])}
    command = [shutil.which(python) or sys.executable, str(archive), *args]
    return Job(command, {**additions, **given}, dict(environ), has_our_driver=False)


def _tell_of_lost_results(args: Sequence[str], *, on_cluster: bool) -> None:
    """Say that results will be on a machine that nobody looks at, where they will."""
    path = read_option(args, "output_path")
    note = lost_results(path, on_this_disk=path is not None and is_on_this_disk(path))
    if on_cluster and note is not None:
        print(f"irisspark: {note}", file=sys.stderr)


def source_spark_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment as the active spark-env.sh leaves it: what spark-submit will see.

    Raises:
        IrissparkError: The script does not come to its end, or ends the shell.
    """
    default_dir = Path(environ["SPARK_HOME"]) / "conf"
    before = {"SPARK_CONF_DIR": str(default_dir)} | {k: v for k, v in environ.items() if v}
    script = Path(before["SPARK_CONF_DIR"]) / "spark-env.sh"
    if not script.is_file():
        return before
    dump = "import json, os; print(json.dumps(dict(os.environ)))"
    source = 'set -a; . "$0" >/dev/null 2>&1; exec "$1" -I -c "$2"'
    try:
        done = subprocess.run(
            ["bash", "-c", source, str(script), sys.executable, dump],
            env=before,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise IrissparkError(
            f"{script} has not ended within {ANSWER_SECONDS:.0f} s; spark-submit would wait for it"
        ) from None
    if not done.stdout:
        raise IrissparkError(
            f"{script} ends the shell that reads it, as it would end spark-submit; "
            "take the exit out of it"
        )
    return dict(json.loads(done.stdout))


def make_demo() -> list[str]:
    """Train the sample model where it is missing, and give the demo's options."""
    if not DEMO_MODEL.is_file():
        print(f"irisspark: training {DEMO_MODEL.name} on {DEMO_DATA.name}", file=sys.stderr)
        command = [sys.executable, "-m", "irisspark.samples.train_model", DEMO_MODEL.name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise IrissparkError(f"{DEMO_MODEL} was not trained: {said}")
    options = ["-batchSizePerWorker", "15", "-train", "false", "-labelIndex", "4"]
    options += ["-numClasses", "3", "-modelPath", str(DEMO_MODEL), "-dataPath", str(DEMO_DATA)]
    return options


def list_conf(configuration: Configuration, *, local: bool, verbose: bool) -> list[str]:
    """List ``--conf`` and each key of ``conf/`` that nobody has set; not the JVM's flags."""
    return [
        word
        for key, value in _read_ours(local=local).items()
        if key != DRIVER_FLAGS and configuration.get(key) is None
        if not (verbose and key == _LOG_LEVEL)
        for word in ("--conf", f"{key}={value}")
    ]


def _read_ours(*, local: bool) -> dict[str, str]:
    ours = read_properties(CONF / "spark-defaults.conf")
    return ours | (read_properties(CONF / "spark-local.conf") if local else {})


def add_flags(
    configuration: Configuration, more: Sequence[str], environ: Mapping[str, str], *, local: bool
) -> list[str]:
    """Give ``--driver-java-options`` with our flags before theirs; nothing where we have none."""
    ours = [*_read_ours(local=local).get(DRIVER_FLAGS, "").split(), *more]
    if not ours:
        return []
    elsewhere = " ".join(_other_flags(configuration, environ))
    theirs = configuration.get(DRIVER_FLAGS) or ""
    return ["--driver-java-options", merge_flags(ours, theirs, elsewhere)]


def _other_flags(configuration: Configuration, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the flags that reach the driver's JVM beside ``spark.driver.extraJavaOptions``."""
    yield configuration.get("spark.driver.defaultJavaOptions") or ""
    for name in _FLAG_VARIABLES:
        yield environ.get(name, "")


def has_log4j(configuration: Configuration, environ: Mapping[str, str]) -> bool:
    """Tell whether the user or an administrator has configured Log4j."""
    flags = [configuration.get(DRIVER_FLAGS) or "", *_other_flags(configuration, environ)]
    files = Path(environ["SPARK_CONF_DIR"]).glob("log4j2*")
    return (
        "LOG4J_CONFIGURATION_FILE" in environ
        or any(_LOG4J_FLAG.search(flag) for flag in flags)
        or any(file.suffix in _LOG4J_SUFFIXES for file in files)
    )


def _log4j_flag() -> str:
    return f"-Dlog4j2.configurationFile={(CONF / 'log4j2.properties').as_uri()}"


def choose_python(
    configuration: Configuration, environ: Mapping[str, str], *, local: bool
) -> dict[str, str]:
    """Give driver and workers the Python of ``.venv``, which this is, where nobody named one."""
    ours: dict[str, str] = {}
    if "PYSPARK_PYTHON" in environ or any(configuration.get(key) for key in WORKER_PYTHON_KEYS):
        return ours
    ours["PYSPARK_PYTHON"] = sys.executable
    named_driver = configuration.get(DRIVER_PYTHON_KEY)
    is_server = _NOTEBOOK.search(environ.get("PYSPARK_DRIVER_PYTHON", "jupyter"))
    if is_server and not named_driver:
        ours["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if not local:
        print(
            f"irisspark: the workers are asked to run {sys.executable}; where they have their "
            "Python elsewhere, set PYSPARK_PYTHON",
            file=sys.stderr,
        )
    return ours
