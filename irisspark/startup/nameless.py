"""A user id without a name, as containers have them: neither Java nor Hadoop goes on with one."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Mapping

_OPTIONS = "SPARK_SUBMIT_OPTS"


def has_name() -> bool:
    """Tell whether the system has a name for the user."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def user_name(environ: Mapping[str, str]) -> str:
    """Give the name that the environment has for the user, else one made of the number."""
    names = (environ.get(name) for name in ("HADOOP_USER_NAME", "SPARK_USER", "USER"))
    return next((name for name in names if name), f"uid-{os.getuid()}")


def java_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what to add to the environment of spark-submit, whose JVM asks for a home folder."""
    before = environ.get(_OPTIONS, "")
    if has_name() or "-Duser.home=" in before:
        return {}
    home = environ.get("HOME", "")
    home = home if os.path.isabs(home) and os.access(home, os.W_OK) else tempfile.gettempdir()
    name = user_name(environ)
    return {
        _OPTIONS: f"{before} -Duser.home={home} -Duser.name={name}".strip(),
        "SPARK_USER": environ.get("SPARK_USER") or name,
    }
