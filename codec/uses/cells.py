"""Features of cells of 8x8 pixels: what `aecodec.uses.anomaly` compares.

They are the mean colour, how rough chroma is, and at two scales the strengths of gradients and of the
Laplacian. Strengths are logarithms, so that a blur changes weak and strong texture alike.

Source: Dalal and Triggs 2005, "Histograms of Oriented Gradients", for gradients in cells.
"""

from __future__ import annotations

import numpy as np

from aecodec.arrays import Floats, Pixels

# These were chosen as those of anomaly.py; docs/uses.md says what each kind of feature is worth.
CELL = 8  # pixels a side; 16 lose 0.01, 4 find more scratches for four times the search
SCALES = 2  # of luma: the pixels, and means of 2x2; a third loses 0.012 per pixel
FEATURES = 3 + 1 + 5 * SCALES
BAND = 128  # rows of pixels at a time: the planes of a large picture would fill the memory
FLOOR = 0.1  # levels added to a strength before its logarithm, as flat is 0; 2 loses 0.015


def planes_of(pixels: Pixels) -> Floats:
    """Features (F, h, w) of the cells of pixels (H, W, 3). The last ones are repeated to fill cells."""
    bands = []
    for top in range(0, len(pixels), BAND):
        above = min(top, CELL)  # a cell more on either side holds all that features of the band depend on
        planes = planes_of_band(pixels[top - above : top + BAND + CELL])
        bands.append(planes[:, above // CELL :][:, : BAND // CELL])
    return np.concatenate(bands, axis=1)


def planes_of_band(pixels: Pixels) -> Floats:
    """The same of pixels that are worked on at once."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % CELL), (0, -width % CELL), (0, 0)), mode="edge")
    red, green, blue = padded.transpose(2, 0, 1).astype(np.float32)
    luma = (red + 2 * green + blue) / 4
    chroma = red - green, blue - green
    colour = [mean_of(plane, CELL) for plane in (luma, *chroma)]
    strengths = [mean_of(laplacian(chroma[0]) + laplacian(chroma[1]), CELL)]
    for scale in range(SCALES):
        strengths += strengths_of(luma, CELL >> scale)
        luma = mean_of(luma, 2)
    return np.stack([*colour, *np.log(np.stack(strengths) + np.float32(FLOOR))])


def strengths_of(luma: Floats, cell: int) -> list[Floats]:
    """Five planes (h, w) of cells of a plane (H, W), in levels.

    They are the mean gradients to the right and down, and of the Laplacian the mean, the maximum (a scratch
    is a line in a cell) and the least mean of 2x2 (a spot is flat).
    """
    padded = np.pad(luma, 1, mode="edge")
    right, down = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    gradients = [mean_of(np.abs(gradient) / 2, cell) for gradient in (right, down)]
    edges = laplacian(luma)
    flattest = pooled(mean_of(edges, 2), cell // 2, np.minimum)
    return [*gradients, mean_of(edges, cell), pooled(edges, cell, np.maximum), flattest]


def laplacian(plane: Floats) -> Floats:
    """How far each pixel of a plane (H, W) is from the mean of its four neighbours."""
    padded = np.pad(plane, 1, mode="edge")
    around = padded[1:-1, 2:] + padded[1:-1, :-2] + padded[2:, 1:-1] + padded[:-2, 1:-1]
    return np.asarray(np.abs(plane - around / 4), np.float32)


def mean_of(plane: Floats, cell: int) -> Floats:
    """The mean of each cell."""
    return np.asarray(pooled(plane, cell, np.add) / cell**2, np.float32)


def pooled(plane: Floats, cell: int, by: np.ufunc) -> Floats:
    """Cells (h, w) of a plane (h * cell, w * cell), each reduced to a number by a function such as np.add."""
    height, width = plane.shape
    rows = by.reduce(plane.reshape(height // cell, cell, width), axis=1)
    return np.asarray(by.reduce(rows.reshape(height // cell, width // cell, cell), axis=2), np.float32)
