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
MIDDLE = (56, 200)  # of 255: means of patches in which noise is hardly clipped
SHARE = 1 / 3  # of the parts that show no more than the noise
SMALLEST = 32  # pixels each way in which noise can be measured


def estimate_noise(image: NDArray[Any]) -> float:
    """Deviation, of 255, of the white noise in an image (H, W, 3), bytes or floats in about [0, 1].

    It is what a third of the parts of the image stay below: what looks like noise in others may be texture.
    Flat patches tell nothing, nor dark and bright ones of bytes, whose noise is clipped. 0 if none is left.
    """
    gray = bool((image == image[:, :, :1]).all())
    planes = image[:, :, :1] if gray else image
    rows, columns = (parts(side) for side in image.shape[:2])
    measured = [noise_of(planes[row, column]) for row in rows for column in columns]
    found = [sigma for sigma in measured if sigma is not None]
    sigma = float(np.quantile(found, SHARE)) if found else 0.0
    return sigma if image.dtype == np.uint8 else 255 * sigma


def parts(side: int) -> list[slice]:
    """A side cut into equal parts of PART or more."""
    count = min(max(side // PART, 1), MOST_PARTS)
    return [slice(number * side // count, (number + 1) * side // count) for number in range(count)]


def noise_of(planes: NDArray[Any]) -> float | None:
    """Deviation of the white noise in planes (H, W, C), on their scale; None where too little is told.

    The eigenvalues of the patches' covariance that belong to noise alone lie evenly around their mean; the
    largest set of which that holds is the noise.

    Source: Chen, Zhu and Heng 2015, "An Efficient Statistical Method for Image Noise Level Estimation".
    """
    if min(planes.shape[:2]) < SMALLEST:
        return None
    windows = sliding_window_view(planes, (PATCH, PATCH, planes.shape[2]))
    step = max(1, int(np.ceil((windows.shape[0] * windows.shape[1] / MOST_PATCHES) ** 0.5)))
    patches = windows[::step, ::step, 0].reshape(-1, planes.shape[2] * PATCH * PATCH).astype(np.float32)
    telling = patches.max(1) > patches.min(1)
    if planes.dtype == np.uint8:  # near the ends noise is clipped
        mean = patches.mean(1)
        telling &= (mean > MIDDLE[0]) & (mean < MIDDLE[1])
    patches = patches[telling]
    if len(patches) < 2 * patches.shape[1]:
        return None
    values = np.linalg.eigvalsh(np.cov(patches, rowvar=False))
    for count in range(len(values), 0, -1):
        mean = values[:count].mean()
        if np.count_nonzero(values[:count] > mean) >= np.count_nonzero(values[:count] < mean):
            return float(max(mean, 0) ** 0.5)
    return None
