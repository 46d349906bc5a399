"""Every command of README.md, CONTRIBUTING.md and docs/, run as it stands there, or marked."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from documents import DOCUMENTS, Block, all_blocks, read_blocks, shown_after
from one_driver import OneDriver
from running import ROOT, RUN_SECONDS, SPARK_HOME, clean_environ
from users_files import write_files

from irisspark.submit.spark_options import parse_spark_options

README = ROOT / "README.md"
BLOCKS = all_blocks()
DEMO = "./submit.sh\n"
TO_RUN = [block for block in BLOCKS if block.kinds == ["run"] and block.text != DEMO]

# What spark-submit was given, each word behind a NUL, in the place of a spark-submit.
NOTE_WORDS = "spark-submit() { printf '%s\\0' \"$@\" > words; }\n"


def run_in_bash(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    paths = [str(SPARK_HOME / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=clean_environ(PATH=os.pathsep.join(paths), PYSPARK_PYTHON=sys.executable, **environ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


@pytest.fixture
def folder(tmp_path: Path, sample_model: Path, archive: Path) -> Path:
    """The folder of a user who has every file that a document names."""
    made = tmp_path / "my job"
    made.mkdir()
    write_files(made, sample_model, archive)
    return made


# Each block is one of three things


def test_every_block_is_run_or_marked_or_shown() -> None:
    assert {block.place: block.kinds for block in BLOCKS if len(block.kinds) != 1} == {}
    fences = sum(
        path.read_text().count("\n```") + path.read_text().count("\n~~~") for path in DOCUMENTS
    )
    assert 2 * len(BLOCKS) == fences
    assert len(TO_RUN) >= 20


def test_no_command_hides_in_what_is_only_shown() -> None:
    command = re.compile(r"^(\$ |spark-submit |\./submit\.sh|python |pip |tests/run|[A-Z_]+=\S)")
    shown = [block for block in BLOCKS if "shown" in block.kinds and block.language == "text"]
    hidden = [
        (block.place, line)
        for block in shown
        for line in block.text.splitlines()
        if command.match(line)
    ]
    assert hidden == []


def test_no_block_stands_indented_in_place_of_a_fence() -> None:
    found = []
    for document in DOCUMENTS:
        outside = document.read_text()
        for block in read_blocks(document):
            outside = outside.replace(block.text, "")
        found += [(document.name, line) for line in re.findall(r"\n\n( {4}\S.*)", outside)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("```bash\nls\n```", ["run"]),
        ("*Not run here: it is slow.*\n\n```bash\nls\n```", ["not run"]),
        ("<!-- not run here -->\n```bash\nls\n```", ["not run"]),
        ("Not run here, the next one is.\n\nText.\n\n```bash\nls\n```", ["run"]),
        ("```text\nls\n```", ["shown"]),
        ("```\nls\n```", []),
        ("```sh\nls\n```", []),
        ("Not run here.\n```text\nls\n```", []),
    ],
)
def test_kind_of_a_block(text: str, kinds: list[str]) -> None:
    (block,) = read_blocks(README, text)
    assert block.kinds == kinds


def test_block_that_is_never_closed_is_found() -> None:
    with pytest.raises(AssertionError, match="never closed"):
        list(read_blocks(README, "```bash\nls\n"))


# The commands


def test_readme_has_the_courses_command_and_the_plain_one() -> None:
    submits = [block.text for block in BLOCKS if block.document == README]
    assert sum("--class KerasImportCSVSparkRunner" in text for text in submits) == 1
    for option in ("-train false", "-train true", "-predictions true"):
        assert any(text.startswith("spark-submit") and option in text for text in submits)


def test_submit_sh_prints_what_the_readme_shows(checkout: Path) -> None:
    (demo,) = [block for block in BLOCKS if block.text == DEMO]
    done = run_in_bash("./submit.sh", checkout, SPARK_HOME=str(SPARK_HOME))
    assert (done.returncode, done.stdout) == (0, shown_after(demo, BLOCKS)), done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_a_document_run_one_after_another(
    document: Path, folder: Path, request: pytest.FixtureRequest
) -> None:
    for block in [block for block in TO_RUN if block.document == document]:
        code, output = run_block(block, folder, lambda: request.getfixturevalue("one_driver"))
        assert code == block.exit_code, f"{block.place}\n{output}"
        if (shown := shown_after(block, BLOCKS)) is not None:
            assert not missing_lines(shown, output, folder), f"{block.place}\n{output}"


def run_block(block: Block, folder: Path, one_driver: Callable[[], OneDriver]) -> tuple[int, str]:
    """Run a block: (exit code, output). Those of docs/ with a spark-submit run in one driver."""
    if "spark-submit" not in block.text:
        done = run_in_bash(block.text, folder, PYTHONPATH=str(ROOT))
    elif block.document == README:
        done = run_in_bash(block.text, folder, MASTER="local[2]")
    else:
        noted = run_in_bash(NOTE_WORDS + block.text, folder, MASTER="local[2]")
        assert (noted.returncode, noted.stdout) == (0, ""), noted.stderr
        words = (folder / "words").read_text().split("\0")[:-1]
        at = words.index("irisspark.zip")
        parse_spark_options(words[:at])
        return one_driver().run(words[at + 1 :], folder)
    return done.returncode, done.stdout + done.stderr


def missing_lines(shown: str, output: str, folder: Path) -> list[str]:
    """Give the lines that a document shows and the output does not have, in this order.

    Numbers and spaces may differ; the user's folder is /home/me; ... stands for any lines.
    """
    lines = iter([shape(line) for line in output.replace(str(folder), "/home/me").splitlines()])
    return [
        line for line in shown.splitlines() if line.strip() != "..." and shape(line) not in lines
    ]


def shape(line: str) -> str:
    return re.sub(r"\d+(\.\d+)?(e[-+]\d+)?", "0", " ".join(line.split()))


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("epoch 1/2  loss 0.5\n...\ndone\n", []),
        ("done\nepoch 1/2 loss 0.5\n", ["epoch 1/2 loss 0.5"]),
        ("/home/me/a.csv, line 7\n", []),
        ("epoch 1/2  gain 0.5\n", ["epoch 1/2  gain 0.5"]),
    ],
)
def test_lines_that_are_not_printed_are_found(
    shown: str, missing: list[str], tmp_path: Path
) -> None:
    output = f"{tmp_path}/a.csv, line 3\nepoch 10/20  loss 1.25e-03\nepoch 20/20\ndone\n"
    assert missing_lines(shown, output, tmp_path) == missing
