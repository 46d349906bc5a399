"""Which pyspark is imported, in processes with the paths that spark-submit makes."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """
import sys
from irisspark.startup.imports import prefer_unpacked_spark
before = list(sys.path)
prefer_unpacked_spark()
import pyspark, py4j
print(pyspark.__file__)
print(py4j.__file__)
print(sys.path == before)
"""


def run(*path: Path) -> list[str]:
    environ = {"PYTHONPATH": ":".join(map(str, (*path, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def installed() -> Path:
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def archives(lib: Path) -> list[Path]:
    return [lib / "pyspark.zip", *lib.glob("py4j-*-src.zip")]


def make_archives(lib: Path, *, marker: str) -> list[Path]:
    """Make a Spark's two zips, of packages that hold nothing but a remark."""
    lib.mkdir(parents=True)
    for name, package in (("pyspark.zip", "pyspark"), ("py4j-0.1-src.zip", "py4j")):
        with zipfile.ZipFile(lib / name, "w") as archive:
            archive.writestr(f"{package}/__init__.py", f"# {marker}")
    return archives(lib)


def test_pips_spark_is_imported_from_its_folder(installed: Path) -> None:
    zips = archives(installed / "python" / "lib")
    assert all(path.is_file() for path in zips)
    found = run(*zips)
    assert found[:2] == [
        str(installed / "__init__.py"),
        str(installed.parent / "py4j" / "__init__.py"),
    ]


def test_downloaded_spark_is_imported_from_its_folder(tmp_path: Path) -> None:
    zips = make_archives(tmp_path / "spark" / "python" / "lib", marker="downloaded")
    package = tmp_path / "spark" / "python" / "pyspark"
    package.mkdir()
    (package / "__init__.py").write_text("# downloaded")
    found = run(*zips)
    assert found[:2] == [str(package / "__init__.py"), f"{zips[1]}/py4j/__init__.py"]


@pytest.mark.parametrize("theirs", ["# DOWNLOADED", "# downloaded, then patched"])
def test_zip_that_a_vendor_has_patched_stays(tmp_path: Path, theirs: str) -> None:
    zips = make_archives(tmp_path / "spark" / "python" / "lib", marker="downloaded")
    package = tmp_path / "spark" / "python" / "pyspark"
    package.mkdir()
    (package / "__init__.py").write_text(theirs)
    assert run(*zips) == [f"{zips[0]}/pyspark/__init__.py", f"{zips[1]}/py4j/__init__.py", "True"]


def test_zip_with_a_module_more_stays(tmp_path: Path) -> None:
    zips = make_archives(tmp_path / "spark" / "python" / "lib", marker="downloaded")
    with zipfile.ZipFile(zips[0], "a") as archive:
        archive.writestr("pyspark/vendor.py", "")
    package = tmp_path / "spark" / "python" / "pyspark"
    package.mkdir()
    (package / "__init__.py").write_text("# downloaded")
    assert run(*zips)[0] == f"{zips[0]}/pyspark/__init__.py"


def test_zip_stays_where_the_spark_is_not_unpacked(tmp_path: Path) -> None:
    zips = make_archives(tmp_path / "spark" / "python" / "lib", marker="bare")
    assert run(*zips) == [f"{zips[0]}/pyspark/__init__.py", f"{zips[1]}/py4j/__init__.py", "True"]


def test_zip_stays_where_another_pyspark_would_be_found(tmp_path: Path, installed: Path) -> None:
    """A Spark that looks like pip's, but the path leads to the pyspark of this Python."""
    home = tmp_path / "pyspark"
    zips = make_archives(home / "python" / "lib", marker="another")
    shutil.copy(installed / "version.py", home / "__init__.py")
    assert run(*zips) == [f"{zips[0]}/pyspark/__init__.py", f"{zips[1]}/py4j/__init__.py", "True"]


def test_zip_in_the_working_folder_of_an_executor_stays(tmp_path: Path) -> None:
    zips = make_archives(tmp_path / "container", marker="shipped")
    assert run(*zips)[0] == f"{zips[0]}/pyspark/__init__.py"


AUTOGRAPH = """
import sys
from irisspark.startup.imports import import_tensorflow
tf = import_tensorflow()

@tf.function
def clip(x):
    if x > 1.0:
        return x * 0.0 + 1.0
    return x

@tf.function
def broken(x):
    for _ in range(2):
        x = x + missing
    return x

assert float(clip(tf.constant(3.0))) == 1.0 and float(clip(tf.constant(0.5))) == 0.5
try:
    broken(tf.constant(1.0))
except NameError as error:
    print(error)
import os
os._exit(0)
"""


def test_functions_that_tensorflow_writes_to_files_leave_none(tmp_path):
    (tmp_path / "script.py").write_text(AUTOGRAPH)
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, str(tmp_path / "script.py")]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "missing" in done.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_driver_and_the_workers_import_without_pandas() -> None:
    """Arrow imports it with the first ``pa.array``: it takes a second of a start, and the early
    driver imports ``cli`` while ``fast_imports`` keeps pandas from being there."""
    script = (
        "import sys, irisspark.cli, irisspark.evaluation.worker.counting, irisspark.data.queries\n"
        "late = {'pandas', 'sklearn', 'tensorflow', 'keras', 'mlflow', 'irisspark.tracking'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


HIDING = """
import sys, threading
from irisspark.startup.imports import fast_imports
seen = []

def other():
    import pyarrow as pa
    seen.append(len(pa.array([1, 2])))  # for which pyarrow asks whether there is a pandas

with fast_imports():
    import keras
    assert not {"IPython", "matplotlib", "pandas", "sklearn"} & set(sys.modules)
    try:
        import pandas
    except ImportError:
        seen.append("hidden")
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
import pandas
print(seen, pandas.__name__)
"""


def test_packages_are_hidden_from_the_thread_that_imports_tensorflow_alone():
    environ = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-c", HIDING], env=environ, capture_output=True, text=True
    )
    assert done.stdout == "['hidden', 2] pandas\n", done.stderr
