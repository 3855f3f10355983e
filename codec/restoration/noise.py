"""How noisy a picture is, from the picture alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aecodec.picture import is_achromatic

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
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
# Of the patches of luma, those that are measured: in one channel texture is easily taken for noise. In these,
# noise of 6.7 in validation photographs reads 6.3 to 9.1 but for two of 32, which read 14.
FLATTEST = 1 / 3
# Means of 2x2 pixels halve white noise, and leave texture about as strong: where the deviation falls by less
# than this factor, it is texture. With 1.1 some clean JPEGs have noise too (docs/experiments.md, stages).
LEAST_FALL = 1.2
STILLEST = 0.05  # of the patches of luma
# Of white noise, that even these have. The share is 0.7 and more in noisy photographs, and 0.05 in JPEGs of
# screenshots.
STILL = 0.5
# Means of the quarters of a patch, as a product: (N, PATCH * PATCH) -> (N, 4)
QUARTERS = np.eye(4, dtype=np.float32).reshape(2, 2, 4).repeat(PATCH // 2, 0).repeat(PATCH // 2, 1)
QUARTERS = QUARTERS.reshape(PATCH * PATCH, 4) / (PATCH // 2) ** 2


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of an image."""

    sigma: float  # deviation, of 255
    in_luma: bool = False  # whether colours have less of it, as in JPEGs with chroma at a lower resolution


@dataclass(frozen=True, slots=True)
class PartNoise:
    """The noise of a part of an image."""

    sigma: float  # deviation of its white noise, on the image's scale
    clipped: bool  # whether most of its patches are clipped, so that text on white may look so


def estimate_noise(image: NDArray[Any]) -> float:
    """Deviation, of 255, of the noise of an image (H, W, 3), as `measure_noise` measures it."""
    return measure_noise(image).sigma


def measure_noise(image: NDArray[Any]) -> Noise:
    """The white noise in an image (H, W, 3), bytes or floats in about [0, 1].

    It is measured in all channels together, as texture seldom differs between them. Where luma alone has
    more, that is the noise. It is 0 for an image of less than SMALLEST pixels each way, and for text,
    drawings and prints, whose samples are too alike for noise.
    """
    if min(image.shape[:2]) < SMALLEST:
        return Noise(0.0)
    gray = is_achromatic(image)
    rows, columns = (parts(side) for side in image.shape[:2])
    pieces = [image[row, column, : 1 if gray else 3] for row in rows for column in columns]
    scale = 1 if image.dtype == np.uint8 else 255
    sigma = scale * sigma_of([noise for piece in pieces if (noise := noise_of(piece))])
    luma_sigma = 0.0 if gray else scale * luma_sigma_of(pieces)
    in_luma = luma_sigma > max(sigma, LEAST_ALIKE)
    return Noise(luma_sigma if in_luma else sigma, in_luma)


def sigma_of(measured: list[PartNoise]) -> float:
    """The deviation, on its scale, below which a third of the parts stay: noise of others may be texture.

    The noise of parts with mostly clipped patches is limited to that of the other parts. It is 0 where no
    part is left.
    """
    most = max((noise.sigma for noise in measured if not noise.clipped), default=0.0)
    return float(np.quantile([min(noise.sigma, most) for noise in measured], SHARE)) if measured else 0.0


def luma_sigma_of(pieces: list[NDArray[Any]]) -> float:
    """The deviation of the noise of luma, on their scale, in pieces (H, W, 3); 0 if few of them have any."""
    measured = [noise for piece in pieces if (noise := luma_noise_of(piece))]
    noisy = [noise for noise in measured if noise.sigma]
    return sigma_of(noisy) if len(noisy) >= SHARE * len(measured) else 0.0


def parts(side: int) -> list[slice]:
    """A side cut into equal parts of PART or more."""
    count = min(max(side // PART, 1), MOST_PARTS)
    return [slice(number * side // count, (number + 1) * side // count) for number in range(count)]


def luma_noise_of(pixels: NDArray[Any]) -> PartNoise | None:
    """The white noise of luma in pixels (H, W, 3), on their scale; None where too few patches tell of it.

    It is 0 where it may be texture.
    """
    luma = (pixels @ LUMA)[:, :, None]
    patches, coarse = (
        flattest(telling_patches(as_type(plane, pixels.dtype))) for plane in (luma, halved(luma))
    )
    noise = noise_in(patches, 1)
    if noise is None or too_few(coarse):
        return None
    return replace(noise, sigma=0.0) if is_texture(patches, coarse, noise.sigma) else noise


def is_texture(patches: NDArray[Any], coarse: NDArray[Any], sigma: float) -> bool:
    """Whether what has a deviation in patches (N, PATCH * PATCH) is no white noise.

    `coarse` are patches of means of 2x2 pixels. White noise leaves no patch still, and falls in means.
    """
    if np.quantile(patches.astype(np.float32).std(1), STILLEST) < STILL * sigma:
        return True
    return sigma < LEAST_FALL * smallest_deviation(coarse.astype(np.float32))


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Means of 2x2 pixels of a plane (H, W, 1)."""
    height, width = (side // 2 * 2 for side in plane.shape[:2])
    rows = plane[:height:2] + plane[1:height:2]
    return np.asarray((rows[:, :width:2] + rows[:, 1:width:2]) / 4)


def as_type(plane: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A plane of floats as bytes, rounded, or as it is."""
    return np.rint(plane).astype(np.uint8) if dtype == np.uint8 else plane


def noise_of(planes: NDArray[Any]) -> PartNoise | None:
    """The white noise in planes (H, W, C), on their scale; None where too few patches tell of it."""
    return noise_in(telling_patches(planes), planes.shape[2])


def noise_in(patches: NDArray[Any], channels: int) -> PartNoise | None:
    """The white noise in patches (N, PATCH * PATCH * channels), on their scale; None for too few."""
    if too_few(patches):
        return None
    sigma = smallest_deviation(patches.astype(np.float32))
    if patches.dtype != np.uint8:
        return PartNoise(sigma, clipped=False)
    pixels = patches.reshape(len(patches), PATCH * PATCH, channels)
    clipped = (pixels == 0) | (pixels == 255)
    unclipped = np.logical_and.reduce([*np.moveaxis(clipped, 2, 0)]).mean(1) < CLIPPED  # faster than all(2)
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


def too_few(patches: NDArray[Any]) -> bool:
    """Whether patches (N, D) are too few for their covariance."""
    return len(patches) < 2 * patches.shape[1]


def flattest(patches: NDArray[Any]) -> NDArray[Any]:
    """The FLATTEST of patches (N, PATCH * PATCH): those whose quarters have the most even means.

    These means hold little of the noise, so that the choice hardly changes its deviation.
    """
    order = np.argsort((patches.astype(np.float32) @ QUARTERS).var(1), kind="stable")
    return np.asarray(patches[order[: max(int(FLATTEST * len(patches)), 2 * PATCH * PATCH)]])


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
