"""Runs the networks that give back a picture of the size they were given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Finish, Floats, Window
from aecodec.model.network import Network
from aecodec.model.tiling import scale_window, tiles
from aecodec.progress import track

CELL = 8  # pixels: what the sides of a tile are multiples of
CORE = (
    96  # cells per tile, each way, without the halo: larger tiles waste less on halos, and take more memory
)
HALO = 15  # cells: the network sees 116 pixels to each side


def restored(
    network: Network, image: NDArray[Any], level: float | None = None, finish: Finish | None = None
) -> NDArray[Any]:
    """The network's output for an image (H, W, 3) of bytes, or floats in about [0, 1]; of the same type.

    `level`, where the network takes one, is constant over the image. `finish` is applied to levels before
    they are rounded to bytes.
    """
    restored_image = np.empty_like(image)
    height, width = image.shape[:2]
    for tile in track("restoring", tiles(-(-height // CELL), -(-width // CELL), CORE, HALO)):
        planes = read_planes(image, tile.outer)
        levels = [] if level is None else [np.full_like(planes[:1], level)]
        (result,) = network(0, planes, *levels)
        inner = np.clip(result[(slice(None), *scale_window(tile.inner, CELL))].transpose(1, 2, 0), 0, 1)
        rows, columns = scale_window(tile.place, CELL)
        place = slice(rows.start, min(rows.stop, height)), slice(columns.start, min(columns.stop, width))
        part = restored_image[place]
        inner = inner[: part.shape[0], : part.shape[1]]
        part[:] = bytes_of(inner, place, finish) if image.dtype == np.uint8 else inner
    return restored_image


def bytes_of(image: Floats, place: Window, finish: Finish | None) -> NDArray[np.uint8]:
    """A part (h, w, 3) of a picture in [0, 1], as bytes. `finish` is applied before rounding."""
    levels = 255 * image
    if finish:
        levels = finish(levels, place)
    return np.asarray(np.rint(levels), np.uint8)


def read_planes(image: NDArray[Any], window: Window) -> Floats:
    """The image (3, h, w) in [0, 1] under a window of cells, its last row and column repeated as needed."""
    rows, columns = scale_window(window, CELL)
    part = image[rows, columns]
    below, right = rows.stop - rows.start - part.shape[0], columns.stop - columns.start - part.shape[1]
    part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge").transpose(2, 0, 1)
    return part.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else part.astype(np.float32)
