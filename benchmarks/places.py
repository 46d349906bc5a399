"""Evaluation of the same rows on this disk, on HDFS, behind ranges that come late, and carried.

    python benchmarks/places.py [--runs N] [--rows N]

Prints medians of warm jobs inside one application, beside their goals. HDFS is one on this machine,
as the tests start it; ranges come from ``range_server.py``, a process of its own, each 20 ms late.
What Spark carries, its executors read from this disk, by a mount table.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree

from evaluation import NARROW, save_model, write_data
from measure import ROOT, in_turn

sys.path.insert(0, str(ROOT / "tests" / "app"))
sys.path.insert(0, str(ROOT))

from irisspark.data.dataset import Dataset, open_dataset
from irisspark.evaluation.evaluating import evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.session import Session, open_session
from irisspark.storage.ranges import REQUEST_BYTES

DELAY_MILLISECONDS = 20
STORE = "s3a://bucket/data.csv"


@contextmanager
def range_server(folder: Path) -> Iterator[int]:
    """Start the server, and give its port."""
    command = [sys.executable, str(Path(__file__).with_name("range_server.py")), str(folder)]
    process = subprocess.Popen([*command, str(DELAY_MILLISECONDS)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.terminate()
    process.wait()


def hdfs_root(folder: Path, stack: ExitStack) -> str:
    """Start HDFS, and give what its URIs begin with."""
    from daemons import start_hadoop

    settings = ElementTree.parse(start_hadoop(stack, folder).conf / "core-site.xml")
    found = {item.findtext("name"): item.findtext("value") for item in settings.getroot()}
    return str(found["fs.defaultFS"])


def job(
    session: Session, model: Path, path: str, begin: Callable[[], object] = lambda: None
) -> Callable[[], float]:
    """Make a function that evaluates a file and gives the seconds of the job alone.

    ``begin`` is called when the driver has looked at the file, and the workers have not.
    """
    options = parse(["-modelPath", str(model), "-dataPath", path])

    def run() -> float:
        loaded = loading.load(options.model_path)
        dataset = open_dataset(session, data_settings(options), loaded.spec)
        begin()
        return evaluate(session, loaded, dataset, evaluate_settings(options)).job_seconds

    return run


def pyarrow_alone(dataset: Dataset, num_tasks: int) -> Callable[[], float]:
    """Make a function that reads the ranges of a job with Arrow alone, as many at a time."""
    (file,) = dataset.files
    splits = [split for task in dataset.tasks(num_tasks) for split in task.splits]

    def read(split: Any) -> None:
        with file.location.open() as stream:
            end = split.end or file.size
            for start in range(split.start, end, REQUEST_BYTES):
                stream.read_at(min(REQUEST_BYTES, end - start), start)

    def run() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(num_tasks) as threads:
            list(threads.map(read, splits))
        return time.perf_counter() - started

    return run


def num_requests(port: int) -> int:
    """Ask the server for the number of requests since it was asked last."""
    return int(urlopen(f"http://127.0.0.1:{port}/-requests").read())


def main() -> int:
    """Measure all ways in turn, and print their medians and the goals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=2_000_000)
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data, model = folder / "data" / "data.csv", folder / "model.keras"
        data.parent.mkdir()
        write_data(data, arguments.rows, NARROW)
        save_model(model, NARROW)
        port = stack.enter_context(range_server(data.parent))
        (folder / "hadoop").mkdir()
        on_hdfs = f"{hdfs_root(folder / 'hadoop', stack)}/data.csv"
        session = stack.enter_context(open_session(use_local=True))
        jvm, conf = session.hadoop
        for key, value in {
            "fs.viewfs.mounttable.disk.link./data": data.parent.as_uri(),
            "fs.s3a.access.key": "any",
            "fs.s3a.secret.key": "any",
            "fs.s3a.endpoint": f"http://127.0.0.1:{port}",
            "fs.s3a.endpoint.region": "eu-west-1",
        }.items():
            conf.set(key, value)
        target = jvm.org.apache.hadoop.fs.Path(on_hdfs)
        source = jvm.org.apache.hadoop.fs.Path(data.as_uri())
        target.getFileSystem(conf).copyFromLocalFile(source, target)
        options = parse(["-modelPath", str(model), "-dataPath", STORE])
        dataset = open_dataset(session, data_settings(options), loading.load(str(model)).spec)
        paths = {"disk": str(data), "HDFS": on_hdfs, "ranges": STORE}
        paths["carried"] = "viewfs://disk/data/data.csv"
        ways = {name: job(session, model, path) for name, path in paths.items()}
        ways["pyarrow"] = pyarrow_alone(dataset, session.parallelism)
        seconds = {
            name: statistics.median(taken) for name, taken in in_turn(ways, arguments.runs).items()
        }
        job(session, model, STORE, lambda: num_requests(port))()
        asked = num_requests(port)
        num_splits = sum(len(task.splits) for task in dataset.tasks(session.parallelism))
    peer = max(seconds["disk"], seconds["pyarrow"])
    most = dataset.num_bytes / REQUEST_BYTES + 3 * num_splits
    print(f"disk {seconds['disk']:.2f} s, pyarrow alone {seconds['pyarrow']:.2f} s")
    print(f"HDFS {seconds['HDFS']:.2f} s, {seconds['HDFS'] / seconds['disk']:.2f} (goal 1.25)")
    print(f"ranges {seconds['ranges']:.2f} s (goal {1.25 * peer + 0.3:.2f} s)")
    print(f"requests {asked} (goal {most:.0f})")
    print(f"carried {seconds['carried']:.2f} s, {seconds['carried'] / seconds['disk']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
