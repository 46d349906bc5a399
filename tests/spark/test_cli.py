"""Whole runs through ``cli.main`` on real workers; only the Spark context is shared."""

import contextlib
import gzip
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyspark
import pytest

from irisspark import cli
from irisspark.samples import train_model

pytestmark = pytest.mark.spark

IRIS = Path(train_model.__file__).with_name("iris.txt")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "my_model.h5"
    train_model.main([str(path)])
    return path


@pytest.fixture
def run(spark, model, tmp_path, monkeypatch, capfd):
    """Run a command line in an empty folder: (exit code, stdout, stderr)."""

    @contextlib.contextmanager
    def shared(**_):
        yield spark

    monkeypatch.setattr(cli, "open_session", shared)
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "my_model.h5")
    shutil.copy(IRIS, "iris.txt")

    def run(*argv: str, data: bytes | str | None = None) -> tuple[int, str, str]:
        if data is not None:
            Path("data.csv").write_bytes(data.encode() if isinstance(data, str) else data)
        given = {"-modelPath": "my_model.h5", "-labelIndex": "4", "-numClasses": "3"}
        given["-dataPath"] = "iris.txt" if data is None else "data.csv"
        given |= dict(zip(argv[::2], argv[1::2], strict=True))
        capfd.readouterr()
        code = cli.main([word for pair in given.items() for word in pair])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "at org.apache" not in out + err
        return code, out, err

    return run


def test_the_block_is_the_last_thing_printed(run):
    code, out, _ = run()
    assert code == 0
    assert out.startswith("\nExamples labeled as 0 classified by model as 0: 50 times\n")
    assert out.endswith("=" * 72 + "\n")
    assert " # of classes:    3\n" in out


def test_verbose_shows_the_seconds_of_each_phase(run):
    code, _, err = run("-verbose", "true")
    assert code == 0
    for phase in ("session", "model", "evaluate", "merge", "build", "read", "parse", "predict"):
        assert re.search(rf"^  {phase} +\d+\.\d\d s$", err, re.MULTILINE), err
    assert re.search(r"^  rows +[\d,]+ a second$", err, re.MULTILINE), err
    assert re.search(r"^  bytes +\d+\.\d\d MiB a second$", err, re.MULTILINE), err
    for process in ("driver", "largest worker"):
        assert re.search(rf"^  {process} +[\d,]+ MiB$", err, re.MULTILINE), err


def test_metrics_tell_seconds_speed_and_memory(run):
    started = time.perf_counter()
    run("-outputPath", "out")
    wall = time.perf_counter() - started
    told = json.loads(Path("out/metrics.json").read_text())["run"]
    on_driver = ("session", "model", "data", "workers", "evaluate", "merge")
    in_tasks = ("build", "read", "parse", "predict")
    assert set(told["seconds"]) == {*on_driver, *in_tasks}
    assert all(value >= 0 for value in told["seconds"].values())
    assert sum(told["seconds"][name] for name in on_driver) <= wall
    evaluate = told["seconds"]["evaluate"]
    assert told["rows_per_second"] == pytest.approx(150 / evaluate)
    assert told["bytes_per_second"] == pytest.approx(IRIS.stat().st_size / evaluate)
    # A process with TensorFlow in it takes hundreds of MB, and none takes this machine's memory.
    for process in ("driver", "worker"):
        assert 100 << 20 < told[f"{process}_peak_memory_bytes"] < 100 << 30


def test_layout_1_0_prints_the_matrix(run):
    code, out, _ = run("-stats", "1.0")
    assert code == 0
    assert "\n=========================Confusion Matrix=========================\n" in out


def test_the_output_folder_holds_the_report_the_metrics_and_the_matrix(run):
    code, out, _ = run("-outputPath", "out")
    assert code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == [
        "confusion_matrix.csv",
        "metrics.json",
        "report.html",
        "report.txt",
    ]
    assert Path("out/report.txt").read_text() == out
    matrix = pd.read_csv("out/confusion_matrix.csv", index_col=0).to_numpy()
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["confusion_matrix"] == matrix.tolist()
    assert metrics["rows"] == 150
    assert metrics["run"]["options"]["labelIndex"] == 4
    assert metrics["run"]["versions"]["spark"] == pyspark.__version__


def test_an_output_folder_that_exists_is_kept_unless_overwrite_says_so(run):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    code, _, err = run("-outputPath", "out")
    assert (code, "exists" in err) == (1, True)
    assert Path("out/mine.txt").read_text() == "mine"
    code, _, _ = run("-outputPath", "out", "-overwrite", "true")
    assert code == 0
    assert not Path("out/mine.txt").exists()
    assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []


def test_run_is_logged_to_an_experiment_of_mlflow(run, mlflow_server, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    rows = IRIS.read_text() + "1,2,3,nothing,0\n"
    words = ("-mlflow", "cron", "-badRows", "skip", "-require", "accuracy:0.99")
    code, out, err = run(*words, "-outputPath", "out", data=rows)
    assert (code, out[-2:]) == (3, "=\n")
    place = re.search(r"the run is in MLflow: \S+/#/experiments/(\d+)/runs/(\w+)\n", err)
    assert place, err
    client = mlflow.MlflowClient(mlflow_server)
    assert client.get_experiment(place[1]).name == "cron"
    found, metrics = client.get_run(place[2]), json.loads(Path("out/metrics.json").read_text())
    assert found.info.status == "FINISHED"
    assert found.data.params["badRows"] == "skip"
    assert found.data.metrics["accuracy"] == metrics["accuracy"]
    assert found.data.metrics["macro.f1"] == metrics["macro"]["f1"]
    assert found.data.tags["irisspark.bad_rows"] == "1"
    assert found.data.tags["irisspark.unmet"].startswith("accuracy is ")
    assert found.data.tags["irisspark.version.spark"] == pyspark.__version__
    artifacts = client.list_artifacts(place[2], "irisspark")
    names = {file.path.removeprefix("irisspark/") for file in artifacts}
    assert names == {path.name for path in Path("out").iterdir()}


def test_server_that_is_not_there_costs_no_result(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, out, err = run("-mlflow", "cron", "-outputPath", "out")
    assert (code, Path("out/report.txt").read_text()) == (0, out)
    assert "irisspark: the run is not in MLflow, or not whole: http://127.0.0.1:9: " in err


def test_a_requirement_that_is_not_met_ends_with_3_after_the_report(run):
    code, out, err = run("-require", "accuracy>=0.999,f1:0.5")
    assert code == 3
    assert "accuracy is 0.97" in err
    assert "==Scores==" in out


def test_a_requirement_that_is_met_ends_with_0(run):
    assert run("-require", "accuracy>=0.9")[0] == 0


def test_load_data_false_prints_the_summary_of_the_model_alone(run):
    code, out, _ = run("-loadData", "false")
    assert code == 0
    assert "Total params" in out
    assert "Scores" not in out


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n\n",
        lambda text: "\n".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.split()
        ),
        lambda text: text.replace(",", " , "),
        lambda text: text.replace(",2\n", ",2.0\n").replace(",1\n", ",1e0\n"),
    ],
    ids=["crlf", "cr", "bom", "no last newline", "blank lines", "quoted", "spaces", "floats"],
)
def test_harmless_differences_change_nothing(run, mangle):
    expected = run()[1]
    code, out, err = run(data=mangle(IRIS.read_text()))
    assert (code, out) == (0, expected), err


def lines() -> list[str]:
    return IRIS.read_text().splitlines()


def with_line(number: int, line: str) -> str:
    changed = lines()
    changed[number - 1] = line
    return "\n".join(changed) + "\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (with_line(7, "5.1,3.5,1.4,0.2"), ["line 7", "4 columns", "has 5"]),
        (with_line(7, "5.1,x y,1.4,0.2,0"), ["line 7", "column 1", "'x y' is not a number"]),
        (with_line(9, "5.1,3.5,,0.2,0"), ["line 9", "column 2", "missing"]),
        (with_line(9, "5.1,3.5,nan,0.2,0"), ["line 9", "column 2", "'nan' is not a finite"]),
        (with_line(9, "5.1,3.5,-inf,0.2,0"), ["line 9", "column 2", "'-inf' is not a finite"]),
        (with_line(3, '5.1,"3.5,1.4,0.2,0'), ["line 3", "never closed", "-multiLine true"]),
        (with_line(3, "5.1,3.5,1.4,0.2,"), ["line 3", "column 4", "missing"]),
        (with_line(3, "5.1,3.5,1.4,0.2,5"), ["line 3", "the labels found are 0, 1, 2, 5"]),
        (with_line(3, "5.1,3.5\0,1.4,0.2,1"), ["line 3", "column 1", "not UTF-8"]),
        ("a,b,c,d,e\n" + IRIS.read_text(), ["line 1", "looks like a header", "-header true"]),
        ("", ["empty"]),
        ("\n\n", ["empty"]),
        (IRIS.read_text().replace(",", ";"), ["-delimiter ';'"]),
        (IRIS.read_text().encode("utf-16"), ["data.csv"]),
        ("\n".join(line[4:] for line in lines()), ["4 columns"]),
    ],
)
def test_bad_data_is_one_message_and_exit_code_1(run, data, said):
    code, out, err = run("-outputPath", "out", data=data)
    assert code == 1
    assert out == ""
    for part in said:
        assert part in err
    assert len(err.strip().splitlines()) == 1, err
    assert not Path("out").exists()


def test_labels_from_1_end_with_the_class_names_to_pass(run):
    rows = np.loadtxt(IRIS, delimiter=",")
    rows[:, -1] += 1
    data = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    code, _, err = run(data=data)
    assert code == 1
    assert "the labels found are 1, 2, 3" in err
    assert "-classNames 1,2,3" in err
    code, out, _ = run("-classNames", "1,2,3", data=data)
    assert code == 0
    assert "Examples labeled as 1 classified by model as 1: 50 times" in out


def test_skipped_rows_are_counted_shown_and_left_out(run):
    data = with_line(7, "5.1,oops,1.4,0.2,0").replace("\n", "\n,,,,\n", 1)
    code, _, err = run("-badRows", "skip", "-outputPath", "out", data=data)
    assert code == 0
    assert "2 bad rows were left out: 1 missing, 1 not a number" in err
    assert "data.csv, line 2, column 0: the value is missing" in err
    assert "data.csv, line 8, column 1: 'oops' is not a number" in err
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["rows"] == 149
    assert metrics["bad_rows"] == {"total": 2, "by_reason": {"missing": 1, "not a number": 1}}


def test_rows_that_are_all_bad_are_an_error_even_when_skipped(run):
    bad = ["", "oops,2,3,4,0", "1,oops,3,4,0", "1,2,oops,4,0", "1,2,3,oops,0", "1,2,3,4,oops,0"]
    code, _, err = run("-badRows", "skip", data="\n".join(bad[1:]))
    assert code == 1
    assert "every row is bad (5 of them)" in err


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"hello", b"<html></html>", b"PK"])
def test_a_file_that_is_no_model_is_one_message(run, content):
    Path("broken.h5").write_bytes(content)
    code, out, err = run("-modelPath", "broken.h5")
    assert (code, out) == (1, "")
    assert "broken.h5" in err
    assert len(err.strip().splitlines()) == 1, err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-modelPath", "nowhere.h5"], "there is no such file"),
        (["-dataPath", "nowhere.csv"], "there is no such file"),
        (["-labelIndex", "5"], "has 5 columns, 0 to 4"),
        (["-labelIndex", "-6"], "has 5 columns"),
        (["-numClasses", "4"], "has 3 units, which means 3 classes"),
        (["-outputPath", "iris.txt/out"], "not a folder"),
        (["-featureIndices", "0-2"], "takes 4 features, but the data gives 3"),
    ],
)
def test_what_does_not_fit_is_one_message_and_exit_code_1(run, options, said):
    code, out, err = run(*options)
    assert (code, out) == (1, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1, err


def test_usage_errors_are_listed_all_at_once_with_exit_code_2(run):
    code, out, err = run("-labelIdx", "4", "-epochs", "many")
    assert (code, out) == (2, "")
    assert "-labelIndex" in err
    assert "many" in err


def test_text_labels_are_numbered_in_sorted_order(run):
    names = ["setosa", "versicolor", "virginica"]
    data = "\n".join(f"{line[:-1]}{names[int(line[-1])]}" for line in lines())
    code, out, _ = run(data=data)
    assert code == 0
    assert "Examples labeled as setosa classified by model as setosa: 50 times" in out


def test_a_folder_of_parts_with_headers_is_one_data_set(run):
    expected = run()[1]
    Path("parts").mkdir()
    Path("parts/_SUCCESS").write_text("")
    Path("parts/part-00000").write_text("a,b,c,d,label\n" + "\n".join(lines()[:70]) + "\n")
    Path("parts/part-00001").write_text("")
    with gzip.open("parts/part-00002.gz", "wt") as part:
        part.write("a,b,c,d,label\n" + "\n".join(lines()[70:]))
    code, out, err = run("-dataPath", "parts", "-header", "true", "-labelIndex", "label")
    assert (code, out) == (0, expected), err
