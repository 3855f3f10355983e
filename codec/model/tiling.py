"""Tiles: how a picture of any size passes through networks in bounded memory, with all of their geometry.

A tile has a core and around it a halo, beyond which a network sees no more than rounding: so where tiles lie
leaves no trace. (It leaves hardly any in the encoder, whose networks see farther, and whose products of 8
bits are rounded by the extremes of a tile.) Tiles are cut along cells, the positions of the hyper-latent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from aecodec.arrays import Floats, Pixels, Window
from aecodec.container import CELL

CORE = 34  # cells per tile at most, each way, without the halo: 1088 pixels
LARGE = 2 * CORE**2  # cells of a picture above which the decoder's tiles are smaller
LARGE_CORE = 28  # cells per tile; with 26, 24 MP take 0.15 s more to decode and 35 MB less, of 610
ANALYSIS_CORE = 30  # cells, which is faster, as more of a tile stays in the processor's caches
GRADIENT_CORE = 16  # cells per tile of gradients, which take more memory
GRADIENT_WHOLE = 24  # cells each way, up to which a picture is one tile of them
# Halos in cells. Networks see farther, but what lies there changes the decoder's outputs no more than the
# rounding of floats does, and the encoder's far less than its rounding to symbols and to products of 8 bits.
ANALYSIS_HALO = 1  # six blocks at 1/16 and one at 1/4 see 100 pixels
ROUNDING_HALO = 2  # means, in the encoder
DECODER_HALO = 4  # means, then four blocks at 1/16 and six at 1/4: 200 pixels
SYNTHESIS_HALO = 2  # of these the blocks alone, which see 88 pixels: what a third adds is 1e-4 of a level
GRADIENT_HALO = 3  # what lies farther away changes steps by less than 5e-4, or 2e-3 for MS-SSIM


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile in units of cells: `outer` is read, of whose result `inner` is kept, at `place`."""

    outer: Window
    inner: Window
    place: Window


def cell_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells that cover a picture."""
    return -(-height // CELL), -(-width // CELL)


def tiles(height: int, width: int, core: int, halo: int) -> Iterator[Tile]:
    """Tiles that cover height x width cells; cores are as equal as can be, at most `core` cells each way."""
    axes = []  # of each the spans of outer, inner within outer, and place
    for length in (height, width):
        count, spans = -(-length // core), []
        for number in range(count):
            start, end = (length * edge // count for edge in (number, number + 1))
            first, last = max(start - halo, 0), min(end + halo, length)
            spans.append((slice(first, last), slice(start - first, end - first), slice(start, end)))
        axes.append(spans)
    for row, column in product(*axes):
        yield Tile((row[0], column[0]), (row[1], column[1]), (row[2], column[2]))


def gradient_tiles(rows: int, columns: int, core: int = CORE) -> list[Tile]:
    """The tiles of a picture's cells whose gradients are measured one by one."""
    largest = GRADIENT_WHOLE if max(rows, columns) <= GRADIENT_WHOLE else GRADIENT_CORE
    return list(tiles(rows, columns, min(core, largest), GRADIENT_HALO))


def decoder_tiles(size: tuple[int, int], region: Window | None = None, core: int = CORE) -> list[Tile]:
    """The tiles that a picture of `size` (H, W) needs, or a region of it."""
    needed, (rows, columns) = [], cell_grid(*size)
    core = min(core, LARGE_CORE) if rows * columns > LARGE else core
    every = list(tiles(rows, columns, core, DECODER_HALO))
    if region is None:
        return every
    for tile in every:
        part, _ = overlap(region, scale_window(tile.place, CELL))
        if all(span.start < span.stop for span in part):
            needed.append(tile)
    return needed


def scale_window(window: Window, factor: int) -> Window:
    """A window of cells in units that are `factor` times finer."""
    rows, columns = (slice(span.start * factor, span.stop * factor) for span in window)
    return rows, columns


def overlap(first: Window, second: Window) -> tuple[Window, Window]:
    """What two windows share, counted from the start of each.

    Spans that share nothing do not end behind their start.
    """
    spans = []
    for a, b in zip(first, second, strict=True):
        start, stop = max(a.start, b.start), min(a.stop, b.stop)
        spans.append((slice(start - a.start, stop - a.start), slice(start - b.start, stop - b.start)))
    rows, columns = spans
    return (rows[0], columns[0]), (rows[1], columns[1])


def read_tile(pixels: Pixels, window: Window, cell: int = CELL) -> Floats:
    """The picture (3, H, W) in [0, 1] under a window of cells, its borders replicated as needed."""
    rows, columns = scale_window(window, cell)
    part = pixels[rows, columns]
    below, right = rows.stop - rows.start - part.shape[0], columns.stop - columns.start - part.shape[1]
    planes = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge").transpose(2, 0, 1)
    return planes.astype(np.float32) / np.float32(255)
