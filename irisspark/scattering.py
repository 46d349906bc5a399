"""Numbers that stand for rows, scattered evenly: what is chosen by them is chosen by no order."""

from __future__ import annotations

from typing import Any

import numpy as np


def mix(values: Any) -> Any:
    """Scatter values over all of uint64: the finalizer of splitmix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
