"""The import rule of the house: a room imports only from the rooms below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "irisspark"

# From top to bottom. DRIVER code runs once, WORKER code in Spark's Python workers, PURE code
# anywhere; BUILD code makes the archive or starts spark-submit, and runs before either.
ROOMS = {
    "samples": "SAMPLE",
    "submit": "BUILD",
    "bundle": "BUILD",
    "__main__": "DRIVER",
    "early_driver": "DRIVER",
    "cli": "DRIVER",
    "run_record": "DRIVER",
    "session": "DRIVER",
    "warm_up": "DRIVER",
    "training": "DRIVER",
    "predictions": "DRIVER",
    "evaluation": "DRIVER",
    "comparison": "DRIVER",
    "dataset": "DRIVER",
    "report": "PURE",
    "plots": "PURE",
    "models": "DRIVER",
    "model_files": "DRIVER",
    "storage": "DRIVER",
    "worker_daemon": "WORKER",
    "prefork": "WORKER",
    "workers": "WORKER",
    "model_spec": "WORKER",
    "keras_file": "WORKER",
    "keras_private": "WORKER",
    "imports": "WORKER",
    "handover": "PURE",
    "batches": "PURE",
    "splits": "PURE",
    "outputs": "PURE",
    "keras_import": "PURE",
    "metrics": "PURE",
    "options": "PURE",
    "errors": "PURE",
    "__init__": "PURE",
}
ORDER = list(ROOMS)
MAY_IMPORT = {
    "SAMPLE": {"DRIVER", "WORKER", "PURE"},
    "BUILD": {"BUILD", "PURE"},
    "DRIVER": {"DRIVER", "WORKER", "PURE"},
    "WORKER": {"WORKER", "PURE"},
    "PURE": {"PURE"},
}
HEAVY = {"elephas", "keras", "pyspark", "tensorflow"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def statements(body: list[ast.stmt], *, inside: bool) -> Iterator[ast.stmt]:
    """Statements in order; not those for type checkers, and inside functions only where asked."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            yield from statements(statement.orelse, inside=inside)
        elif inside or not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, name, []), inside=inside)
            for branch in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
                yield from statements(branch.body, inside=inside)


def imported(source: str, *, inside: bool) -> Iterator[str]:
    """Full names of what a module imports, ``irisspark.splits`` or ``irisspark.splits.cut``."""
    for statement in statements(ast.parse(source).body, inside=inside):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "relative import"
            for alias in statement.names:
                yield f"{statement.module}.{alias.name}"


def broken_rules(room: str, source: str) -> list[str]:
    """Say what a module of a room imports against the rule."""
    side = ROOMS[room]
    broken = []
    for name in imported(source, inside=True):
        parts = name.split(".")
        if parts[0] != "irisspark":
            continue
        other = parts[1] if len(parts) > 1 and parts[1] in ROOMS else "__init__"
        if other == room:
            continue
        if ORDER.index(other) < ORDER.index(room):
            broken.append(f"{name} is above")
        if ROOMS[other] not in MAY_IMPORT[side]:
            broken.append(f"{name} is {ROOMS[other]}")
    if side in ("PURE", "WORKER"):
        top = {name.split(".")[0] for name in imported(source, inside=False)}
        broken += [f"{name} at the top" for name in sorted(top & HEAVY)]
    return broken


def test_every_room_has_its_place() -> None:
    assert {room_of(module) for module in MODULES} - ROOMS.keys() - {"launcher"} == set()


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_imports_only_from_rooms_below(module: Path) -> None:
    # A folder's own door, ``python -m irisspark.keras_import``, looks into the house from outside.
    room = "__main__" if module.name == "__main__.py" else room_of(module)
    if room in ROOMS:
        assert broken_rules(room, module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source", "rule"),
    [
        ("splits", "from irisspark.batches import Columns", "irisspark.batches.Columns is above"),
        ("report", "import irisspark.storage", "irisspark.storage is DRIVER"),
        ("workers", "try:\n    import keras\nexcept ImportError: pass", "keras at the top"),
        ("metrics", "def f():\n    from irisspark import models", "irisspark.models is above"),
        ("bundle", "from irisspark.session import Session", "irisspark.session.Session is DRIVER"),
    ],
)
def test_broken_rule_is_found(room: str, source: str, rule: str) -> None:
    assert rule in broken_rules(room, source)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("workers", "def f():\n    import tensorflow"),
        (
            "evaluation",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import irisspark.cli",
        ),
        ("cli", "from irisspark import __version__"),
    ],
)
def test_kept_rule_is_no_finding(room: str, source: str) -> None:
    assert broken_rules(room, source) == []
