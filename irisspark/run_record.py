"""What ``metrics.json`` says about a run itself: options, versions, seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from irisspark import __version__
from irisspark import options as command_line
from irisspark.data.dataset import Dataset
from irisspark.data.scanning import peak_memory_bytes
from irisspark.evaluation.evaluating import EvaluationResult
from irisspark.evaluation.predictions import PredictionResult
from irisspark.model.loading import LoadedModel
from irisspark.options import Options
from irisspark.startup.session import Session

_MAX_SHOWN = 6
_OF_WORKERS = ("build", "read", "parse", "predict")


class Clock:
    """Seconds by phase, from the start of the run."""

    def __init__(self) -> None:
        """Start the clock."""
        self.started = datetime.now(UTC)
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
        "data": {
            "files": len(dataset.files),
            "bytes": dataset.num_bytes,
            "filled": filled_by_name(dataset, result),
        },
        "bad_row_examples": list(result.bad_examples),
        "versions": {"spark": session.spark_version, **_versions()},
        "master": str(session.context.master),
        "started": clock.started.isoformat(timespec="seconds"),
        "seconds": {
            **clock.seconds,
            # Adding up, checking and scoring what the job gave; the driver alone does that.
            "evaluate": result.job_seconds,
            "merge": max(clock.seconds["evaluate"] - result.job_seconds, 0.0),
            **{name: getattr(result.stats, f"{name}_seconds") for name in _OF_WORKERS},
        },
        "tasks": result.num_tasks,
        "workers": min(result.num_tasks, session.parallelism),
        "comparison": {
            "rows": result.comparison.num_rows,
            "largest_difference": result.comparison.largest_difference,
        },
        "rows_per_second": result.num_rows / result.job_seconds,
        "bytes_per_second": result.stats.read_bytes / result.job_seconds,
        "driver_peak_memory_bytes": peak_memory_bytes(),
        "worker_peak_memory_bytes": result.stats.peak_memory_bytes,
    }


def filled_by_name(dataset: Dataset, result: EvaluationResult | PredictionResult) -> dict[str, int]:
    """Count the missing numbers that something stands in for, by the column's name or index."""
    names, counts = dataset.columns.names, result.outcome.filled.counts
    return {(names[c].strip() if names else "") or str(c): counts[c] for c in counts if counts[c]}


def filled_text(dataset: Dataset, result: EvaluationResult | PredictionResult) -> str | None:
    """Say in a line how many missing numbers were filled, and with what; None where none was."""
    counts = {c: count for c, count in result.outcome.filled.counts.items() if count}
    if not counts:
        return None
    columns, total = dataset.columns, result.outcome.filled.total
    most = sorted(counts, key=lambda column: (-counts[column], column))[:_MAX_SHOWN]
    shown = [f"{counts[c]} in {columns.name(c)} with {columns.gaps.fills[c]:g}" for c in most]
    more = f", and {len(counts) - _MAX_SHOWN} more columns" if len(counts) > _MAX_SHOWN else ""
    what = "missing number was" if total == 1 else "missing numbers were"
    return f"{total} {what} filled: {', '.join(shown)}{more}"


def phases_text(run: Mapping[str, Any]) -> str:
    """Lay seconds by phase, speed and memory out as a table, for ``-verbose true``."""
    seconds = run["seconds"]
    return "\n".join(
        [
            "seconds by phase",
            *(_line(name, seconds[name], "s") for name in seconds if name not in _OF_WORKERS),
            "added up over all tasks of the evaluation",
            *(_line(name, seconds[name], "s") for name in _OF_WORKERS),
            "speed of the evaluation",
            _line("rows", run["rows_per_second"], "a second", digits=0),
            _line("bytes", run["bytes_per_second"] / 2**20, "MiB a second"),
            "peak memory",
            _line("driver", run["driver_peak_memory_bytes"] / 2**20, "MiB", digits=0),
            _line("largest worker", run["worker_peak_memory_bytes"] / 2**20, "MiB", digits=0),
        ]
    )


def _line(name: str, value: float, unit: str, *, digits: int = 2) -> str:
    return f"  {name.replace('_', ' '):<16}{value:>14,.{digits}f} {unit}"


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
