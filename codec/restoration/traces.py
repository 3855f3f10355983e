"""Whether a picture may have been through lossy coding, from the picture alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Pixels
from aecodec.picture import is_achromatic
from aecodec.restoration.windows import SIDE, slid

BLOCK = SIDE  # pixels each way: of JPEG, and of the windows that are looked at
EDGE = 48  # levels between the least and the greatest sample of a window: with less, coding may leave it flat
NEAR = 8  # levels: samples that differ by no more are taken to be equal but for what coding adds
EXACT = 0.8  # of such pairs are equal in a window to which nothing was added
# From this share of exact windows on a picture was not coded. It is 0.4 to 1 in text, icons, drawings,
# screenshots and dithered pictures that never were. In JPEGs of 32 photographs it is up to 0.04 at quality 5,
# 0.01 from 30 on; in JPEGs of text and drawings up to 0.04, unless these fit the blocks of JPEG.
NEVER_CODED = 0.2
ENOUGH = 8  # windows, for a share that means something
# Rows and columns from one pixel of a pair to the other, across and down: blocks of JPEG with a single
# coefficient are exact in one of the two.
PAIRS = ((0, 1), (0, 2), (0, 3)), ((1, 0), (2, 0), (3, 0))
REACH = 3  # pixels
PART, MOST_PARTS = 32 * BLOCK, 4  # pixels each way of the parts that are looked at, and how many each way


def may_be_coded(pixels: Pixels) -> bool:
    """Whether pixels (H, W, 3) may have been through lossy coding; True where nothing speaks against it.

    Coding acts on the whole picture and adds a little to the pixels beside each edge. In a window that has an
    edge, and beside it pixels that equal each other, nothing was added. JPEG can leave such windows where two
    of its blocks meet. So they are counted for each place of the grid of blocks, and the smallest share
    decides.
    """
    exact, edged = np.zeros((2, BLOCK, BLOCK), int)
    for part in parts(pixels):
        has_edge, is_exact = windows_of(part)
        edged += by_place(has_edge)
        exact += by_place(has_edge & is_exact)
    enough = edged >= ENOUGH
    if not enough.any():
        return not edged.any() or bool(exact.sum() < NEVER_CODED * edged.sum())
    return bool((exact[enough] / edged[enough]).min() < NEVER_CODED)


def parts(pixels: Pixels) -> Iterator[NDArray[np.int16]]:
    """Parts (h, w, C) of a picture, evenly spaced, at one place of a grid of blocks; C is 1 for gray."""
    gray = is_achromatic(pixels)
    rows, columns = (starts(side) for side in pixels.shape[:2])
    for row in rows:
        for column in columns:
            part = pixels[row : row + PART, column : column + PART, : 1 if gray else 3]
            yield part.astype(np.int16)


def starts(side: int) -> list[int]:
    """Where the parts of a side begin, in multiples of BLOCK."""
    count = min(-(-side // PART), MOST_PARTS)
    last = max(side - PART, 0)
    return [BLOCK * (last * number // max(count - 1, 1) // BLOCK) for number in range(count)]


def windows_of(part: NDArray[np.int16]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For the window that begins at each pixel of a part (h, w, C): whether it has an edge, and is exact.

    Both are smaller than the part by the size of a window and the reach of pairs.
    """
    height, width = (side - REACH for side in part.shape[:2])
    if min(height, width) < BLOCK:
        return np.zeros((0, 0), bool), np.zeros((0, 0), bool)
    first = part[:height, :width]
    exact = np.ones((height - BLOCK + 1, width - BLOCK + 1), bool)
    for ways in PAIRS:
        others = [part[row : row + height, column : column + width] for row, column in ways]
        differences = [np.abs(first - other).max(2) for other in others]
        equal = slid(sum((difference == 0).astype(np.int16) for difference in differences), np.add)
        near = slid(sum((difference <= NEAR).astype(np.int16) for difference in differences), np.add)
        exact &= equal > EXACT * near
    spread = (slid(first, np.maximum) - slid(first, np.minimum)).max(2)
    return spread >= EDGE, exact


def by_place(windows: NDArray[np.bool_]) -> NDArray[Any]:
    """How many of the windows (h, w) there are at each place (BLOCK, BLOCK) of a grid of blocks."""
    missing = [(0, -side % BLOCK) for side in windows.shape]
    grid = np.pad(windows, missing)
    grid = grid.reshape(grid.shape[0] // BLOCK, BLOCK, grid.shape[1] // BLOCK, BLOCK)
    return np.asarray(grid.sum((0, 2)))
