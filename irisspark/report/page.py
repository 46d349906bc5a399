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

from irisspark.metrics.curves import Curves, curves_of
from irisspark.metrics.eval_counts import EvalCounts
from irisspark.report import page_tables, pictures
from irisspark.report.gate import RequirementLike
from irisspark.report.pictures import Picture

if TYPE_CHECKING:
    from irisspark.metrics.joint import JointCounts, OneCounts

__all__ = ["files", "html", "import_libraries"]


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
    """Return the page by its name; nothing for what has no page yet: all but classes.

    Args:
        content: As for ``html``.
        counts: The sum of what all workers counted; None of predictions alone.
        requirements: What was required.
        unmet: What ``gate.unmet`` found.
        history: As for ``html``.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    if content["task"] != "classification":
        return {}
    assert counts is None or isinstance(counts, EvalCounts)
    verdict = Verdict.of(requirements, unmet)
    written = html(content, verdict=verdict, curves=curves_of(counts), history=history)
    return {"report.html": written.encode()}


def html(
    content: Mapping[str, Any],
    *,
    verdict: Verdict,
    curves: Mapping[int, Curves],
    history: Sequence[Mapping[str, float]] = (),
) -> str:
    """Write the page.

    Args:
        content: What metrics.json holds, of an evaluation or of predictions alone.
        verdict: Of the requirements.
        curves: Of the classes by their number; none where scores were not binned.
        history: A row an epoch; empty without a training.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    script = _part("page.js")
    written: str = _template().render(
        content=content,
        run=content["run"],
        verdict=verdict,
        subject=page_tables.subject(content),
        tiles=page_tables.tiles(content),
        matrix=page_tables.matrix(content),
        confusions=page_tables.confusions(content),
        classes=page_tables.classes(content),
        predicted=page_tables.predicted(content),
        curves=_curve_pictures(content, curves),
        calibration=_calibration(content),
        epochs=pictures.training(history, _kept(content)) if history else (),
        facts=page_tables.facts(content),
        style=_part("page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return written


def _curve_pictures(content: Mapping[str, Any], curves: Mapping[int, Curves]) -> list[Picture]:
    if not curves:
        return []
    names = [page_tables.shown(name) for name in content["class_names"]]
    drawn = []
    for draw, metric in (
        (pictures.roc, "roc_auc"),
        (pictures.precision_recall, "average_precision"),
    ):
        areas = list(content[metric]["per_class"].values())
        drawn.append(draw(curves, names, areas))
    return drawn


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
