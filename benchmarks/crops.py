"""Pictures side by side at the same file size, cut out where the codecs differ most."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from aecodec.benchmarks.measure import Photograph, read_pixels
from aecodec.benchmarks.metrics import Pixels, psnr_rgb
from aecodec.benchmarks.reference_codecs import ReferenceCodec

CROP = 256  # pixels each way, or the whole side: larger crops show more, and differ less
# Quality of aecodec's file, whose size the others match as nearly as they can: low, so that differences can
# be seen.
OUR_QUALITY = 20.0


@dataclass(frozen=True, slots=True)
class DecodedCrop:
    """A crop as one codec decodes it. The image is a data URI; psnr is that of the whole picture in dB."""

    codec: str
    quality: float
    bytes: int
    psnr: float | None  # None where nothing was lost
    image: str


@dataclass(frozen=True, slots=True)
class CropComparison:
    """The position of a crop in one picture, the original crop, and the crop of each codec."""

    name: str
    left: int
    top: int
    width: int
    height: int
    original: str
    crops: list[DecodedCrop]


def nearest_in_size(codec: ReferenceCodec, image: Image.Image, size: int) -> tuple[float, bytes]:
    """The quality, and its file, that is nearest to a size in bytes."""
    low, high = (round(end / codec.step) for end in codec.span)
    tried: dict[int, bytes] = {}
    while low <= high:
        middle = (low + high) // 2
        tried[middle] = codec.encode(image, middle * codec.step)
        if len(tried[middle]) <= size:
            low = middle + 1
        else:
            high = middle - 1
    best = min(tried, key=lambda step: abs(len(tried[step]) - size))
    return best * codec.step, tried[best]


def most_different_position(pixels: Pixels, decoded: list[Pixels]) -> tuple[int, int]:
    """Top and left of the crop in which the squared errors of the codecs differ most."""
    errors = [np.square(pixels.astype(np.float64) - other).mean(2) for other in decoded]
    height, width = (min(CROP, side) for side in pixels.shape[:2])
    means: NDArray[np.float64] = np.stack([uniform_filter(error, (height, width)) for error in errors])
    rows = slice(height // 2, pixels.shape[0] - (height - 1) // 2)
    columns = slice(width // 2, pixels.shape[1] - (width - 1) // 2)
    unlike = means.std(0)[rows, columns]
    top, left = np.unravel_index(unlike.argmax(), unlike.shape)
    return int(top), int(left)


def data_uri(pixels: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def crop_comparison_of(photograph: Photograph, codecs: list[ReferenceCodec]) -> CropComparison:
    """Crops of the first codec's file at OUR_QUALITY, and of the files of the others nearest to its size."""
    pixels = read_pixels(photograph.path)
    image = Image.fromarray(pixels)
    first = codecs[0].encode(image, OUR_QUALITY)
    files = [(OUR_QUALITY, first), *(nearest_in_size(codec, image, len(first)) for codec in codecs[1:])]
    decoded = [np.asarray(codec.decode(data)) for codec, (_, data) in zip(codecs, files, strict=True)]
    top, left = most_different_position(pixels, decoded)
    crop = np.s_[top : top + CROP, left : left + CROP]
    crops = []
    for codec, (quality, data), decoded_pixels in zip(codecs, files, decoded, strict=True):
        psnr = psnr_rgb(pixels, decoded_pixels)
        finite_psnr = psnr if math.isfinite(psnr) else None
        crops.append(
            DecodedCrop(codec.name, round(quality, 2), len(data), finite_psnr, data_uri(decoded_pixels[crop]))
        )
    height, width = pixels[crop].shape[:2]
    return CropComparison(photograph.name, left, top, width, height, data_uri(pixels[crop]), crops)
