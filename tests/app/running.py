"""What the tests of the archive share: paths, a clean environment, the shape of a cluster."""

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from irisspark.bundle import packing

ROOT = Path(__file__).resolve().parents[2]
SPARK_HOME = packing.find_spark_home()
HADOOP = Path(__file__).parent / "hadoop"
START_SECONDS = 240
RUN_SECONDS = 300

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environ(**more: str) -> dict[str, str]:
    """The environment without what configures Spark, and without the checkout on PYTHONPATH."""
    ours = {"MASTER", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "PYTHONPATH"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("SPARK_", "PYSPARK_", "LOG4J_"))
    }
    return kept | {"SPARK_LOCAL_IP": "127.0.0.1"} | more


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    """A running standalone cluster.

    Attributes:
        master: Its URL.
        work_dirs: Where its workers keep the files and the output of what they run.
    """

    master: str
    work_dirs: tuple[Path, ...]


@dataclass(frozen=True)
class Hadoop:
    """A running HDFS and YARN.

    Attributes:
        conf: Folder of the settings of their clients.
        work_dir: Where the node managers keep files and output of what they run.
        tell: Lets the cluster do what a word says, as ``Cluster.java`` has them.
    """

    conf: Path
    work_dir: Path
    tell: Callable[[str], None]

    def stdouts(self) -> list[str]:
        """Read what the applications' containers have printed."""
        return [path.read_text() for path in self.work_dir.rglob("stdout")]

    def list_applications(self, state: str) -> str:
        """Ask YARN for the applications in a state, as its own command does."""
        command = ["java", "-cp", f"{self.conf}:{SPARK_HOME / 'jars'}/*"]
        command += ["org.apache.hadoop.yarn.client.cli.ApplicationCLI"]
        command += ["application", "-list", "-appStates", state]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write_hadoop_settings(file: Path, settings: Mapping[str, str]) -> None:
    """Write a file in the format of core-site.xml."""
    root = ElementTree.Element("configuration")
    for name, value in settings.items():
        item = ElementTree.SubElement(root, "property")
        ElementTree.SubElement(item, "name").text = name
        ElementTree.SubElement(item, "value").text = value
    ElementTree.ElementTree(root).write(file)
