"""A checkpoint after every epoch: one file, there whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from irisspark.errors import TrainingError
from irisspark.storage.location import Locate, Location, reason, unwritable
from irisspark.storage.replacing import replacing
from irisspark.training.history import Best, Row

Array = npt.NDArray[Any]

FILE_NAME = "checkpoint.npz"
VERSION = 2
"""Of the layout; 2 holds the states of random layers, too."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands after an epoch.

    Attributes:
        variables: The weights, then the optimizer's variables.
        history: A row an epoch.
        best: The best epoch so far.
    """

    variables: list[Array]
    history: list[Row]
    best: Best


class Checkpoints:
    """The folder of ``-checkpointPath``.

    Args:
        folder: Where it is; made where it is missing.
        made_with: What must be the same for a training to be gone on with, by name.
    """

    def __init__(self, folder: Location, made_with: Mapping[str, object]) -> None:
        """Name the folder; nothing is read or written yet."""
        self._file = folder / FILE_NAME
        self._made_with = json.loads(json.dumps(dict(made_with)))

    @property
    def exists(self) -> bool:
        """True where the folder holds a checkpoint."""
        return self._file.exists

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint in place of the one before.

        Raises:
            TrainingError: It cannot be written.
        """
        best = checkpoint.best
        about = {
            "version": VERSION,
            "made_with": self._made_with,
            "history": checkpoint.history,
            "best": {"epoch": best.epoch, "val_loss": best.val_loss},
        }
        arrays = {f"variable_{i}": _bits(array) for i, array in enumerate(checkpoint.variables)}
        arrays |= {f"best_{i}": _bits(array) for i, array in enumerate(best.weights)}
        text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        try:
            self._file.parent.make_folder()
            with replacing(self._file) as stream:
                np.savez(stream, about=text, **arrays)
        except OSError as error:
            raise TrainingError(
                f"-checkpointPath {self._file.parent} cannot be written: {reason(error)}"
            ) from error

    def load(self, like: Sequence[Array]) -> Checkpoint:
        """Read the checkpoint.

        Args:
            like: Variables of the shapes and dtypes that it must hold.

        Raises:
            TrainingError: It is damaged, or of another training.
        """
        about, variables, weights = self._read(like)
        self._check_version(about)
        self._check(about)
        found, wanted = (
            [(array.shape, array.dtype.name) for array in arrays] for arrays in (variables, like)
        )
        if found != wanted:
            raise TrainingError(f"{self._file} holds the variables of another model")
        best = about["best"]
        return Checkpoint(
            variables, about["history"], Best(best["epoch"], best["val_loss"], weights)
        )

    def _read(self, like: Sequence[Array]) -> tuple[dict[str, Any], list[Array], list[Array]]:
        """Read what the file says about the training, the variables, and the best weights."""
        try:
            with self._open() as file, np.load(file, allow_pickle=False) as stored:
                about = json.loads(stored["about"].tobytes())
                return about, _arrays(stored, "variable", like), _arrays(stored, "best", like)
        except Exception as error:  # what zipfile and numpy raise at damaged bytes has no end
            raise TrainingError(f"{self._file} is not a whole checkpoint: {error}") from error

    def _open(self) -> IO[bytes]:
        """Open the file, which is read in small pieces: one of another machine as a whole."""
        file: IO[bytes] = self._file.open()
        if self._file.is_local:
            return file
        with file:
            return io.BytesIO(file.read())

    def _check_version(self, about: Mapping[str, Any]) -> None:
        if about["version"] != VERSION:
            raise TrainingError(
                f"{self._file} was written by another version of irisspark (layout "
                f"{about['version']}, this one reads {VERSION}); leave -resume out to begin anew"
            )

    def _check(self, about: Mapping[str, Any]) -> None:
        theirs = about["made_with"]
        for name, value in self._made_with.items():
            if theirs.get(name) != value:
                raise TrainingError(
                    f"{self._file} is of another training: its {name} is "
                    f"{_shown(theirs.get(name))}, this run's is {_shown(value)}; take the options, "
                    "data and model of that run, or leave -resume out to begin anew"
                )


def check_folder(path: str, place: Locate) -> Location:
    """Make sure that checkpoints can be written, before any work is done, and say where.

    Raises:
        TrainingError: They cannot.
    """
    try:
        folder = place(path)
        if not folder.is_local:
            folder.probe()
    except OSError as error:
        raise TrainingError(f"-checkpointPath {path} cannot be written: {reason(error)}") from error
    if (existing := unwritable(folder)) is not None:
        raise TrainingError(
            f"-checkpointPath {path}: {existing} is not a folder that may be written"
        )
    return folder


def _bits(array: Array) -> Array:
    """Give an array as numpy can store it: of bfloat16, which is not numpy's own, the bits."""
    return array.view(f"u{array.itemsize}") if array.dtype.kind == "V" else array


def _arrays(stored: Any, prefix: str, like: Sequence[Array]) -> list[Array]:
    count = sum(name.startswith(f"{prefix}_") for name in stored.files)
    arrays = [stored[f"{prefix}_{number}"] for number in range(count)]
    for number, (array, other) in enumerate(zip(arrays, like, strict=False)):
        if array.dtype == _bits(other).dtype:
            arrays[number] = array.view(other.dtype)
    return arrays


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
