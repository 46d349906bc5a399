"""The text block to the character, the files, and the gate."""

import csv
import io
import json
import pathlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from irisspark.errors import OptionsError
from irisspark.metrics import count, no_counts
from irisspark.metrics.scores import score
from irisspark.report import confusion_csv, document, files, history_csv, text, to_json
from irisspark.report.gate import check_requirement_names, unmet

IRIS = [[50, 0, 0], [0, 47, 3], [0, 2, 48]]
NEVER_PREDICTED = [[5, 1, 0], [2, 4, 0], [1, 3, 0]]


@dataclass(frozen=True)
class Requirement:
    metric: str
    comparison: str
    value: float


def scores_of(confusion, class_names=None, *, top_n=1, probabilities=True):
    """Scores of rows that make this confusion matrix."""
    confusion = np.array(confusion)
    num_classes = len(confusion)
    pairs = np.repeat(np.argwhere(confusion >= 0), confusion.ravel(), axis=0)
    y_true, y_pred = pairs.T.astype(np.int64)
    counts = count(
        y_true,
        y_pred,
        np.eye(num_classes)[y_pred],
        np.full(len(y_true), 0.25),
        num_classes=num_classes,
        top_n=top_n,
        probabilities=probabilities,
        partition=0,
    )
    return score(counts, class_names, top_n)


def iris_document(**changes):
    return document(
        scores_of(IRIS, ["setosa", "iris.versicolor", "virginica"]),
        **{"bad_rows": {}, "run": {"rows_per_second": 1000.5}, **changes},
    )


def test_layout_0_9():
    assert text(scores_of(IRIS), "0.9") == (
        "\n"
        "Examples labeled as 0 classified by model as 0: 50 times\n"
        "Examples labeled as 1 classified by model as 1: 47 times\n"
        "Examples labeled as 1 classified by model as 2: 3 times\n"
        "Examples labeled as 2 classified by model as 1: 2 times\n"
        "Examples labeled as 2 classified by model as 2: 48 times\n"
        "\n"
        "\n"
        "==========================Scores========================================\n"
        " # of classes:    3\n"
        " Accuracy:        0.9667\n"
        " Precision:       0.9668\n"
        " Recall:          0.9667\n"
        " F1 Score:        0.9667\n"
        "Precision, recall & F1: macro-averaged (equally weighted avg. of 3 classes)\n"
        "========================================================================\n"
    )


def test_layout_0_9_says_what_it_leaves_out():
    block = text(scores_of(NEVER_PREDICTED), "0.9")
    assert block.split("times\n")[-1] == (
        "\n"
        "Warning: 1 class was never predicted by the model "
        "and was excluded from average precision\n"
        "Classes excluded from average precision: [2]\n"
        "\n"
        "==========================Scores========================================\n"
        " # of classes:    3\n"
        " Accuracy:        0.5625\n"
        " Precision:       0.5625\t(1 class excluded from average)\n"
        " Recall:          0.5000\n"
        " F1 Score:        0.6429\t(1 class excluded from average)\n"
        "Precision, recall & F1: macro-averaged (equally weighted avg. of 3 classes)\n"
        "========================================================================\n"
    )


def test_layout_1_0_says_what_it_leaves_out():
    assert text(scores_of(NEVER_PREDICTED), "1.0") == (
        "\n"
        "\n"
        "========================Evaluation Metrics========================\n"
        " # of classes:    3\n"
        " Accuracy:        0.5625\n"
        " Precision:       0.5625\t(1 class excluded from average)\n"
        " Recall:          0.5000\n"
        " F1 Score:        0.6429\t(1 class excluded from average)\n"
        "Precision, recall & F1: macro-averaged (equally weighted avg. of 3 classes)\n"
        "\n"
        "Warning: 1 class was never predicted by the model "
        "and was excluded from average precision\n"
        "Classes excluded from average precision: [2]\n"
        "\n"
        "=========================Confusion Matrix=========================\n"
        " 0 1 2\n"
        "-------\n"
        " 5 1 0 | 0 = 0\n"
        " 2 4 0 | 1 = 1\n"
        " 1 3 0 | 2 = 2\n"
        "\n"
        "Confusion matrix format: Actual (rowClass) predicted as (columnClass) N times\n"
        "==================================================================\n"
    )


def test_layout_1_0_without_warnings_has_two_empty_lines_before_the_matrix():
    assert text(scores_of(IRIS), "1.0").endswith(
        "(equally weighted avg. of 3 classes)\n"
        "\n"
        "\n"
        "=========================Confusion Matrix=========================\n"
        "  0  1  2\n"
        "----------\n"
        " 50  0  0 | 0 = 0\n"
        "  0 47  3 | 1 = 1\n"
        "  0  2 48 | 2 = 2\n"
        "\n"
        "Confusion matrix format: Actual (rowClass) predicted as (columnClass) N times\n"
        "==================================================================\n"
    )


@pytest.mark.parametrize("layout", ["0.9", "1.0"])
def test_classes_without_rows_and_without_predictions_are_in_the_plural(layout):
    block = text(scores_of([[3, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), layout)
    assert (
        "\n\n"
        "Warning: 2 classes were never predicted by the model "
        "and were excluded from average precision\n"
        "Classes excluded from average precision: [2, 3]\n"
        "Warning: 2 classes were never predicted by the model "
        "and were excluded from average recall\n"
        "Classes excluded from average recall: [2, 3]\n"
        "\n"
    ) in block
    assert " Recall:          0.8750\t(2 classes excluded from average)\n" in block


def test_two_classes_in_layout_0_9_have_the_f1_of_class_1():
    block = text(scores_of([[37, 3], [4, 6]], ["no", "yes"]), "0.9")
    # macro precision (37/41 + 6/9) / 2, macro recall (37/40 + 6/10) / 2, F1 of class 1: 12/19
    assert block.startswith("\nExamples labeled as no classified by model as no: 37 times\n")
    assert block.endswith(
        " # of classes:    2\n"
        " Accuracy:        0.8600\n"
        " Precision:       0.7846\n"
        " Recall:          0.7625\n"
        " F1 Score:        0.6316\n"
        "========================================================================\n"
    )


def test_two_classes_in_layout_1_0_are_reported_for_class_1():
    block = text(scores_of([[37, 3], [4, 6]], ["no", "yes"]), "1.0")
    assert (
        " Precision:       0.6667\n"
        " Recall:          0.6000\n"
        " F1 Score:        0.6316\n"
        'Precision, recall & F1: reported for positive class (class 1 - "yes") only\n'
        "\n"
        "\n"
    ) in block
    assert " 37  3 | 0 = no\n  4  6 | 1 = yes\n" in block


def test_class_1_that_is_never_predicted_scores_zero():
    # As Deeplearning4j 1.0 prints it.
    assert text(scores_of([[37, 0], [13, 0]]), "1.0") == (
        "\n"
        "\n"
        "========================Evaluation Metrics========================\n"
        " # of classes:    2\n"
        " Accuracy:        0.7400\n"
        " Precision:       0.0000\n"
        " Recall:          0.0000\n"
        " F1 Score:        0.0000\n"
        'Precision, recall & F1: reported for positive class (class 1 - "1") only\n'
        "\n"
        "Warning: 1 class was never predicted by the model "
        "and was excluded from average precision\n"
        "Classes excluded from average precision: [1]\n"
        "\n"
        "=========================Confusion Matrix=========================\n"
        "  0  1\n"
        "-------\n"
        " 37  0 | 0 = 0\n"
        " 13  0 | 1 = 1\n"
        "\n"
        "Confusion matrix format: Actual (rowClass) predicted as (columnClass) N times\n"
        "==================================================================\n"
    )


def test_top_n_stands_after_accuracy_and_is_padded():
    assert " Accuracy:        0.9667\n Top 2 Accuracy:  1.0000\n Precision:" in text(
        scores_of(IRIS, top_n=2), "0.9"
    )
    assert "\n Top 10 Accuracy: 1.0000\n" in text(scores_of(IRIS, top_n=10), "1.0")
    assert "Top" not in text(scores_of(IRIS), "0.9")


def test_figure_that_does_not_exist_is_nan():
    block = text(scores_of([[0, 5, 0], [0, 0, 0], [0, 0, 0]]), "0.9")
    assert " F1 Score:        NaN\t(3 classes excluded from average)\n" in block
    empty = text(score(no_counts(3, probabilities=True), None, 1), "1.0")
    assert " Accuracy:        NaN\n Precision:       NaN\t(3 classes excluded" in empty


def test_cells_are_one_column_wider_than_the_largest_number():
    ten = text(scores_of([[10, 0], [0, 1]]), "1.0")
    assert "\n  0  1\n-------\n 10  0 | 0 = 0\n  0  1 | 1 = 1\n" in ten
    large = score(no_counts(2, probabilities=False), None, 1)
    large.confusion[0, 1] = 10**10
    assert "\n           0 10000000000 | 0 = 0\n" in text(large, "1.0")
    assert "as 1: 10000000000 times\n" in text(large, "0.9")
    many = text(scores_of(np.eye(11, dtype=int)), "1.0")
    assert "\n  0  1  2  3  4  5  6  7  8  9 10\n" + "-" * 34 + "\n  1  0" in many


def test_document_holds_every_metric():
    content = iris_document(bad_rows={"not a number": 2, "missing": 1})
    assert next(iter(content)) == "version"
    assert content["version"] == 4
    assert content["rows"] == 150
    assert content["bad_rows"] == {"total": 3, "by_reason": {"missing": 1, "not a number": 2}}
    assert content["confusion_matrix"] == IRIS
    assert content["loss"] == 0.25
    assert content["accuracy"] == content["top_n_accuracy"] == 145 / 150
    assert content["per_class"]["iris.versicolor"]["support"] == 50
    assert content["dl4j"]["f1"] == pytest.approx(0.96666, abs=1e-4)
    for name in ("cohen_kappa", "matthews_corrcoef", "balanced_accuracy", "brier_score"):
        assert isinstance(content[name], float)
    assert content["roc_auc"]["per_class"]["setosa"] == 1.0
    assert content["average_precision"]["macro_error_bound"] > 0
    assert len(content["reliability"]["bins"]) == 10
    assert content["run"]["rows_per_second"] == 1000.5


def test_document_has_the_averages_of_the_block_in_its_layout():
    scores = scores_of([[37, 3], [4, 6]])
    early = document(scores, bad_rows={}, run={})["dl4j"]
    late = document(scores, bad_rows={}, run={}, layout="1.0")["dl4j"]
    assert (early["layout"], late["layout"]) == ("0.9", "1.0")
    assert early["precision"] == pytest.approx((37 / 41 + 6 / 9) / 2)
    assert late["precision"] == pytest.approx(6 / 9)
    assert early["f1"] == late["f1"] == pytest.approx(12 / 19)
    left_out = document(scores_of(NEVER_PREDICTED), bad_rows={}, run={})["dl4j"]
    assert left_out["excluded_classes"] == {"precision": [2], "recall": [], "f1": [2]}


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_json_has_no_nan_and_knows_numpy():
    run = {
        "loss": float("nan"),
        "peak": np.float32(np.inf),
        "workers": np.int64(4),
        "names": ("é", {"b", "a"}),
        "path": pathlib.PurePosixPath("/data"),
        "array": np.array([[1.5, np.nan]]),
        "on": np.bool_(True),
    }
    written = to_json(iris_document(run=run))
    read = json.loads(written, parse_constant=refuse_constant)
    assert read["run"] == {
        "loss": None,
        "peak": None,
        "workers": 4,
        "names": ["é", ["a", "b"]],
        "path": "/data",
        "array": [[1.5, None]],
        "on": True,
    }
    assert written.startswith('{\n  "version": 4,\n')
    assert written.endswith("}\n")
    assert to_json(run) == to_json(dict(run))


def test_empty_evaluation_is_all_null_in_json():
    empty = document(score(no_counts(3, probabilities=False), None, 1), bad_rows={}, run={})
    read = json.loads(to_json(empty), parse_constant=refuse_constant)
    assert read["rows"] == 0
    assert read["accuracy"] is read["loss"] is read["macro"]["f1"] is read["reliability"] is None
    assert read["roc_auc"]["macro"] is None


def test_confusion_csv_opens_in_pandas():
    names = ["a,b", 'say "c"', "ü"]
    frame = pd.read_csv(io.StringIO(confusion_csv(scores_of(IRIS, names))), index_col=0)
    assert list(frame.columns) == list(frame.index) == names
    assert frame.loc['say "c"', "ü"] == 3
    assert frame.to_numpy().tolist() == IRIS


def test_history_csv_has_a_line_an_epoch():
    written = history_csv(
        [
            {"epoch": 1, "loss": np.float64(0.1)},
            {"epoch": 2, "loss": float("nan"), "val_loss": 1 / 3},
        ]
    )
    assert written == f"epoch,loss,val_loss\n1,0.1,\n2,,{1 / 3!r}\n"
    assert len(list(csv.reader(io.StringIO(written)))) == 3


def test_files_are_the_same_bytes_for_the_same_results():
    scores = scores_of(IRIS, ["sétosa", "versicolor", "virginica"])
    content = document(scores, bad_rows={}, run={})
    written = files(scores, content, layout="1.0")
    assert list(written) == ["report.txt", "metrics.json", "confusion_matrix.csv"]
    assert written["report.txt"].decode() == text(scores, "1.0")
    assert json.loads(written["metrics.json"]) == content
    assert written == files(scores, content, layout="1.0")
    assert files(scores, content, history=[{"epoch": 1}])["history.csv"] == b"epoch\n1\n"


def test_requirements_that_are_met_say_nothing():
    requirements = [
        Requirement("accuracy", ">=", 145 / 150),
        Requirement("precision", ">", 0.9667),
        Requirement("f1", "<", 0.97),
        Requirement("loss", "<=", 0.25),
        Requirement("per_class.iris.versicolor.f1", ">", 0.9),
        Requirement("run.rows_per_second", ">=", 1000),
        Requirement("roc_auc.macro", ">", 0.9),
    ]
    check_requirement_names(requirements)
    assert unmet(iris_document(), requirements) == []


def test_requirements_that_are_not_met_have_a_line_each():
    content = iris_document(run={"seconds": None})
    requirements = [
        Requirement("accuracy", ">=", 0.99),
        Requirement("accuracy", ">", 145 / 150),
        Requirement("per_class.rose.f1", ">=", 0.5),
        Requirement("run.seconds", "<", 10),
        Requirement("dl4j.layout", ">", 0),
    ]
    assert unmet(content, requirements) == [
        "accuracy is 0.9667, required >= 0.99",
        "accuracy is 0.9666666666666667, required > 0.966666666667",
        "per_class.rose.f1 does not exist in this run, required >= 0.5",
        "run.seconds does not exist in this run, required < 10",
        "dl4j.layout does not exist in this run, required > 0",
    ]


def test_a_reason_that_no_bad_row_has_counts_none():
    most = [Requirement(f"bad_rows.by_reason.{why}", "<=", 1) for why in ("missing", "not finite")]
    check_requirement_names(most)
    content = document(scores_of(IRIS), bad_rows={"missing": 2}, run={})
    assert unmet(content, most) == ["bad_rows.by_reason.missing is 2, required <= 1"]


def test_f1_means_the_block_in_its_layout():
    scores = scores_of([[37, 3], [4, 6]])
    wanted = [Requirement("recall", ">=", 0.7)]
    assert unmet(document(scores, bad_rows={}, run={}), wanted) == []
    late = document(scores, bad_rows={}, run={}, layout="1.0")
    assert unmet(late, wanted) == ["recall is 0.6000, required >= 0.7"]


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "precision",
        "macro.f1",
        "weighted.recall",
        "dl4j.f1",
        "loss",
        "cohen_kappa",
        "per_class.a.b.f1",
        "average_precision.per_class.x",
        "top_n_accuracy",
        "rows",
        "bad_rows.total",
        "bad_rows.by_reason.missing",
        "run.workers",
        "brier_score",
    ],
)
def test_metric_that_can_exist_is_accepted(name):
    check_requirement_names([Requirement(name, ">=", 0.5)])


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("acuracy", "accuracy"),
        ("macro.f2", "macro.f1"),
        ("per_class.f1", "per_class.<class>.f1"),
        ("roc_auc", "roc_auc.macro"),
        ("class_names", "accuracy"),
        ("bad_rows.by_reason.mising", "bad_rows.by_reason.missing"),
        ("zzz", "accuracy, precision, recall, f1, macro.f1"),
    ],
)
def test_metric_that_can_never_exist_is_refused_with_the_nearest_names(name, nearest):
    with pytest.raises(OptionsError) as caught:
        check_requirement_names(
            [Requirement("accuracy", ">", 0), Requirement(name, ">", 0), Requirement("q", ">", 0)]
        )
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"-require {name}: ")
    assert second.startswith("-require q: ")
    if name != "class_names":
        assert nearest in first
