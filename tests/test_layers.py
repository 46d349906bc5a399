"""The rules of the house: a file imports only files below it, and keeps to its side."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import groupby
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "irisspark"

# From top to bottom, room by room. DRIVER code runs once, WORKER code in Spark's Python workers,
# EITHER code in both, PURE code anywhere: it touches neither Spark nor the terminal. BUILD code
# makes the archive or starts spark-submit, and runs before either. An ``__init__`` that holds a
# docstring alone has no line.
FILES = {
    "samples/train_model": "SAMPLE",
    #
    "submit/command": "BUILD",
    "submit/shipping": "BUILD",
    "submit/shipped_python": "BUILD",
    "submit/spark_options": "BUILD",
    "submit/sharing": "BUILD",
    "submit/early": "BUILD",
    "submit/environment": "BUILD",
    #
    "bundle/__main__": "BUILD",
    "bundle/packing": "BUILD",
    "bundle/python_archive": "BUILD",
    "bundle/tarball": "BUILD",
    "bundle/device_code": "BUILD",
    #
    "__main__": "DRIVER",
    "early_driver": "DRIVER",
    "cli": "DRIVER",
    "api": "DRIVER",
    "settings": "DRIVER",
    "run_record": "DRIVER",
    "keras_import/__main__": "DRIVER",
    #
    "tracking/logging_process": "DRIVER",
    "tracking/tracker": "DRIVER",
    "tracking/record": "PURE",
    #
    "report/__init__": "PURE",
    "report/model_text": "PURE",
    "report/page": "PURE",
    "report/number_pictures": "PURE",
    "report/number_tables": "PURE",
    "report/label_tables": "PURE",
    "report/page_tables": "PURE",
    "report/pictures": "PURE",
    "report/gate": "PURE",
    "report/results": "PURE",
    "report/prediction_report": "PURE",
    "report/regression_report": "PURE",
    "report/labels_report": "PURE",
    "report/documents": "PURE",
    "report/text_block": "PURE",
    #
    "evaluation/frames": "DRIVER",
    "evaluation/predictions": "DRIVER",
    "evaluation/evaluating": "DRIVER",
    "evaluation/comparison": "DRIVER",
    "evaluation/worker/frame_rows": "WORKER",
    "evaluation/worker/counting": "WORKER",
    "evaluation/worker/prediction_file": "WORKER",
    "evaluation/worker/problems": "WORKER",
    #
    "training/running": "DRIVER",
    "training/rounds": "DRIVER",
    "training/exchange": "DRIVER",
    "training/placing": "DRIVER",
    "training/configuration": "DRIVER",
    "training/checkpoints": "DRIVER",
    "training/train_settings": "PURE",
    "training/history": "PURE",
    "training/worker/learning": "WORKER",
    "training/worker/replica": "WORKER",
    "training/worker/rows": "WORKER",
    "training/averaging": "PURE",
    #
    "data/frame_dataset": "DRIVER",
    "data/dataset": "DRIVER",
    "data/spreading": "DRIVER",
    "data/frame_pieces": "WORKER",
    "data/queries": "WORKER",
    "data/scanning": "WORKER",
    "data/parquet/parquet_reader": "PURE",
    "data/parquet/row_groups": "PURE",
    "data/parquet/cell_arrays": "PURE",
    "data/parquet/fields": "PURE",
    "data/parquet/footers": "PURE",
    "data/parquet/parquet_file": "PURE",
    "data/parquet/field_kinds": "PURE",
    "data/csv/csv_reader": "PURE",
    "data/csv/reading": "PURE",
    "data/csv/advice": "PURE",
    "data/csv/examine": "PURE",
    "data/csv/wide": "PURE",
    "data/csv/backslashes": "PURE",
    "data/csv/first_lines": "PURE",
    "data/csv/records": "PURE",
    "data/csv/blocks": "PURE",
    "data/csv/kinds": "PURE",
    "data/csv/csv_format": "PURE",
    "data/reader": "PURE",
    "data/explain": "PURE",
    "data/bad_rows": "PURE",
    "data/first_rows": "PURE",
    "data/columns": "PURE",
    "data/targets": "PURE",
    "data/numbers": "PURE",
    "data/gaps": "PURE",
    "data/cells": "PURE",
    "data/timing": "PURE",
    "data/splits": "PURE",
    "data/holdout": "PURE",
    #
    "model/loading": "DRIVER",
    "model/from_file": "DRIVER",
    "model/keras_3_file": "PURE",
    "model/strangers": "PURE",
    "model/stored_training": "PURE",
    "model/old_file": "PURE",
    "model/building": "PURE",
    "model/forward": "WORKER",
    "model/shared_file": "EITHER",
    "model/spec": "PURE",
    "model/keras_file": "PURE",
    "model/custom_objects": "PURE",
    "model/optimizers": "PURE",
    "model/one_output": "PURE",
    "model/output_range": "PURE",
    "model/keras_private": "PURE",
    "model/output": "PURE",
    "model/inputs": "PURE",
    #
    "keras_import/__init__": "PURE",
    "keras_import/importing": "PURE",
    "keras_import/imported_model": "PURE",
    "keras_import/containers/stored": "PURE",
    "keras_import/containers/zipped": "PURE",
    "keras_import/containers/sniffing": "PURE",
    "keras_import/containers/hdf5": "PURE",
    "keras_import/containers/archives": "PURE",
    "keras_import/containers/json_text": "PURE",
    "keras_import/eras/keras_2": "PURE",
    "keras_import/eras/keras_1": "PURE",
    "keras_import/eras/operations": "PURE",
    "keras_import/eras/rebuilt": "PURE",
    "keras_import/eras/recurrent": "PURE",
    "keras_import/eras/old_training": "PURE",
    "keras_import/safety/permitted": "PURE",
    "keras_import/building/layouts": "PURE",
    "keras_import/building/weights": "PURE",
    "keras_import/building/objects": "PURE",
    "keras_import/building/parse": "PURE",
    "keras_import/building/emit": "PURE",
    "keras_import/building/vocabulary": "PURE",
    "keras_import/building/network": "PURE",
    "keras_import/findings": "PURE",
    "keras_import/words": "PURE",
    #
    "storage/publishing": "DRIVER",
    "storage/staging": "DRIVER",
    "storage/fetching": "DRIVER",
    "storage/finding": "DRIVER",
    "storage/locating": "DRIVER",
    "storage/hadoop_files": "DRIVER",
    "storage/java_tasks": "DRIVER",
    "storage/carried": "PURE",
    "storage/handed": "PURE",
    "storage/hdfs_files": "PURE",
    "storage/object_stores": "PURE",
    "storage/opening": "PURE",
    "storage/ranges": "PURE",
    "storage/java_errors": "PURE",
    "storage/arrow_handlers": "PURE",
    "storage/replacing": "PURE",
    "storage/location": "PURE",
    "storage/globs": "PURE",
    "storage/places": "PURE",
    "storage/signatures": "PURE",
    "storage/uris": "PURE",
    #
    "startup/session": "DRIVER",
    "startup/import_ahead": "DRIVER",
    "startup/deadline": "DRIVER",
    "startup/warm_up": "DRIVER",
    "startup/progress": "DRIVER",
    "startup/meter": "DRIVER",
    "startup/spark_conf": "DRIVER",
    "startup/worker_daemon": "WORKER",
    "startup/fork_server": "WORKER",
    "startup/handover": "EITHER",
    "startup/gateway": "DRIVER",
    "startup/ending": "DRIVER",
    "startup/spark_log": "DRIVER",
    "startup/start_watch": "DRIVER",
    "startup/executors": "DRIVER",
    "startup/yarn": "DRIVER",
    "startup/job_errors": "DRIVER",
    "startup/masters": "EITHER",
    "startup/own_code": "EITHER",
    "startup/nameless": "EITHER",
    "startup/addresses": "EITHER",
    "startup/imports": "EITHER",
    "startup/import_system": "EITHER",
    "startup/notices": "DRIVER",
    "startup/descriptors": "EITHER",
    "startup/broadcasts": "EITHER",
    #
    "options/__init__": "PURE",
    "options/parsing": "PURE",
    "options/help": "PURE",
    "options/checks": "PURE",
    "options/spark_names": "PURE",
    "options/table": "PURE",
    "options/values": "PURE",
    #
    "metrics/__init__": "PURE",
    "metrics/joint": "PURE",
    "metrics/regression": "PURE",
    "metrics/labels": "PURE",
    "metrics/tally": "PURE",
    "metrics/curves": "PURE",
    "metrics/scores": "PURE",
    "metrics/eval_counts": "PURE",
    "metrics/sparse_counts": "PURE",
    "metrics/ranking": "PURE",
    "metrics/row_ranking": "PURE",
    "metrics/point_sample": "PURE",
    #
    "scattering": "PURE",
    "durations": "PURE",
    "temporary": "PURE",
    "errors": "PURE",
    "__init__": "PURE",
}
ORDER = list(FILES)
OPTION_FILES = {name for name in ORDER if name.startswith("options/")}
# A folder's own door, ``python -m irisspark.keras_import``, looks into the house from outside.
INSIDE = [name for name in ORDER if not name.endswith("/__main__")]
MAY_IMPORT = {
    "SAMPLE": {"EITHER", "PURE"},
    "BUILD": {"BUILD", "EITHER", "PURE"},
    "DRIVER": {"DRIVER", "WORKER", "EITHER", "PURE"},
    "WORKER": {"WORKER", "EITHER", "PURE"},
    "EITHER": {"EITHER", "PURE"},
    "PURE": {"PURE"},
}
HEAVY = {"elephas", "keras", "pyspark", "tensorflow"}
SPARK = {"elephas", "py4j", "pyspark"}

# What only a process of Spark's own would have; the worker daemon takes the place of such a one.
NAMES_NO_SPARK = {
    name
    for name, side in FILES.items()
    if side == "PURE" or (side == "WORKER" and not name.startswith("startup/"))
}
# Who may know the command line; everyone else is told what it says, by ``settings``.
KNOWS_OPTIONS = {"api", "cli", "settings", "run_record"}
TERMINAL = {
    *("print", "input", "breakpoint", "sys.stdin", "sys.stdout", "sys.stderr", "sys.argv"),
    *("os.dup2", "os.chdir", "os.isatty", "os._exit", "sys.exit"),
}

# The rooms that reach the user's files through ``storage`` alone.
WITHOUT_FILES = ("data/", "evaluation/", "training/", "report/", "metrics/", "cli", "run_record")
FILE_LIBRARIES = {"glob", "os", "pathlib", "shutil", "tempfile"}
# TensorFlow is imported in irisspark's way at the doors: of the driver, of a task, of a tool.
DOORS = {
    *("__main__", "early_driver", "cli", "keras_import/__main__", "samples/train_model"),
    *("startup/import_ahead", "startup/worker_daemon"),
    *("evaluation/worker/counting", "evaluation/worker/frame_rows", "training/worker/learning"),
}
# What starts a job of Spark; ``Session.run`` is given it as it is, or in a lambda.
ACTIONS = {"collect", "foreach", "runJob", "toLocalIterator", "treeAggregate", "treeReduce"}

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room_of(name: str) -> str:
    return name.split("/")[0]


def is_only_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is not None


def file_of(dotted: str) -> str | None:
    """The line of the map that ``irisspark.data.splits.cut`` belongs to; None for a docstring."""
    parts = dotted.split(".")[1:]
    for length in range(len(parts), -1, -1):
        for name in ("/".join(parts[:length]), "/".join([*parts[:length], "__init__"])):
            if name in FILES:
                return name
            if name in MODULES:
                return None
    return None


def statements(body: list[ast.stmt], *, inside: bool, types: bool) -> Iterator[ast.stmt]:
    """Statements in order; inside functions, and for type checkers, only where asked."""
    for statement in body:
        yield statement
        for_types = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)
        if inside or not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                if name != "body" or not for_types or types:
                    within = getattr(statement, name, [])
                    yield from statements(within, inside=inside, types=types)
            for branch in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
                yield from statements(branch.body, inside=inside, types=types)


def imported(source: str, *, inside: bool = True, types: bool = False) -> Iterator[str]:
    """Full names of what a file imports, ``irisspark.errors`` or ``irisspark.errors.DataError``."""
    for statement in statements(ast.parse(source).body, inside=inside, types=types):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "relative import"
            for alias in statement.names:
                yield f"{statement.module}.{alias.name}"


def named(source: str) -> set[str]:
    """Names that are used, with what is taken from them: ``print``, ``sys.stdout``."""
    tree = ast.parse(source)
    found = {node.func.id for node in ast.walk(tree) if _calls_a_name(node)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return found | {
        f"{node.value.id}.{node.attr}" for node in attributes if isinstance(node.value, ast.Name)
    }


def _calls_a_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def jobs_of_its_own(source: str) -> set[str]:
    """Actions of Spark that are called outside of what ``Session.run`` is given."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Attribute)]
    run = {
        inner
        for call in calls
        if call.func.attr in ("run", "_run_job")
        for argument in call.args
        for inner in ast.walk(argument)
    }
    return {call.func.attr for call in calls if call.func.attr in ACTIONS and call not in run}


def broken_rules(name: str, source: str) -> list[str]:
    """Say what a file does against the rules."""
    side = FILES[name]
    # For types alone one may look at another side, never up.
    arrows = {dotted: file_of(dotted) for dotted in imported(source, types=True)}
    broken = [
        f"{dotted} is above"
        for dotted, other in arrows.items()
        if dotted.split(".")[0] == "irisspark" and other is not None and other != name
        if ORDER.index(other) < ORDER.index(name)
    ]
    for dotted in imported(source):
        other = file_of(dotted) if dotted.split(".")[0] == "irisspark" else None
        if other is not None and FILES[other] not in MAY_IMPORT[side]:
            broken.append(f"{dotted} is {FILES[other]}")
    if name not in KNOWS_OPTIONS and room_of(name) not in ("options", "submit"):
        broken += [f"{d} is the command line" for d in arrows if file_of(d) in OPTION_FILES]
    if side in ("PURE", "WORKER", "EITHER"):
        top = {dotted.split(".")[0] for dotted in imported(source, inside=False)}
        broken += [f"{library} at the top" for library in sorted(top & HEAVY)]
    if name in NAMES_NO_SPARK:
        everywhere = {dotted.split(".")[0] for dotted in imported(source, types=True)}
        broken += [f"names {library}" for library in sorted(everywhere & SPARK)]
    if name.startswith(WITHOUT_FILES):
        top = {dotted.split(".")[0] for dotted in imported(source)}
        broken += [f"names {library}" for library in sorted(top & FILE_LIBRARIES)]
        broken += ["opens files"] if "open" in named(source) else []
    if name not in DOORS and "irisspark.startup.imports" in " ".join(arrows):
        broken.append("is no door, and imports TensorFlow in irisspark's way")
    if side == "DRIVER":
        broken += [f"calls {action} outside of Session.run" for action in jobs_of_its_own(source)]
    if side == "PURE":
        broken += [f"uses {what}" for what in sorted(named(source) & TERMINAL)]
    return broken


def test_every_file_has_its_place() -> None:
    empty = {
        name
        for name, path in MODULES.items()
        if path.stem == "__init__" and is_only_docstring(path)
    }
    assert set(MODULES) - empty == set(FILES)


def test_the_page_of_the_architecture_draws_the_same_map() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| ([A-Z, ]+) \|", page, re.MULTILINE)
    drawn = {room.rstrip("/"): set(sides.split(", ")) for room, sides in rows}
    found: dict[str, set[str]] = {}
    for name in INSIDE:
        room = name.rpartition("/")[0] or name
        if name != "__init__":
            found.setdefault(room, set()).add(FILES[name])
    assert drawn == found
    rooms = [room.split("/")[0] for room, _ in rows]
    order = [room for room, _ in groupby(map(room_of, INSIDE)) if room != "__init__"]
    assert list(dict.fromkeys(rooms)) == order


def test_files_of_a_room_stand_together() -> None:
    rooms = [room for room, _ in groupby(map(room_of, INSIDE))]
    assert Counter(rooms) == Counter(set(rooms))


@pytest.mark.parametrize("name", FILES)
def test_file_keeps_the_rules(name: str) -> None:
    assert broken_rules(name, MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", MODULES)
def test_code_in_docstrings_stands_in_double_backticks(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, documented)]
    assert [text for text in texts if re.search(r"(?<!`)`[^`\n]+`(?!`)", text)] == []


def test_no_two_files_share_a_name() -> None:
    stems = Counter(path.stem for path in MODULES.values())
    assert [stem for stem in stems if stems[stem] > 1] == ["__init__", "__main__"]


def test_nothing_at_the_top_is_called_like_a_library() -> None:
    # ``spark-submit --py-files irisspark.zip irisspark/__main__.py`` puts irisspark/ on the path.
    tops = {room_of(name) for name in MODULES} | {path.name for path in PACKAGE.iterdir()}
    found = sys.stdlib_module_names | packages_distributions().keys() - {"__pycache__"}
    assert tops & found == set()


def test_faces_of_rooms_with_both_sides_are_empty() -> None:
    # A worker that imports a module runs the faces above it.
    for room, names in groupby(INSIDE, room_of):
        sides = {FILES[name] for name in names}
        if "DRIVER" in sides and "WORKER" in sides:
            faces = [n for n in MODULES if room_of(n) == room and n.endswith("__init__")]
            assert all(is_only_docstring(MODULES[name]) for name in faces), room


@pytest.mark.parametrize(
    ("name", "source", "rule"),
    [
        (
            "data/splits",
            "from irisspark.data.columns import Columns",
            "irisspark.data.columns.Columns is above",
        ),
        ("metrics/scores", "def f():\n    from irisspark import cli", "irisspark.cli is above"),
        (
            "data/dataset",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import irisspark.cli",
            "irisspark.cli is above",
        ),
        (
            "data/dataset",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from irisspark.options import Options",
            "irisspark.options.Options is the command line",
        ),
        ("report/gate", "import irisspark.storage.finding", "irisspark.storage.finding is DRIVER"),
        (
            "bundle/packing",
            "from irisspark.startup.session import Session",
            "irisspark.startup.session.Session is DRIVER",
        ),
        ("data/queries", "try:\n    import keras\nexcept ImportError: pass", "keras at the top"),
        ("model/forward", "def f():\n    import pyspark", "names pyspark"),
        ("training/worker/rows", "def f():\n    from pyspark import RDD", "names pyspark"),
        ("metrics/tally", "def f():\n    print(1)", "uses print"),
        ("training/checkpoints", "def f():\n    import os", "names os"),
        ("data/dataset", "from pathlib import Path", "names pathlib"),
        ("cli", "open('data.csv')", "opens files"),
        (
            "model/forward",
            "def f():\n    from irisspark.startup.imports import import_tensorflow",
            "is no door, and imports TensorFlow in irisspark's way",
        ),
        (
            "training/rounds",
            "session.run(rdd.collect)\nother.map(f).collect()",
            "calls collect outside of Session.run",
        ),
        ("keras_import/words", "import sys\nsys.stderr.write('no')", "uses sys.stderr"),
    ],
)
def test_broken_rule_is_found(name: str, source: str, rule: str) -> None:
    assert rule in broken_rules(name, source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("training/worker/replica", "def f():\n    import tensorflow"),
        ("cli", "from irisspark import __version__"),
        ("data/dataset", "from irisspark.data import queries"),
        ("data/dataset", "session.run(rdd.collect), session.run(lambda: rdd.treeReduce(f))"),
        (
            "report/prediction_report",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from irisspark.evaluation.predictions import PredictionResult",
        ),
    ],
)
def test_kept_rule_is_no_finding(name: str, source: str) -> None:
    assert broken_rules(name, source) == []
