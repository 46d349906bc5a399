"""A run in MLflow: what is said of it, and that no server costs more than its seconds."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from mlflow_server import Dying, Failing

from irisspark import cli
from irisspark.tracking import tracker
from irisspark.tracking.record import Metric, make_record

CONTENT = {
    "version": 4,
    "task": "classification",
    "rows": 150,
    "bad_rows": {"total": 3, "by_reason": {"not a number (x)": 2, "missing": 1}},
    "num_classes": 3,
    "accuracy": 0.9,
    "loss": None,
    "confusion_matrix": [[1, 0], [0, 1]],
    "macro": {"f1": 0.8, "recall": float("nan")},
    "per_class": {"a": {"f1": 0.7}},
    "roc_auc": {"macro": 0.99, "per_class": {"a": 0.9}, "per_class_error_bound": {"a": 0.1}},
    "run": {
        "options": {"labelIndex": 4, "header": True, "keepColumns": ["id", 2], "loss": None},
        "model": {"sha256": "abc"},
        "data": {"files": 1, "bytes": 7},
        "versions": {"spark": "4.0.0", "elephas": None},
        "master": "local[2]",
    },
}
HISTORY = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 0.5}]


def test_scores_of_several_outputs_stand_behind_the_names_of_the_outputs() -> None:
    several = {"price": {"loss": 2.0, "per_column": {}}, "is sold?": {"accuracy": 0.5}}
    content = {**CONTENT, "task": "outputs", "outputs": several, "accuracy": None}
    names = {one.name: one.value for one in make_record(content, {}).metrics}
    assert (names["price.loss"], names["is sold_.accuracy"]) == (2.0, 0.5)
    assert not [name for name in names if name.startswith("outputs")]


def test_record_has_options_scores_epochs_bad_rows_and_versions() -> None:
    record = make_record(CONTENT, {}, history=HISTORY, unmet=["accuracy is 0.9"])
    assert record.params == {
        "labelIndex": "4",
        "header": "true",
        "keepColumns": "id,2",
        "loss": "none",
    }
    assert record.metrics == (
        Metric("rows", 150.0),
        Metric("accuracy", 0.9),
        Metric("macro.f1", 0.8),
        Metric("roc_auc.macro", 0.99),
        Metric("epoch/loss", 0.5, 1),
        Metric("epoch/loss", 0.25, 2),
        Metric("epoch/val_loss", 0.5, 2),
    )
    assert record.tags == {
        "irisspark.task": "classification",
        "irisspark.master": "local[2]",
        "irisspark.model.sha256": "abc",
        "irisspark.data.files": "1",
        "irisspark.data.bytes": "7",
        "irisspark.bad_rows": "3",
        "irisspark.bad_rows.not a number _x_": "2",
        "irisspark.bad_rows.missing": "1",
        "irisspark.version.spark": "4.0.0",
        "irisspark.version.elephas": "none",
        "irisspark.unmet": "accuracy is 0.9",
    }


def test_server_that_fails_is_one_line_within_20_seconds(
    mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four at once, as each of them waits."""
    with ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        failing, dying = Failing(), Dying(mlflow_server, num_metrics=3)
        for server in (failing, dying):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        ports = [each.getsockname()[1] for each in (closed, silent)]
        # The patience of the user's own settings is no longer than that of the run.
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "100")
        opened = []
        for uri in (*(f"http://127.0.0.1:{port}" for port in ports), failing.uri, dying.uri):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            opened.append(stack.enter_context(tracker.open_tracker("faults", with_model=False)))

        def log(one: tracker.Tracker) -> tuple[list[str], float]:
            started = time.monotonic()
            lines = one.log(CONTENT, {"metrics.json": b"{}"}, history=HISTORY)
            return list(lines), time.monotonic() - started

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(log, opened))
        assert dying.metrics_left <= 0
    for lines, seconds in found:
        assert seconds < 20, lines
        assert len(lines) == 1
        assert lines[0].startswith("the run is not in MLflow, or not whole: ")
        assert lines[0].endswith("; the results are not touched by that")
        assert "canary" not in lines[0]
    told = [lines[0] for lines, _ in found]
    assert told[0].count("onnection refused") == 1
    assert "has not taken it within 19 s" in told[1]
    assert "500" in told[2]


def test_missing_library_is_one_line_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracker, "_DISTRIBUTIONS", ("no-such-package",))
    monkeypatch.setattr(cli, "open_session", None)  # what would begin the work
    assert cli.main(["-mlflow", "iris"]) == 1
    said = capfd.readouterr().err
    assert said.startswith("irisspark: -mlflow needs MLflow 3, which ")
    assert said.endswith(": pip install 'mlflow>=3,<4'\n")
    assert said.count("\n") == 1
