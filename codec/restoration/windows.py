"""What small windows of a picture have in common, for each place of a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Pixels

SIDE = 8  # pixels each way, a power of 2


def slid(values: NDArray[Any], combine: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """What `combine` makes of each window of SIDE x SIDE values (h, w, ...): (h - 7, w - 7, ...)."""
    step = 1
    while step < SIDE:
        values = combine(values[step:], values[:-step])
        values = combine(values[:, step:], values[:, :-step])
        step *= 2
    return values


def in_flat_windows(pixels: Pixels) -> NDArray[np.bool_]:
    """Which of the pixels (H, W, 3) are within any window whose pixels are equal."""
    height, width = pixels.shape[:2]
    missing = ((0, max(SIDE - height, 0)), (0, max(SIDE - width, 0)), (0, 0))
    large = np.pad(pixels, missing, mode="edge")
    flat = (slid(large, np.maximum) == slid(large, np.minimum)).all(2)
    return np.asarray(slid(np.pad(flat, SIDE - 1), np.logical_or))[:height, :width]
