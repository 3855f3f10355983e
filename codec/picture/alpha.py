"""What alpha hides: the colours of pixels that nobody sees are replaced by smooth ones, which cost little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Floats
from aecodec.picture import Picture

STRIP = 16  # rows, even, that are worked on at a time, so that no level is held twice


def fill_hidden(picture: Picture) -> Picture:
    """The picture whose pixels under alpha 0 continue the visible ones smoothly; these stay as they are.

    Where nothing is visible, all is black. The picture itself where nothing is hidden.
    """
    if picture.alpha is None or picture.alpha.all():
        return picture
    if not picture.alpha.any():
        return blacken_hidden(picture)
    return replace(picture, pixels=push_pull(picture.pixels, picture.alpha > 0))


def blacken_hidden(picture: Picture) -> Picture:
    """The picture whose pixels under alpha 0 are black, which lossless coding stores in the fewest bytes."""
    if picture.alpha is None or picture.alpha.all():
        return picture
    return replace(picture, pixels=picture.pixels * (picture.alpha > 0)[:, :, None])


def push_pull(colours: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Colours (H, W, 3), bytes or floats, blended with coarser ones by how far a weight (H, W) is below 1.

    Source: Gortler et al. 1996, "The Lumigraph", section 3.4. Levels above a picture take 6 bytes a pixel.
    """
    if weights.shape == (1, 1) or (weights >= 1).all():
        return colours
    coarse = push_pull(*halve(colours, weights))
    filled = np.empty_like(colours)
    for rows in strips(len(colours)):
        fine, missing = colours[rows], 1 - weights[rows].astype(np.float32)
        if missing.any():
            smooth = enlarge(coarse, rows, colours.shape[1])
            fine = fine + missing[:, :, None] * (smooth - fine)
            fine = np.rint(fine) if colours.dtype == np.uint8 else fine
        filled[rows] = fine
    return filled


def strips(height: int) -> Iterator[slice]:
    for start in range(0, height, STRIP):
        yield slice(start, min(start + STRIP, height))


def halve(colours: NDArray[Any], weights: NDArray[Any]) -> tuple[Floats, Floats]:
    """Weighted means (ceil(H / 2), ceil(W / 2), 3) of 2x2 colours, and the sums of weights, at most 1."""
    height, width = (-(-side // 2) for side in weights.shape)
    means, sums = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    for rows in strips(len(weights)):
        place, weight = slice(rows.start // 2, -(-rows.stop // 2)), weights[rows].astype(np.float32)
        weighted = colours[rows].astype(np.float32) * weight[:, :, None]
        for row in (0, 1):
            for column in (0, 1):
                part = weight[row::2, column::2]
                corner = slice(0, part.shape[0]), slice(0, part.shape[1])
                sums[place][corner] += part
                means[place][corner] += weighted[row::2, column::2]
    means /= np.where(sums > 0, sums, 1)[:, :, None]
    return means, np.minimum(sums, 1)


def enlarge(coarse: Floats, rows: slice, width: int) -> Floats:
    """Some rows (n, width, 3), from an even one on, of colours (h, w, 3) at twice their size, bilinearly."""
    first, last = rows.start // 2, -(-rows.stop // 2)
    above = coarse[np.clip(np.arange(first - 1, last + 1), 0, len(coarse) - 1)]
    tall = interleave(above, 0)[: rows.stop - rows.start]
    wide = np.pad(tall, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return interleave(wide, 1)[:, :width]


def interleave(padded: Floats, axis: int) -> Floats:
    """Twice as many samples along an axis, each at a quarter between two, without those at the ends."""
    samples = np.moveaxis(padded, axis, 0)
    quarters, middle = samples / 4, samples[1:-1] * np.float32(0.75)
    interleaved = np.empty((2 * len(middle), *samples.shape[1:]), np.float32)
    interleaved[0::2], interleaved[1::2] = middle + quarters[:-2], middle + quarters[2:]
    return np.moveaxis(interleaved, 0, axis)
