"""The files that the documents' commands speak of, as small as they can be."""

import csv
import shutil
from pathlib import Path

from running import ROOT

SAMPLES = ROOT / "irisspark" / "samples"
OLD_MODEL = ROOT / "tests" / "models" / "files" / "keras-1.2.2-tensorflow-tf" / "mlp.h5"
NAMES = ("setosa", "versicolor", "virginica")
HEADER = ("id", "sepal length", "sepal width", "petal length", "petal width", "species")


def write_files(folder: Path, sample_model: Path, archive: Path) -> None:
    """Write everything that a document may name; csv.md says what each data file looks like."""
    for path in (sample_model, archive, archive.with_suffix(".jar"), SAMPLES / "iris.txt"):
        shutil.copy(path, folder)
    shutil.copy(OLD_MODEL, folder / "old.h5")
    with (SAMPLES / "iris.txt").open() as lines:
        rows = list(csv.reader(lines))
    _write(folder / "new.csv", [row[:4] for row in rows])
    _write(folder / "from-one.csv", [[*row[:4], str(int(row[4]) + 1)] for row in rows])
    _write(folder / "broken.csv", _broken(rows))
    named = [[f"r{number}", *row[:4], NAMES[int(row[4])]] for number, row in enumerate(rows, 1)]
    _write(folder / "flowers.csv", [HEADER, *named], delimiter=";")
    notes = [[*row[1:], f'found "near"\nplot {row[0]}'] for row in named]
    _write(folder / "notes.csv", notes)
    days = folder / "days"
    days.mkdir()
    (days / "_SUCCESS").touch()
    for day in range(3):
        _write(days / f"part-{day}.csv", [HEADER, *named[day::3]])


def _broken(rows: list[list[str]]) -> list[list[str]]:
    changed = {2: ["5.1", "oops", "1.4", "0.2", "0"], 7: ["5.1", "3.5", "", "0.2", "0"]}
    changed[9] = ["4.9", "3.1"]
    return [changed.get(number, row) for number, row in enumerate(rows)]


def _write(path: Path, rows: list[list[str]] | list[tuple[str, ...]], delimiter: str = ",") -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
