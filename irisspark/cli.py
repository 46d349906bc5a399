"""The story of a run: parse, open the session, load model and data, train, evaluate, report.

The only place that catches ``IrissparkError``, prints, or chooses an exit code.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from irisspark import options as command_line
from irisspark import report, settings
from irisspark.data.dataset import Dataset, first_good_row, open_dataset
from irisspark.errors import (
    IrissparkError,
    ModelError,
    OptionsError,
    first_line,
    has_all_letters,
    missing_package,
)
from irisspark.evaluation import predictions
from irisspark.evaluation.evaluating import Evaluated, EvaluationResult, evaluate
from irisspark.evaluation.predictions import PredictionResult
from irisspark.model import loading
from irisspark.model.loading import LoadedModel
from irisspark.options import Options
from irisspark.report import model_text, page, prediction_report
from irisspark.run_record import Clock, describe_run, filled_text, phases_text, versions_text
from irisspark.startup import ending
from irisspark.startup.gateway import quiet_log
from irisspark.startup.import_ahead import importing_ahead
from irisspark.startup.meter import find_meter
from irisspark.startup.notices import say
from irisspark.startup.session import Session, open_session
from irisspark.storage import finding
from irisspark.storage.fetching import on_this_disk
from irisspark.storage.locating import locator
from irisspark.storage.location import Location
from irisspark.storage.publishing import Publication, open_publication, publish_beside
from irisspark.storage.staging import check_output
from irisspark.storage.uris import is_on_this_disk, lost_results
from irisspark.training.running import TrainingResult, train

if TYPE_CHECKING:
    import keras

    from irisspark.tracking.tracker import Tracker

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
        report.check_requirement_names(
            options.require, tuple(settings.num_labels_by_output(options))
        )
        if options.help or options.version:
            quiet_log()
            print(command_line.help_text().rstrip() if options.help else versions_text())
            return EXIT_DONE
        return _run(options)
    except (Exception, KeyboardInterrupt) as error:
        # What fails after the run was told to end, as it may with Spark's own end, is no news.
        return _explain(ending.received_signal(error) or error, verbose=verbose)


def _explain(error: BaseException, *, verbose: bool) -> int:
    """Say in a message why a run ended, and give its exit code."""
    code = EXIT_FAILED
    where = "(-verbose true shows where)"
    if isinstance(error, IrissparkError):
        lines, code = error.lines, error.exit_code
        if not verbose:
            quiet_log()
    elif isinstance(error, KeyboardInterrupt):
        lines = [str(error) or "interrupted"]
        code = getattr(error, "exit_code", EXIT_INTERRUPTED)
    elif isinstance(error, ImportError):
        lines = [missing_package(error)]
    elif isinstance(error, OSError):  # no room, no folder for temporary files, the system's limits
        lines = [f"{error} {where}"]
    else:
        lines = [f"unexpected {type(error).__name__}: {first_line(error)} {where}"]
    if verbose:
        traceback.print_exc()
    say(*lines)
    return code


def _run(options: Options) -> int:
    if (lost := command_line.lost_letters(options, utf8=has_all_letters())) is not None:
        raise OptionsError(lost)
    for note in command_line.notes(options):
        say(note)
    clock = Clock()
    if options.output_path is not None and is_on_this_disk(options.output_path):
        _check_output(options)
    with ExitStack() as stack:  # what is not published is removed at its end
        return _work(options, clock, stack)


def _check_output(options: Options) -> None:
    assert options.output_path is not None
    for note in check_output(options.output_path, overwrite=options.overwrite):
        say(note)


def _work(options: Options, clock: Clock, stack: ExitStack) -> int:
    tracker = _open_tracker(options, stack)
    with open_session(
        use_local=options.use_spark_local,
        verbose=options.verbose,
        fast_workers=options.fast_workers,
        wait_for=options.wait_for,
        importing=importing_ahead(),
        meter=find_meter() if options.progress else None,
    ) as session:
        clock.lap("session")
        if not options.load_data:
            return _show_model(session, options)
        publication = _open_publication(session, options, stack)
        model = _load_model(session, options)
        clock.lap("model")
        dataset = open_dataset(session, settings.data_settings(options), model.spec)
        if dataset.note is not None:
            say(dataset.note)
        clock.lap("data")
        session.wait_for_workers()
        clock.lap("workers")
        if publication is not None or tracker is not None:
            _import_what_draws()
        trained = None
        if options.train:
            trained = train(session, model, dataset, settings.train_settings(options), _show)
            dataset = trained.dataset
            clock.lap("train")
        with _keeping_the_model(session, options, trained):
            result = _predict_and_score(session, trained or model, dataset, options, publication)
        clock.lap("evaluate")
        run = describe_run(session, options, model, dataset, result, clock)
    if result.comparison.note is not None:
        say(result.comparison.note)
    if (filled := filled_text(dataset, result)) is not None:
        say(filled)
    if isinstance(result, PredictionResult):
        return _finish_predictions(options, result, run, publication, tracker)
    return _finish(options, result, run, publication, trained, tracker)


def _open_tracker(options: Options, stack: ExitStack) -> Tracker | None:
    """Get ready to log to MLflow, where that is asked for: only then is the room imported."""
    if options.mlflow is None:
        return None
    from irisspark.tracking.tracker import open_tracker

    return stack.enter_context(open_tracker(options.mlflow, with_model=options.train))


def _open_publication(session: Session, options: Options, stack: ExitStack) -> Publication | None:
    """Get ready to write to ``-outputPath``, wherever that is."""
    path = options.output_path
    target = None if path is None else locator(session)(path)
    note = lost_results(path, on_this_disk=target is not None and target.is_local)
    if session.is_in_cluster_mode and note is not None:
        say(note)
    if path is None or target is None:
        return None
    if target.is_local and not is_on_this_disk(path):
        _check_output(options)
    publication = open_publication(path, target, overwrite=options.overwrite)
    for note in publication.notes:
        say(note)
    stack.callback(publication.discard)
    return publication


@contextlib.contextmanager
def _keeping_the_model(
    session: Session, options: Options, trained: TrainingResult | None
) -> Iterator[None]:
    """Keep a trained model where its evaluation fails: hours may have gone into it."""
    try:
        yield
    except Exception:
        if trained is not None and options.output_path is not None:
            try:
                uri = publish_beside(
                    f"{options.output_path.rstrip('/')}-not-evaluated",
                    locator(session),
                    trained.files | {"history.csv": report.history_csv(trained.history).encode()},
                )
                say(f"the trained model is kept in {uri}, though its evaluation failed:")
            except Exception as error:
                say(f"the trained model is lost, for it cannot be written: {first_line(error)}")
        raise


def _predict_and_score(
    session: Session,
    model: Evaluated,
    dataset: Dataset,
    options: Options,
    publication: Publication | None,
) -> EvaluationResult | PredictionResult:
    """Evaluate, write predictions, or both, in one pass over the rows."""
    evaluation = settings.evaluate_settings(options)
    if publication is None or not options.predictions:
        return evaluate(session, model, dataset, evaluation)
    assert options.output_path is not None
    task = predictions.prepare(
        session,
        model.spec,
        dataset,
        options.output_path,
        publication,
        options.predictions_format,
    )
    run = evaluate if dataset.columns.label is not None else predictions.predict
    result = run(session, model, dataset, evaluation, task)
    predictions.commit(publication, result.prediction_files)
    return result


def _show_model(session: Session, options: Options) -> int:
    """Print a model's summary, whatever the model takes and puts out, and how the data fits."""
    with on_this_disk(_find_model(session, options)) as path:
        opened = loading.open_network(path, trust=options.trust_model, training_seed=options.seed)
    for note in opened.notes:
        say(note)
    opened.model.summary(print_fn=print)
    print(model_text.ends_text(opened.model), end="", flush=True)
    if command_line.names_data(options):
        _show_data(session, options, opened.model)
    return EXIT_DONE


def _show_data(session: Session, options: Options, network: keras.Model) -> None:
    """Print which columns of the data a model would take, and the first row of them."""
    try:
        count = settings.num_labels(options)
        spec = loading.load_network(
            network,
            loss=options.loss,
            task=options.task,
            num_labels=count,
            output=settings.output_name(options),
            labels_by_output=settings.num_labels_by_output(options),
        ).spec
    except ModelError as error:  # to be looked at, it need not be one that can be evaluated
        say(f"the data was not matched to the model: {error}")
        return
    dataset = open_dataset(session, settings.data_settings(options), spec)
    columns = dataset.columns
    print(model_text.columns_text(columns, options.data_path), end="", flush=True)
    if not options.show_values:
        return
    row = first_good_row(dataset)
    if row is None:
        say("no good row lies at the beginning of the data")
        return
    shape = spec.row_shape(len(columns.features))
    text = model_text.first_row_text(row, shape, columns, dataset.class_names, spec.inputs)
    print(text, end="", flush=True)


def _load_model(session: Session, options: Options) -> LoadedModel:
    with on_this_disk(_find_model(session, options)) as path:
        model = loading.load(
            path,
            loss=options.loss,
            trust=options.trust_model,
            num_classes=options.num_classes,
            task=options.task,
            num_labels=settings.num_labels(options),
            output=settings.output_name(options),
            labels_by_output=settings.num_labels_by_output(options),
            training_seed=options.seed if options.train else None,
        )
    for note in model.notes:
        say(note)
    settings.check_task(options, model.spec.output)
    return model


def _find_model(session: Session, options: Options) -> tuple[str | Location, ...]:
    place = locator(session)
    return finding.find_model(options.model_path, session.shipped, session.resolve, place)


def _finish(
    options: Options,
    result: EvaluationResult,
    run: dict[str, object],
    publication: Publication | None,
    trained: TrainingResult | None,
    tracker: Tracker | None,
) -> int:
    """Write the results, print the block, and judge the requirements."""
    if trained is not None:
        run = {**run, "training": trained.summary}
    content = report.document(
        result.scores, bad_rows=result.bad.counts, run=run, layout=options.stats
    )
    unmet = report.unmet(content, options.require)
    history = trained.history if trained is not None else ()
    model_files = trained.files if trained is not None else {}
    files: dict[str, bytes] = {}
    if publication is not None or tracker is not None:
        files = report.files(result.scores, content, layout=options.stats, history=history)
        files |= _page(content, options, unmet, result, history)
    if publication is not None:
        publication.publish(files | model_files)
        say(f"the results are in {publication.uri}")
    _report_bad_rows(result)
    if options.verbose:
        say(*phases_text(run).splitlines())
    for line in unmet:
        say(f"-require: {line}")
    sys.stderr.flush()
    print(report.text(result.scores, options.stats), end="", flush=True)
    if tracker is not None:
        model = model_files.get("model.keras")
        say(*tracker.log(content, files, history=history, unmet=unmet, model=model))
    return EXIT_UNMET if unmet else EXIT_DONE


def _import_what_draws() -> None:
    """Import what report.html is made with while the jobs run, in a thread."""

    def import_ahead() -> None:
        with contextlib.suppress(Exception):  # what goes wrong there shows where it is needed
            page.import_libraries()

    threading.Thread(target=import_ahead, daemon=True).start()


def _page(
    content: Mapping[str, Any],
    options: Options,
    unmet: Sequence[str],
    result: EvaluationResult | PredictionResult,
    history: Sequence[Mapping[str, float]] = (),
) -> dict[str, bytes]:
    """Make report.html; what keeps it from being made costs nothing else of the run."""
    try:
        return page.files(content, result.outcome.counts, options.require, unmet, history)
    except Exception as error:
        say(f"report.html cannot be made, the other results can: {first_line(error)}")
        return {}


def _finish_predictions(
    options: Options,
    result: PredictionResult,
    run: dict[str, object],
    publication: Publication | None,
    tracker: Tracker | None,
) -> int:
    """Publish predictions where there is nothing to measure, and say how many there are."""
    assert publication is not None
    content = prediction_report.document(result, run=run)
    files = prediction_report.files(result, content) | _page(content, options, (), result)
    publication.publish(files)
    say(f"the results are in {publication.uri}")
    _report_bad_rows(result)
    sys.stderr.flush()
    print(prediction_report.text(result), end="", flush=True)
    if tracker is not None:
        say(*tracker.log(content, files))
    return EXIT_DONE


def _report_bad_rows(result: EvaluationResult | PredictionResult) -> None:
    if not result.bad.total:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in result.bad.counts.items())
    say(f"{result.bad.total} bad rows were left out: {reasons}")
    for example in result.bad_examples:
        say(f"  {example}")
    if result.bad.total > len(result.bad_examples):
        say(f"  ... and {result.bad.total - len(result.bad_examples)} more")


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
