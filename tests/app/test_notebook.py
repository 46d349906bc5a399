"""The sample notebook, executed as Jupyter executes it."""

import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from running import ROOT, clean_environ

SAMPLES = ROOT / "samples"


def text_of(cell) -> str:
    """What a cell shows as plain text."""
    shown = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        shown.append(output.get("text", data.get("text/plain", "")))
    return "".join("".join(one) for one in shown)


def test_notebook_runs_to_its_end_and_is_committed_with_its_outputs(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat

    shutil.copy(archive, tmp_path)
    shutil.copy(ROOT / "irisspark" / "samples" / "iris.txt", tmp_path)
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name in set(os.environ) - set(environ := clean_environ(PATH=folders)):
        monkeypatch.delenv(name)
    for name, value in (environ | {"PYTHONPATH": str(ROOT), "MASTER": "local[2]"}).items():
        monkeypatch.setenv(name, value)
    executed = runpy.run_path(str(SAMPLES / "execute.py"))["execute"](tmp_path)
    committed = nbformat.read(SAMPLES / "iris.ipynb", as_version=4)
    # The numbers of a training differ in their last places from processor to processor.
    shows = [[bool(text_of(cell)) for cell in book.cells] for book in (executed, committed)]
    assert shows[0] == shows[1]
    assert any(shows[1])
    block = next(text for cell in executed.cells if " # of classes: " in (text := text_of(cell)))
    assert "Examples labeled as 0 classified by model as 0: 50 times" in block
    whole = nbformat.writes(committed)
    assert not [word for word in ("/tmp/", "/work", "/root", "/home") if word in whole]
