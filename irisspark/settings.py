"""What a command line says, as each room reads it: the rooms know no options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from irisspark.data.columns import ColumnChoice
from irisspark.data.csv.csv_format import CsvFormat
from irisspark.data.dataset import DataSettings
from irisspark.errors import ModelError, without_password
from irisspark.evaluation.evaluating import EvaluateSettings
from irisspark.model.output import JointMeaning, Meaning, OutputMeaning
from irisspark.options import Options
from irisspark.options.values import ColumnItem, InputColumns, labels_by_output
from irisspark.training.train_settings import TrainSettings


def data_settings(options: Options) -> DataSettings:
    """Say where the data is, how it is written, and what its columns are for."""
    return DataSettings(
        path=options.data_path,
        csv=CsvFormat(
            options.delimiter, options.header, options.multi_line, decimal=options.decimal
        ),
        columns=ColumnChoice(
            label=_labels(options),
            outputs=tuple((one.name, one.columns) for one in _several(options)),
            features=options.feature_indices,
            keep=options.keep_columns,
            class_names=options.class_names,
            missing=None if options.missing is None else frozenset(options.missing),
            inputs=None
            if options.inputs is None
            else tuple((one.name, one.columns) for one in options.inputs),
            fills=tuple((fill.column, fill.number) for fill in options.fill_missing),
        ),
        show_values=options.show_values,
    )


def evaluate_settings(options: Options) -> EvaluateSettings:
    """Say how to evaluate."""
    return EvaluateSettings(
        model_name=without_password(options.model_path),
        top_n=options.top_n,
        stop_at_bad_row=options.bad_rows == "fail",
        data_name=without_password(options.data_path),
    )


def check_task(options: Options, output: Meaning) -> None:
    """Refuse what the command line asks of classes where the model has none.

    Raises:
        ModelError: It does.
    """
    is_of_classes = isinstance(output, OutputMeaning)
    if isinstance(output, JointMeaning):
        is_of_classes = any(isinstance(one.meaning, OutputMeaning) for one in output.parts)
    if options.top_n > 1 and not is_of_classes:
        what = "is a regression, which" if output.task == "regression" else "tells labels, and"
        raise ModelError(f"-topN {options.top_n}: the model {what} has no classes")


def num_labels(options: Options) -> int:
    """Count the columns of labels; 0 where rows are only predicted."""
    label = _labels(options)
    if not isinstance(label, tuple):
        return 0 if label is None else 1
    return _num_columns(label)


def output_name(options: Options) -> str | None:
    """Name the one output that is taken: as -output does, or labels that are named for it alone."""
    named = labels_by_output(options.label_index)
    return named[0].name if len(named) == 1 else options.output


def num_labels_by_output(options: Options) -> dict[str, int]:
    """Count the columns of labels of each output, where those of several are named."""
    return {one.name: _num_columns(one.columns) for one in _several(options)}


def _several(options: Options) -> tuple[InputColumns, ...]:
    named = labels_by_output(options.label_index)
    return named if len(named) > 1 else ()


def _labels(options: Options) -> int | str | tuple[ColumnItem, ...] | None:
    """Give the columns of labels, whatever output they are named for."""
    if named := labels_by_output(options.label_index):
        return tuple(column for one in named for column in one.columns)
    return cast("int | str | tuple[ColumnItem, ...] | None", options.label_index)


def _num_columns(columns: Sequence[ColumnItem]) -> int:
    return sum(one[1] - one[0] + 1 if isinstance(one, tuple) else 1 for one in columns)


def train_settings(options: Options) -> TrainSettings:
    """Say how to train."""
    return TrainSettings(
        epochs=options.epochs,
        batch_size_per_worker=options.batch_size_per_worker,
        averaging_frequency=options.averaging_frequency,
        workers=options.workers,
        scale_learning_rate=options.scale_learning_rate,
        shuffle=options.shuffle,
        validation_split=options.validation_split,
        patience=options.patience,
        seed=options.seed,
        checkpoint_path=options.checkpoint_path,
        resume=options.resume,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        replace_loss=options.loss is not None,
        stop_at_bad_row=options.bad_rows == "fail",
        saved_as=_saved_as(options),
    )


def _saved_as(options: Options) -> tuple[str, ...]:
    """Name the files of a trained model: Keras 3's, and the one that the run began with."""
    if options.output_path is None:
        return () if options.mlflow is None else ("model.keras",)
    is_hdf5 = options.model_path.lower().endswith((".h5", ".hdf5"))
    return ("model.keras", "model.h5") if is_hdf5 else ("model.keras",)
