"""Removes noise: by a network that is told how much there is, or by non-local means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.arguments import choice, number
from codec.errors import MissingExtraError, StageError
from codec.picture import Picture, is_achromatic, to_gray
from codec.picture.alpha import blacken_hidden, fill_hidden
from codec.stages.networks import network
from codec.stages.noise import SMALLEST, estimate_noise
from codec.stages.restoration import restored

METHODS = ("learned", "nlm")
LARGEST_SIGMA = 60.0  # that the network was trained for, of 255
NLM_PATCH, NLM_DISTANCE, NLM_STRENGTH = 5, 6, 0.6  # pixels, pixels, of sigma


def denoise(picture: Picture, sigma: float | None = None, method: str = "learned") -> Picture:
    """The picture without noise of standard deviation `sigma`, of 255; estimated if it is not given.

    `method` is learned, or nlm for non-local means, which needs scikit-image.
    Raises StageError for a sigma or method that is not offered.
    """
    check_denoising(sigma, method)
    sigma = None if sigma is None else number("sigma", sigma, StageError)
    if sigma is None:
        height, width = picture.pixels.shape[:2]
        if min(height, width) < SMALLEST:
            raise StageError(f"{width}x{height} pixels are too few to measure noise: give it with --sigma")
        sigma = min(estimate_noise(blacken_hidden(picture).pixels), LARGEST_SIGMA)
    if sigma == 0:
        return picture
    remove = without_noise if method == "learned" else non_local_means
    picture = fill_hidden(picture)
    gray = is_achromatic(picture.pixels)
    pixels = remove(picture.pixels, sigma, gray)
    return replace(picture, pixels=to_gray(pixels) if gray else pixels)


def check_denoising(sigma: float | None, method: str) -> None:
    """Raises StageError for a sigma or method that `denoise` does not offer."""
    if sigma is not None and not 0 <= (given := number("sigma", sigma, StageError)) <= LARGEST_SIGMA:
        raise StageError(f"sigma {given:g} is out of range: choose 0 to {LARGEST_SIGMA:g}")
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
    planes = image[:, :, 0] if gray else image
    found = denoise_nl_means(
        planes / np.float32(255) if image.dtype == np.uint8 else planes,
        patch_size=NLM_PATCH,
        patch_distance=NLM_DISTANCE,
        h=NLM_STRENGTH * level,
        sigma=level,
        fast_mode=True,
        channel_axis=None if gray else 2,
    )
    found = np.repeat(found[:, :, None], 3, axis=2) if gray else found
    return np.asarray(np.rint(255 * found.clip(0, 1)) if image.dtype == np.uint8 else found, image.dtype)
