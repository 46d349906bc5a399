"""The text block: the evaluation in the layout that users of Deeplearning4j and their scripts know.

Its precision, recall and F1 are Deeplearning4j's: a class for which a ratio is 0/0 is left out of
the average. The layouts are those of ``Evaluation.stats()`` in Deeplearning4j 0.9 and 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from irisspark.metrics.scores import Averages, Layout, Scores

_POSITIVE_CLASS = 1


@dataclass(frozen=True)
class BlockAverages:
    """Deeplearning4j's averages in one layout.

    Attributes:
        layout: the layout, which decides what two classes are averaged to.
        averaging: what the three are of, in words.
        averages: precision, recall and F1; None where no class has one.
        never_predicted: classes left out of precision.
        without_rows: classes left out of recall.
        left_out_of_f1: classes left out of F1: those that are in either of the above.
    """

    layout: Layout
    averaging: str
    averages: Averages
    never_predicted: tuple[int, ...]
    without_rows: tuple[int, ...]
    left_out_of_f1: tuple[int, ...]


def average(scores: Scores, layout: Layout) -> BlockAverages:
    """Average over classes as Deeplearning4j does.

    F1 is the mean of the classes' F1, not the harmonic mean of the two averages. For two classes
    layout 0.9 has the F1 of class 1, layout 1.0 all three of class 1.
    """
    numbered = list(enumerate(scores.per_class))
    never_predicted = tuple(index for index, one in numbered if not one.num_predicted)
    without_rows = tuple(index for index, one in numbered if not one.support)
    left_out = tuple(sorted({*never_predicted, *without_rows}))
    averaging = "macro"
    averages = Averages(
        _mean([one.precision for one in scores.per_class if one.num_predicted]),
        _mean([one.recall for one in scores.per_class if one.support]),
        _mean([one.f1 for one in scores.per_class if one.support and one.num_predicted]),
    )
    if scores.num_classes == 2 and scores.rows:
        positive = scores.per_class[_POSITIVE_CLASS]
        if layout == "1.0":
            averaging = "class 1"
            averages = Averages(positive.precision, positive.recall, positive.f1)
        else:
            averaging = "macro; F1 of class 1"
            exists = positive.support or positive.num_predicted
            f1 = positive.f1 if exists else None
            averages = Averages(averages.precision, averages.recall, f1)
    return BlockAverages(layout, averaging, averages, never_predicted, without_rows, left_out)


def text(scores: Scores, layout: Layout) -> str:
    """Return the block with its leading empty lines and one newline at its end.

    Four decimals; a figure that does not exist is printed as NaN.
    """
    block = average(scores, layout)
    lines = _layout_1_0(scores, block) if layout == "1.0" else _layout_0_9(scores, block)
    return "\n".join(lines) + "\n"


def _layout_0_9(scores: Scores, block: BlockAverages) -> list[str]:
    return [
        "",
        *_examples(scores),
        "",
        *_warnings(block),
        "",
        "=" * 26 + "Scores" + "=" * 40,
        *_figures(scores, block),
        "=" * 72,
    ]


def _layout_1_0(scores: Scores, block: BlockAverages) -> list[str]:
    return [
        "",
        "",
        "=" * 24 + "Evaluation Metrics" + "=" * 24,
        *_figures(scores, block),
        "",
        *_warnings(block),
        "",
        "=" * 25 + "Confusion Matrix" + "=" * 25,
        *_matrix(scores),
        "",
        "Confusion matrix format: Actual (rowClass) predicted as (columnClass) N times",
        "=" * 66,
    ]


def _examples(scores: Scores) -> list[str]:
    names, cells = scores.class_names, scores.confusion
    return [
        f"Examples labeled as {names[true]} classified by model as {names[predicted]}: "
        f"{cells[true, predicted]} times"
        for true, predicted in zip(*(axis.tolist() for axis in cells.nonzero()), strict=True)
    ]


def _warnings(block: BlockAverages) -> list[str]:
    # The recall line is worded like the precision line in Deeplearning4j too.
    lines = []
    for average_name, classes in (
        ("precision", block.never_predicted),
        ("recall", block.without_rows),
    ):
        if classes:
            were = "was" if len(classes) == 1 else "were"
            lines += [
                f"Warning: {_num_classes(classes)} {were} never predicted by the model "
                f"and {were} excluded from average {average_name}",
                f"Classes excluded from average {average_name}: {list(classes)}",
            ]
    return lines


def _figures(scores: Scores, block: BlockAverages) -> list[str]:
    averages, many = block.averages, scores.num_classes > 2
    lines = [_line("# of classes:", str(scores.num_classes))]
    lines.append(_figure("Accuracy:", scores.accuracy))
    if scores.top_n > 1:
        lines.append(_figure(f"Top {scores.top_n} Accuracy:", scores.top_n_accuracy))
    for label, value, left_out in (
        ("Precision:", averages.precision, block.never_predicted),
        ("Recall:", averages.recall, block.without_rows),
        ("F1 Score:", averages.f1, block.left_out_of_f1),
    ):
        note = f"\t({_num_classes(left_out)} excluded from average)" if many and left_out else ""
        lines.append(_figure(label, value) + note)
    if many:
        lines.append(
            "Precision, recall & F1: macro-averaged "
            f"(equally weighted avg. of {scores.num_classes} classes)"
        )
    elif block.layout == "1.0" and scores.num_classes == 2:
        name = scores.class_names[_POSITIVE_CLASS]
        lines.append(
            "Precision, recall & F1: reported for positive class "
            f'(class {_POSITIVE_CLASS} - "{name}") only'
        )
    return lines


def _matrix(scores: Scores) -> list[str]:
    num_classes = scores.num_classes
    width = max(len(str(scores.confusion.max(initial=0))), len(str(num_classes - 1))) + 1
    header = "".join(f"{index:>{width}}" for index in range(num_classes))
    return [
        header,
        "-" * (len(header) + 1),
        *(
            "".join(f"{cell:>{width}}" for cell in row) + f" | {index} = {name}"
            for index, (row, name) in enumerate(
                zip(scores.confusion.tolist(), scores.class_names, strict=True)
            )
        ),
    ]


def _line(label: str, value: str) -> str:
    return f" {label:<16} {value}"


def _figure(label: str, value: float | None) -> str:
    return _line(label, "NaN" if value is None else f"{value:.4f}")


def _num_classes(classes: Sequence[int]) -> str:
    return f"{len(classes)} class" if len(classes) == 1 else f"{len(classes)} classes"


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
