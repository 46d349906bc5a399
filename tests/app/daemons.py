"""Starts what serves the tests for a while, each a process of its own, and ends it."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from running import (
    HADOOP,
    RUN_SECONDS,
    SPARK_HOME,
    START_SECONDS,
    Cluster,
    Hadoop,
    clean_environ,
    free_port,
)


def start_cluster(stack: ExitStack, logs: Path, spark_home: Path, num_workers: int) -> Cluster:
    """Start a master and its workers."""
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    work_dirs = tuple(logs / f"work {number}" for number in range(1, num_workers + 1))
    java, deploy = str(spark_home / "bin" / "spark-class"), "org.apache.spark.deploy"
    at_master = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(free_port())]
    master = [java, f"{deploy}.master.Master", *at_master]
    log = logs / "master.log"
    start_daemon(stack, "Spark's master", master, log, "New state: ALIVE", spark_home=spark_home)
    for work_dir in work_dirs:
        words = ["--host", "127.0.0.1", "--webui-port", str(free_port())]
        words += ["--cores", "2", "--memory", "3g", "--work-dir", str(work_dir), url]
        worker = [java, f"{deploy}.worker.Worker", *words]
        log, ready = logs / f"{work_dir.name}.log", "Successfully registered"
        start_daemon(stack, "Spark's worker", worker, log, ready, spark_home=spark_home)
    return Cluster(url, work_dirs)


def start_hadoop(stack: ExitStack, folder: Path) -> Hadoop:
    """Start HDFS and YARN with two nodes each, in one process."""
    jars = _fetch_hadoop(folder / "jars")
    command = ["java", "-Xmx700m", "--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    command += ["-cp", f"{HADOOP}:{jars}/*:{SPARK_HOME / 'jars'}/*"]
    command += ["org.codehaus.janino.SimpleCompiler", str(HADOOP / "Cluster.java"), "Cluster"]
    command += [str(folder), "2", "2"]
    log = folder / "log"
    process = start_daemon(stack, "Hadoop", command, log, "\nready\n", folder)

    def tell(word: str) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{word}\n".encode())
        process.stdin.flush()
        _wait_for_log(process, "Hadoop", log, f"\n{word}\n")

    return Hadoop(folder / "conf", folder / "irisspark", tell)


def _fetch_hadoop(jars: Path) -> Path:
    """Let Maven copy the jars to a folder, from its own store or from Maven Central."""
    if shutil.which("mvn") is None:
        pytest.fail("the tests on Hadoop need Maven (mvn), as CONTRIBUTING.md says")
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
    command = ["mvn", "-q", "-B", "-f", HADOOP / "pom.xml", copy, f"-DoutputDirectory={jars}"]
    subprocess.run(command, check=True, timeout=RUN_SECONDS)
    return jars


def start_daemon(
    stack: ExitStack,
    name: str,
    command: Sequence[str],
    log: Path,
    ready: str,
    cwd: Path | None = None,
    spark_home: Path = SPARK_HOME,
    **more: str,
) -> subprocess.Popen[bytes]:
    """Start a daemon that the stack stops, and wait until its log says that it is ready."""
    environ = clean_environ(SPARK_HOME=str(spark_home), **more)
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    stack.callback(_stop, process)
    _wait_for_log(process, name, log, ready)
    return process


def _wait_for_log(process: subprocess.Popen[bytes], name: str, log: Path, ready: str) -> None:
    """Wait until a daemon's log says something."""
    deadline = time.monotonic() + START_SECONDS
    while ready not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{name} did not start:\n{log.read_text()}")
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # spark-class became Java, so this is Java's own process
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
