"""Imports of Spark, TensorFlow and Keras: quietly, and without what serves nothing here."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import logging
import os
import sys
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from irisspark.startup.descriptors import silent_errors
from irisspark.startup.import_system import hidden

DEFAULTS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""What TensorFlow and Keras are told by the environment where the user tells them nothing."""

FORCED = {
    "KERAS_BACKEND": "tensorflow",
    # Keras reads its globals from keras.json here, and writes one where there is none. Below a file
    # it can do neither, so a user's floatx or image_data_format changes no number.
    "KERAS_HOME": os.path.join(os.devnull, "keras"),
    "KERAS_NNX_ENABLED": "false",
    "TF_USE_LEGACY_KERAS": "0",
}
"""What they are told whatever the user's environment says: a model means the same everywhere."""

# Keras imports them where they are installed, for notebooks, pictures and adapters that irisspark
# does not use.
_NOT_NEEDED = ("IPython", "matplotlib", "pandas", "sklearn")

_IMPORTING = threading.Lock()
_SET_HERE: set[str] = set()
"""The defaults that the user has not set: in a fork of a daemon that has, a task's own stand."""


def prefer_unpacked_spark() -> None:
    """Take pyspark from where the same Spark has it unpacked, in the place of its zip.

    spark-submit puts ``pyspark.zip`` and py4j's first on the path. They hold source alone, which
    every process would compile anew, for half a second; a folder keeps bytecode beside it. A zip
    with other modules than the folder, which a vendor may have patched, stays.
    """
    for position, entry in enumerate(sys.path):
        if Path(entry).parts[-3:] != ("python", "lib", "pyspark.zip"):
            continue
        home = Path(entry).parents[2]
        is_pips = (home / "__init__.py").is_file()  # there Spark's home is the package itself
        if not _holds_the_same(entry, home.parent if is_pips else home / "python"):
            return
        if is_pips:
            _leave_out_archives(Path(entry).parent, home.parent)
        else:
            sys.path[position] = str(home / "python")
        return


def _holds_the_same(archive: str, folder: Path) -> bool:
    """Tell whether each module of an archive is in a folder, to the byte; tests are left out."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            modules = [info for info in zipped.infolist() if info.filename.endswith(".py")]
        return all(
            zlib.crc32((folder / info.filename).read_bytes()) == info.CRC
            for info in modules
            if "tests" not in info.filename.split("/")
        )
    except (OSError, zipfile.BadZipFile):
        return False


def _leave_out_archives(archives: Path, packages: Path) -> None:
    """Take the zips of a folder off the path where it leads to the same modules unpacked."""
    before = list(sys.path)
    sys.path[:] = [entry for entry in sys.path if os.path.dirname(entry) != str(archives)]
    for name in ("pyspark", "py4j"):
        found = importlib.util.find_spec(name)
        if found is None or found.origin != str(packages / name / "__init__.py"):
            sys.path[:] = before
            return


def import_tensorflow() -> Any:
    """Import TensorFlow and Keras, and say nothing.

    TensorFlow prints to file descriptor 2 while it is imported, whatever ``TF_CPP_MIN_LOG_LEVEL``
    says, so the descriptor is led away meanwhile; that setting silences what comes later.

    Returns:
        The module ``tensorflow``.
    """
    for name, value in (DEFAULTS | _assigned_devices()).items():
        if name not in os.environ or name in _SET_HERE:
            os.environ[name] = value
            _SET_HERE.add(name)
    settle_environment()
    with _IMPORTING:  # a second thread waits: the modules are listed before they are whole
        if "tensorflow" not in sys.modules or "keras" not in sys.modules:
            with silent_errors(), fast_imports():
                import keras  # noqa: F401
                import tensorflow  # noqa: F401
            settle_keras()
            leave_no_files()
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras's remarks about old file formats
    # TensorFlow's logger may write to the stream that stood in for standard error meanwhile.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return sys.modules["tensorflow"]


def _assigned_devices() -> dict[str, str]:
    """Say which GPUs Spark gave to the task that this worker runs; nothing where it gave none."""
    tasks = sys.modules.get("pyspark.taskcontext")
    task = tasks and tasks.TaskContext.get()
    gpus = task and task.resources().get("gpu")
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus.addresses)} if gpus else {}


def settle_warnings() -> None:
    """Let no warning of a library end the run, whatever ``PYTHONWARNINGS`` says of warnings.

    They are about code that is not the user's: Spark leaves files open, Keras names what is old.
    """
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.simplefilter("ignore")


def settle_environment() -> None:
    """Say ``FORCED`` in the environment, before TensorFlow and Keras are imported."""
    os.environ.update(FORCED)


def settle_keras() -> None:
    """Give Keras's globals the values that Keras has by itself; the rest is the model file's word.

    A file names its own dtypes and data formats; where it leaves one out it means these.
    """
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)


def leave_no_files() -> None:
    """Have the files removed at once that TensorFlow's autograph writes to import functions from.

    It leaves that to Python's end, which Spark's workers, ended by a signal, do not come to.
    """
    loader = sys.modules.get("tensorflow.python.autograph.pyct.loader")
    load: Callable[[str, bool], tuple[Any, str]] | None = getattr(loader, "load_source", None)
    if loader is None or load is None or hasattr(load, "__wrapped__"):
        return

    @functools.wraps(load)
    def load_and_remove(source: str, _: bool) -> tuple[Any, str]:
        module, path = load(source, False)
        cached = importlib.util.cache_from_source(path)
        with contextlib.suppress(OSError):
            os.unlink(path)
            os.unlink(cached)
            os.rmdir(os.path.dirname(cached))
        return module, path

    loader.load_source = load_and_remove  # type: ignore[attr-defined]


@contextlib.contextmanager
def fast_imports() -> Iterator[None]:
    """Import TensorFlow and Keras without what takes half of the time and serves nothing here.

    Garbage collections find nothing in modules. To Keras some packages are not installed
    meanwhile.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with hidden(*_NOT_NEEDED):
            yield
    finally:
        if was_enabled:
            gc.enable()
