"""Pixels to symbols: the analysis, then rate-distortion optimised quantisation around the decoder's means.

pixels ──► analysis ──► y, z ──► symbols, y_hat
"""

from __future__ import annotations

import numpy as np

from aecodec.arrays import Floats, Integers, Pixels, Places, ScaleIndices, Symbols
from aecodec.decoder.reconstruction import decode_y, dequantise
from aecodec.entropy.coder import SYMBOL_LIMIT
from aecodec.entropy.tables import FrequencyTables
from aecodec.model.parallel import for_each
from aecodec.model.registry import Model
from aecodec.model.tiling import (
    CORE,
    ROUNDING_HALO,
    Tile,
    analysis_tiles,
    cell_grid,
    read_tile,
    slice_tile,
    tiles,
)

# Bits that a squared quantisation step of error is worth by quality, (quality, bits), linear in between:
# chosen on validation pictures. Lower ones at the end of quality stretch its range, at 1 or 2 % of rate.
LAGRANGIANS = ((0.0, 10.0), (10.0, 20.0))


def lagrangian(quality: float) -> float:
    """Bits that a squared quantisation step of error is worth at a quality."""
    qualities, bits = zip(*LAGRANGIANS, strict=True)
    return float(np.interp(quality, qualities, bits))


def analyse(model: Model, pixels: Pixels, quality: float, core: int = CORE) -> tuple[Floats, Integers]:
    """y (M, 2h, 2w) in quantisation steps and the hyper-latent (Z, h, w) of a picture (H, W, 3)."""
    rows, columns = cell_grid(*pixels.shape[:2])
    tables = model.tables
    y = np.empty((tables.channels, 2 * rows, 2 * columns), np.float32)
    z = np.empty((tables.z_channels, rows, columns), np.int32)

    def analyse_tile(tile: Tile) -> None:
        y_part, z_part = model.analysis(quality, read_tile(pixels, tile.outer))
        slice_tile(y, tile.place, 2)[:] = slice_tile(y_part, tile.inner, 2)
        slice_tile(z, tile.place, 1)[:] = np.rint(slice_tile(z_part, tile.inner, 1))

    for_each("analysing", analysis_tiles(rows, columns, core), analyse_tile)
    return y, np.clip(z, tables.z_low, tables.z_high)


def quantise(
    tables: FrequencyTables, residual: Floats, scale_index: ScaleIndices, thresholds: Floats
) -> Floats:
    """Symbols (N,), as floats, of residuals (N,) with coded scale indices (N,).

    A residual is rounded to the nearest integer. Where it is below its threshold, of
    `FrequencyTables.rdoq_thresholds`, the symbol is one step nearer to zero.
    """
    residual = np.clip(residual, -SYMBOL_LIMIT, SYMBOL_LIMIT)
    symbols: Floats = np.rint(residual)
    places = np.flatnonzero(symbols != 0)  # of booleans, as np.flatnonzero of floats takes five times as long
    nearest = symbols[places]
    lowered = np.abs(residual[places]) < thresholds[tables.entries(nearest, scale_index[places])]
    symbols[places] = nearest - np.copysign(lowered, nearest)
    return symbols


def quantise_all(
    model: Model,
    y: Floats,
    z: Integers,
    scale_index: ScaleIndices,
    quality: float,
    core: int = CORE,
    y_hat: Floats | None = None,
) -> Symbols:
    """The symbols (M, 2h, 2w) of y: see `quantise`. `y_hat`, unless None, is set to the decoder's y."""
    symbols = np.empty(y.shape, np.int16)
    thresholds = model.tables.rdoq_thresholds(lagrangian(quality))

    def quantise_tile(tile: Tile) -> None:
        exact = np.ascontiguousarray(slice_tile(y, tile.outer, 2))  # `take` is faster on it
        index = np.ascontiguousarray(slice_tile(scale_index, tile.outer, 2))
        part = np.zeros(index.shape, np.int16)

        def residuals(places: Places, means: Floats) -> Floats:
            scale_indices = index.take(places)
            chosen = quantise(model.tables, exact.take(places) - means, scale_indices, thresholds)
            part.reshape(-1)[places] = chosen
            return dequantise(model.tables, chosen, scale_indices)

        decoded = decode_y(model, z, quality, tile, index, residuals)
        slice_tile(symbols, tile.place, 2)[:] = slice_tile(part, tile.inner, 2)
        if y_hat is not None:
            slice_tile(y_hat, tile.place, 2)[:] = slice_tile(decoded, tile.inner, 2)

    for_each("rounding", list(tiles(z.shape[1], z.shape[2], core, ROUNDING_HALO)), quantise_tile)
    return symbols
