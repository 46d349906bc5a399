"""irisspark: evaluate and train Keras models on CSV files over a Spark cluster."""

from __future__ import annotations

__version__ = "0.1.0"
