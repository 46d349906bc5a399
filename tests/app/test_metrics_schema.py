"""docs/metrics.schema.json against what real runs leave in metrics.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from one_driver import OneDriver
from running import ROOT
from users_files import write_files

SCHEMA = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())


def check_metrics(content: Any) -> None:
    """Hold a metrics.json against the schema, which is to name everything in it."""
    jsonschema.validate(content, closed(SCHEMA), jsonschema.Draft202012Validator)


def closed(schema: Any) -> Any:
    """Make a schema refuse what it does not name; as it stands, later versions may add to it."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    is_object = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {"additionalProperties": False, **inner} if is_object else inner


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


RUNS = {
    "evaluated": "iris.txt -topN 2 -require accuracy:0.5 -stats 1.0",
    "trained": "iris.txt -train true -epochs 2 -validationSplit 0.2 -patience 1",
    "predicted": "new.csv -labelIndex none -predictions true",
    "skipped": "broken.csv -badRows skip -classNames 0,1,2",
    "hidden": "broken.csv -badRows skip -classNames 0,1,2 -showValues false",
}


@pytest.fixture(scope="module")
def results(
    one_driver: OneDriver,
    sample_model: Path,
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder of results after a run of each kind, with what it printed as ``output``."""
    folder = tmp_path_factory.mktemp("metrics")
    write_files(folder, sample_model, archive)
    for name, words in RUNS.items():
        job = f"-modelPath my_model.h5 -outputPath {name} -dataPath {words}"
        code, output = one_driver.run(job.split(), folder)
        assert code == 0, output
        (folder / name / "output").write_text(output)
    return folder


@pytest.fixture(scope="module")
def metrics(results: Path) -> dict[str, Any]:
    """What metrics.json holds after a run of each kind."""
    return {name: json.loads((results / name / "metrics.json").read_text()) for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_metrics_of_each_kind_of_run_fit_the_schema(name: str, metrics: dict[str, Any]) -> None:
    check_metrics(metrics[name])
    assert ("training" in metrics[name]["run"]) == (name == "trained")
    assert ("num_predicted" in metrics[name]) == (name == "predicted")
    assert (metrics[name]["bad_rows"]["total"] == 3) == (name in ("skipped", "hidden"))


@pytest.mark.parametrize("name", RUNS)
def test_report_of_each_kind_of_run_shows_its_figures(name: str, results: Path) -> None:
    page = (results / name / "report.html").read_text()
    content = json.loads((results / name / "metrics.json").read_text())
    assert ("Loss fell" in page) == (name == "trained")
    assert ("Good enough" in page) == (name == "evaluated")
    assert ("3 were left out" in page) == (name in ("skipped", "hidden"))
    assert page.count('<svg role="img"') == {"trained": 7, "predicted": 0}.get(name, 3)
    if name != "predicted":
        assert f"Accuracy<b>{content['accuracy']:.4f}</b>" in page


def test_values_are_shown_only_where_they_may_be(results: Path) -> None:
    for written in ("report.html", "metrics.json", "output"):
        assert "oops" in (results / "skipped" / written).read_text()
        hidden = (results / "hidden" / written).read_text()
        assert "oops" not in hidden
        assert "column 1: the value is not a number" in hidden


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("accuracy"),
        lambda content: content.update(accuracy=2),
        lambda content: content.update(acuracy=0.5),
        lambda content: content["run"].pop("seconds"),
        lambda content: content["run"].update(comparison={"rows": -1}),
    ],
)
def test_metrics_that_do_not_fit_the_schema_are_found(
    change: Callable[[Any], Any], metrics: dict[str, Any]
) -> None:
    content = json.loads(json.dumps(metrics["evaluated"]))
    change(content)
    with pytest.raises(jsonschema.ValidationError):
        check_metrics(content)
