"""How noisy a picture is, from the picture alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

PATCH = 8  # pixels, each way
PART = 160  # pixels each way, about, of which noise is measured apart
MOST_PARTS = 4  # each way
MOST_PATCHES = 2**14  # of a part
SMALLEST = 32  # pixels each way in which noise can be measured


def estimate_noise(image: NDArray[Any]) -> float:
    """Deviation, of 255, of the white noise in an image (H, W, 3), bytes or floats in about [0, 1].

    It is the least that a part of the image shows: what looks like noise in others may be texture.
    0 where the image is smaller than SMALLEST each way.
    """
    gray = bool((image == image[:, :, :1]).all())
    planes = image[:, :, :1] if gray else image
    rows, columns = (parts(side) for side in image.shape[:2])
    sigma = min(noise_of(planes[row, column]) for row in rows for column in columns)
    return sigma if image.dtype == np.uint8 else 255 * sigma


def parts(side: int) -> list[slice]:
    """A side cut into equal parts of PART or more."""
    count = min(max(side // PART, 1), MOST_PARTS)
    return [slice(number * side // count, (number + 1) * side // count) for number in range(count)]


def noise_of(planes: NDArray[Any]) -> float:
    """Deviation of the white noise in planes (H, W, C), on their scale.

    The eigenvalues of the patches' covariance that belong to noise alone lie evenly around their mean; the
    largest set of which that holds is the noise.

    Source: Chen, Zhu and Heng 2015, "An Efficient Statistical Method for Image Noise Level Estimation".
    """
    if min(planes.shape[:2]) < SMALLEST:
        return 0.0
    windows = sliding_window_view(planes, (PATCH, PATCH), axis=(0, 1))
    step = max(1, int(np.ceil((windows.shape[0] * windows.shape[1] / MOST_PATCHES) ** 0.5)))
    patches = windows[::step, ::step].reshape(-1, planes.shape[2] * PATCH * PATCH).astype(np.float32)
    values = np.linalg.eigvalsh(np.cov(patches, rowvar=False))
    for count in range(len(values), 0, -1):
        mean = values[:count].mean()
        if np.count_nonzero(values[:count] > mean) >= np.count_nonzero(values[:count] < mean):
            return float(max(mean, 0) ** 0.5)
    return 0.0
