"""What the user is told stays a line, whatever a name or a cell holds."""

import pickle

import pytest

from irisspark.errors import DataError, ModelError, OptionsError
from irisspark.options import parse
from irisspark.startup.notices import say

ODD = "a\nb\r\x1b[31m\u2028\u00a0\u200b\u00e9 c"
SHOWN = "a\\nb\\r\\x1b[31m\\u2028\\xa0\\u200b\u00e9 c"


@pytest.mark.parametrize("kind", [DataError, ModelError])
def test_a_message_is_one_line(kind):
    error = pickle.loads(pickle.dumps(kind(f"there is no {ODD}")))
    assert str(error) == f"there is no {SHOWN}"
    assert error.lines == [str(error)]


def test_a_command_line_has_a_line_for_each_problem():
    with pytest.raises(OptionsError) as error:
        parse(
            [
                "-epochs",
                ODD,
                "-modelPath",
                "m.h5",
                "-numClasses",
                ODD,
                "-x\ny",
                "1",
                "-outputPath",
                "a\nb",
            ]
        )
    assert len(error.value.lines) == 3
    assert all(line.isprintable() for line in error.value.lines)


def test_lines_on_the_way_hold_no_control_characters(capsys):
    say(f"going on in {ODD}")
    say("one", "two")
    assert capsys.readouterr().err == f"irisspark: going on in {SHOWN}\nirisspark: one\ntwo\n"
