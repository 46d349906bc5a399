"""What a file is, by its first bytes: whatever its name says."""

from __future__ import annotations

import os
import zipfile

from irisspark.errors import ModelError

HDF5, KERAS_ZIP = "hdf5", "keras zip"

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_SAVE_IT = "save the model with model.save('model.keras') or model.save('model.h5')"
# The beginnings of what people give for a model by mistake, and what it is.
_KNOWN = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with 'git lfs pull'"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a Python pickle, which is never opened: " + _SAVE_IT),
    (b"\x80\x03", "a Python pickle, which is never opened: " + _SAVE_IT),
    (b"\x80\x04", "a Python pickle, which is never opened: " + _SAVE_IT),
    (b"\x80\x05", "a Python pickle, which is never opened: " + _SAVE_IT),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"%PDF", "a PDF"),
)


def kind_of(path: str) -> str:
    """``HDF5`` or ``KERAS_ZIP``.

    Raises:
        ModelError: the file is missing, cannot be read, or is something else; says what it is.
    """
    if os.path.isdir(path):
        raise ModelError(_folder(path))
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}") from None
    except OSError as error:
        raise ModelError(f"the model file {path} cannot be read ({error.strerror})") from None
    if start.startswith(_HDF5_MAGIC):
        return HDF5
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    raise ModelError(f"{path} is no Keras model: it is {_what(start)}")


def _folder(path: str) -> str:
    if os.path.exists(os.path.join(path, "saved_model.pb")):
        return (
            f"{path} is a TensorFlow SavedModel folder: load it with the TensorFlow that wrote it "
            f"(before 2.16) and {_SAVE_IT}"
        )
    return f"{path} is a folder, not a model file"


def _kind_of_zip(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise ModelError(f"{path} is a damaged or truncated zip file (.keras)") from None
    if {"config.json", "metadata.json"} <= names:
        return KERAS_ZIP
    kind = "a NumPy .npz archive" if names and all(n.endswith(".npy") for n in names) else "a zip"
    raise ModelError(f"{path} is {kind} without a Keras model in it (no config.json)")


def _what(start: bytes) -> str:
    if not start:
        return "empty"
    for magic, what in _KNOWN:
        if start.startswith(magic):
            return what
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "an HTML page: the download did not give the file itself"
    if text.startswith((b"{", b"[")):
        return (
            "JSON: the text of model.to_json() has no weights; "
            "give -modelPath model.json,weights.h5"
        )
    if b"\0" not in start and all(byte >= 9 for byte in start):
        return "text"
    return "a file of another kind"
