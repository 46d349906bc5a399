"""What the values of several options say about each other, and what is not built yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from itertools import combinations
from pathlib import PurePosixPath
from typing import NamedTuple, cast

from irisspark.errors import LOST_LETTERS
from irisspark.options.table import BY_FIELD, TRAINING, Options
from irisspark.options.values import (
    ColumnItem,
    header_names,
    item_text,
    labels_by_output,
    repeated_column,
    shown,
)

_PATHS = ("model_path", "data_path", "output_path", "checkpoint_path")
_MACHINE = re.compile(r"file://(?!/|localhost/)([^/,]+)(/[^,]*)?", re.IGNORECASE)
_TEXT_NAME = re.compile(r"\.(csv|tsv|txt|data|dat)(\.\w+)?$", re.ASCII | re.IGNORECASE)
_SECRET = re.compile(r"://[^/@:,\s]+:[^@,\s]+@")
_LOST = re.compile("[?\ufffd]")
_LETTERS = ("label_index", "feature_indices", "keep_columns", "class_names")


class Missing(NamedTuple):
    """A capability that is not built yet, and the values that ask for it.

    Attributes:
        field: The field of ``Options``.
        asks: Whether a value of that field asks for it; a default never does.
        capability: Its name in the message.
    """

    field: str
    asks: Callable[[object], bool]
    capability: str


def _is(*values: object) -> Callable[[object], bool]:
    return lambda value: value in values


# Shrinks as capabilities land; an empty table is fine.
NOT_AVAILABLE_YET: tuple[Missing, ...] = (
    Missing("mode", _is("asynchronous", "hogwild"), "asynchronous training"),
)

# -epochs and -batchSizePerWorker are the runner's own: its command lines give them when they only
# evaluate. -seed promises a result that can be had again, -loss what an output means: both hold
# without training.
TRAINING_ONLY = tuple(o.field for o in TRAINING if o.field not in ("seed", "loss"))


def cross_check(options: Options, unresolved: frozenset[str]) -> Iterator[str]:
    """Give a line for each thing that does not fit together or is not built yet.

    Args:
        options: With the default in place of each value that could not be read.
        unresolved: Fields whose value could not be read: what rests on them is not judged.
    """
    missing = [m for m in NOT_AVAILABLE_YET if _asks_for(options, m)]
    for field, _, capability in missing:
        yield f"{_given(options, field)}: not available yet ({capability})"
    settled = {m.field for m in missing}
    for fields, check in _CHECKS:
        if unresolved.isdisjoint(fields):
            yield from check(options)
    if "train" not in unresolved and not options.train:
        yield from _training_only(options, settled)


def names_data(options: Options) -> bool:
    """Tell whether the command line says where the data is, and does not leave it at a default."""
    return options.data_path != BY_FIELD["data_path"].default


def lost_letters(options: Options, *, utf8: bool) -> str | None:
    """Find a value whose letters did not reach Python; None where there is none to be seen.

    Java, which spark-submit runs in, puts a ``?`` in the place of what its locale has not.
    In what is read such a value may be a pattern, or fit nothing, which is told where it is.

    Args:
        options: The command line.
        utf8: Whether the locale has all letters.
    """
    for field in ("output_path", "checkpoint_path", *_LETTERS):
        if not utf8 and _LOST.search(str(getattr(options, field))):
            return f"{_given(options, field)}: {LOST_LETTERS}"
    return None


def notes(options: Options) -> tuple[str, ...]:
    """Say what is harmless on the command line but may not do what was hoped for."""
    found = []
    if not options.load_data:
        found += [
            f"{_given(options, field)} has no effect with -loadData false"
            for field in ("train", "predictions")
            if getattr(options, field)
        ]
    elif options.train and options.output_path is None and options.mlflow is None:
        found.append("the trained model is not kept: -train true without -outputPath")
    if not options.train and options.epochs != BY_FIELD["epochs"].default:
        found.append(f"{_given(options, 'epochs')} has no effect with -train false")
    return tuple(found)


def _asks_for(options: Options, missing: Missing) -> bool:
    value = getattr(options, missing.field)
    return value != BY_FIELD[missing.field].default and missing.asks(value)


def _given(options: Options, field: str) -> str:
    """Write an option and its value as they might stand on the command line."""
    value = getattr(options, field)
    if isinstance(value, tuple):
        value = ",".join(item_text(item) for item in value)
    if field == "label_index" and value is None:
        value = "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    plain = re.fullmatch(r"[\w./:-]+", text, re.ASCII)
    return f"{BY_FIELD[field].name} {text if plain else shown(text)}"


def _training_only(options: Options, settled: Collection[str]) -> Iterator[str]:
    for field in TRAINING_ONLY:
        if field not in settled and getattr(options, field) != BY_FIELD[field].default:
            yield f"{_given(options, field)}: only with -train true"


def _column_lists(options: Options) -> dict[str, tuple[ColumnItem, ...]]:
    return {
        "label_index": _label_columns(options),
        "feature_indices": options.feature_indices or (),
        "keep_columns": options.keep_columns,
    }


def _label_columns(options: Options) -> tuple[ColumnItem, ...]:
    label = options.label_index
    if by_output := labels_by_output(label):
        return tuple(column for one in by_output for column in one.columns)
    if isinstance(label, tuple):
        return cast("tuple[ColumnItem, ...]", label)
    return () if label is None else (label,)


def _uris_name_files(options: Options) -> Iterator[str]:
    for field in _PATHS:
        for machine, path in _MACHINE.findall(getattr(options, field) or ""):
            yield (
                f"{_given(options, field)}: behind two slashes stands the name of a machine, "
                f"{shown(machine)}; write three and the whole path, as in file:///data/{machine}{path}"
            )


def _uris_hold_no_secrets(options: Options) -> Iterator[str]:
    for field in _PATHS:
        if _SECRET.search(getattr(options, field) or ""):
            yield (
                f"{BY_FIELD[field].name}: keys do not belong in a URI, where logs show them; give "
                "them to Hadoop, as fs.s3a.access.key and fs.s3a.secret.key in core-site.xml"
            )


def _names_need_a_header(options: Options) -> Iterator[str]:
    """Ask for a header where the data is CSV by its names; Parquet needs none."""
    if not all(_TEXT_NAME.search(path.strip()) for path in options.data_path.split(",")):
        return
    for field, columns in _column_lists(options).items():
        if header_names(columns) and not options.header:
            names = ", ".join(shown(name) for name in header_names(columns)[:5])
            yield f"{_given(options, field)}: header names ({names}) need -header true"


def _inputs_or_features(options: Options) -> Iterator[str]:
    if options.inputs is not None and options.feature_indices is not None:
        yield "-inputs: names the features of each input, so -featureIndices has nothing to name"


def _other_names_need_a_header(options: Options) -> Iterator[str]:
    if not all(_TEXT_NAME.search(path.strip()) for path in options.data_path.split(",")):
        return
    lists = {
        "-fillMissing": [one.column for one in options.fill_missing if one.column is not None],
        "-inputs": [column for one in options.inputs or () for column in one.columns],
    }
    for option, columns in lists.items():
        if (names := header_names(columns)) and not options.header:
            yield f"{option}: header names ({', '.join(map(shown, names[:5]))}) need -header true"


def _one_output_learns_nothing(options: Options) -> Iterator[str]:
    if options.output is not None and options.train:
        yield (
            f"{_given(options, 'output')}: a model with several outputs is evaluated and predicts, "
            "but is not trained: save a model of that output alone, keras.Model(model.inputs, "
            f"model.get_layer({options.output!r}).output), and train that"
        )


def _outputs_are_named_once(options: Options) -> Iterator[str]:
    """Hold the outputs that labels are named for against each other, and against -output."""
    named = labels_by_output(options.label_index)
    if not named:
        return
    given = _given(options, "label_index")
    if options.output is not None and [one.name for one in named] != [options.output]:
        yield f"{given}: it names outputs, and so does {_given(options, 'output')}: leave that out"
    if options.train and options.output is None:
        yield (
            f"{given}: a model with several outputs is not trained on them together; it is "
            "evaluated on each, and predicts"
        )
    for field in ("num_classes", "class_names", "loss", "task") if len(named) > 1 else ():
        if getattr(options, field) != BY_FIELD[field].default:
            yield f"{_given(options, field)}: it is of one output, and {given} names several"


def _decimal_is_no_delimiter(options: Options) -> Iterator[str]:
    if options.decimal == options.delimiter:
        yield (
            f"{_given(options, 'decimal')}: the columns are split there, too; "
            "pass another -delimiter, such as ';'"
        )


def _columns_have_one_role(options: Options) -> Iterator[str]:
    for (field, columns), (other, others) in combinations(_column_lists(options).items(), 2):
        # Neither list holds a column twice by itself.
        column = repeated_column((*columns, *others))
        if column is not None:
            yield f"{_given(options, other)}: column {column} is in {_given(options, field)} too"


def _no_label(options: Options) -> Iterator[str]:
    if options.label_index is not None:
        return
    if options.load_data and not options.predictions:
        yield "-labelIndex none: only predicts, so it needs -predictions true and -outputPath"
    for field in ("train", "top_n", "require"):
        if getattr(options, field) != BY_FIELD[field].default:
            yield f"{_given(options, field)}: needs a label, not -labelIndex none"


def _predictions_need_a_folder(options: Options) -> Iterator[str]:
    if options.predictions and options.output_path is None:
        yield "-predictions true: needs -outputPath"


def _format_needs_predictions(options: Options) -> Iterator[str]:
    is_default = options.predictions_format == BY_FIELD["predictions_format"].default
    if not is_default and not options.predictions:
        yield f"{_given(options, 'predictions_format')}: needs -predictions true"


def _resume_needs_a_checkpoint(options: Options) -> Iterator[str]:
    if options.resume and options.checkpoint_path is None:
        yield "-resume true: needs -checkpointPath"


def _patience_needs_validation(options: Options) -> Iterator[str]:
    if options.patience and not options.validation_split:
        yield f"{_given(options, 'patience')}: needs a -validationSplit above 0"


def _class_count(options: Options) -> Iterator[str]:
    names, num_classes = options.class_names, options.num_classes
    if names is not None and num_classes is not None and len(names) != num_classes:
        given = _given(options, "class_names")
        yield f"{given}: {len(names)} names, but -numClasses {num_classes}"


def _numbers_have_no_classes(options: Options) -> Iterator[str]:
    if options.task not in ("regression", "labels"):
        return
    what = (
        "a regression has no classes" if options.task == "regression" else "labels are no classes"
    )
    for field in ("num_classes", "class_names", "top_n"):
        if getattr(options, field) != BY_FIELD[field].default:
            yield f"{_given(options, field)}: {what}"


def _top_n_fits(options: Options) -> Iterator[str]:
    known = options.num_classes or len(options.class_names or ())
    if known and options.top_n > known:
        yield f"{_given(options, 'top_n')}: more than the {known} classes"


def _requirement_is_measured(options: Options) -> Iterator[str]:
    if options.require and not options.load_data:
        yield f"{_given(options, 'require')}: nothing is measured with -loadData false"


def _logged_is_measured(options: Options) -> Iterator[str]:
    if options.mlflow is not None and not options.load_data:
        yield f"{_given(options, 'mlflow')}: there is nothing to log with -loadData false"


def _nothing_is_lost(options: Options) -> Iterator[str]:
    if options.output_path is None:
        return
    folder = _given(options, "output_path")
    if _holds(options.output_path, options.checkpoint_path):
        yield f"{folder}: appears whole at the end, so -checkpointPath cannot lie in it"
    if not options.overwrite:
        return
    # Training may replace the model it began with: the new one goes to the same folder.
    for field in ("data_path",) if options.train else ("model_path", "data_path"):
        if _holds(options.output_path, getattr(options, field)):
            yield f"{folder}: -overwrite true would replace {_given(options, field)} too"


def _holds(folder: str, paths: str | None) -> bool:
    """Whether one of the comma-separated paths is folder or lies in it, by its text alone."""
    outer, *inner = (
        PurePosixPath(re.sub(r"^file:(?://(?=/))?", "", path.strip()))
        for path in (folder, *(paths or "").split(","))
        if path
    )
    return any(path.is_relative_to(outer) for path in inner)


_CHECKS: tuple[tuple[frozenset[str], Callable[[Options], Iterator[str]]], ...] = (
    (frozenset(_PATHS), _uris_name_files),
    (frozenset(_PATHS), _uris_hold_no_secrets),
    (
        frozenset({"label_index", "feature_indices", "keep_columns", "header", "data_path"}),
        _names_need_a_header,
    ),
    (frozenset({"fill_missing", "inputs", "header", "data_path"}), _other_names_need_a_header),
    (frozenset({"inputs", "feature_indices"}), _inputs_or_features),
    (frozenset({"output", "train"}), _one_output_learns_nothing),
    (
        frozenset({"label_index", "output", "train", "num_classes", "class_names", "loss", "task"}),
        _outputs_are_named_once,
    ),
    (frozenset({"decimal", "delimiter"}), _decimal_is_no_delimiter),
    (frozenset({"label_index", "feature_indices", "keep_columns"}), _columns_have_one_role),
    (
        frozenset({"label_index", "train", "top_n", "require", "predictions", "load_data"}),
        _no_label,
    ),
    (frozenset({"predictions", "output_path"}), _predictions_need_a_folder),
    (frozenset({"predictions", "predictions_format"}), _format_needs_predictions),
    (frozenset({"resume", "checkpoint_path"}), _resume_needs_a_checkpoint),
    (frozenset({"patience", "validation_split"}), _patience_needs_validation),
    (frozenset({"class_names", "num_classes"}), _class_count),
    (frozenset({"top_n", "class_names", "num_classes"}), _top_n_fits),
    (
        frozenset({"task", "top_n", "class_names", "num_classes"}),
        _numbers_have_no_classes,
    ),
    (frozenset({"require", "load_data"}), _requirement_is_measured),
    (frozenset({"mlflow", "load_data"}), _logged_is_measured),
    (
        frozenset({"output_path", "overwrite", "checkpoint_path", "model_path", "data_path"}),
        _nothing_is_lost,
    ),
)
