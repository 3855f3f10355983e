"""Removes noise by a network, which takes its standard deviation as an input, or by non-local means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.errors import MissingExtraError, StageError
from aecodec.options import choice, number
from aecodec.picture import Picture, is_achromatic, to_gray
from aecodec.picture.alpha import blacken_hidden, fill_hidden
from aecodec.restoration.filtering import restored
from aecodec.restoration.networks import network
from aecodec.restoration.noise import SMALLEST, Noise, measure_noise
from aecodec.restoration.windows import in_flat_windows

METHODS = ("learned", "nlm")
LARGEST_SIGMA = 60.0  # that the network was trained for, of 255
LEAST_SIGMA = 1.0  # of 255: less is left where it was measured, as rounding leaves 0.3 and dithering up to 1
# What is removed must be about the noise that was measured. Where it is less, that was texture, which the
# network keeps; where it is more, the network takes detail for noise. The share is 0.8 to 1.25 of validation
# photographs with noise of 30 and 50, and 0.25 to 1.7 of JPEGs of half-tone prints.
REMOVED = 0.7
MOST_REMOVED = 1.5
# Deviation that is given to the network for noise of luma, as a share of it. The network learned noise that
# differs between channels. In 4:2:0 JPEGs of such noise 1.1 to 1.3 are best, for noise that is equal in all
# channels 1.0 to 1.15 (docs/experiments.md, stages).
LUMA_LEVEL = 1.15
NLM_PATCH, NLM_DISTANCE, NLM_STRENGTH = 5, 6, 0.6  # pixels, pixels, of sigma
NLM_SMALLEST = 2  # pixels each way that scikit-image takes


def denoise(picture: Picture, sigma: float | None = None, method: str = "learned") -> Picture:
    """The picture without noise of standard deviation `sigma`, of 255; measured if it is not given.

    `method` is learned, or nlm for non-local means, which needs scikit-image. Where no noise is measured, the
    picture is left as it is, and a note says so. Raises StageError for a sigma or method that is not offered.
    """
    return denoise_measured(picture, sigma, method)[0]


def denoise_measured(
    picture: Picture, sigma: float | None = None, method: str = "learned", least: float = LEAST_SIGMA
) -> tuple[Picture, float]:
    """The picture of `denoise`, and the deviation (of 255) of the noise that was removed; 0 for none.

    Measured noise below `least` is not removed.
    """
    check_denoising(sigma, method)
    if sigma is not None:
        sigma = number("sigma", sigma, StageError)
        return (without(picture, sigma, method), sigma) if sigma else (picture, 0.0)
    noise = visible_noise(picture)
    measured = min(noise.sigma, LARGEST_SIGMA)
    if measured < least:
        return left(picture), 0.0
    level = min(LUMA_LEVEL * measured, LARGEST_SIGMA) if noise.in_luma else measured
    cleaned = without(picture, level, method)
    if method == "learned" and not REMOVED <= share_removed(picture, cleaned, measured) <= MOST_REMOVED:
        return left(picture), 0.0
    return cleaned, measured


def visible_noise(picture: Picture) -> Noise:
    """The noise in pixels that are not transparent."""
    return measure_noise(blacken_hidden(picture).pixels)


def without(picture: Picture, sigma: float, method: str) -> Picture:
    """The picture without noise of `sigma`, of 255, by a method. Flat windows stay unchanged."""
    remove = without_noise if method == "learned" else non_local_means
    filled = fill_hidden(picture)
    gray = is_achromatic(filled.pixels)
    pixels = remove(filled.pixels, sigma, gray)
    pixels = to_gray(pixels) if gray else pixels
    flat = in_flat_windows(filled.pixels)
    pixels[flat] = filled.pixels[flat]
    return replace(filled, pixels=pixels)


def share_removed(noisy: Picture, cleaned: Picture, sigma: float) -> float:
    """Deviation of the removed noise, as a share of sigma, over visible samples that are not clipped."""
    inside = (noisy.pixels > 0) & (noisy.pixels < 255)
    if noisy.alpha is not None:
        inside &= (noisy.alpha > 0)[:, :, None]
    removed = np.subtract(noisy.pixels, cleaned.pixels, dtype=np.int16)[inside]
    return float(removed.std()) / sigma if removed.size else 0.0


def left(picture: Picture) -> Picture:
    """The picture unchanged, with a note of the reason."""
    height, width = picture.pixels.shape[:2]
    note = "no noise was measured: left as it is"
    if min(height, width) < SMALLEST:
        remedy = "give it with --sigma (sigma in Python)"
        note = f"{width}x{height} pixels are too few to measure noise: left as it is, {remedy}"
    return replace(picture, notes=(*picture.notes, note))


def check_denoising(sigma: float | None, method: str) -> None:
    """Raises StageError for a sigma or method that `denoise` does not offer."""
    if sigma is not None and not 0 <= (value := number("sigma", sigma, StageError)) <= LARGEST_SIGMA:
        raise StageError(f"sigma {value:g} is out of range: choose 0 to {LARGEST_SIGMA:g}")
    choice("denoising method", method, METHODS, StageError)


def without_noise(image: NDArray[Any], sigma: float, gray: bool) -> NDArray[Any]:
    """An image (H, W, 3), bytes or floats in about [0, 1], cleaned of noise `sigma` (of 255)."""
    return restored(network("denoise"), image, sigma / 255)


def non_local_means(image: NDArray[Any], sigma: float, gray: bool) -> NDArray[Any]:
    """Patch-based denoising of an image (H, W, 3), bytes or floats in about [0, 1], of noise `sigma` of 255.

    Floats are not clipped.

    Source: Buades, Coll and Morel 2005, as scikit-image does it fast.
    """
    try:
        from skimage.restoration import denoise_nl_means
    except ImportError as error:
        raise MissingExtraError(f"{error}: run pip install 'aecodec[nlm]'") from error
    level = sigma / 255
    height, width = image.shape[:2]
    missing = [(0, max(NLM_SMALLEST - side, 0)) for side in (height, width)]
    image = np.pad(image, (*missing, (0, 0)), mode="edge")  # scikit-image drops axes of one pixel
    planes = image[:, :, 0] if gray else image
    denoised = denoise_nl_means(
        planes / np.float32(255) if image.dtype == np.uint8 else planes,
        patch_size=NLM_PATCH,
        patch_distance=NLM_DISTANCE,
        h=NLM_STRENGTH * level,
        sigma=level,
        fast_mode=True,
        channel_axis=None if gray else 2,
    )[:height, :width]
    denoised = np.repeat(denoised[:, :, None], 3, axis=2) if gray else denoised
    return np.asarray(
        np.rint(255 * denoised.clip(0, 1)) if image.dtype == np.uint8 else denoised, image.dtype
    )
