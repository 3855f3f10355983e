"""SSIMULACRA 2.1 as libjxl defines it: a measure of visible differences.

Source: Sneyers 2023, SSIMULACRA 2.1 (cloudinary/ssimulacra2, `src/ssimulacra2.cc`). The package of that name
on PyPI has another blur and other borders.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from aecodec.training.ssimulacra2_terms import (
    CONTRAST,
    OPSIN,
    OPSIN_BIAS,
    POLYNOMIAL,
    POWER,
    SCALE,
    WEIGHTS,
    WINDOW,
)

Planes = NDArray[np.float32]  # (3, H, W)

SMALLEST_SIDE = 64  # pixels: smaller pictures lack scales that weigh most


def ssimulacra2_score(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """The score of a decoded picture (H, W, 3), sides of SMALLEST_SIDE pixels or more; not symmetric.

    100 is equal, about 90 where no difference is seen, 70 high, 50 medium, 30 low quality.
    """
    total = 0.0
    for terms, maps in zip(WEIGHTS, maps_by_scale(original, decoded), strict=True):
        for channel, map_name, power, weight in terms:
            total += weight * norm(maps[map_name][channel], power)
    scaled = SCALE * total
    polynomial = sum(factor * scaled**power for power, factor in enumerate(POLYNOMIAL, start=1))
    return float(100 - 10 * max(polynomial, 0) ** POWER)


def maps_by_scale(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> Iterator[dict[str, Planes]]:
    """The metric's three maps, each (3, h, w) in XYB, at every scale."""
    first, second = linear_light(original), linear_light(decoded)
    for scale in range(len(WEIGHTS)):
        if scale:
            first, second = halve(first), halve(second)
        yield local_differences(xyb(first), xyb(second))


def linear_light(picture: NDArray[np.uint8]) -> Planes:
    """Linear light (3, H, W) up to 1 of an sRGB picture (IEC 61966-2-1)."""
    levels = np.arange(256) / 255
    table = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[picture.transpose(2, 0, 1)]


def xyb(light: Planes) -> Planes:
    """The metric's XYB, each channel about 0 to 1."""
    cones = np.tensordot(np.array(OPSIN, np.float32), light, 1) + np.float32(OPSIN_BIAS)
    cones = np.cbrt(cones) - np.cbrt(np.float32(OPSIN_BIAS))
    y = (cones[0] + cones[1]) / 2
    planes = [7 * (cones[0] - cones[1]) + 0.42, y + 0.01, cones[2] - y + 0.55]
    return np.asarray(np.stack(planes), np.float32)


def halve(x: Planes) -> Planes:
    """Means of 2x2 samples; an odd last row or column is taken twice."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), mode="edge")
    return np.asarray(x.reshape(3, x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean((2, 4)), np.float32)


def blur(x: Planes) -> Planes:
    """Windowed sums, zero beyond the borders."""
    for axis in (1, 2):
        x = correlate1d(x, np.array(WINDOW, np.float32), axis=axis, mode="constant")
    return x


def local_differences(original: Planes, decoded: Planes) -> dict[str, Planes]:
    """Maps of lost structure, of added edges (ring) and of lost edges; 0 where nothing differs."""
    mean, other = blur(original), blur(decoded)
    mean_shift, difference = np.square(mean - other), blur(np.square(original - decoded))
    energy = blur(np.square(original) + np.square(decoded)) - np.square(mean) - np.square(other)
    energy += np.float32(CONTRAST)
    structure = (difference - mean_shift + mean_shift * (energy - difference + mean_shift)) / energy
    edges = (1 + np.abs(decoded - other)) / (1 + np.abs(original - mean)) - 1
    maps = {"ssim": structure, "ring": edges, "lost": -edges}
    return {name: np.maximum(plane, 0) for name, plane in maps.items()}


def norm(plane: NDArray[np.float32], power: int) -> float:
    """The mean, or the fourth root of the mean of fourth powers."""
    values = plane.astype(np.float64)
    return float(values.mean() if power == 1 else (values**4).mean() ** 0.25)
