"""What ``metrics.json`` says about a run itself: options, versions, seconds."""

import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata

from irisspark import __version__
from irisspark import options as command_line
from irisspark.dataset import Dataset
from irisspark.evaluation import EvaluationResult
from irisspark.models import LoadedModel
from irisspark.options import Options
from irisspark.predictions import PredictionResult
from irisspark.session import Session
from irisspark.workers.scanning import peak_memory_bytes


class Clock:
    """Seconds by phase, from the start of the run."""

    def __init__(self) -> None:
        """Start the clock."""
        self.started = datetime.now(timezone.utc)
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.seconds[phase] = now - self._last
        self._last = now


def describe_run(
    session: Session,
    options: Options,
    model: LoadedModel,
    dataset: Dataset,
    result: EvaluationResult | PredictionResult,
    clock: Clock,
) -> dict[str, object]:
    """Collect what metrics.json says about the run itself."""
    return {
        "options": command_line.as_mapping(options),
        "model": {
            "path": options.model_path,
            "sha256": model.sha256,
            "keras_version": model.keras_version,
        },
        "data": {"files": len(dataset.files), "bytes": dataset.num_bytes},
        "bad_row_examples": list(result.bad_examples),
        "versions": {"spark": session.spark_version, **_versions()},
        "master": str(session.context.master),
        "started": clock.started.isoformat(timespec="seconds"),
        "seconds": {
            **clock.seconds,
            "workers_model": result.stats.model_seconds,
            "workers_parse": result.stats.parse_seconds,
            "workers_predict": result.stats.predict_seconds,
        },
        "tasks": result.num_tasks,
        "workers": min(result.num_tasks, session.parallelism),
        "rows_per_second": result.num_rows / result.job_seconds,
        "bytes_per_second": result.stats.read_bytes / result.job_seconds,
        "driver_peak_memory_bytes": peak_memory_bytes(),
        "worker_peak_memory_bytes": result.stats.peak_memory_bytes,
    }


def phases_text(run: Mapping[str, object]) -> str:
    """Lay the seconds by phase out as a table, for ``-verbose true``."""
    seconds = run["seconds"]
    assert isinstance(seconds, Mapping)
    rows = [f"{name.replace('_', ' '):<20}{value:>9.2f} s" for name, value in seconds.items()]
    return "\n".join(["seconds by phase (workers: added up over all tasks)", *rows])


def _versions() -> dict[str, str | None]:
    packages = ("tensorflow", "keras", "elephas", "pyarrow", "numpy")
    found: dict[str, str | None] = {"irisspark": __version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return {**found, "python": sys.version.split()[0]}


def versions_text() -> str:
    """List what ``-version`` prints."""
    import pyspark

    versions = _versions()
    lines = [
        ("irisspark", __version__),
        ("Spark", pyspark.__version__),
        ("TensorFlow", versions["tensorflow"]),
        ("Keras", versions["keras"]),
        ("elephas", versions["elephas"]),
        ("Python", versions["python"]),
    ]
    return "\n".join(f"{name} {version or 'is not installed'}" for name, version in lines)
