"""The command line as a table, one entry an option, and the typed ``Options`` it fills."""
# One line an entry, as a table is read; the formatter would make it five.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from irisspark.options.values import (
    ColumnItem,
    Fill,
    InputColumns,
    Requirement,
    one_of,
    read_bool,
    read_class_names,
    read_columns,
    read_delimiter,
    read_fills,
    read_fraction,
    read_inputs,
    read_label_index,
    read_missing,
    read_rate,
    read_requirements,
    read_seed,
    read_text,
    whole_number,
)


@dataclass(frozen=True)
class Options:
    """A command line that was read and checked; every field is an option of the table.

    Attributes:
        label_index: Index (negative from the end), header name, or a tuple of several such and
            of inclusive ranges, or what these are of each of several outputs; None: only predict.
        num_classes: None: the model's.
        delimiter: One ASCII character.
        feature_indices: Indices, inclusive ranges and header names in the model's order; None:
            all columns but the label and ``keep_columns``.
        inputs: Columns of each input of a model with several; None: those of its name.
        class_names: In the order of the model's outputs; None: from the data.
        missing: Texts and numbers that mean a missing number; None: the usual ones.
        fill_missing: What stands in for a missing number of which column (None: every feature).
        decimal: A point or a comma.
        output: Name of the model's output; None: the one that it has.
        averaging_frequency: Batches between two averagings, 0: once an epoch.
        workers: None: as many as Spark's parallelism and the data allow.
        validation_split: Fraction in [0, 1).
        patience: Epochs without a better validation loss, 0: never stop early.
        optimizer: Keras's name, None: the model's; so too ``loss`` and ``learning_rate``.
        stats: Layout of the text block, ``0.9`` or ``1.0``.
        help: The person asks for the help page; every other field is then its default.
        version: As ``help``, for the versions.
    """

    model_path: str
    data_path: str
    label_index: int | str | tuple[ColumnItem, ...] | tuple[InputColumns, ...] | None
    num_classes: int | None
    train: bool
    batch_size_per_worker: int
    epochs: int
    load_data: bool
    use_spark_local: bool
    header: bool
    delimiter: str
    feature_indices: tuple[ColumnItem, ...] | None
    inputs: tuple[InputColumns, ...] | None
    keep_columns: tuple[ColumnItem, ...]
    class_names: tuple[str, ...] | None
    task: Literal["auto", "classification", "regression", "labels"]
    bad_rows: str
    multi_line: bool
    missing: tuple[str, ...] | None
    fill_missing: tuple[Fill, ...]
    decimal: str
    output: str | None
    averaging_frequency: int
    workers: int | None
    scale_learning_rate: bool
    shuffle: bool
    validation_split: float
    patience: int
    seed: int
    checkpoint_path: str | None
    resume: bool
    optimizer: str | None
    loss: str | None
    learning_rate: float | None
    mode: str
    output_path: str | None
    predictions: bool
    predictions_format: str
    overwrite: bool
    top_n: int
    require: tuple[Requirement, ...]
    stats: Literal["0.9", "1.0"]
    mlflow: str | None
    show_values: bool
    progress: bool
    verbose: bool
    trust_model: bool
    fast_workers: bool
    wait_for: int
    help: bool
    version: bool


@dataclass(frozen=True)
class Option:
    """One entry of the table.

    Attributes:
        name: As the command line has it, with its dash.
        metavar: What stands for the value in the help; empty: the option takes no value.
        read: From the text of the value to the value; ``ValueError`` says what was expected.
        default: The value of an option that is not given.
        help: What it means, one line.
        default_shown: The default in words where the value does not say it.
        aliases: Other names, with their dashes.
    """

    name: str
    metavar: str
    read: Callable[[str], object]
    default: object
    help: str
    default_shown: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The field of ``Options``: ``-topN`` fills ``top_n``."""
        return re.sub(r"(?<!^)([A-Z])", r"_\1", self.name.lstrip("-")).lower()


_SWITCH = "true|false"
_BAD_ROWS = ("fail", "skip")
_MODES = ("synchronous", "asynchronous", "hogwild")
_LAYOUTS = ("0.9", "1.0")
_TASKS = ("auto", "classification", "regression", "labels")
_FORMATS = ("parquet", "csv")
_OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw"),
    *("ftrl", "lion", "nadam", "rmsprop", "sgd"),
)
_LOSSES = (
    *("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"),
    *("categorical_hinge", "hinge", "squared_hinge", "mean_squared_error", "mean_absolute_error"),
    *("huber", "log_cosh", "poisson", "mean_squared_logarithmic_error"),
)

# fmt: off
RUNNER = (
    Option("-modelPath", "PATH", read_text, "model.h5", "Keras model, .h5, .hdf5 or .keras, or model.json,weights.h5: a name shipped with --files, a path or a URI", aliases=("-modelFileName",)),
    Option("-dataPath", "PATH", read_text, "data.csv", "CSV or Parquet: a name shipped with --files, a file, folder, glob, comma-separated list or URI; also .gz and .bz2", aliases=("-dataFileName",)),
    Option("-labelIndex", "COLUMN", read_label_index, -1, "column of the label: zero-based, negative from the end, a header name (in double quotes where it looks like a number), several (4-6 or price,sold), those of each output (price=4,sold=5), or none: only predict", aliases=("-indexLabel",)),
    Option("-numClasses", "N", whole_number(2), None, "number of classes; must agree with the model's output", "the model's"),
    Option("-train", _SWITCH, read_bool, False, "true: train, then evaluate; false: evaluate only"),
    Option("-batchSizePerWorker", "N", whole_number(1), 10, "rows per update on each worker; evaluation picks its own, with the same result"),
    Option("-epochs", "N", whole_number(1), 10, "passes over the data"),
    Option("-loadData", _SWITCH, read_bool, True, "false: print the model, what it takes and puts out, and how the data of -dataPath fits, exit"),
    Option("-useSparkLocal", _SWITCH, read_bool, False, "true: local[*] where spark-submit named no master"),
)
CSV = (
    Option("-header", _SWITCH, read_bool, False, "the first line of each file is a header; Parquet has its names anyway"),
    Option("-delimiter", "CHARACTER", read_delimiter, ",", "one ASCII character, quoted for the shell, or tab"),
    Option("-featureIndices", "COLUMNS", read_columns, None, "columns of the features in the model's order: 0-3,7 or header names", "all others"),
    Option("-inputs", "COLUMNS", read_inputs, None, "columns of each input of a model with several: age=0,thal=thal,pixels=10-300,302", "by header names"),
    Option("-keepColumns", "COLUMNS", read_columns, (), "columns that are not features (an id): carried into the predictions", "none"),
    Option("-classNames", "NAMES", read_class_names, None, "the classes in the order of the model's outputs: setosa,virginica; a name with a comma in double quotes", "from the data"),
    Option("-task", "TASK", one_of(*_TASKS), "auto", "auto, classification, regression or labels: what the model is for, where it and the label columns leave that open"),
    Option("-badRows", "|".join(_BAD_ROWS), one_of(*_BAD_ROWS), "fail", "fail: the first bad row ends the run; skip: bad rows are counted and the first ten shown"),
    Option("-multiLine", _SWITCH, read_bool, False, "quoted fields may hold line breaks (a file is then read by one worker)"),
    Option("-missing", "TEXTS", read_missing, None, "what means a missing number, with commas in between: '?,99,' (nothing: the empty cell)", "the usual ones"),
    Option("-fillMissing", "NUMBERS", read_fills, (), "what stands in for a missing number: 0, or age=40,dose=0; without it the row is bad", "none"),
    Option("-decimal", ".|,", one_of(".", ","), ".", "what stands before the digits of a fraction in a CSV: , for 2,6"),
    Option("-output", "NAME", read_text, None, "the output of a model with several that is evaluated or predicts; -labelIndex names its labels", "the one it has"),
)
TRAINING = (
    Option("-averagingFrequency", "N", whole_number(0), 0, "batches on each worker between two averagings; 0: once an epoch"),
    Option("-workers", "N", whole_number(1), None, "model replicas", "as many as fit"),
    Option("-scaleLearningRate", _SWITCH, read_bool, True, "the learning rate times the number of workers, reached over the first epoch"),
    Option("-shuffle", _SWITCH, read_bool, True, "spread rows over the workers at random, and reorder them in every epoch"),
    Option("-validationSplit", "FRACTION", read_fraction, 0.0, "fraction held out; measured after every epoch, and the final report is on it", "0"),
    Option("-patience", "N", whole_number(0), 0, "stop after N epochs without a better validation loss, keep the best weights; 0: never"),
    Option("-seed", "N", read_seed, 7, "the same seed, data and -workers give the same weights, to the bit"),
    Option("-checkpointPath", "PATH", read_text, None, "a checkpoint after every epoch", "none"),
    Option("-resume", _SWITCH, read_bool, False, "go on from the checkpoint"),
    Option("-optimizer", "NAME", one_of(*_OPTIMIZERS), None, "Keras's name; needed only where the file holds no training configuration", "the model's"),
    Option("-loss", "NAME", one_of(*_LOSSES), None, "as -optimizer; also tells an evaluation what the output means", "the model's"),
    Option("-learningRate", "RATE", read_rate, None, "as -optimizer", "the model's"),
    Option("-mode", "MODE", one_of(*_MODES), "synchronous", "synchronous, asynchronous or hogwild"),
)
RESULTS = (
    Option("-outputPath", "PATH", read_text, None, "folder for the report, the metrics and, with -train true, the trained model", "none"),
    Option("-predictions", _SWITCH, read_bool, False, "a row of predictions for every input row, in -outputPath"),
    Option("-predictionsFormat", "|".join(_FORMATS), one_of(*_FORMATS), "parquet", "what the predictions are written as"),
    Option("-overwrite", _SWITCH, read_bool, False, "replace an -outputPath that exists"),
    Option("-topN", "N", whole_number(1), 1, "also report top-N accuracy"),
    Option("-require", "CONDITIONS", read_requirements, (), "'accuracy>=0.8,f1>=0.75' (in quotes) or accuracy:0.8,f1:0.75: exit 3 where the result falls short", "none"),
    Option("-stats", "|".join(_LAYOUTS), one_of(*_LAYOUTS), "0.9", "layout of the text block"),
    Option("-mlflow", "EXPERIMENT", read_text, None, "log the run to this experiment of MLflow, where MLFLOW_TRACKING_URI says", "none"),
    Option("-showValues", _SWITCH, read_bool, True, "false: no contents of cells in messages, report and metrics.json"),
    Option("-progress", _SWITCH, read_bool, True, "false: do not show how far jobs are"),
    Option("-verbose", _SWITCH, read_bool, False, "true: Spark's log, stack traces, and seconds by phase"),
    Option("-trustModel", _SWITCH, read_bool, False, "allow a model with Lambda layers, whose code then runs"),
    Option("-fastWorkers", _SWITCH, read_bool, True, "the worker daemon that imports TensorFlow once"),
    Option("-waitFor", "SECONDS", whole_number(0), 0, "end a run whose cluster has given it no executor for so long; 0: never"),
    Option("-help", "", read_bool, False, "print this page", aliases=("-h",)),
    Option("-version", "", read_bool, False, "print the versions of irisspark, Spark, TensorFlow, Keras and elephas"),
)
# fmt: on

SECTIONS = {
    "The runner's own options": RUNNER,
    "What the CSV looks like": CSV,
    "Training": TRAINING,
    "Results": RESULTS,
}
OPTIONS = tuple(option for section in SECTIONS.values() for option in section)
BY_NAME = {name: option for option in OPTIONS for name in (option.name, *option.aliases)}
BY_FIELD = {option.field: option for option in OPTIONS}
