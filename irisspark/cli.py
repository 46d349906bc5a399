"""The story of a run: parse, open the session, load model and data, train, evaluate, report.

The only place that catches ``IrissparkError``, prints, or chooses an exit code.
"""

import sys
import threading
import time
import traceback
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata

from irisspark import __version__, models, report, storage
from irisspark import options as command_line
from irisspark.dataset import Dataset, open_dataset
from irisspark.errors import IrissparkError
from irisspark.evaluation import EvaluationResult, evaluate
from irisspark.models import LoadedModel
from irisspark.options import Options
from irisspark.quiet import import_tensorflow
from irisspark.session import Session, open_session
from irisspark.training import TrainingResult, train

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_UNMET = 3
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Run irisspark with a command line, and give the exit code."""
    verbose = False
    try:
        options = command_line.parse(argv)
        verbose = options.verbose
        report.check_requirement_names(options.require)
        if options.help:
            print(command_line.help_text(), end="")
            return EXIT_DONE
        if options.version:
            print(_versions_text())
            return EXIT_DONE
        return _run(options)
    except IrissparkError as error:
        _complain(str(error), verbose)
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted", verbose)
        return EXIT_INTERRUPTED
    except ImportError as error:
        _complain(
            f"{error}: the Python that runs the driver, {sys.executable}, lacks what irisspark "
            "needs; set PYSPARK_PYTHON to a Python in which its requirements are installed",
            verbose,
        )
        return EXIT_FAILED
    except Exception as error:
        _complain(f"unexpected {type(error).__name__}: {_summary(error)}", verbose)
        return EXIT_FAILED


def _run(options: Options) -> int:
    for note in command_line.notes(options):
        _say(note)
    clock = _Clock()
    if options.output_path is not None:
        storage.check_output(options.output_path, overwrite=options.overwrite)
    importing = threading.Thread(target=_import_ahead, daemon=True)
    importing.start()
    with open_session(
        use_local=options.use_spark_local,
        verbose=options.verbose,
        fast_workers=options.fast_workers,
    ) as session:
        clock.lap("session")
        importing.join()
        model = _load_model(session, options)
        clock.lap("model")
        if not options.load_data:
            model.network.summary(print_fn=print)
            return EXIT_DONE
        dataset = open_dataset(session, options, model.spec)
        clock.lap("data")
        spec, trained = model.spec, None
        if options.train:
            trained = train(session, model, dataset, options, _show)
            spec, dataset = trained.spec, trained.dataset
            clock.lap("train")
        result = evaluate(session, spec, dataset, options)
        clock.lap("evaluate")
        run = _describe_run(session, options, model, dataset, result, clock)
    return _finish(options, result, run, trained)


def _import_ahead() -> None:
    """Import what takes seconds while Spark starts; what goes wrong shows where it is needed."""
    try:
        import_tensorflow()
        import elephas.spark_model  # noqa: F401
    except Exception:
        return


def _load_model(session: Session, options: Options) -> LoadedModel:
    path = storage.find_model(options.model_path, session.shipped, session.resolve)
    model = models.load(
        path,
        loss=options.loss,
        trust=options.trust_model,
        num_classes=options.num_classes,
    )
    for note in model.notes:
        _say(note)
    return model


def _finish(
    options: Options,
    result: EvaluationResult,
    run: dict[str, object],
    trained: TrainingResult | None,
) -> int:
    """Write the results, print the block, and judge the requirements."""
    if trained is not None:
        run = {**run, "training": trained.summary}
    content = report.document(
        result.scores, bad_rows=result.bad.counts, run=run, layout=options.stats
    )
    if options.output_path is not None:
        history = trained.history if trained is not None else ()
        files = report.files(result.scores, content, layout=options.stats, history=history)
        if trained is not None:
            files |= trained.files
        storage.publish(options.output_path, files, overwrite=options.overwrite)
    _report_bad_rows(result)
    unmet = report.unmet(content, options.require)
    for line in unmet:
        _say(f"-require: {line}")
    sys.stderr.flush()
    print(report.text(result.scores, options.stats), end="", flush=True)
    return EXIT_UNMET if unmet else EXIT_DONE


def _report_bad_rows(result: EvaluationResult) -> None:
    if not result.bad.total:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in result.bad.counts.items())
    _say(f"{result.bad.total} bad rows were left out: {reasons}")
    for example in result.bad_examples:
        _say(f"  {example}")
    if result.bad.total > len(result.bad_examples):
        _say(f"  ... and {result.bad.total - len(result.bad_examples)} more")


class _Clock:
    """Seconds by phase, from the start of the run."""

    def __init__(self) -> None:
        self.started = datetime.now(timezone.utc)
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.seconds[phase] = now - self._last
        self._last = now


def _describe_run(
    session: Session,
    options: Options,
    model: LoadedModel,
    dataset: Dataset,
    result: EvaluationResult,
    clock: _Clock,
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
        "rows_per_second": result.scores.rows / result.job_seconds,
        "bytes_per_second": result.stats.read_bytes / result.job_seconds,
        "worker_peak_memory_bytes": result.stats.peak_memory_bytes,
    }


def _versions() -> dict[str, str | None]:
    packages = ("tensorflow", "keras", "elephas", "pyarrow", "numpy")
    found: dict[str, str | None] = {"irisspark": __version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return {**found, "python": sys.version.split()[0]}


def _versions_text() -> str:
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


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say(message: str) -> None:
    print(f"irisspark: {message}", file=sys.stderr, flush=True)


def _complain(message: str, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    _say(message)


def _summary(error: Exception) -> str:
    """Give the first line of an error; a Java exception's own message where there is one."""
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage()) if java is not None else str(error)
    first = next((line for line in text.splitlines() if line.strip()), "no message")
    return f"{first} (-verbose true shows where)"
