"""TensorFlow without its start-up chatter."""

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any


def import_tensorflow() -> Any:
    """Import TensorFlow and Keras, and say nothing.

    TensorFlow prints to file descriptor 2 while it is imported, whatever ``TF_CPP_MIN_LOG_LEVEL``
    says, so the descriptor is led away meanwhile; that setting silences what comes later.

    Returns:
        The module ``tensorflow``.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" not in sys.modules or "keras" not in sys.modules:
        with _descriptor_2_led_away(), _no_collections():
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
        logging.getLogger("absl").setLevel(logging.ERROR)  # Keras's remarks about old file formats
        # TensorFlow's logger writes to the stream that stood in for standard error meanwhile.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return sys.modules["tensorflow"]


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Import without garbage collections, which take a quarter of the time and find nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _descriptor_2_led_away() -> Iterator[None]:
    """Lead C++'s standard error away; Python's own still goes where it went."""
    try:
        saved = os.dup(2)
    except OSError:  # there is none
        yield
        return
    own = sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(saved), "w", buffering=1, errors="backslashreplace") as kept:
        try:
            sys.stderr = kept
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            sys.stderr = own
            os.close(saved)
            os.close(nowhere)
