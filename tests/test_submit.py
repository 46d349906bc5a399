"""What submit.sh knows of Spark without starting it."""

import os
from pathlib import Path

import pytest

from irisspark.errors import OptionsError
from irisspark.submit.sharing import _clear
from irisspark.submit.spark_options import parse_spark_options


@pytest.mark.parametrize("new", [["--of-a-newer-spark"], ["--of-a-newer-spark", "value"]])
def test_option_that_is_not_known_takes_no_other_for_its_value(new: list[str]) -> None:
    options = parse_spark_options([*new, "--master", "yarn"])
    assert options.properties == {"spark.master": "yarn"}
    assert options.words == (*new, "--master", "yarn")


def test_option_that_takes_a_value_takes_the_next_word() -> None:
    words = ["--driver-java-options", "-Da=b", "--conf", "spark.a=b=c"]
    found = parse_spark_options(words).properties
    assert found == {"spark.driver.extraJavaOptions": "-Da=b", "spark.a": "b=c"}
    with pytest.raises(OptionsError, match="--master: this option of Spark needs a value"):
        parse_spark_options(["--master"])


def test_classes_of_other_sparks_are_kept_for_the_next_turn(tmp_path: Path) -> None:
    for age, name in enumerate(["new.failed", "b.jsa", "a.jsa", "c.jsa", "c.py", "d.jsa"]):
        file = tmp_path / f"spark-classes-{name}"
        file.touch()
        os.utime(file, (age, age))
    _clear(tmp_path / "spark-classes-new.jsa")
    assert {file.name for file in tmp_path.iterdir()} == {
        *("spark-classes-c.jsa", "spark-classes-c.py", "spark-classes-d.jsa")
    }
