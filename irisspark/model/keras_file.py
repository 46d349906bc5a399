"""A Keras model as the bytes of Keras's own file, the one complete recipe of a model.

A configuration and a list of weights are not a model: ``Normalization`` computes with what
``finalize_state`` derives, lookups keep their tables as assets, quantized layers their scales. What
Keras saves and loads itself holds all of it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from irisspark.model import keras_private
from irisspark.temporary import temporary_folder

if TYPE_CHECKING:
    import keras

_COPIED_BYTES = 1 << 20
_SAME_DATE = "1980-01-01@00:00:00"


def to_bytes(model: keras.Model) -> bytes:
    """Give the bytes of the ``.keras`` file of a model as it predicts, without its training.

    The optimizer's variables and the compiled metrics stay behind: they would triple the size, and
    no prediction needs them. Asked twice, the same model gives the same bytes. What it takes of
    memory beside the model is the bytes: Keras writes the arrays to the disk, one after the other.

    Args:
        model: Built; left as it is.

    Raises:
        OSError: There is no room for it in the folder of temporary files.
    """
    with temporary_folder() as folder:
        unpacked = Path(folder, "model")
        with uncompiled(model), keras_private.as_quantized(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(unpacked, zipped=False)
        _forget_date(unpacked / "metadata.json")
        packed = Path(folder, "model.keras")
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(unpacked.rglob("*")):
                if path.is_file():
                    _pack(path, path.relative_to(unpacked).as_posix(), archive)
        return packed.read_bytes()


def from_bytes(file: bytes, *, trusted: bool) -> keras.Model:
    """Open what ``to_bytes`` gave; the model is not compiled.

    Args:
        file: The bytes.
        trusted: Whether the code of Lambda layers may run.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return keras_private.load_from_memory(file, safe_mode=not trusted)


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Let a model, and the models in it, be as if they had never been compiled."""
    import keras

    models = [model, *(m for m in keras_private.layers_of(model) if isinstance(m, keras.Model))]
    hidden = ("compiled", "optimizer")
    before = [{name: vars(one)[name] for name in hidden if name in vars(one)} for one in models]
    try:
        for one in models:
            vars(one).pop("optimizer", None)
            one.compiled = False
        yield
    finally:
        for one, attributes in zip(models, before, strict=True):
            vars(one).update(attributes)


def _forget_date(metadata: Path) -> None:
    content = json.loads(metadata.read_bytes())
    metadata.write_text(json.dumps(content | {"date_saved": _SAME_DATE}))


def _pack(path: Path, name: str, archive: zipfile.ZipFile) -> None:
    """Add a file as it is: weights hardly compress, and Keras reads them faster so."""
    member = zipfile.ZipInfo(name)
    with path.open("rb") as source, archive.open(member, "w", force_zip64=True) as packed:
        shutil.copyfileobj(source, packed, _COPIED_BYTES)
