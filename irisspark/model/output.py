"""What a model's output means: which class a row is given and how sure the model is, or numbers.

The table is EVALUATION's: the number of units, the last activation and the loss decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from irisspark.errors import ModelError

Kind = Literal["softmax", "logits", "sigmoids", "scores", "sigmoid", "logit", "margin"]
Target = Literal["index", "one_hot", "binary", "number", "marks"]
Task = Literal["auto", "classification", "regression", "labels"]
Array = npt.NDArray[Any]

_PROBABILITIES: frozenset[Kind] = frozenset(["softmax", "logits", "sigmoid", "logit"])
_CROSS_ENTROPIES = frozenset(
    [
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "categorical_focal_crossentropy",
    ]
)
_BINARY_CROSS_ENTROPIES = frozenset(["binary_crossentropy", "binary_focal_crossentropy"])
_MARGINS = frozenset(["hinge", "squared_hinge"])
SIGMOIDS = frozenset(["sigmoid", "hard_sigmoid"])
REGRESSION_LOSSES = frozenset(
    [
        "huber",
        "log_cosh",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "mean_squared_logarithmic_error",
        "poisson",
    ]
)


@dataclass(frozen=True)
class Decoded:
    """A block of rows as predictions.

    Attributes:
        y_pred: int64 [rows], the predicted class; [rows, num_units] of 0 and 1 of labels.
        scores: float [rows, num_classes] in [0, 1], NaN where the model's output is NaN. They are
            probabilities where ``OutputMeaning.probabilities``; elsewhere only their order counts.
    """

    y_pred: npt.NDArray[np.int64]
    scores: Array


@dataclass(frozen=True)
class RegressionMeaning:
    """An output of numbers, and no class.

    Attributes:
        why: What told, for the user.
        num_units: Units of the output, each with a column of labels.
    """

    why: str = field(default="", compare=False)
    num_units: int = 1
    task: ClassVar[Task] = "regression"
    num_classes: ClassVar[int] = 0
    target: ClassVar[Target] = "number"
    label_dtype: ClassVar[str] = "float64"

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the labels of a row."""
        return () if self.num_units == 1 else (self.num_units,)


@dataclass(frozen=True)
class LabelsMeaning:
    """An output of which each unit says by itself whether a row has a label.

    Attributes:
        kind: ``sigmoids``, or ``logits`` of them.
        num_units: Units of the output, each with a column of labels of 0 and 1.
        why: What told, for the user.
    """

    kind: Kind
    num_units: int
    why: str = field(default="", compare=False)
    task: ClassVar[Task] = "labels"
    num_classes: ClassVar[int] = 0
    target: ClassVar[Target] = "marks"
    label_dtype: ClassVar[str] = "int64"

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the labels of a row."""
        return (self.num_units,)

    @property
    def probabilities(self) -> bool:
        """The scores are probabilities, each of its label."""
        return True

    def decode(self, output: Array) -> Decoded:
        """Turn the model's output, [rows, num_units], into 0 and 1, and how sure it is of 1."""
        if self.kind == "logits":
            return Decoded((output > 0).astype(np.int64), _sigmoid(output))
        return Decoded((output > 0.5).astype(np.int64), np.clip(output, 0.0, 1.0))


@dataclass(frozen=True)
class OutputMeaning:
    """How the numbers that a model puts out become classes.

    Attributes:
        kind: The row of the table.
        num_units: Units of the output; ``num_classes`` but for one unit, which means two classes.
        target: What the loss compares the output with: the class index, a one-hot row, or 0 and 1.
        why: What told, for the user, where it is not the usual thing.
        one_hot_labels: True where the data has a column of 0 and 1 for each class.
        other_task: What it may be as well, where rows are only predicted and nothing tells.
    """

    kind: Kind
    num_units: int
    target: Target
    why: str = field(default="", compare=False)
    one_hot_labels: bool = False
    other_task: Task | None = field(default=None, compare=False)
    task: ClassVar[Task] = "classification"
    label_dtype: ClassVar[str] = "int64"
    label_shape: ClassVar[tuple[int, ...]] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return max(self.num_units, 2)

    @property
    def probabilities(self) -> bool:
        """True where the scores are probabilities."""
        return self.kind in _PROBABILITIES

    def decode(self, output: Array) -> Decoded:
        """Turn the model's output, [rows, num_units], into predictions."""
        if self.num_units == 1:
            return self._decode_one_unit(output[:, 0])
        y_pred = output.argmax(axis=1).astype(np.int64)
        if self.kind == "logits":
            return Decoded(y_pred, _softmax(output))
        # What adds up to 1 in exact numbers may be more by its last digit.
        scores = _squashed(output) if self.kind == "scores" else np.clip(output, 0.0, 1.0)
        return Decoded(y_pred, scores)

    def _decode_one_unit(self, output: Array) -> Decoded:
        threshold = 0.5 if self.kind == "sigmoid" else 0.0
        y_pred = (output > threshold).astype(np.int64)
        if self.kind == "sigmoid":
            positive = np.clip(output, 0.0, 1.0)
        elif self.kind == "logit":
            positive = _sigmoid(output)
        else:
            positive = _squashed(output)
        return Decoded(y_pred, np.stack([1 - positive, positive], axis=1))


@np.errstate(invalid="ignore")  # of infinite outputs there is none: NaN, which is counted
def _softmax(logits: Array) -> Array:
    logits = logits.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def _sigmoid(logits: Array) -> Array:
    # The two branches of tanh avoid the overflow of exp for large negative logits.
    probabilities: Array = 0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))
    return probabilities


@np.errstate(invalid="ignore")  # of infinite outputs there is none: NaN, which is counted
def _squashed(scores: Array) -> Array:
    """Map any scores to (0, 1) without changing their order (the softsign)."""
    scores = scores.astype(np.float64)
    squashed: Array = 0.5 + 0.5 * scores / (1.0 + np.abs(scores))
    return squashed


OneMeaning = OutputMeaning | RegressionMeaning | LabelsMeaning


@dataclass(frozen=True)
class NamedMeaning:
    """One of several outputs.

    Attributes:
        name: As ``compile`` knows the output.
        meaning: What it means by itself.
    """

    name: str
    meaning: OneMeaning

    @property
    def num_labels(self) -> int:
        """Numbers that the labels of a row are."""
        return math.prod(self.meaning.label_shape)

    def labels_of(self, labels: Array) -> Array:
        """Give [rows, num_labels] numbers as the labels of this output by itself."""
        shaped = labels.reshape(len(labels), *self.meaning.label_shape)
        return shaped.astype(self.meaning.label_dtype)


@dataclass(frozen=True)
class JointMeaning:
    """Several outputs, of which each means what it means by itself.

    They lie side by side in what the model puts out for a row, and so do their labels.

    Attributes:
        parts: In the order in which they lie.
    """

    parts: tuple[NamedMeaning, ...]
    why: ClassVar[str] = ""
    task: ClassVar[Literal["outputs"]] = "outputs"
    num_classes: ClassVar[int] = 0
    target: ClassVar[Target] = "number"
    label_dtype: ClassVar[str] = "float64"

    @property
    def num_units(self) -> int:
        """Units of all outputs."""
        return sum(part.meaning.num_units for part in self.parts)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the labels of a row."""
        return (sum(part.num_labels for part in self.parts),)

    def outputs_of(self, output: Any) -> list[Any]:
        """Give what each output is, of [rows, num_units]: an array or a tensor."""
        return _cut(output, [part.meaning.num_units for part in self.parts])

    def labels_of(self, labels: Any) -> list[Any]:
        """Give the labels of each output, [rows, its num_labels], of [rows, all of them]."""
        return _cut(labels, [part.num_labels for part in self.parts])


def _cut(values: Any, widths: Sequence[int]) -> list[Any]:
    ends = list(accumulate(widths))
    return [values[:, end - width : end] for end, width in zip(ends, widths, strict=True)]


Meaning = OneMeaning | JointMeaning


def resolve(
    num_units: int,
    activation: str | None,
    loss: str | None,
    *,
    from_logits: bool,
    task: Task = "auto",
    num_labels: int = 1,
) -> OneMeaning:
    """Decide what an output means.

    Args:
        num_units: Units of the output.
        activation: Name of the last activation, None where there is none that Keras knows.
        loss: Keras's name of the loss, None where the model has none.
        from_logits: Whether the loss takes logits.
        task: What the user says it is.
        num_labels: Columns of labels; 0 where rows are only predicted.

    Raises:
        ModelError: The output means nothing, or not what the user says.
    """
    said = task
    if task == "auto":
        task = _task_of(num_units, activation, loss, from_logits, num_labels)
    _check_num_labels(num_units, num_labels, task)
    why = f"-task {said}" if said != "auto" else _why(num_units, activation, loss, num_labels)
    if task == "regression":
        return RegressionMeaning(why, num_units)
    if task == "labels":
        _check_labels(activation, loss, from_logits=from_logits)
        return LabelsMeaning("sigmoids" if activation in SIGMOIDS else "logits", num_units, why)
    kind = (_resolve_one if num_units == 1 else _resolve_many)(activation, loss, from_logits)
    if num_units == 1:
        target: Target = "binary"
    else:
        target = "index" if (loss or "").startswith("sparse_") else "one_hot"
    other: Task | None = None
    if said == "auto" and num_labels == 0:
        other = _task_of(num_units, activation, loss, from_logits, num_units)
    return OutputMeaning(
        kind,
        num_units,
        target,
        why,
        one_hot_labels=num_labels > 1,
        other_task=None if other == "classification" else other,
    )


def _task_of(
    num_units: int, activation: str | None, loss: str | None, from_logits: bool, num_labels: int
) -> Task:
    """Tell what the user leaves open: by the columns of labels, the loss and the activation."""
    if num_units == 1:
        return "regression" if _is_regression(activation, loss) else "classification"
    if num_labels <= 1 or activation == "softmax":
        return "classification"
    if loss in REGRESSION_LOSSES:
        return "regression"
    if loss in _BINARY_CROSS_ENTROPIES or (loss is None and activation in SIGMOIDS):
        return "labels"
    return "classification" if loss is not None else "regression"


def _why(num_units: int, activation: str | None, loss: str | None, num_labels: int) -> str:
    units = "one unit" if num_units == 1 else f"{num_units} units"
    why = f"{units} with the activation {activation or 'linear'} and {_named(loss)}"
    return why if num_labels <= 1 else f"{why}, and {num_labels} columns of labels"


def _check_num_labels(num_units: int, num_labels: int, task: Task) -> None:
    """Hold the columns of labels against the output.

    Raises:
        ModelError: There are more, or fewer, than the task needs.
    """
    if task == "labels" and num_units == 1:
        raise ModelError(
            "-task labels: the model puts out one number for a row, which is one label of two "
            "classes: leave -task out"
        )
    is_one_column = num_labels == 1 and task == "classification"
    if num_labels in (0, num_units) or is_one_column:
        return
    named = "one column" if num_labels == 1 else f"{num_labels} columns"
    puts_out = "one number" if num_units == 1 else f"{num_units} numbers"
    raise ModelError(
        f"-labelIndex names {named}, but the model puts out {puts_out} for a row: name a column "
        "of labels for each, in their order, as in -labelIndex 4-6"
        if num_units > 1
        else f"-labelIndex names {named}, but the model puts out {puts_out} for a row: name one"
    )


def _check_labels(activation: str | None, loss: str | None, *, from_logits: bool) -> None:
    """Refuse outputs that say nothing of each label by itself.

    Raises:
        ModelError: It is such an output.
    """
    is_of_logits = loss in _BINARY_CROSS_ENTROPIES and from_logits
    if activation in SIGMOIDS or is_of_logits:
        return
    raise ModelError(
        f"-task labels: the model ends in the activation {activation or 'linear'} with "
        f"{_named(loss)}; labels that a row has or has not take a sigmoid for each, or a binary "
        "cross-entropy of logits"
    )


def _is_regression(activation: str | None, loss: str | None) -> bool:
    """Tell whether one unit is neither a probability nor the side of a margin."""
    of_classes = _BINARY_CROSS_ENTROPIES | _MARGINS | _CROSS_ENTROPIES
    return activation not in SIGMOIDS | {"softmax"} and loss not in of_classes


def _named(loss: str | None) -> str:
    return f"the loss {loss}" if loss else "no loss"


def _resolve_many(activation: str | None, loss: str | None, from_logits: bool) -> Kind:
    if activation == "softmax":
        return "softmax"
    if activation in SIGMOIDS:
        return "sigmoids"
    return "logits" if loss in _CROSS_ENTROPIES and from_logits else "scores"


def _resolve_one(activation: str | None, loss: str | None, from_logits: bool) -> Kind:
    if activation in SIGMOIDS:
        return "sigmoid"
    if activation == "softmax":
        raise ModelError(
            "the model ends in a softmax over one unit, which is 1 for every row; "
            "a two-class model needs a sigmoid over one unit or a softmax over two"
        )
    if loss in _BINARY_CROSS_ENTROPIES:
        return "logit" if from_logits else "sigmoid"
    if loss in _MARGINS:
        return "margin"
    raise ModelError(
        f"the model ends in one unit with the activation {activation or 'linear'} and "
        f"{_named(loss)}: no classifier, which has a unit for each class, or one sigmoid unit "
        "(for a classifier saved without its loss, pass -loss binary_crossentropy); "
        "for a regression pass -task regression, or leave -task out"
    )
