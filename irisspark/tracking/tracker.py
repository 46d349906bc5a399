"""Hands the record of a run to a process that speaks to MLflow, and waits for it no longer than so.

MLflow waits for minutes where a server does not answer, and no thread can be ended: a process can.
It is started with the run, so that it has imported MLflow by the time that there is a result.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from irisspark.errors import IrissparkError, first_line
from irisspark.temporary import temporary_folder
from irisspark.tracking.record import Record, make_record

LIMIT_SECONDS = 19.0
"""From the call of ``log`` to its end, with all that lies between."""

_DISTRIBUTIONS = ("mlflow", "mlflow-skinny")  # the latter is the former without its server
_PROGRAM = "from irisspark.tracking.logging_process import main; main()"
_RUN_ID = "MLFLOW_RUN_ID"
_NOT_LOST = "the results are not touched by that"
_SETTINGS = {
    # Its own are 120 s and 7 times. With these it says itself what is wrong, in most cases.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Target:
    """Where a run is logged to.

    Attributes:
        experiment: Name of the experiment, which is made where there is none.
        tracking_uri: None: what MLflow finds in its environment.
        run_id: Of a run that is joined, whatever its experiment; None for a new one.
    """

    experiment: str
    tracking_uri: str | None = None
    run_id: str | None = None


def check_installed() -> None:
    """Make sure that MLflow 3 can be imported; to import it takes seconds.

    Raises:
        IrissparkError: It is not there, or of another version.
    """
    version = _installed_version()
    if version is None or importlib.util.find_spec("mlflow") is None:
        found = f"which {sys.executable}, the driver's Python, does not have"
    elif version.split(".")[0] != "3":
        found = f"and {sys.executable}, the driver's Python, has {version}"
    else:
        return
    raise IrissparkError(f"-mlflow needs MLflow 3, {found}: pip install 'mlflow>=3,<4'")


def _installed_version() -> str | None:
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def _find_target(experiment: str) -> Target:
    """Say where a run is logged to: with a run that is active in this process, into that one."""
    run_id = os.environ.get(_RUN_ID)
    mlflow = sys.modules.get("mlflow")
    if mlflow is None:
        return Target(experiment, run_id=run_id)
    active = mlflow.active_run()
    return Target(
        experiment, str(mlflow.get_tracking_uri()), active.info.run_id if active else run_id
    )


class Tracker:
    """The process that will log a run."""

    def __init__(self, target: Target, process: subprocess.Popen[bytes]) -> None:
        """Keep the process, which is importing MLflow."""
        self._target, self._process = target, process

    def log(
        self,
        content: Mapping[str, Any],
        files: Mapping[str, bytes],
        *,
        history: Sequence[Mapping[str, float]] = (),
        unmet: Sequence[str] = (),
        model: bytes | None = None,
    ) -> tuple[str, ...]:
        """Log a run whose results are published, and say where it went, or why it did not.

        The arguments are those of ``record.make_record``.

        Returns:
            Lines for the user.
        """
        started = time.monotonic()
        try:
            record = make_record(content, files, history=history, unmet=unmet, model=model)
            with temporary_folder() as folder:
                job = _write_job(Path(folder), self._target, record)
                left = LIMIT_SECONDS - (time.monotonic() - started)
                answer = self._ask(job, max(left, 0.0))
        except subprocess.TimeoutExpired:
            seconds = f"{LIMIT_SECONDS:.0f} s"
            answer = {"error": f"the tracking server has not taken it within {seconds}"}
        except Exception as error:  # nothing that goes wrong here may cost the user the result
            answer = {"error": first_line(error)}
        if "error" in answer:
            return (f"the run is not in MLflow, or not whole: {answer['error']}; {_NOT_LOST}",)
        return (f"the run is in MLflow: {answer['where']}", *answer["notes"])

    def _ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        written, _ = self._process.communicate(json.dumps(job).encode(), seconds)
        if not written:
            code = self._process.returncode
            raise IrissparkError(f"the process that logs has ended with exit code {code}")
        answer: dict[str, Any] = json.loads(written)
        return answer

    def end(self) -> None:
        """End the process, and what it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        self._process.wait()


def _write_job(folder: Path, target: Target, record: Record) -> dict[str, Any]:
    """Write the files of a record to a folder; the rest of it goes as JSON."""
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    for name, content in record.files.items():
        (artifacts / name).write_bytes(content)
    model = None
    if record.model is not None:
        model = folder / "model.keras"
        model.write_bytes(record.model)
    rest = asdict(replace(record, files={}, model=None))
    places = {"artifacts": str(artifacts), "model": None if model is None else str(model)}
    return {**asdict(target), **rest, **places}


@contextlib.contextmanager
def open_tracker(experiment: str, *, with_model: bool) -> Iterator[Tracker]:
    """Start the process that will log a run, and end it with the block.

    Args:
        experiment: Name of the experiment; a run that is active in this process is joined.
        with_model: A model will be logged, so that Keras is imported too.

    Raises:
        IrissparkError: There is no MLflow, or the process cannot be started.
    """
    check_installed()
    words = [sys.executable, "-c", _PROGRAM, *(["keras"] if with_model else [])]
    try:
        process = subprocess.Popen(
            words,
            env=_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process; and to end it with its children
        )
    except OSError as error:
        raise IrissparkError(f"-mlflow: no process can be started: {error}") from error
    tracker = Tracker(_find_target(experiment), process)
    try:
        yield tracker
    finally:
        tracker.end()


def _environ() -> dict[str, str]:
    """Give the process's environment: what this one imports it finds, and it needs no GPU."""
    paths = os.pathsep.join(path for path in sys.path if path)
    forced = {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    return {**_SETTINGS, **os.environ, **forced}
