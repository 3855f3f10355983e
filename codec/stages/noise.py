"""How noisy a picture is: a small network looks where noise can be told from detail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.engine import tiles
from codec.stages.networks import network
from codec.stages.restoration import CORE, read_planes

LEVEL_UNIT = 2.0  # of 255: levels are log(1 + sigma / LEVEL_UNIT)
NEGLIGIBLE = 0.5  # of 255: less is what rounding makes


def estimate_noise(image: NDArray[Any]) -> float:
    """Deviation, of 255, of the white noise in an image (H, W, 3), bytes or floats in about [0, 1]."""
    total = weight = 0.0
    rows, columns = (-(-side // 8) for side in image.shape[:2])
    for tile in tiles(rows, columns, CORE, 0):
        level, trust = network("noise")(0, read_planes(image, tile.outer))
        weights = np.exp(trust, dtype=np.float64)
        total += float((weights * level).sum())
        weight += float(weights.sum())
    sigma = LEVEL_UNIT * float(np.expm1(total / weight))
    return sigma if sigma > NEGLIGIBLE else 0.0
