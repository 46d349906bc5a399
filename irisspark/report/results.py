"""The report of an evaluation, whatever its task."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from irisspark.metrics.joint import JointScores, OneScores
from irisspark.metrics.regression import RegressionScores
from irisspark.metrics.scores import Layout, Scores
from irisspark.report import documents, regression_report, text_block

AnyScores: TypeAlias = "OneScores | JointScores"

_OF_ALL = frozenset(["version", "rows", "bad_rows", "run"])
_NO_FILE_NAME = re.compile(r"[^\w.-]")


def document(
    scores: AnyScores,
    *,
    bad_rows: Mapping[str, int],
    run: Mapping[str, object],
    layout: Layout = "0.9",
) -> dict[str, Any]:
    """Return what metrics.json holds; the arguments are those of ``documents.document``."""
    if isinstance(scores, JointScores):
        return _document_of_outputs(scores, bad_rows=bad_rows, run=run, layout=layout)
    if isinstance(scores, RegressionScores):
        return regression_report.document(scores, bad_rows=bad_rows, run=run)
    if isinstance(scores, Scores):
        return documents.document(scores, bad_rows=bad_rows, run=run, layout=layout)
    from irisspark.report import labels_report

    return labels_report.document(scores, bad_rows=bad_rows, run=run)


def text(scores: AnyScores, layout: Layout) -> str:
    """Return the text block, which ends in one newline."""
    if isinstance(scores, JointScores):
        return _text_of_outputs(scores, layout)
    if isinstance(scores, RegressionScores):
        return regression_report.text(scores, layout)
    if isinstance(scores, Scores):
        return text_block.text(scores, layout)
    from irisspark.report import labels_report

    return labels_report.text(scores)


def files(
    scores: AnyScores,
    content: Mapping[str, object],
    *,
    layout: Layout = "0.9",
    history: documents.History = (),
) -> dict[str, bytes]:
    """Return name and content of every file; the arguments are those of ``documents.files``."""
    if isinstance(scores, JointScores):
        return _files_of_outputs(scores, content, layout=layout, history=history)
    if isinstance(scores, RegressionScores):
        return regression_report.files(scores, content, layout=layout, history=history)
    if isinstance(scores, Scores):
        return documents.files(scores, content, layout=layout, history=history)
    from irisspark.report import labels_report

    return labels_report.files(scores, content, history=history)


def _document_of_outputs(
    scores: JointScores,
    *,
    bad_rows: Mapping[str, int],
    run: Mapping[str, object],
    layout: Layout,
) -> dict[str, Any]:
    """Return what metrics.json holds of each output alone, and what is of all of them."""
    outputs = {}
    for name, one in scores.by_output.items():
        alone = document(one, bad_rows=bad_rows, run={}, layout=layout)
        outputs[name] = {key: value for key, value in alone.items() if key not in _OF_ALL}
    content = {
        **documents.beginning("outputs", scores.rows, bad_rows),
        "loss": scores.loss,
        "outputs": outputs,
        "run": run,
    }
    plain: dict[str, Any] = documents.plain(content)
    return plain


def _text_of_outputs(scores: JointScores, layout: Layout) -> str:
    """Return the text block of each output, below a line that names it."""
    blocks = (f"\nOutput {name}\n{text(one, layout)}" for name, one in scores.by_output.items())
    return "".join(blocks)


def _files_of_outputs(
    scores: JointScores,
    content: Mapping[str, Any],
    *,
    layout: Layout,
    history: documents.History,
) -> dict[str, bytes]:
    """Return every file; those that are of one output are called after it."""
    contents = {
        "report.txt": _text_of_outputs(scores, layout),
        "metrics.json": documents.to_json(content),
    }
    found = documents.encoded(contents, history)
    for name, one in scores.by_output.items():
        own = files(one, content["outputs"][name], layout=layout)
        found |= {file_of_output(name, key): own[key] for key in own if key not in contents}
    return found


def file_of_output(output: str, file: str) -> str:
    """Call a file after the one of several outputs that it is of."""
    return f"{_NO_FILE_NAME.sub('_', output)}_{file}"
