"""report.html: the results as one page that needs nothing else, for people.

It says what metrics.json says, and is made from it. The template escapes all that it is given but
its own style and script, and the SVG of ``pictures``, which holds no word of the user's.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irisspark.metrics.curves import curves_of
from irisspark.metrics.joint import JointCounts
from irisspark.metrics.regression import RegressionCounts
from irisspark.report import label_tables, number_tables, page_tables, pictures
from irisspark.report.gate import RequirementLike
from irisspark.report.number_pictures import of_numbers
from irisspark.report.page_tables import Table, Tile
from irisspark.report.pictures import Picture
from irisspark.report.results import file_of_output

if TYPE_CHECKING:
    from irisspark.metrics.joint import OneCounts

__all__ = ["files", "html", "import_libraries"]

NAME = "report.html"


@dataclass(frozen=True)
class Verdict:
    """What came of ``-require``.

    Attributes:
        required: Every condition, as it is written.
        unmet: A line for each that the run falls short of.
    """

    required: tuple[str, ...]
    unmet: tuple[str, ...]

    @classmethod
    def of(cls, requirements: Sequence[RequirementLike], unmet: Sequence[str]) -> Verdict:
        """Judge what ``gate.unmet`` found."""
        written = (f"{one.metric} {one.comparison} {one.value:.12g}" for one in requirements)
        return cls(tuple(written), tuple(unmet))


def import_libraries() -> None:
    """Import what a page needs, so that it is there at the end; what fails there shows then."""
    import jinja2  # noqa: F401

    pictures.import_library()


def files(
    content: Mapping[str, Any],
    counts: OneCounts | JointCounts | None,
    requirements: Sequence[RequirementLike],
    unmet: Sequence[str],
    history: Sequence[Mapping[str, float]] = (),
) -> dict[str, bytes]:
    """Return the page by its name; of several outputs a page each, called after it.

    Args:
        content: As for ``html``.
        counts: The sum of what all workers counted; None of predictions alone.
        requirements: What was required.
        unmet: What ``gate.unmet`` found.
        history: As for ``html``.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    verdict = Verdict.of(requirements, unmet)
    if not isinstance(counts, JointCounts):
        written = html(content, verdict=verdict, counts=counts, history=history)
        return {NAME: written.encode()}
    found = {}
    for (output, own), part in zip(content["outputs"].items(), counts.parts, strict=True):
        alone = {**content, **own, "output": output}
        written = html(alone, verdict=verdict, counts=part, history=history)
        found[file_of_output(output, NAME)] = written.encode()
    return found


def html(
    content: Mapping[str, Any],
    *,
    verdict: Verdict,
    counts: OneCounts | None,
    history: Sequence[Mapping[str, float]] = (),
) -> str:
    """Write the page.

    Args:
        content: What metrics.json holds, of an evaluation or of predictions alone.
        verdict: Of the requirements.
        counts: The sum of what all workers counted; None of predictions alone.
        history: A row an epoch; empty without a training.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    script = _part("page.js")
    judged = page_tables.is_judged(content)
    written: str = _template().render(
        content=content,
        run=content["run"],
        verdict=verdict,
        subject=page_tables.subject(content),
        counted=page_tables.counted(content),
        judged=judged,
        tiles=_tiles(content),
        matrix=page_tables.matrix(content),
        confusions=page_tables.confusions(content),
        classes=page_tables.classes(content),
        predicted=page_tables.predicted(content),
        tables=_tables(content) if judged else (),
        curves=_curve_pictures(content, counts),
        numbers=_number_pictures(content, counts),
        calibration=_calibration(content),
        epochs=pictures.training(history, _kept(content)) if history else (),
        facts=page_tables.facts(content),
        style=_part("page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return written


def _tiles(content: Mapping[str, Any]) -> list[Tile]:
    of_task = {"regression": number_tables.tiles, "labels": label_tables.tiles}
    task = content["task"] if page_tables.is_judged(content) else ""
    return of_task.get(task, page_tables.tiles)(content)


def _tables(content: Mapping[str, Any]) -> tuple[Table, ...]:
    if content["task"] == "regression":
        return (number_tables.columns(content),)
    if content["task"] == "labels":
        return (label_tables.averages(content), label_tables.labels(content))
    return ()


def _curve_pictures(content: Mapping[str, Any], counts: OneCounts | None) -> list[Picture]:
    if counts is None or isinstance(counts, RegressionCounts):
        return []
    of = curves_of(counts.score_bins)
    if not of:
        return []
    one = "label" if content["task"] == "labels" else "class"
    names = [page_tables.shown(name) for name in content[f"{one}_names"]]
    areas, precisions = (
        list(content[metric][f"per_{one}"].values()) for metric in ("roc_auc", "average_precision")
    )
    return [
        pictures.roc(of, names, areas, one),
        pictures.precision_recall(of, names, precisions, one),
    ]


def _number_pictures(content: Mapping[str, Any], counts: OneCounts | None) -> list[Picture]:
    return of_numbers(content, counts) if isinstance(counts, RegressionCounts) else []


def _calibration(content: Mapping[str, Any]) -> Picture | None:
    reliability = content.get("reliability")
    return None if reliability is None else pictures.calibration(reliability)


def _kept(content: Mapping[str, Any]) -> int | None:
    kept: int | None = content["run"].get("training", {}).get("best_epoch")
    return kept


def _part(name: str) -> str:
    """Read a file beside this one, in a folder or in the archive."""
    found = pkgutil.get_data("irisspark.report", name)
    assert found is not None
    return found.decode()


@functools.cache
def _template() -> Any:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["as_is"] = Markup
    environment.filters["number"] = page_tables.number
    return environment.from_string(_part("page.html"))
