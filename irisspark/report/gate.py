"""The gate of ``-require``: which requirements a run falls short of."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from irisspark.data.bad_rows import REASONS
from irisspark.errors import OptionsError
from irisspark.metrics.eval_counts import no_counts
from irisspark.metrics.regression import RegressionCounts, score_regression
from irisspark.metrics.scores import score
from irisspark.report.results import document


class RequirementLike(Protocol):
    """What a requirement says; ``options.Requirement`` is one."""

    @property
    def metric(self) -> str:
        """A figure of the text block, or a path in metrics.json such as ``macro.f1``."""

    @property
    def comparison(self) -> str:
        """One of ``>=``, ``>``, ``<`` and ``<=``."""

    @property
    def value(self) -> float:
        """What the metric is compared with."""


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<": operator.lt,
    "<=": operator.le,
}
_BLOCK_AVERAGES = ("precision", "recall", "f1")
_SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "rmse": "root_mean_squared_error",
}
_ANY_CLASS = "<class>"
_FREE_PREFIX = "run."
_OF_ALL_OUTPUTS = ("loss", "rows", "bad_rows.", "run.")
_OF_BAD_ROWS = frozenset(f"bad_rows.by_reason.{reason}" for reason in REASONS)


def check_requirement_names(
    requirements: Sequence[RequirementLike], outputs: Sequence[str] = ()
) -> None:
    """Refuse metrics that no run can have.

    Args:
        requirements: What is required.
        outputs: Names of the outputs that are evaluated, where these are several.

    Raises:
        OptionsError: names each of them with the nearest names that exist.
    """
    if not requirements:
        return
    paths = dict.fromkeys(_known_paths())
    known = [*_BLOCK_AVERAGES, *_SHORT, *paths, *sorted(_OF_BAD_ROWS)]
    patterns = [re.escape(name).replace(re.escape(_ANY_CLASS), ".+") for name in known]
    problems = []
    for requirement in requirements:
        name = requirement.metric
        output, metric = _parted(name, outputs)
        if outputs and output is None and not name.startswith(_OF_ALL_OUTPUTS):
            problems.append(
                f"-require {name}: of which output? Write {outputs[0]}.{name}, as each has its own"
            )
            continue
        exists = any(re.fullmatch(pattern, metric) for pattern in patterns)
        if not exists and not metric.startswith(_FREE_PREFIX):
            nearest = difflib.get_close_matches(metric, known, n=3, cutoff=0.5)
            names = ", ".join(nearest or ["accuracy", *_BLOCK_AVERAGES, "macro.f1"])
            problems.append(f"-require {metric}: there is no such metric; did you mean {names}?")
    if problems:
        raise OptionsError("\n".join(problems))


def unmet(content: Mapping[str, Any], requirements: Sequence[RequirementLike]) -> list[str]:
    """Return one line for each requirement that the run falls short of.

    A metric that is null, or is not there, falls short.

    Args:
        content: what ``report.document`` made, for the layout of the text block that was asked for.
        requirements: what was required.
    """
    lines = []
    for requirement in requirements:
        name, wanted = requirement.metric, f"{requirement.comparison} {requirement.value:.12g}"
        outputs = content.get("outputs", {})
        output, metric = _parted(name, outputs)
        path = f"dl4j.{metric}" if metric in _BLOCK_AVERAGES else _SHORT.get(metric, metric)
        value = _find(content if output is None else outputs[output], path)
        if value is None and path in _OF_BAD_ROWS:
            value = 0  # a reason that no row has is not listed
        if value is None:
            lines.append(f"{name} does not exist in this run, required {wanted}")
        elif not _COMPARISONS[requirement.comparison](value, requirement.value):
            lines.append(f"{name} is {_readable(value, requirement.value)}, required {wanted}")
    return lines


def _parted(name: str, outputs: Iterable[str]) -> tuple[str | None, str]:
    """Part ``price.rmse`` into an output, None where it is of all, and the metric."""
    found = [output for output in outputs if name.startswith(f"{output}.")]
    output = max(found, key=len, default=None)
    return output, name if output is None else name[len(output) + 1 :]


def _known_paths() -> Iterator[str]:
    """List what metrics.json may hold, of whatever task."""
    from irisspark.metrics.labels import no_labels, score_labels

    classes = score(no_counts(1, probabilities=True), [_ANY_CLASS], 1)
    numbers = score_regression(RegressionCounts(1), [_ANY_CLASS])
    labels = score_labels(no_labels(1), [_ANY_CLASS])
    for empty in (classes, numbers, labels):
        yield from _numeric_paths(document(empty, bad_rows={}, run={}))


def _numeric_paths(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _numeric_paths(value, f"{prefix}{key}.")
        elif not isinstance(value, str | list):
            yield prefix + key


def _find(content: object, path: str) -> float | None:
    """Follow a dotted path; a key may hold dots itself, as names of classes do."""
    if not isinstance(content, Mapping):
        return None
    value = content.get(path)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    for dot in (index for index, letter in enumerate(path) if letter == "."):
        found = _find(content.get(path[:dot]), path[dot + 1 :])
        if found is not None:
            return found
    return None


def _readable(value: float, wanted: float) -> str:
    """Return a figure with as many digits as tell it from the one that was wanted."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if abs(value - wanted) >= 1e-4 and abs(value) < 1e6 else repr(value)
