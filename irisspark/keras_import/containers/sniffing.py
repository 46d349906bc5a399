"""What a file is, by its first bytes: whatever its name says."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from irisspark.errors import ModelError
from irisspark.keras_import.containers.archives import CONFIG, WEIGHTS, is_rubbish, top_of
from irisspark.storage import signatures
from irisspark.storage.places import INDEX_SUFFIX, files_of

HDF5, KERAS_ZIP, PAIR = "hdf5", "keras zip", "pair"

_SAVE_IT = "save the model with model.save('model.keras') or model.save('model.h5')"
_LOAD_AND_SAVE = f"load it with the TensorFlow that wrote it (before 2.16) and {_SAVE_IT}"
_KERAS_ONLY = "irisspark opens models that Keras saved"
_UNPACK = "unpack it first"
_MAX_LISTED = 3
_MAX_JSON_BYTES = 64 << 20
# The beginnings of what people give for a model by mistake, and what it is.
_KNOWN = (
    (signatures.GIT_LFS, "a Git LFS pointer: fetch the file itself with 'git lfs pull'"),
    (signatures.GZIP, f"a gzip archive: {_UNPACK}"),
    (signatures.BZIP2, f"a bzip2 archive: {_UNPACK}"),
    (signatures.XZ, f"an xz archive: {_UNPACK}"),
    (signatures.ZSTD, f"a Zstandard archive: {_UNPACK}"),
    (signatures.SEVEN_ZIP, f"a 7z archive: {_UNPACK}"),
    (signatures.RAR, f"a RAR archive: {_UNPACK}"),
    (signatures.NUMPY, "a NumPy array"),
    (signatures.PARQUET, "a Parquet file, which is data"),
    (signatures.PDF, "a PDF"),
    (b"model_checkpoint_path:", f"a TensorFlow checkpoint: {_LOAD_AND_SAVE}"),
)
# ... and what they have behind their first bytes.
_INSIDE = (
    (4, b"TFL3", f"a TensorFlow Lite model: {_KERAS_ONLY}"),
    (8, b'{"', f"a safetensors file: {_KERAS_ONLY}"),
    (signatures.TAR_OFFSET, signatures.TAR, f"a tar archive: {_UNPACK}"),
)
_PICKLE = (
    "a Python pickle (as joblib, scikit-learn and PyTorch write them), which is never opened; "
    f"{_KERAS_ONLY}: {_SAVE_IT}"
)
# What is told by the end of a name, where the bytes do not tell: protocol buffers, tables, pickles.
_SUFFIXES = (
    ((".index", ".ckpt", ".meta"), f"a TensorFlow checkpoint: {_LOAD_AND_SAVE}"),
    ((".pb", ".pbtxt"), f"a TensorFlow graph: {_LOAD_AND_SAVE}"),
    ((".onnx",), f"an ONNX model: {_KERAS_ONLY}"),
    ((".pt", ".pth"), f"a PyTorch file: {_KERAS_ONLY}"),
    ((".joblib", ".pkl", ".pickle", ".sav"), f"what joblib or pickle write: {_KERAS_ONLY}"),
)


def kind_of(path: str) -> str:
    """``HDF5``, ``KERAS_ZIP`` (packed or not) or ``PAIR``, of the place or the places it names.

    Raises:
        ModelError: the file is missing, cannot be read, or is something else; says what it is.
    """
    if len(files_of(path)) > 1:
        return PAIR
    if os.path.isdir(path):
        if _holds(path, CONFIG) and _holds(path, WEIGHTS):
            return KERAS_ZIP
        raise ModelError(_folder(path))
    start = beginning(path)
    if start.startswith(signatures.HDF5):
        return HDF5
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    raise ModelError(f"{path} is no Keras model: it is {_what(start, path)}")


def beginning(path: str) -> bytes:
    """Read the first bytes of a file.

    Raises:
        ModelError: the file is missing, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(512)
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"the model file {path} cannot be read ({reason})") from None


def is_hdf5(path: str) -> bool:
    """Whether a file is HDF5.

    Raises:
        ModelError: the file is missing, or cannot be read.
    """
    return beginning(path).startswith(signatures.HDF5)


def _holds(folder: str, name: str) -> bool:
    return os.path.exists(os.path.join(folder, name))


def _folder(path: str) -> str:
    if _holds(path, "saved_model.pb"):
        return f"{path} is a TensorFlow SavedModel folder: {_LOAD_AND_SAVE}"
    names = sorted(os.listdir(path)) if os.access(path, os.R_OK) else []
    if any(name.endswith(".index") for name in names) or "checkpoint" in names:
        return f"{path} is a folder of TensorFlow checkpoints: {_LOAD_AND_SAVE}"
    inner = [n for n in names if _holds(os.path.join(path, n), CONFIG)]
    models = inner or [n for n in names if n.lower().endswith((".keras", ".h5", ".hdf5"))]
    if models:
        return f"{path} is a folder: give a model in it, such as {os.path.join(path, models[0])}"
    if CONFIG in names:
        return f"{path} is a folder that holds a model without its weights (no {WEIGHTS})"
    return f"{path} is a folder, not a model file"


def _kind_of_zip(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError):
        raise ModelError(f"{path} is a damaged or truncated zip file (.keras)") from None
    if top_of(names) is not None:
        return KERAS_ZIP
    raise ModelError(f"{path} is {_what_zip([n for n in names if not is_rubbish(n)])}")


def _what_zip(names: Sequence[str]) -> str:
    without = "without a Keras model in it (no config.json)"
    if names and all(name.endswith(".npy") for name in names):
        return f"a NumPy .npz archive {without}"
    if any(name.endswith("data.pkl") for name in names):
        return f"a PyTorch file: {_KERAS_ONLY}"
    if any(name.endswith("saved_model.pb") for name in names):
        return f"a zip of a TensorFlow SavedModel: {_LOAD_AND_SAVE}"
    models = [n for n in names if n.lower().endswith((".keras", ".h5", ".hdf5", CONFIG))]
    if models:
        return f"a zip with {', '.join(models[:_MAX_LISTED])} in it: {_UNPACK}, and give the model"
    return f"a zip {without}"


def _what(start: bytes, path: str) -> str:
    if not start:
        return "empty"
    for magic, what in _KNOWN:
        if start.startswith(magic):
            return what
    for begin, magic, what in _INSIDE:
        if start[begin : begin + len(magic)] == magic:
            return what
    if start.startswith(signatures.PICKLE_PROTOCOLS):
        return _PICKLE
    for suffixes, what in _SUFFIXES:
        if path.lower().endswith(suffixes):
            return what
    if ".data-" in os.path.basename(path):
        return f"a TensorFlow checkpoint: {_LOAD_AND_SAVE}"
    return _what_text(start, path)


def _what_text(start: bytes, path: str) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "an HTML page: the download did not give the file itself"
    if text.startswith((b"{", b"[")):
        return _what_json(path)
    if b"class_name:" in text:
        return f"the YAML of model.to_yaml(), without weights: {_LOAD_AND_SAVE}"
    if b"\0" not in start and all(byte >= 9 for byte in start):
        return "text"
    return "a file of another kind"


def _what_json(path: str) -> str:
    found = _read_json(path)
    if isinstance(found, dict) and "modelTopology" in found:
        return f"a TensorFlow.js model: {_KERAS_ONLY}"
    if isinstance(found, dict) and "weight_map" in found:
        return f"the list of a model's weights in several files: {pair_with(path)}"
    weights = _partner(path, lambda name: name.endswith((".h5", ".hdf5", INDEX_SUFFIX)))
    text = path if weights else "model.json"
    return (
        "JSON: the text of model.to_json() has no weights; give "
        f"-modelPath {text},{weights or 'weights.h5'}, with the file of model.save_weights(...)"
    )


def pair_with(weights: str) -> str:
    """Say which pair of files to give, to someone who gave a file of weights alone."""
    text = _partner(weights, lambda n: n.endswith(".json") and not n.endswith(INDEX_SUFFIX))
    text = text or "model.json"
    return (
        "save the whole model with model.save(...), or give "
        f"-modelPath {text},{weights} with the text of model.to_json() in {text}"
    )


def _partner(path: str, fits: Callable[[str], bool]) -> str | None:
    """The file in the same folder that goes with one, by its name or as the only one of its kind.

    A list of shards stands for its shards.
    """
    found = [name for name in _beside(path) if fits(name.lower())]
    found = [name for name in found if name.endswith(INDEX_SUFFIX)] or found
    stem = os.path.basename(path).split(".")[0]
    found = [name for name in found if name.split(".")[0] == stem] or found
    found = [name for name in found if ".weights." in name] or found
    return os.path.join(os.path.dirname(path), found[0]) if len(found) == 1 else None


def _beside(path: str) -> list[str]:
    folder = os.path.dirname(path) or "."
    try:
        return sorted(name for name in os.listdir(folder) if name != os.path.basename(path))
    except OSError:
        return []


def _read_json(path: str) -> Any:
    try:
        if os.path.getsize(path) > _MAX_JSON_BYTES:
            return None
        with open(path, "rb") as file:
            return json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
