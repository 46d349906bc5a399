"""What the user and the cluster's administrators have configured, and how to add to it.

Nothing of theirs is replaced: a key of ours is added only where they have none, and flags for the
JVM are put before theirs.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irisspark.errors import OptionsError
from irisspark.options.spark_names import MASTER, OPTION_KEYS, OTHERS, SWITCHES

ARCHIVE_KEYS = ("spark.archives", "spark.yarn.dist.archives")
DRIVER_PYTHON_KEY = "spark.pyspark.driver.python"
IS_PYTHON_KEY = "spark.yarn.isPython"
WORKER_PYTHON_KEYS = (
    *("spark.pyspark.python", "spark.executorEnv.PYSPARK_PYTHON"),
    "spark.yarn.appMasterEnv.PYSPARK_PYTHON",
)

_WITH_VALUE = OPTION_KEYS.keys() | OTHERS

_PROPERTY = re.compile(r"(?P<key>(?:\\.|[^\\\s=:])+)\s*[=:]?\s*(?P<value>.*)", re.DOTALL)
_COLLECTOR = re.compile(r"-XX:[+-]Use\w+GC$")


@dataclass(frozen=True)
class SparkOptions:
    """Spark's options as the user wrote them before ``--``.

    Attributes:
        words: The words themselves.
        properties: What they set, by key of the configuration; an option wins over ``--conf``.
        properties_file: The file that stands in for spark-defaults.conf, None: there is none.
        load_defaults: spark-defaults.conf is read beside that file.
    """

    words: tuple[str, ...]
    properties: Mapping[str, str]
    properties_file: str | None
    load_defaults: bool


def parse_spark_options(words: Sequence[str]) -> SparkOptions:
    """Read the options of spark-submit.

    Raises:
        OptionsError: A word is no option, or an option has no value.
    """
    by_option: dict[str, str] = {}
    by_conf: dict[str, str] = {}
    rest = deque(words)
    while rest:
        word = rest.popleft()
        name, has_value, value = word.partition("=")
        if not word.startswith("-"):
            raise OptionsError(f"{word}: stray word among Spark's options, before --")
        if name in SWITCHES:
            by_option[name] = "true"
            continue
        if not has_value:
            if name not in _WITH_VALUE and (not rest or rest[0].startswith("-")):
                continue  # a switch, for all that is known of a newer Spark
            if not rest:
                raise OptionsError(f"{name}: this option of Spark needs a value")
            value = rest.popleft()
        if name in ("--conf", "-c"):
            key, _, value = value.partition("=")
            by_conf[key.strip()] = value
        else:
            by_option[name] = value
    named = {OPTION_KEYS[name]: value for name, value in by_option.items() if name in OPTION_KEYS}
    return SparkOptions(
        tuple(words),
        by_conf | named,
        by_option.get("--properties-file"),
        "--load-spark-defaults" in by_option,
    )


def read_properties(path: Path) -> dict[str, str]:
    """Read a file in the format of spark-defaults.conf (Java's properties); none there: empty."""
    if not path.is_file():
        return {}
    text = re.sub(r"\\\r?\n[ \t\f]*", "", path.read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for line in text.splitlines()]
    found = [_PROPERTY.fullmatch(line) for line in lines if line and line[0] not in "#!"]
    return {_unescape(match["key"]): _unescape(match["value"]) for match in found if match}


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


@dataclass(frozen=True)
class Configuration:
    """Everything that is configured before submit.sh adds to it.

    Attributes:
        options: What the user's options set.
        named_file: What the user's ``--properties-file`` sets.
        defaults: What the active spark-defaults.conf sets.
    """

    options: Mapping[str, str]
    named_file: Mapping[str, str]
    defaults: Mapping[str, str]

    def get(self, key: str) -> str | None:
        """Give the value that Spark would use, None: nobody has set the key."""
        for layer in (self.options, self.named_file, self.defaults):
            if key in layer:
                return layer[key]
        return None


def read_configuration(options: SparkOptions, conf_dir: Path, folder: Path) -> Configuration:
    """Collect what the options and the files that they make active say.

    Args:
        options: The user's.
        conf_dir: Where Spark looks for spark-defaults.conf.
        folder: What a relative ``--properties-file`` is relative to.
    """
    named_file: dict[str, str] = {}
    hidden = options.properties_file is not None and not options.load_defaults
    if options.properties_file is not None:
        named_file = read_properties(folder / options.properties_file)
    defaults = {} if hidden else read_properties(conf_dir / "spark-defaults.conf")
    return Configuration(options.properties, named_file, defaults)


def choose_master(configuration: Configuration, master_variable: str | None) -> tuple[str, bool]:
    """Choose the master: the user's option, ``$MASTER``, spark-defaults.conf, ``local[*]``.

    Returns:
        The master, and whether spark-submit has to be told.
    """
    for layer in (configuration.options, configuration.named_file):
        if MASTER in layer:
            return layer[MASTER], False
    if master_variable:
        return master_variable, True
    if MASTER in configuration.defaults:
        return configuration.defaults[MASTER], False
    return "local[*]", True


def is_local(master: str) -> bool:
    """Tell whether driver and workers are one process on this machine."""
    return master == "local" or master.startswith("local[")


def merge_flags(ours: Sequence[str], theirs: str, elsewhere: str = "") -> str:
    """Put our flags for the JVM before theirs, whose later ones win.

    Two garbage collectors keep a JVM from starting, so ours is left out where they choose one.

    Args:
        ours: Our flags.
        theirs: Theirs, as the configuration has them.
        elsewhere: Flags that reach the same JVM in other ways.
    """
    chosen = any(_COLLECTOR.match(flag) for flag in f"{theirs} {elsewhere}".split())
    kept = [flag for flag in ours if not (chosen and _COLLECTOR.match(flag))]
    return " ".join([*kept, theirs]).strip()
