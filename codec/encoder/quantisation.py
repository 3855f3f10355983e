"""Pixels to symbols: the analysis, then rate-distortion optimised quantisation around the decoder's means.

pixels ──► analysis ──► y, z ──► symbols, y_hat
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from aecodec.arrays import Floats, Integers, Pixels, Places, ScaleIndices, Symbols
from aecodec.decoder.reconstruction import decode_y
from aecodec.entropy.coder import SYMBOL_LIMIT, Latents
from aecodec.entropy.hyperprior import scale_indices
from aecodec.entropy.tables import FrequencyTables
from aecodec.model.registry import MEANS, Model
from aecodec.model.tiling import (
    ANALYSIS_CORE,
    ANALYSIS_HALO,
    CORE,
    ROUNDING_HALO,
    Tile,
    cell_grid,
    read_tile,
    scale_window,
    tiles,
)
from aecodec.parallel import for_each, tiles_at_once

# Bits that a squared quantisation step of error is worth by quality, (quality, bits), linear in between:
# chosen on validation pictures. Lower ones at the end of quality stretch its range, at 1 or 2 % of rate.
LAGRANGIANS = ((0.0, 10.0), (10.0, 20.0))


@dataclass(frozen=True, slots=True)
class RefinementState:
    """What refinement changes in place: the encoder's y (M, 2h, 2w), the decoder's, and the curvature.

    The last, (1, 2h, 2w) in bits for a squared step, is zero where it was not measured yet.
    """

    y: Floats
    y_hat: Floats
    curvature: Floats


@dataclass(frozen=True, slots=True)
class Quantised:
    """Latents before any effort, and where their refinement begins if there will be one."""

    latents: Latents
    state: RefinementState | None


def quantised(
    model: Model, pixels: Pixels, quality: float, refines: bool = False, core: int = CORE
) -> Quantised:
    """The latents of a picture (H, W, 3) at a quality, with a state if an effort will refine them."""
    then = (*MEANS, *(("gradient",) if refines else ()))  # hardly with another number of tiles
    y, z = analyse(model, pixels, quality, core, then)
    scale_index = scale_indices(model.tables, z, quality)
    alone = max(z.shape[1:]) <= core  # one tile, whose y_hat here is the decoder's
    y_hat = np.empty_like(y) if refines or alone else None
    symbols = quantise_all(model, y, z, scale_index, quality, core, y_hat)
    latents = Latents(z, symbols, scale_index, quality, y_hat if alone else None)
    if y_hat is None or not refines:
        return Quantised(latents, None)
    return Quantised(latents, RefinementState(y, y_hat, np.zeros((1, *y.shape[1:]), np.float32)))


def analyse(
    model: Model, pixels: Pixels, quality: float, core: int = CORE, then: Sequence[str] = ()
) -> tuple[Floats, Integers]:
    """y (M, 2h, 2w) in quantisation steps and the hyper-latent (Z, h, w) of a picture (H, W, 3).

    Meanwhile the networks are loaded that are used `then`.
    """
    rows, columns = cell_grid(*pixels.shape[:2])
    parts = list(tiles(rows, columns, min(core, ANALYSIS_CORE), ANALYSIS_HALO))
    if then:
        model.load_ahead(quality, *then, together=tiles_at_once(len(parts)))
    tables = model.tables
    y = np.empty((tables.channels, 2 * rows, 2 * columns), np.float32)
    z = np.empty((tables.z_channels, rows, columns), np.int32)

    def analyse_tile(tile: Tile) -> None:
        y_part, z_part = model.analysis(quality, read_tile(pixels, tile.outer))
        y[:, *scale_window(tile.place, 2)] = y_part[:, *scale_window(tile.inner, 2)]
        z[:, *tile.place] = np.rint(z_part[:, *tile.inner])

    for_each("analysing", parts, analyse_tile)
    return y, np.clip(z, tables.z_low, tables.z_high)


def quantise(
    tables: FrequencyTables,
    thresholds: Floats,
    y: Floats,
    scale_index: ScaleIndices,
    places: Places,
    means: Floats,
) -> Floats:
    """Symbols (n,), as floats, of the latents that have places (n,) in a flat tile, and means (n,).

    `y` and `scale_index` (M, h, w) are the tile's. A residual is rounded to the nearest integer. Where it is
    below its threshold, of `FrequencyTables.rdoq_thresholds`, the symbol is one step nearer to zero.
    """
    residual = np.clip(y.take(places) - means, -SYMBOL_LIMIT, SYMBOL_LIMIT)
    symbols: Floats = np.rint(residual)
    nonzero = np.flatnonzero(symbols != 0)  # of booleans: of floats it takes five times as long
    nearest = symbols[nonzero]
    entries = tables.entries(nearest, scale_index.take(places[nonzero]))
    symbols[nonzero] = nearest - np.copysign(np.abs(residual[nonzero]) < thresholds[entries], nearest)
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
    qualities, bits = zip(*LAGRANGIANS, strict=True)
    thresholds = model.tables.rdoq_thresholds(float(np.interp(quality, qualities, bits)))

    def quantise_tile(tile: Tile) -> None:
        exact = np.ascontiguousarray(y[:, *scale_window(tile.outer, 2)])  # `take` is faster on it
        index = np.ascontiguousarray(scale_index[:, *scale_window(tile.outer, 2)])
        part = np.zeros(index.shape, np.int16)
        choose = partial(quantise, model.tables, thresholds, exact, index)
        decoded = decode_y(model, z, quality, tile, index, part, choose)
        symbols[:, *scale_window(tile.place, 2)] = part[:, *scale_window(tile.inner, 2)]
        if y_hat is not None:
            y_hat[:, *scale_window(tile.place, 2)] = decoded[:, *scale_window(tile.inner, 2)]

    for_each("rounding", list(tiles(z.shape[1], z.shape[2], core, ROUNDING_HALO)), quantise_tile)
    return symbols
