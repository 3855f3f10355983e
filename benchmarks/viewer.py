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
from aecodec.benchmarks.peers import Peer

CROP = 256  # pixels each way, or the whole side
OUR_QUALITY = 20.0  # to whose file size the others come as near as they can


@dataclass(frozen=True, slots=True)
class Cutout:
    """What one codec makes of a crop; the image is a data URI, psnr in dB of the whole picture."""

    codec: str
    quality: float
    bytes: int
    psnr: float | None  # None where nothing was lost
    image: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture: where the crop lies, the original and what each codec makes of it."""

    name: str
    left: int
    top: int
    width: int
    height: int
    original: str
    cutouts: list[Cutout]


def nearest_in_size(peer: Peer, image: Image.Image, size: int) -> tuple[float, bytes]:
    """The quality, and its file, that is nearest to a size in bytes."""
    low, high = (round(end / peer.step) for end in peer.span)
    tried: dict[int, bytes] = {}
    while low <= high:
        middle = (low + high) // 2
        tried[middle] = peer.encode(image, middle * peer.step)
        if len(tried[middle]) <= size:
            low = middle + 1
        else:
            high = middle - 1
    best = min(tried, key=lambda step: abs(len(tried[step]) - size))
    return best * peer.step, tried[best]


def where_they_differ(pixels: Pixels, decoded: list[Pixels]) -> tuple[int, int]:
    """Top and left of the crop in which the codecs' squared errors are most unlike each other."""
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


def scene_of(photograph: Photograph, peers: list[Peer]) -> Scene:
    """The first peer's file at OUR_QUALITY, and the others' nearest to its size."""
    pixels = read_pixels(photograph.path)
    image = Image.fromarray(pixels)
    first = peers[0].encode(image, OUR_QUALITY)
    files = [(OUR_QUALITY, first), *(nearest_in_size(peer, image, len(first)) for peer in peers[1:])]
    decoded = [np.asarray(peer.decode(data)) for peer, (_, data) in zip(peers, files, strict=True)]
    top, left = where_they_differ(pixels, decoded)
    crop = np.s_[top : top + CROP, left : left + CROP]
    cutouts = []
    for peer, (quality, data), other in zip(peers, files, decoded, strict=True):
        psnr = psnr_rgb(pixels, other)
        shown = psnr if math.isfinite(psnr) else None
        cutouts.append(Cutout(peer.name, round(quality, 2), len(data), shown, data_uri(other[crop])))
    height, width = pixels[crop].shape[:2]
    return Scene(photograph.name, left, top, width, height, data_uri(pixels[crop]), cutouts)
