"""irisspark in a program or a notebook that holds a live Spark session.

What ``irisspark.evaluate``, ``train`` and ``predict`` are. Their keywords are the command line's
options in snake_case, with the same defaults and the same errors, which are raised here. Session
and process stay as they are, but for the package's sources, which are shipped to the executors.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import html
import random
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irisspark import options as command_line
from irisspark import report, settings
from irisspark.data.dataset import Dataset, open_dataset
from irisspark.data.frame_dataset import FrameChoice, choose_columns, frame_dataset
from irisspark.errors import IrissparkError, OptionsError
from irisspark.evaluation import frames
from irisspark.evaluation.evaluating import evaluate as evaluate_all
from irisspark.keras_import.safety.permitted import knowing
from irisspark.model import custom_objects, loading
from irisspark.options import Options
from irisspark.report import page
from irisspark.run_record import Clock, describe_run
from irisspark.startup.meter import Bar, Meter
from irisspark.startup.own_code import find_archive
from irisspark.startup.session import Session
from irisspark.storage import finding
from irisspark.storage.fetching import on_this_disk
from irisspark.storage.locating import locator
from irisspark.temporary import temporary_folder
from irisspark.training import running

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from pyspark import SparkContext
    from pyspark.sql import DataFrame

    from irisspark.model.spec import ModelSpec
    from irisspark.tracking.tracker import Tracker

_IN_MEMORY = "the model in memory"
_FRAME = "a DataFrame"
_SHORT_NAMES = {"label": "label_index", "keep": "keep_columns", "features": "feature_indices"}
_NOT_HERE = {
    "output_path": "the result has what is written there: result.save(folder)",
    "overwrite": "it belongs to -outputPath",
    "predictions": "only on the command line",
    "load_data": "only on the command line",
    "use_spark_local": "the session is there already",
    "fast_workers": "the session's workers are used",
    "wait_for": "the session is there already",
    "verbose": "only on the command line",
    "train": "call irisspark.train",
    "model_path": "the model is an argument of its own",
    "data_path": "the data is an argument of its own",
    "help": "only on the command line",
    "version": "only on the command line",
}
_OF_FILES = frozenset({"missing", "fill_missing", "decimal", "header", "delimiter", "multi_line"})
_OF_COLUMNS = ("feature_indices", "keep_columns", "inputs")
_SHIPPED: set[str] = set()
_SHIPPING = threading.Lock()
_ONE_AT_A_TIME = threading.RLock()
"""Opening a model changes what Keras draws random numbers with for a moment, in all threads."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; a notebook shows it as the report.

    Attributes:
        content: What ``metrics.json`` holds.
        notes: What the user should know about the model and the comparison, and where a run went
            in MLflow.
        unmet: A line for each condition of ``require`` that the result falls short of.
    """

    content: dict[str, Any]
    notes: tuple[str, ...]
    unmet: tuple[str, ...]
    _written: dict[str, bytes]
    _draw: Callable[[], dict[str, bytes]]

    @functools.cached_property
    def files(self) -> dict[str, bytes]:
        """Name and content of what ``save`` writes; first asked for, the report is drawn."""
        return self._written | self._draw()

    @property
    def accuracy(self) -> float | None:
        """Share of the rows whose class was predicted right; None for a regression."""
        accuracy: float | None = self.content.get("accuracy")
        return accuracy

    @property
    def loss(self) -> float | None:
        """The model's own loss, a mean over the rows; None where it has none."""
        loss: float | None = self.content["loss"]
        return loss

    @property
    def class_names(self) -> list[str]:
        """The classes in the order of the model's outputs."""
        return list(self.content["class_names"])

    @property
    def confusion_matrix(self) -> np.ndarray[Any, Any]:
        """int64 [classes, classes], rows by (true, predicted) class."""
        return np.array(self.content["confusion_matrix"], dtype=np.int64)

    def to_pandas(self) -> pd.DataFrame:
        """Give a table of what the run judges: a row a class, label, or column of numbers.

        Of several outputs it has those of each below its name.
        """
        import pandas as pd

        outputs = self.content.get("outputs")
        if outputs is None:
            return pd.DataFrame.from_dict(_judged(self.content), orient="index")
        return pd.concat(
            {
                name: pd.DataFrame.from_dict(_judged(one), orient="index")
                for name, one in outputs.items()
            }
        )

    def save(self, folder: str) -> None:
        """Write report.html, metrics.json and the other files to a folder, made where it is not."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, written in self.files.items():
            Path(folder, name).write_bytes(written)

    def __str__(self) -> str:
        """Give the text block of the command line."""
        return self._written["report.txt"].decode()

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        """Show the report in a notebook, in a frame of its own."""
        if "report.html" not in self.files:
            return None
        inside = html.escape(self.files["report.html"].decode(), quote=True)
        style = "width:100%;height:42rem;border:1px solid #8884"
        return (
            f'<iframe title="the report of irisspark" sandbox="allow-scripts" style="{style}" '
            f'srcdoc="{inside}"></iframe>'
        )


def _judged(content: Mapping[str, Any]) -> dict[str, Any]:
    """Find the table of what a run judges: the classes, columns or labels."""
    found = (content.get(f"per_{one}") for one in ("class", "column", "label"))
    judged: dict[str, Any] = next(table for table in found if table)
    return judged


@dataclass(frozen=True, repr=False)
class Training(Evaluation):
    """What a training came to, and the evaluation of the trained model.

    Attributes:
        model: The trained model, compiled as it was.
        history: By name (``loss``, ``accuracy``, ...), a value an epoch, as Keras has it.
    """

    model: keras.Model
    history: dict[str, list[float]]

    __repr__ = Evaluation.__str__


def evaluate(
    spark: Any, model: keras.Model | str, data: str | DataFrame, **options: Any
) -> Evaluation:
    """Evaluate a model on files or a DataFrame with the executors of a live session.

    Args:
        spark: A ``SparkSession`` or ``SparkContext``, which stays as it is.
        model: A model file's path, or a model in memory, which stays as it is.
        data: What ``-dataPath`` takes, or a DataFrame, which is computed once.
        **options: The command line's, in snake_case: ``label_index`` or ``label``, ``header``,
            ``class_names``, ``bad_rows``, ... Of a DataFrame ``label``, ``features``, ``keep`` and
            ``inputs`` name columns. ``custom_objects`` holds the classes and functions by name that
            the model is made of and workers do not have, such as those of a notebook's cells.

    Raises:
        OptionsError: The options are wrong; nothing has been run.
        IrissparkError: The evaluation cannot be done; its message is the command line's.
    """
    return _run(spark, model, data, train=False, given=options)


def train(spark: Any, model: keras.Model | str, data: str | DataFrame, **options: Any) -> Training:
    """Train a copy of a model on files or a DataFrame, and evaluate what was learned.

    Args:
        spark: As for ``evaluate``.
        model: As for ``evaluate``; the trained model is the result's.
        data: As for ``evaluate``.
        **options: As for ``evaluate``, with those of a training: ``epochs``, ``workers``, ...

    Raises:
        OptionsError: The options are wrong; nothing has been run.
        IrissparkError: The training cannot be done; its message is the command line's.
    """
    result = _run(spark, model, data, train=True, given=options)
    assert isinstance(result, Training)
    return result


def predict(
    spark: Any,
    model: keras.Model | str,
    data: DataFrame,
    *,
    features: Sequence[str] | None = None,
    inputs: Mapping[str, Sequence[str] | str] | None = None,
    keep: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    bad_rows: str = "fail",
    **options: Any,
) -> DataFrame:
    """Predict the rows of a DataFrame, lazily: an action on the result predicts.

    Args:
        spark: As for ``evaluate``.
        model: As for ``evaluate``.
        data: Its rows may come from any source. A single column of features may hold arrays of
            numbers, or ML vectors.
        features: Names of its columns in the model's order; None: all but those that are kept.
        inputs: Names of the columns of each input of a model that has several, or takes text;
            those that are not named take the column of their name.
        keep: Names of columns that are carried over.
        class_names: As for ``evaluate``.
        bad_rows: ``fail``: a row that cannot be predicted ends the action; ``skip``: it gets nulls,
            and a column ``problem`` says why.
        **options: Those about the model, such as ``loss``, ``trust_model`` and ``custom_objects``.

    Returns:
        The kept columns, ``prediction``, a column of probability or score a class, and with
        ``skip`` the column ``problem``.

    Raises:
        OptionsError: The options are wrong.
        IrissparkError: The model or the columns do not fit.
    """
    if "mlflow" in options:
        raise OptionsError("mlflow: a prediction is lazy, and has nothing to log")
    own = custom_objects.checked(options.pop("custom_objects", None))
    given = {"bad_rows": bad_rows, "class_names": class_names, **options}
    _check_not_of_files(given)
    read = _options(model, _FRAME, train=False, given=given)
    session = _attach(spark, read)
    with _ONE_AT_A_TIME, _known_to_keras(own):
        loaded = _load(session, model, read, own)
    return frames.predict(
        session, loaded.spec, data, features, inputs, keep, read.class_names, bad_rows
    )


def _run(
    spark: Any,
    model: keras.Model | str,
    data: str | DataFrame,
    *,
    train: bool,
    given: dict[str, Any],
) -> Evaluation:
    own = custom_objects.checked(given.pop("custom_objects", None))
    rows = None if isinstance(data, str) else _frame_rows(data, given)
    path = data if isinstance(data, str) else _FRAME
    given = given if rows is None else rows.others
    options = _options(model, path, train=train, given=given)
    report.check_requirement_names(options.require, tuple(settings.num_labels_by_output(options)))
    with contextlib.ExitStack() as stack:
        tracker = None
        if options.mlflow is not None:
            from irisspark.tracking.tracker import open_tracker

            tracker = stack.enter_context(open_tracker(options.mlflow, with_model=train))
        stack.enter_context(_known_to_keras(own))
        return _work(_attach(spark, options), model, options, rows, own, tracker)


@dataclass(frozen=True)
class _FrameRows:
    """A DataFrame as data: its columns' roles, and what is said beside them."""

    data: DataFrame
    choice: FrameChoice
    others: dict[str, Any]


def _frame_rows(data: DataFrame, given: dict[str, Any]) -> _FrameRows:
    """Tell a DataFrame from what is no data at all, and find its columns."""
    from pyspark.sql import DataFrame

    if not isinstance(data, DataFrame):
        raise OptionsError(
            f"the data is a {type(data).__name__}: pass the path of files, as -dataPath takes it, "
            "or a Spark DataFrame"
        )
    named = {_SHORT_NAMES.get(name, name): value for name, value in given.items()}
    _check_not_of_files(named)
    if named.get("checkpoint_path") is not None or named.get("resume"):
        raise OptionsError(
            "checkpoint_path: a DataFrame's rows have no stable place, so no training can go on "
            "with them: write it as Parquet (data.write.parquet) and train on that path"
        )
    said = {name: named.pop(name, None) for name in _OF_COLUMNS}
    label = named.get("label_index", -1)
    if isinstance(label, dict):
        raise OptionsError(
            "label: the labels of several outputs are named in files alone: write the DataFrame as "
            "Parquet and evaluate that path, or pass output=NAME with the label of that output"
        )
    choice = choose_columns(
        data, label, said["feature_indices"], said["keep_columns"], said["inputs"]
    )
    places = [data.columns.index(name) for name in choice.labels]
    return _FrameRows(data, choice, {**named, "label_index": places})


def _check_not_of_files(given: dict[str, Any]) -> None:
    if of_files := sorted(_OF_FILES & given.keys()):
        hint = "; fill the DataFrame (data.na.fill)" if "missing" in of_files[0] else ""
        raise OptionsError(f"{of_files[0]}: it is for files{hint}")


@contextlib.contextmanager
def _opened_data(
    session: Session, options: Options, spec: ModelSpec, rows: _FrameRows | None
) -> Iterator[Dataset]:
    read = settings.data_settings(options)
    if rows is None:
        yield open_dataset(session, read, spec)
        return
    with frame_dataset(session, read, spec, rows.data, rows.choice) as dataset:
        yield dataset


def _work(
    session: Session,
    model: keras.Model | str,
    options: Options,
    rows: _FrameRows | None,
    own: dict[str, Any],
    tracker: Tracker | None,
) -> Evaluation:
    clock = Clock()
    clock.lap("session")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        stack.enter_context(_random_states_kept())
        loaded = _load(session, model, options, own)
        settings.check_task(options, loaded.spec.output)
        clock.lap("model")
        dataset = stack.enter_context(_opened_data(session, options, loaded.spec, rows))
        clock.lap("data")
        trained = None
        if options.train:
            how = replace(settings.train_settings(options), saved_as=("model.keras",))
            trained = running.train(session, loaded, dataset, how, lambda line: None)
            dataset = trained.dataset
            clock.lap("train")
        result = evaluate_all(
            session, trained or loaded, dataset, settings.evaluate_settings(options)
        )
        clock.lap("evaluate")
    run = describe_run(session, options, loaded, dataset, result, clock)
    run |= {"training": trained.summary} if trained is not None else {}
    content = report.document(
        result.scores, bad_rows=result.bad.counts, run=run, layout=options.stats
    )
    unmet = tuple(report.unmet(content, options.require))
    history = trained.history if trained is not None else ()
    files = report.files(result.scores, content, layout=options.stats, history=history)
    draw = functools.partial(
        _drawn, content, result.outcome.counts, options.require, unmet, history
    )
    note = result.comparison.note
    notes = (*loaded.notes, *(() if note is None else (note,)))
    model_file = trained.files["model.keras"] if trained is not None else None
    if tracker is not None:
        drawn = files | draw()
        told = tracker.log(content, drawn, history=history, unmet=unmet, model=model_file)
        notes = (*notes, *told)
    if model_file is None:
        return Evaluation(content, notes, unmet, files, draw)
    names = [name for name in history[0] if name != "epoch"] if history else []
    by_name = {name: [row[name] for row in history] for name in names}
    files["model.keras"] = model_file
    return Training(content, notes, unmet, files, draw, _opened(model_file), by_name)


def _drawn(*found: Any) -> dict[str, bytes]:
    """Draw the report, where what draws it is installed."""
    try:
        return page.files(*found)
    except ImportError:
        return {}


def _options(model: keras.Model | str, data: str, *, train: bool, given: dict[str, Any]) -> Options:
    """Read the options as the command line does, which says the same of what is wrong."""
    words = ["-modelPath", model if isinstance(model, str) else _IN_MEMORY, "-dataPath", data]
    words += ["-train", str(train).lower()]
    for name, value in given.items():
        name = _SHORT_NAMES.get(name, name)
        if name in _NOT_HERE:
            raise OptionsError(f"{name}: {_NOT_HERE[name]}")
        if value is None and name != "label_index":
            continue
        words += [_as_option(name), _as_text(value)]
    return command_line.parse(words)


def _as_option(name: str) -> str:
    first, *others = name.split("_")
    return f"-{first}{''.join(word.capitalize() for word in others)}"


def _as_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{name}={_as_text(one)}" for name, one in value.items())
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple | range):
        return ",".join(f'"{one}"' if "," in str(one) else str(one) for one in value)
    return str(value)


def _attach(spark: Any, options: Options) -> Session:
    """Use the caller's context, whose executors have the package then."""
    context = _context_of(spark)
    _check_keras()
    _ship_sources(context)
    session = Session.attach(context)
    session.meter = _meter() if options.progress else None
    return session


def _context_of(spark: Any) -> SparkContext:
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        raise IrissparkError(
            "a session of Spark Connect cannot run irisspark: use a classic one "
            "(SparkSession.builder.master(...)), or spark-submit with irisspark.zip"
        )
    from pyspark import SparkContext

    context = getattr(spark, "sparkContext", spark)
    if not isinstance(context, SparkContext):
        raise IrissparkError(f"{spark!r} is no SparkSession and no SparkContext")
    return context


def _check_keras() -> None:
    import keras

    if (backend := keras.config.backend()) != "tensorflow":
        raise IrissparkError(
            f"Keras runs on {backend} here: set KERAS_BACKEND=tensorflow before Keras is imported"
        )


def _ship_sources(context: SparkContext) -> None:
    """Ship the package to the executors, once a context, without a word of Java."""
    with _SHIPPING:
        if str(context.applicationId) in _SHIPPED:
            return
        before = list(sys.path)
        context.addPyFile(str(find_archive() or _zipped()))
        sys.path[:] = before  # the driver has the package already
        _SHIPPED.add(str(context.applicationId))


@functools.cache
def _zipped() -> Path:
    """Zip the sources where executors fetch them as long as this process lives."""
    folder = tempfile.mkdtemp(prefix="irisspark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    package, path = Path(__file__).parent, Path(folder, "irisspark-sources.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for source in sorted(package.rglob("*.py")):
            archive.write(source, f"{package.name}/{source.relative_to(package).as_posix()}")
    return path


@contextlib.contextmanager
def _known_to_keras(own: dict[str, Any]) -> Iterator[None]:
    """Let the caller's own classes be found while models are opened and saved here."""
    import keras

    with knowing(own.keys()), keras.saving.custom_object_scope(own):
        yield


def _load(
    session: Session, model: keras.Model | str, options: Options, own: dict[str, Any]
) -> loading.LoadedModel:
    """Load the model, with the caller's own classes beside it where it has some."""
    from pyspark import cloudpickle

    loaded = _loaded(session, model, options)
    packed = custom_objects.pack(own, cloudpickle)
    return replace(loaded, spec=replace(loaded.spec, custom_objects=packed))


def _loaded(session: Session, model: keras.Model | str, options: Options) -> loading.LoadedModel:
    seed = options.seed if options.train else None
    if not isinstance(model, str):
        return loading.load_network(
            model,
            loss=options.loss,
            num_classes=options.num_classes,
            task=options.task,
            num_labels=settings.num_labels(options),
            output=settings.output_name(options),
            labels_by_output=settings.num_labels_by_output(options),
            training_seed=seed,
        )
    place = locator(session)
    with on_this_disk(finding.find_model(model, session.shipped, session.resolve, place)) as path:
        return loading.load(
            path,
            loss=options.loss,
            trust=options.trust_model,
            num_classes=options.num_classes,
            task=options.task,
            num_labels=settings.num_labels(options),
            output=settings.output_name(options),
            labels_by_output=settings.num_labels_by_output(options),
            training_seed=seed,
        )


def _opened(model_file: bytes) -> keras.Model:
    import keras

    with temporary_folder() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(model_file)
        return keras.models.load_model(path, safe_mode=False)


@contextlib.contextmanager
def _random_states_kept() -> Iterator[None]:
    """Leave Python's and numpy's random numbers as they were: a training sets their seeds."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _meter() -> Meter | None:
    """Choose how to show progress: in a notebook, on a terminal, or not at all."""
    shell = sys.modules.get("IPython")
    if shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None:
        return Bar(None)
    return Bar(sys.stderr) if sys.stderr.isatty() else None
