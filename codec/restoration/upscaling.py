"""Enlarges pictures 2, 3 or 4 times: bicubic interpolation whose luma a network sharpens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aecodec.arrays import Finish, Floats, Pixels
from aecodec.container import MAX_PIXELS
from aecodec.errors import StageError
from aecodec.model.tiling import scale_window, tiles
from aecodec.options import choice, whole_number
from aecodec.picture import Picture
from aecodec.picture.alpha import fill_hidden
from aecodec.progress import track
from aecodec.restoration.filtering import bytes_of
from aecodec.restoration.networks import network

SCALES = (2, 3, 4)
LEARNED = "learned"
METHODS = (LEARNED, "srcnn", "bicubic")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]  # ITU-R BT.601
CORE = 256  # pixels per tile of the small picture, each way, without the halo: more take memory, fewer time
HALO = 18  # pixels: the network sees 14 to each side, interpolation 2 more


def upscale(picture: Picture, scale: int, method: str = "learned") -> Picture:
    """The picture `scale` (2, 3 or 4) times as wide and as high; raises StageError for others.

    `method` is learned, srcnn (Dong et al. 2016, arXiv 1501.00092: 9-5-5 on the luma) or bicubic.
    """
    check_upscaling(scale, method)
    scale = int(scale)
    height, width = (scale * side for side in picture.pixels.shape[:2])
    if height * width > MAX_PIXELS:
        raise StageError(
            f"{width}x{height} pixels would be over the limit of {MAX_PIXELS}: choose a smaller scale"
        )
    alpha = picture.alpha
    if alpha is not None:
        alpha = np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.BICUBIC))
    pixels = enlarged(fill_hidden(picture).pixels, scale, method)
    return replace(picture, pixels=pixels, alpha=alpha)


def check_upscaling(scale: int, method: str) -> None:
    """Raises StageError for a scale or method that `upscale` does not offer."""
    if whole_number("scale", scale, StageError) not in SCALES:
        raise StageError(f"scale {scale} is not offered: choose of {', '.join(map(str, SCALES))}")
    choice("upscaling method", method, METHODS, StageError)


def enlarged(pixels: Pixels, scale: int, method: str, finish: Finish | None = None) -> Pixels:
    """Pixels (H, W, 3) -> (scale H, scale W, 3); `finish` is applied to levels before they are rounded."""
    height, width = pixels.shape[:2]
    result = np.empty((scale * height, scale * width, 3), np.uint8)
    for tile in track("enlarging", tiles(height, width, CORE, HALO)):
        small = pixels[tile.outer].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        large = np.stack([bicubic(plane, scale) for plane in small])
        if method != "bicubic":
            large += sharper(small, large, scale, method)
        inner, place = large[(slice(None), *scale_window(tile.inner, scale))], scale_window(tile.place, scale)
        result[place] = bytes_of(np.clip(inner, 0, 1).transpose(1, 2, 0), place, finish)
    return result


def network_name(scale: int) -> str:
    """The name of the learned method's network."""
    return f"upscale{scale}"


def sharper(small: Floats, large: Floats, scale: int, method: str) -> Floats:
    """What a network adds to the luma (1, s h, s w) of a picture (3, s h, s w) enlarged from (3, h, w)."""
    luma = (large * LUMA).sum(0, keepdims=True)
    if method == "srcnn":
        (sharpened,) = network(f"srcnn{scale}")(0, luma)
    else:
        (sharpened,) = network(network_name(scale))(0, (small * LUMA).sum(0, keepdims=True), luma)
    return np.asarray(sharpened - luma, np.float32)


def bicubic(plane: Floats, scale: int) -> Floats:
    """A plane (H, W) enlarged by Keys' bicubic interpolation, a = -0.5."""
    size = plane.shape[1] * scale, plane.shape[0] * scale
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))


def downscale(pixels: Pixels, scale: int) -> Pixels:
    """Pixels (H, W, 3) -> (ceil(H / scale), ceil(W / scale), 3), interpolated over wider support."""
    height, width = (-(-side // scale) for side in pixels.shape[:2])
    below, right = scale * height - pixels.shape[0], scale * width - pixels.shape[1]
    padded: NDArray[np.uint8] = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(padded).resize((width, height), Image.Resampling.BICUBIC))
