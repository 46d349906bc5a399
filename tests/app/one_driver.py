"""A driver that runs one command line of irisspark after another, on a Spark that stays open.

As a script, ``python one_driver.py``, it reads a line of JSON for each run from standard input,
``{"folder": ..., "argv": [...]}``, and answers with one: ``{"code": ..., "output": ...}``.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from running import RUN_SECONDS, START_SECONDS, clean_environ


class OneDriver:
    """Runs command lines without Spark's start, which other tests run."""

    def __init__(self, archive: Path) -> None:
        environ = clean_environ(
            PYTHONPATH=str(archive),
            PYSPARK_PYTHON=sys.executable,
            PYSPARK_SUBMIT_ARGS="--master local[2] pyspark-shell",
        )
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, argv: list[str], folder: Path) -> tuple[int, str]:
        """Run what would stand behind irisspark.zip: (exit code, output)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        killing = threading.Timer(RUN_SECONDS, self._process.kill)
        killing.start()
        try:
            job = {"folder": str(folder), "argv": argv}
            print(json.dumps(job), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        finally:
            killing.cancel()
        assert answer, "the driver has ended"
        done = json.loads(answer)
        return done["code"], done["output"]

    def close(self) -> None:
        try:
            self._process.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    from irisspark import cli

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Spark prints is no answer
    with cli.open_session(importing=cli.importing_ahead()) as session:
        session.wait_for_workers()

        @contextlib.contextmanager
        def shared(**_: Any) -> Iterator[Any]:
            yield session

        cli.open_session = shared
        for line in sys.stdin:
            job = json.loads(line)
            os.chdir(job["folder"])
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                code = cli.main(job["argv"])
            print(json.dumps({"code": code, "output": output.getvalue()}), file=answers)


if __name__ == "__main__":
    main()
