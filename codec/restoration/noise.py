"""How noisy a picture is, from the picture alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

PATCH = 8  # pixels, each way: larger ones tell noise from texture better, and need more of them
# Pixels each way, about, of a part, whose noise is measured apart: the least of nine such parts was nearest
# to the truth (docs/experiments.md, stages). Larger parts hold more texture, smaller ones fewer patches.
PART = 160
MOST_PARTS = 4  # each way: more take longer
MOST_PATCHES = 2**14  # of a part: more are more exact, and take longer
MIDDLE = (56, 200)  # of 255: means of patches in which noise is hardly clipped
SHARE = (
    1 / 3
)  # of the parts that show only noise: a larger share takes texture for noise, a smaller one flat parts
SMALLEST = 32  # pixels each way in which noise can be measured
CLIPPED = 0.2  # of a patch's pixels: with more at 0 or 255 its noise would be clipped too
MOSTLY_CLIPPED = 0.8  # of a part's patches: of text on white 0.93 and more are
# White noise of deviation s makes two samples differ by at most t with probability (2 t + 1) / (2 s sqrt(pi))
# or less, whatever lies under it. Where more are so alike, by this factor, what was measured is no noise:
# validation photographs with noise of 5 to 50 have up to 1.1, text, prints and drawings have 1.3 to 100.
TOO_ALIKE = 1.25
ALIKE = (0, 3)  # t, in levels
ALIKE_PATCHES = 2**11  # of a part, in which samples are compared
DISTANCES = (1, 8, 9, 20, 27, 31)  # along the samples of a patch, row by row, of those that are compared
LEAST_ALIKE = 1.0  # of 255: below it rounding to bytes alone makes samples alike


@dataclass(frozen=True, slots=True)
class PartNoise:
    """The noise of a part of an image."""

    sigma: float  # deviation of its white noise, on the image's scale
    clipped: bool  # whether most of its patches are clipped, so that text on white may look so


def estimate_noise(image: NDArray[Any]) -> float:
    """Deviation, of 255, of the white noise in an image (H, W, 3), bytes or floats in about [0, 1].

    It is the deviation below which a third of the parts of the image stay, as noise of other parts may be
    texture. Flat patches are not counted, nor dark and bright ones of bytes, whose noise is clipped. The
    noise of parts with mostly clipped patches is limited to that of the other parts. It is 0 where no part is
    left, for an image of less than SMALLEST pixels each way, and for text, drawings and prints, whose samples
    are too alike for noise.
    """
    if min(image.shape[:2]) < SMALLEST:
        return 0.0
    gray = bool((image == image[:, :, :1]).all())
    planes = image[:, :, :1] if gray else image
    rows, columns = (parts(side) for side in image.shape[:2])
    measured = [noise_of(planes[row, column]) for row in rows for column in columns]
    known = [noise for noise in measured if noise is not None]
    most = max((noise.sigma for noise in known if not noise.clipped), default=0.0)
    sigma = float(np.quantile([min(noise.sigma, most) for noise in known], SHARE)) if known else 0.0
    return sigma if image.dtype == np.uint8 else 255 * sigma


def parts(side: int) -> list[slice]:
    """A side cut into equal parts of PART or more."""
    count = min(max(side // PART, 1), MOST_PARTS)
    return [slice(number * side // count, (number + 1) * side // count) for number in range(count)]


def noise_of(planes: NDArray[Any]) -> PartNoise | None:
    """The white noise in planes (H, W, C), on their scale; None where too few patches tell of it."""
    patches = telling_patches(planes)
    if len(patches) < 2 * patches.shape[1]:
        return None
    sigma = smallest_deviation(patches.astype(np.float32))
    if planes.dtype != np.uint8:
        return PartNoise(sigma, clipped=False)
    pixels = patches.reshape(len(patches), PATCH * PATCH, planes.shape[2])
    unclipped = ((pixels == 0) | (pixels == 255)).all(2).mean(1) < CLIPPED
    if unclipped.mean() < 1 - MOSTLY_CLIPPED:
        return PartNoise(sigma, clipped=True)
    return PartNoise(0.0 if is_no_noise(pixels[unclipped], sigma) else sigma, clipped=False)


def telling_patches(planes: NDArray[Any]) -> NDArray[Any]:
    """Patches (N, PATCH * PATCH * C) of planes (H, W, C): not flat and, of bytes, neither dark nor bright."""
    windows = sliding_window_view(planes, (PATCH, PATCH, planes.shape[2]))
    step = max(1, int(np.ceil((windows.shape[0] * windows.shape[1] / MOST_PATCHES) ** 0.5)))
    patches = windows[::step, ::step, 0].reshape(-1, planes.shape[2] * PATCH * PATCH)
    telling = patches.max(1) > patches.min(1)
    if planes.dtype == np.uint8:
        mean = patches.mean(1, dtype=np.float32)
        telling &= (mean > MIDDLE[0]) & (mean < MIDDLE[1])
    return np.asarray(patches[telling])


def smallest_deviation(patches: NDArray[np.float32]) -> float:
    """Deviation of patches (N, D) in the directions that belong to noise alone.

    The eigenvalues of their covariance that do lie evenly around their mean; the largest set of which that
    holds is the noise.

    Source: Chen, Zhu and Heng 2015, "An Efficient Statistical Method for Image Noise Level Estimation".
    """
    values = np.linalg.eigvalsh(np.cov(patches, rowvar=False))
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    counts = range(len(values), 0, -1)
    even = next(count for count in counts if lies_evenly(values[:count], means[count - 1]))
    return float(max(means[even - 1], 0) ** 0.5)


def lies_evenly(values: NDArray[np.float32], mean: float) -> bool:
    """Whether at least as many values are above their mean as are below it."""
    return bool(np.count_nonzero(values > mean) >= np.count_nonzero(values < mean))


def is_no_noise(patches: NDArray[np.uint8], sigma: float) -> bool:
    """Whether samples of patches (N, PATCH * PATCH, C) are alike more often than in noise of a deviation."""
    if sigma < LEAST_ALIKE:
        return False
    samples = patches[:: -(-len(patches) // ALIKE_PATCHES)].astype(np.int16)
    inside = (samples > 0) & (samples < 255)
    alike, compared = np.zeros((len(ALIKE), len(samples))), np.zeros(len(samples))
    for distance in DISTANCES:
        difference = np.abs(samples - np.roll(samples, distance, axis=1))
        both = inside & np.roll(inside, distance, axis=1)
        alike += [((difference <= levels) & both).sum((1, 2)) for levels in ALIKE]
        compared += both.sum((1, 2))
    shares = np.median(alike / np.maximum(compared, 1), axis=1)
    most = [(2 * levels + 1) / (2 * sigma * pi**0.5) for levels in ALIKE]
    return bool((shares > TOO_ALIKE * np.array(most)).any())
