"""Predictions of all rows: what their columns are called, and how their files are published."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from posixpath import splitext
from typing import TYPE_CHECKING

from irisspark.data.scanning import OutputColumns, PredictionPlan
from irisspark.data.targets import numeric_class_names
from irisspark.errors import IrissparkError
from irisspark.evaluation.evaluating import Evaluated, EvaluateSettings, ScanResult, scan
from irisspark.evaluation.worker.prediction_file import PredictionFile
from irisspark.model.output import JointMeaning, OneMeaning, OutputMeaning, RegressionMeaning
from irisspark.startup.notices import say
from irisspark.storage.locating import for_workers
from irisspark.storage.location import Location, locate, reason
from irisspark.storage.publishing import Publication

if TYPE_CHECKING:
    from irisspark.data.dataset import Dataset
    from irisspark.model.spec import ModelSpec
    from irisspark.startup.session import Session

FOLDER = "predictions"
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True)
class PredictionResult(ScanResult):
    """What a run found that only predicts.

    Attributes:
        class_names: The classes in the order of the model's outputs; empty where there are none.
        num_predicted: How many rows each class was given.
        task: What the model is for.
    """

    class_names: tuple[str, ...]
    num_predicted: tuple[int, ...]
    task: str = "classification"

    @property
    def num_rows(self) -> int:
        """Rows that were predicted."""
        return sum(part.num_rows for part in self.prediction_files)


def prepare(
    session: Session,
    spec: ModelSpec,
    dataset: Dataset,
    output_path: str,
    publication: Publication,
    file_format: str = "parquet",
) -> PredictionPlan:
    """Make the folder that the workers write to, and name the columns.

    Args:
        session: The open session.
        spec: The model.
        dataset: The rows.
        output_path: As the user named it.
        publication: The folder that becomes ``-outputPath``.
        file_format: ``parquet`` or ``csv``.

    Raises:
        IrissparkError: The workers may not see the folder, or it cannot be made.
    """
    if publication.uri.startswith("file:"):
        check_reachable(session, output_path)
    try:
        folder = for_workers(session, publication.attempts(FOLDER))
    except OSError as error:
        raise IrissparkError(
            f"-outputPath {output_path} cannot be written: {reason(error)}"
        ) from error
    if not folder.travels:
        say(
            f"Spark's executors write predictions to {folder.root} for the workers, which cannot: "
            f"{folder.obstacle}"
        )
        from irisspark.storage.handed import handed_over

        folder = handed_over(folder)
    return _plan(folder, spec, dataset, file_format)


def _plan(folder: Location, spec: ModelSpec, dataset: Dataset, file_format: str) -> PredictionPlan:
    """Name the columns: those of labels, predictions and scores, then where a row is, then kept."""
    position = dataset.reader.position_name
    outputs = _columns_of_outputs(spec.output, dataset)
    names = [name for one in outputs for name in (*one.labels, *one.predictions, *one.scores)]
    own = [*names, "file", position]
    unique = _unique([*own, *_kept_names(dataset, own)])
    taken = iter(unique)
    return PredictionPlan(
        folder=folder,
        kept=tuple(unique[len(own) :]),
        outputs=tuple(_renamed(one, taken) for one in outputs),
        position=position,
        format=file_format,
    )


def _columns_of_outputs(output: OneMeaning | JointMeaning, dataset: Dataset) -> list[OutputColumns]:
    """Name the columns of each output, which are called after it where there are several."""
    if not isinstance(output, JointMeaning):
        return [_output_columns(output, dataset)]
    by_output = dataset.by_output()
    seen = by_output if len(by_output) == len(output.parts) else by_output * len(output.parts)
    return [
        _output_columns(part.meaning, one, f"{part.name}_")
        for part, one in zip(output.parts, seen, strict=True)
    ]


def _output_columns(meaning: OneMeaning, dataset: Dataset, prefix: str = "") -> OutputColumns:
    is_of_classes = isinstance(meaning, OutputMeaning)
    names = dataset.class_names or numeric_class_names(meaning.num_classes) if is_of_classes else ()
    labels, predictions, scores = _own_names(meaning, dataset, names)
    numbers = all(_WHOLE.fullmatch(name) for name in names)
    return OutputColumns(
        labels=_prefixed(labels, prefix),
        predictions=_prefixed(predictions, prefix),
        scores=_prefixed(scores, prefix),
        class_values=tuple(int(name) for name in names) if numbers else names,
        probabilities=not isinstance(meaning, RegressionMeaning) and meaning.probabilities,
    )


def _prefixed(names: Sequence[str], prefix: str) -> tuple[str, ...]:
    """Put an output's name behind the word that says what a column is: ``label_price``."""
    if not prefix:
        return tuple(names)
    words = (name.partition("_") for name in names)
    return tuple(f"{word}_{prefix}{rest}".rstrip("_") for word, _, rest in words)


def _renamed(columns: OutputColumns, names: Iterator[str]) -> OutputColumns:
    """Give columns the next ones of names, as many as they are."""
    labels, predictions, scores = (
        tuple(islice(names, len(of_kind)))
        for of_kind in (columns.labels, columns.predictions, columns.scores)
    )
    return replace(columns, labels=labels, predictions=predictions, scores=scores)


def _own_names(
    meaning: OneMeaning, dataset: Dataset, names: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Name the columns of labels, of predictions and of scores.

    Of several labels each name says which: by its column, or its number where there are none.
    """
    is_labelled = dataset.columns.label is not None
    if not meaning.label_shape:
        scores = score_names(meaning, names) if isinstance(meaning, OutputMeaning) else []
        return (["label"] if is_labelled else []), ["prediction"], scores
    of_labels = dataset.target_names or numeric_class_names(meaning.num_units)
    is_regression = isinstance(meaning, RegressionMeaning)
    return (
        [f"label_{name}" for name in of_labels] if is_labelled else [],
        [f"prediction_{name}" for name in of_labels],
        [] if is_regression else [f"probability_{name}" for name in of_labels],
    )


def score_names(meaning: OutputMeaning, names: Sequence[str]) -> list[str]:
    """Name the columns of the scores by the classes that they are of."""
    if meaning.probabilities:
        return [f"probability_{name}" for name in names]
    # One unit scores the second class.
    return [f"score_{name}" for name in names[-meaning.num_units :]]


def check_reachable(session: Session, output_path: str) -> None:
    """Refuse a folder on this machine's disk where the workers are on others.

    Raises:
        IrissparkError: Each executor would write to a disk of its own.
    """
    if not session.is_local and not output_path.startswith("file:"):
        raise IrissparkError(
            f"-predictions true: -outputPath {output_path} is on this machine's disk, but the "
            f"workers of {session.context.master} write from their own machines; if all machines "
            f"share that disk, write -outputPath {locate(output_path).uri}"
        )


def _class_names(dataset: Dataset, spec: ModelSpec) -> tuple[str, ...]:
    return dataset.class_names or numeric_class_names(spec.output.num_classes)


def _kept_names(dataset: Dataset, own: list[str]) -> list[str]:
    """Name the kept columns: by the header, ``column_<i>`` without one, not as one of ours."""
    header = dataset.columns.names
    names = [(header[c].strip() if header else "") or f"column_{c}" for c in dataset.columns.keep]
    taken = {name.lower() for name in own} | {"label"}
    return [f"kept_{name}" if name.lower() in taken else name for name in names]


def _unique(names: list[str]) -> list[str]:
    """Tell names apart that are the same to Spark, which takes ``A`` for ``a``."""
    taken: set[str] = set()
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        unique.append(candidate)
    return unique


def predict(
    session: Session,
    model: Evaluated,
    dataset: Dataset,
    settings: EvaluateSettings,
    predictions: PredictionPlan,
) -> PredictionResult:
    """Predict all rows of data without labels.

    Raises:
        DataError: A row is bad and ``-badRows`` is ``fail``, or no row is good.
        ModelError: The model's predictions are not numbers, or not those of the driver's model.
    """
    found = scan(session, model, dataset, settings, predictions)
    names = _class_names(dataset, model.spec)
    counts = zip(*(part.num_predicted for part in found.prediction_files), strict=True)
    return PredictionResult(
        **vars(found),
        class_names=names,
        num_predicted=tuple(sum(column) for column in counts) if names else (),
        task=model.spec.output.task,
    )


def commit(publication: Publication, prediction_files: tuple[PredictionFile, ...]) -> None:
    """Keep the files of the attempts that count, numbered in the order of the input.

    Raises:
        IrissparkError: A file is not there: the workers wrote to another disk.
    """
    numbered = enumerate(sorted(prediction_files))
    parts = {part.name: f"part-{number:05d}{splitext(part.name)[1]}" for number, part in numbered}
    try:
        publication.adopt(FOLDER, parts)
    except OSError as error:
        lost = [part.index for part in prediction_files if part.name == error.filename]
        raise IrissparkError(
            f"the predictions of task {', '.join(map(str, lost))} are not in {publication.uri}: "
            f"{reason(error)}; every worker must see that folder"
        ) from error
