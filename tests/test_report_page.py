"""report.html without a browser: what is in it, and what it does without its libraries."""

import builtins
import logging
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from report_pages import (
    IRIS,
    NASTY,
    content_of,
    history_of,
    numbers_of,
    page_about,
    page_of,
    pages,
    run_of,
)

from irisspark.metrics.curves import curves_of
from irisspark.metrics.regression import RegressionTally, score_regression
from irisspark.report import document, page, page_tables, pictures
from irisspark.report.number_pictures import MAX_COLUMNS
from irisspark.report.page import Verdict


class Elements(HTMLParser):
    """Collects tags, and what they would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "xlink:href") and not (value or "").startswith(
                "#"
            ):
                self.loads.append(value or "")


@pytest.mark.parametrize("name", list(pages()))
def test_page_needs_nothing_else_and_is_small(name: str) -> None:
    written = pages()[name]
    found = Elements(written)
    assert found.loads == ["data:,"]
    assert found.tags.count("script") == 1
    assert "img" not in found.tags
    assert len(written.encode()) < 1 << 20


def test_page_of_many_columns_of_numbers_draws_the_worst_and_is_small() -> None:
    found = numbers_of(60, 3000)
    written = page_about(found)
    assert len(written.encode()) < 1 << 20
    assert written.count('<svg role="img"') == 3 * MAX_COLUMNS
    columns = found[0]["per_column"]
    worst = sorted(columns, key=lambda name: columns[name]["r2"])[:MAX_COLUMNS]
    assert all(f"How near predictions of {name} come" in written for name in worst)


def test_labels_of_the_same_number_leave_a_page() -> None:
    tally = RegressionTally(num_columns=1, partition=0)
    tally.add(np.full((3, 1), 2.0), np.full((3, 1), 2.0), None, lambda row: (0, row))
    scores = score_regression(tally.counts, ["price"])
    written = page_about((document(scores, bad_rows={}, run=run_of()), tally.counts))
    assert written.count('<svg role="img"') == 3
    assert "<td>2</td><td>2</td><td>3</td>" in written


def test_page_of_most_classes_with_long_names_is_within_its_size() -> None:
    names = [f"{n} " + "名" * 300 for n in range(3000)]
    assert len(page_of(names, num_rows=5000).encode()) < 1 << 20


def test_same_results_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30.0)
    training = {"note": "", "best_epoch": None, "held_out_rows": 0}
    one = page_of(IRIS, history=history_of(5), training=training)
    monkeypatch.undo()
    before, level = dict(matplotlib.rcParams), logging.getLogger("matplotlib").level
    other = page_of(IRIS, history=history_of(5), training=training)
    assert one == other
    assert dict(matplotlib.rcParams) == before
    assert logging.getLogger("matplotlib").level == level


def test_page_without_the_library_that_draws_has_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = page_of(IRIS)
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    bare = page_of(IRIS)
    assert whole.count("<details>") == bare.count("<details open>") == 3
    assert bare.count('<svg role="img"') == 0
    assert whole.count('<svg role="img"') == 3
    assert "How well scores tell a class from the rest" in bare


def test_home_that_cannot_be_written_to_costs_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    code = "from report_pages import page_of, IRIS; print(page_of(IRIS))"
    environ = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    homeless = {"HOME": "/dev/null/home", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ | homeless | {"PYTHONPATH": path, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout == page_of(IRIS) + "\n"
    assert list(tmp_path.iterdir()) == []


def test_matrix_shows_counts_and_shares() -> None:
    content, _ = content_of(IRIS, sharpness=1.0)
    shown = page_tables.matrix(content)
    assert shown is not None
    counts = [[cell.count for cell in row] for row in shown.rows]
    assert counts == content["confusion_matrix"]
    assert all(sum(cell.share for cell in row) == pytest.approx(1) for row in shown.rows)
    off = max(n for t, row in enumerate(counts) for p, n in enumerate(row) if t != p)
    assert f"Most often confused: {off} rows of " in shown.title


def test_confusions_are_the_most_frequent_ones() -> None:
    content, _ = content_of([str(n) for n in range(40)], num_rows=4000, sharpness=2.0)
    assert page_tables.matrix(content) is None
    found = page_tables.confusions(content)
    cells = [
        (count, true, predicted)
        for true, row in enumerate(content["confusion_matrix"])
        for predicted, count in enumerate(row)
        if true != predicted
    ]
    cells.sort(key=lambda cell: -cell[0])
    assert [one.count for one in found] == [count for count, *_ in cells[:50]]
    for one in found:
        row = content["confusion_matrix"][int(one.true)]
        assert one.count == row[int(one.predicted)]
        assert one.share == one.count / sum(row)


def test_most_classes_are_drawn_where_they_are_told_apart_worst() -> None:
    content, counts = content_of([str(n) for n in range(20)], num_rows=2000, sharpness=1.0)
    curves = curves_of(counts.score_bins)
    areas = list(content["roc_auc"]["per_class"].values())
    drawn = pictures.roc(curves, content["class_names"], areas)
    worst = sorted(range(20), key=lambda index: areas[index])[: pictures.MAX_LINES]
    assert [line.name for line in drawn.lines] == [str(index) for index in worst]


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    content, _ = content_of(IRIS)
    content["reliability"] = None
    written = page.html(content, verdict=Verdict((), ()), counts=None)
    assert "There is no calibration" in written
    assert "There are no ROC" in written
    assert "<figure" not in written


def test_page_of_predictions_alone_has_the_classes() -> None:
    content = {
        "task": "classification",
        "rows": 3,
        "bad_rows": {"total": 0, "by_reason": {}},
        "num_classes": 2,
        "class_names": ["no", NASTY],
        "num_predicted": {"no": 1, NASTY: 2},
        "run": run_of(),
    }
    written = page.html(content, verdict=Verdict((), ()), counts=None)
    text = re.sub(r"\s+", " ", written)
    assert "my_model.h5 predicted on iris.txt" in text
    assert "<td>&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;</td><td>2</td>" in text
    assert "Confusion" not in text
