"""Predicts a Spark DataFrame, lazily: what its columns are for, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irisspark.data.dataset import check_class_names
from irisspark.data.frame_dataset import FrameChoice, columns_of_inputs
from irisspark.data.targets import numeric_class_names
from irisspark.errors import DataError
from irisspark.evaluation.predictions import score_names
from irisspark.evaluation.worker import frame_rows
from irisspark.evaluation.worker.frame_rows import PROBLEM, FramePlan
from irisspark.model.output import OutputMeaning
from irisspark.model.shared_file import share_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from irisspark.model.spec import ModelSpec
    from irisspark.startup.session import Session


def predict(
    session: Session,
    spec: ModelSpec,
    data: DataFrame,
    features: Sequence[str] | None,
    inputs: Mapping[str, Sequence[str] | str] | None,
    keep: Sequence[str],
    class_names: Sequence[str] | None,
    bad_rows: str,
) -> DataFrame:
    """Give the predictions of a DataFrame's rows as another one.

    Raises:
        DataError: A column is not there, is named as one of ours, or does not fit the model.
    """
    if spec.output.label_shape:
        raise DataError(
            f"the model puts out {spec.output.num_units} numbers for a row, and a DataFrame of "
            "predictions has one column for them: write the rows as Parquet, and run "
            "-predictions true on that"
        )
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    groups = _groups(spec, data, features, inputs, keep)
    taken = tuple(dict.fromkeys(name for columns in groups for name in columns))
    _check_columns(data, taken, keep)
    for place, columns in enumerate(groups):
        is_text = bool(spec.inputs) and spec.inputs[place].is_text
        data = _with_arrays(data, columns, is_text=is_text)
    plan = _plan(session, spec, groups, keep, class_names, skip=bad_rows == "skip")
    _check_names(keep, plan)
    types = dict(data.dtypes)
    _check_sizes(spec, groups, types)
    recipe = spec.without_file(share_file(session.context, spec.file))

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        return frame_rows.predict_frames(batches, recipe, plan)

    return data.select(*_quoted((*keep, *taken))).mapInArrow(run, _schema(types, plan))


def _groups(
    spec: ModelSpec,
    data: DataFrame,
    features: Sequence[str] | None,
    inputs: Mapping[str, Sequence[str] | str] | None,
    keep: Sequence[str],
) -> tuple[tuple[str, ...], ...]:
    """Say which columns each input of the model takes."""
    said = {
        name: (of,) if isinstance(of, str) else tuple(of) for name, of in (inputs or {}).items()
    }
    named = tuple(said.items()) if inputs is not None else None
    choice = FrameChoice((), (), named, names_features=features is not None)
    by_input = columns_of_inputs(choice, spec, data)
    if by_input is not None:
        return tuple(columns for _, columns in by_input)
    return (tuple(features or (name for name in data.columns if name not in keep)),)


def _check_sizes(
    spec: ModelSpec, groups: tuple[tuple[str, ...], ...], types: Mapping[str, str]
) -> None:
    """Hold the number of columns against each input, but for arrays, whose rows are held."""
    if not spec.inputs:
        if len(groups[0]) > 1 or not types[groups[0][0]].startswith("array"):
            spec.row_shape(len(groups[0]))
        return
    for one, columns in zip(spec.inputs, groups, strict=True):
        if len(columns) != one.size and not types[columns[0]].startswith("array"):
            raise DataError(
                f"the model's input {one.name!r} takes {one.size} columns, and not {len(columns)}: "
                + ", ".join(columns)
            )


def _check_columns(data: DataFrame, features: Sequence[str], keep: Sequence[str]) -> None:
    missing = [name for name in (*features, *keep) if name not in data.columns]
    if missing:
        raise DataError(
            f"the DataFrame has no column '{missing[0]}'; it has {', '.join(data.columns)}"
        )
    if not features:
        raise DataError("no column is left for the features: all are kept")
    both = set(features).intersection(keep)
    if both:
        raise DataError(f"column '{min(both)}' is a feature, and kept: it can be only one of them")


def _check_names(keep: Sequence[str], plan: FramePlan) -> None:
    own = {"prediction", PROBLEM, *plan.scores}
    taken = [name for name in keep if name in own]
    if taken:
        raise DataError(
            f"column '{taken[0]}' cannot be kept: the predictions have one of that name"
        )


def _with_arrays(data: DataFrame, features: Sequence[str], *, is_text: bool) -> DataFrame:
    """Turn ML vectors into arrays, and refuse what the model does not take."""
    for name, kind in data.dtypes:
        if name not in features:
            continue
        if is_text:
            if kind.split("(")[0] not in _TEXTS:
                raise DataError(f"column '{name}' is {kind}: the model's input takes text")
            continue
        if kind == "vector" and len(features) == 1:
            from pyspark.ml.functions import vector_to_array

            return data.withColumn(name, vector_to_array(data[f"`{name}`"]))
        is_array = kind.startswith("array<") and len(features) == 1
        if not is_array and kind.split("(")[0] not in _NUMBERS:
            raise DataError(f"column '{name}' is {kind}: the model takes numbers")
    return data


_NUMBERS = frozenset(
    ["tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "boolean"]
)


_TEXTS = frozenset(["string", "varchar", "char"])


def _plan(
    session: Session,
    spec: ModelSpec,
    groups: tuple[tuple[str, ...], ...],
    keep: tuple[str, ...],
    class_names: Sequence[str] | None,
    *,
    skip: bool,
) -> FramePlan:
    meaning = spec.output
    scores: tuple[str, ...] = ()
    values: tuple[str, ...] | tuple[int, ...] = ()
    probabilities = False
    if isinstance(meaning, OutputMeaning):
        names = tuple(class_names or numeric_class_names(meaning.num_classes))
        check_class_names(names, meaning)
        scores, probabilities = tuple(score_names(meaning, names)), meaning.probabilities
        values = names if class_names else tuple(range(meaning.num_classes))
    threads = session.threads_per_task
    return FramePlan(groups, keep, scores, values, probabilities, skip, threads)


def _schema(types: dict[str, str], plan: FramePlan) -> str:
    prediction = "string" if plan.class_values and isinstance(plan.class_values[0], str) else None
    prediction = prediction or ("bigint" if plan.class_values else "double")
    columns = [(name, types[name]) for name in plan.kept]
    columns += [("prediction", prediction), *((name, "double") for name in plan.scores)]
    columns += [(PROBLEM, "string")] if plan.skip else []
    names = _quoted([name for name, _ in columns])
    return ", ".join(f"{name} {kind}" for name, (_, kind) in zip(names, columns, strict=True))


def _quoted(names: Sequence[str]) -> list[str]:
    return [f"`{name.replace('`', '``')}`" for name in names]
