"""The process that logs a run to MLflow: a job as JSON on its input, an answer on its output."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from irisspark.errors import first_line, without_password

if TYPE_CHECKING:
    import keras
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

Item = TypeVar("Item")

_FOLDER = "irisspark"
_MODEL = "model"
_MAX_METRICS, _MAX_OTHERS, _MAX_TAG_CHARS = 1000, 100, 5000  # of a request of MLflow's
_OUTLIVES_SECONDS = 60  # where the process that asked was killed
_REQUIRED = ("keras", "tensorflow", "numpy")


def main() -> None:
    """Import what is needed, wait for a job, do it, and end."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # MLflow prints there
    problem = _import_libraries(with_keras="keras" in sys.argv[1:])
    given = sys.stdin.buffer.read()
    if given:  # else the process that would have asked has ended
        signal.alarm(_OUTLIVES_SECONDS)
        answers.write(json.dumps(problem or _answer(json.loads(given))))
        answers.flush()
    os._exit(0)  # threads of MLflow's may wait for a server that does not answer


def _import_libraries(*, with_keras: bool) -> dict[str, Any] | None:
    try:
        for name in ("mlflow", *(["mlflow.keras"] if with_keras else [])):
            importlib.import_module(name)
    except Exception as error:
        return {"error": f"MLflow cannot be imported: {first_line(error)}"}
    return None


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        return _log(job)
    except Exception as error:
        return {"error": without_password(_reason(error))}


def _reason(error: BaseException) -> str:
    """Say what went wrong; of a connection by what the system or the server said in the end."""
    import mlflow

    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    if any(isinstance(one, OSError) for one in chain):  # those of ``requests`` are, too
        return f"{mlflow.get_tracking_uri()}: {first_line(chain[-1])}"
    return first_line(error)


def _log(job: dict[str, Any]) -> dict[str, Any]:
    """Log a run, the parts that may take long last; a run of its own ends with that."""
    import mlflow

    if job["tracking_uri"] is not None:
        mlflow.set_tracking_uri(job["tracking_uri"])
    client = mlflow.MlflowClient()
    if job["run_id"] is not None:
        kept = _log_to(client, job["run_id"], job)
        return {"where": _place_of(client, job["run_id"]), "notes": kept}
    mlflow.set_experiment(job["experiment"])
    with mlflow.start_run(log_system_metrics=False) as run:  # it ends as FAILED by an error
        kept = _log_to(client, run.info.run_id, job)
    return {"where": _place_of(client, run.info.run_id), "notes": kept}


def _log_to(client: MlflowClient, run_id: str, job: dict[str, Any]) -> list[str]:
    from mlflow.entities import Metric, Param, RunTag

    params, kept = _new_params(client, run_id, job["params"])
    now = int(time.time() * 1000)
    metrics = [Metric(one["name"], one["value"], now, one["step"]) for one in job["metrics"]]
    tags = [RunTag(name, value[:_MAX_TAG_CHARS]) for name, value in job["tags"].items()]
    for some in _parts([Param(*item) for item in params.items()], _MAX_OTHERS):
        client.log_batch(run_id, params=some, synchronous=True)
    for some in _parts(tags, _MAX_OTHERS):
        client.log_batch(run_id, tags=some, synchronous=True)
    for some in _parts(metrics, _MAX_METRICS):
        client.log_batch(run_id, metrics=some, synchronous=True)
    client.log_artifacts(run_id, job["artifacts"], _FOLDER)
    if job["model"] is not None:
        _log_model(run_id, job["model"])
    return kept


def _new_params(
    client: MlflowClient, run_id: str, params: dict[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Leave out parameters that a run has already: MLflow refuses to change their values."""
    there = client.get_run(run_id).data.params
    differ = sorted(name for name in params if there.get(name, params[name]) != params[name])
    notes = [f"  parameters that it had already stay as they were: {', '.join(differ)}"]
    return {name: params[name] for name in params if name not in there}, notes if differ else []


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _log_model(run_id: str, path: str) -> None:
    import keras
    import mlflow.keras
    from mlflow.models import Model

    # It was just trained; what code of its own it has was trusted then.
    network = keras.models.load_model(path, safe_mode=False)
    Model.log(
        None,
        mlflow.keras,
        run_id=run_id,
        name=_MODEL,
        model=network,
        signature=_signature(network),
        # Where none are given MLflow starts a process that loads the model, to guess them.
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIRED],
    )


def _signature(network: keras.Model) -> ModelSignature:
    """Say what the model takes and gives: an array each, of any number of rows."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(tensors: list[Any]) -> Schema:
        shapes = [(-1, *(size or -1 for size in tensor.shape[1:])) for tensor in tensors]
        pairs = zip(tensors, shapes, strict=True)
        return Schema([TensorSpec(np.dtype(tensor.dtype), shape) for tensor, shape in pairs])

    return ModelSignature(schema(network.inputs), schema(network.outputs))


def _place_of(client: MlflowClient, run_id: str) -> str:
    """Say where a run is: its page where it has one."""
    import mlflow

    uri, info = without_password(mlflow.get_tracking_uri()), client.get_run(run_id).info
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/#/experiments/{info.experiment_id}/runs/{run_id}"
    name = client.get_experiment(info.experiment_id).name
    return f"run {run_id} of experiment {name!r} in {uri}"
