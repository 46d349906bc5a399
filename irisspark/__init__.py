"""irisspark: evaluate and train Keras models on CSV files over a Spark cluster."""

from __future__ import annotations

__version__ = "0.1.0"

_IN_PROGRAMS = ("evaluate", "predict", "train")
"""What a program calls; loaded when it is, since every worker imports this file."""


def __getattr__(name: str) -> object:
    """Give the functions of ``irisspark.api``."""
    if name not in _IN_PROGRAMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.api"), name)
