"""What irisspark adds to a configuration, in the JVM that holds it; no context is opened."""

import contextlib
from collections.abc import Iterator

import pytest

from irisspark.startup import spark_conf
from irisspark.startup.spark_conf import configure, lower_overhead

pytestmark = pytest.mark.spark

OVERHEAD = "spark.executor.memoryOverhead"
TOO_MUCH = (
    "Required executor memory (1024 MB), offHeap memory (0) MB, overhead (4480 MB), and PySpark "
    "memory (0 MB) is above the max threshold (2048 MB) of this cluster!"
)


@contextlib.contextmanager
def told(spark, **settings: str) -> Iterator[None]:
    """Have spark-submit say some settings, as properties of the JVM."""
    system = spark.context._jvm.java.lang.System
    before = {key: system.getProperty(key) for key in settings}
    for key, value in settings.items():
        system.setProperty(key, value)
    try:
        yield
    finally:
        for key, value in before.items():
            system.clearProperty(key) if value is None else system.setProperty(key, value)


@pytest.mark.parametrize(
    ("settings", "overhead"),
    [
        ({"spark.master": "yarn", "spark.executor.cores": "4"}, "4480m"),
        ({"spark.master": "k8s://https://c:443", "spark.executor.memory": "20g"}, "3072m"),
        ({"spark.master": "yarn", OVERHEAD: "777m"}, "777m"),
        ({"spark.master": "yarn", "spark.executor.memoryOverheadFactor": "0.5"}, None),
        ({"spark.master": "yarn", "spark.executor.pyspark.memory": "2g"}, None),
        ({"spark.master": "spark://127.0.0.1:7077"}, None),
        ({"spark.master": "local[4]"}, None),
    ],
)
def test_executors_have_room_for_tensorflow_where_nobody_has_said_how_much(
    spark, settings, overhead
):
    with told(spark, **settings):
        conf = configure(use_local=False, verbose=True)
    assert conf.get(OVERHEAD, None) == overhead


def test_default_that_no_machine_of_the_cluster_has_is_taken_back(spark):
    with told(spark, **{"spark.master": "yarn", "spark.executor.cores": "4"}):
        conf = configure(use_local=False, verbose=True)
    assert not lower_overhead(conf, ValueError("something else"))
    assert lower_overhead(conf, ValueError(TOO_MUCH))
    assert not conf.contains(OVERHEAD)
    assert not lower_overhead(conf, ValueError(TOO_MUCH))  # and it is not tried without end


def test_overhead_of_the_users_own_is_never_taken_back(spark):
    with told(spark, **{"spark.master": "yarn", OVERHEAD: "4g"}):
        conf = configure(use_local=False, verbose=True)
    assert not lower_overhead(conf, ValueError(TOO_MUCH))
    assert conf.get(OVERHEAD) == "4g"


@pytest.mark.parametrize(("platform", "master", "is_ours"), [
    ("linux", "local[2]", True), ("darwin", "local[2]", False), ("darwin", "yarn", True),
])  # fmt: skip
def test_daemon_is_for_machines_that_fork_well(spark, monkeypatch, platform, master, is_ours):
    with told(spark, **{"spark.master": master}):
        conf = configure(use_local=False, verbose=True)
    conf._jconf.remove(spark_conf.DAEMON_KEY)  # that of the tests' own session
    monkeypatch.setattr(spark_conf.sys, "platform", platform)
    assert spark_conf.turn_on_daemon(conf, verbose=False) == is_ours
