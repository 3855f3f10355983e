"""Pictures as the codec takes them: pixels, gray or not, alpha and metadata.

`reading` turns files and Pillow images into pictures, and `writing` turns pictures into these. `lossless`
stores pixels unchanged. `metadata` reads metadata, `stripping` takes them out and `embedding` writes them;
they use `exif`, `xmp`, `text`, `photoshop`, `colour` and `code_points`. `leftovers` notes what is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aecodec.container import MAX_PIXELS, Box, check_size
from aecodec.errors import ImageError, LimitError

Pixels = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One upright picture, 8 bits a sample; gray pixels have three equal channels."""

    pixels: Pixels
    gray: bool = False
    alpha: NDArray[np.uint8] | None = None  # (H, W)
    metadata: Mapping[Box, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # clauses, each of a difference to the file or image it was read from


def check_input(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raises ImageError for a picture that has no pixels or more than are worked on."""
    try:
        check_size(width, height, max_pixels)
    except LimitError as error:
        raise ImageError(f"cannot be coded: {error}") from error


def to_gray(pixels: Pixels) -> Pixels:
    """Pixels (H, W, 3) whose channels are meant to be equal, made so: their mean, rounded, a half upwards."""
    mean = (pixels.astype(np.uint16).sum(2) + 1) // 3
    return np.repeat(mean.astype(np.uint8)[:, :, None], 3, axis=2)


def is_achromatic(pixels: Pixels) -> bool:
    """Whether the three channels of pixels (H, W, 3) are equal."""
    return all(
        (row == row[:, :1]).all() for row in pixels
    )  # of a photograph in colour only the first row is read


def pure_pixels(pixels: Pixels, level: int) -> NDArray[np.bool_]:
    """Which pixels (H, W) are a level in all channels."""
    return np.asarray((pixels[..., 0] == level) & (pixels[..., 1] == level) & (pixels[..., 2] == level))


def psnr(reference: Pixels, decoded: Pixels, alpha: NDArray[np.uint8] | None = None) -> float | None:
    """Peak signal-to-noise ratio in dB of 8-bit pictures (H, W, 3); None where they are equal.

    Under alpha (H, W) a squared error counts for alpha / 255: None where they look equal.
    """
    weights = np.broadcast_to(np.uint8(255), reference.shape[:2]) if alpha is None else alpha
    error = 0.0
    for row, other, weight in zip(reference, decoded, weights, strict=True):
        error += float((np.square(row.astype(np.float64) - other) * (weight[:, None] / 255.0)).sum())
    samples = 3 * int(weights.sum(dtype=np.int64)) / 255
    return None if error == 0 else float(10 * np.log10(255**2 * samples / error))
