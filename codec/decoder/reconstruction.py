"""Latents to pixels: y_hat from symbols and means, then the synthesis, tile by tile.

    pixels ◄── synthesis ◄── y_hat ◄── means ◄── symbols, z

Means run in floating point after all symbols are read, so a last bit that differs between machines moves a
pixel by a rounding step at most.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aecodec.arrays import Finish, Floats, Integers, Pixels, Places, ScaleIndices, Symbols, Window
from aecodec.container import CELL
from aecodec.entropy.coder import Latents
from aecodec.entropy.context import context_passes
from aecodec.entropy.tables import FrequencyTables
from aecodec.model.parallel import for_each
from aecodec.model.registry import MEANS, Model
from aecodec.model.tiling import (
    CORE,
    SYNTHESIS_HALO,
    Tile,
    decoder_tiles,
    narrow_halo,
    overlap,
    scale_window,
)


def dequantise(tables: FrequencyTables, symbols: Floats, scale_index: ScaleIndices) -> Floats:
    """Where symbols, of any shape, are reconstructed: distances from their means in quantisation steps."""
    offset = tables.reconstruction_offset.take(scale_index)
    return np.asarray(symbols - np.sign(symbols) * offset, np.float32)


def decode_y(
    model: Model,
    z: Integers,
    quality: float,
    tile: Tile,
    scale_index: ScaleIndices,
    residuals: Callable[[Places, Floats], Floats],
) -> Floats:
    """y_hat (M, h, w) of a tile: pass after pass, the means plus the residuals of the pass's latents.

    `scale_index` (M, h, w) is the tile's. In each pass `residuals` gets the places (n,) of the coded latents
    in the flat tile and their means (n,), and returns y_hat minus these means (n,). Each network outputs a
    correction that is added to its input means. Means of latents that are already decoded are ignored.
    """
    features, means = model.first_means(quality, z[:, *tile.outer].astype(np.float32))
    pass_of, coded = context_passes(scale_index.shape), scale_index >= model.tables.skip_below
    y_hat = np.zeros(scale_index.shape, np.float32)
    for number, name in enumerate(MEANS):
        if number:
            (means,) = getattr(model, name)(quality, features, means, y_hat)
        in_pass = pass_of == number
        np.putmask(y_hat, in_pass, means)  # np.copyto does the same, six times slower
        places = np.flatnonzero(in_pass & coded)
        y_hat.reshape(-1)[places] += residuals(places, means.take(places))
    return y_hat


def decode_y_of_symbols(model: Model, latents: Latents, tile: Tile) -> Floats:
    """y_hat (M, h, w) of a tile with its halo, from the symbols."""
    seen = (slice(None), *scale_window(tile.outer, 2))
    symbols: Symbols = np.ascontiguousarray(latents.symbols[seen])  # taken from faster
    scale_index: ScaleIndices = np.ascontiguousarray(latents.scale_index[seen])

    def residuals(places: Places, means: Floats) -> Floats:
        return dequantise(model.tables, symbols.take(places).astype(np.float32), scale_index.take(places))

    return decode_y(model, latents.z, latents.quality, tile, scale_index, residuals)


def reconstruct_tile(model: Model, latents: Latents, tile: Tile, finish: Finish | None = None) -> Pixels:
    """The pixels (H, W, 3) of a tile's place, padding included."""
    if latents.y_hat is None:
        y_hat = decode_y_of_symbols(model, latents, tile)
    else:  # known to the encoder
        y_hat = latents.y_hat[:, *scale_window(tile.outer, 2)]
    seen = narrow_halo(tile, SYNTHESIS_HALO)
    (image,) = model.synthesis(latents.quality, y_hat[:, *scale_window(seen.outer, 2)])
    levels = image[:, *scale_window(seen.inner, CELL)]
    levels = np.multiply(np.clip(levels, 0, 1, out=levels), np.float32(255), out=levels).transpose(1, 2, 0)
    if finish:
        levels = finish(levels, scale_window(tile.place, CELL))
    return np.rint(levels).astype(np.uint8)


def reconstruct(
    model: Model, latents: Latents, region: Window, core: int = CORE, finish: Finish | None = None
) -> Pixels:
    """The pixels (H, W, 3) of a region, rows and columns, of the picture of some latents.

    `finish` is applied to levels before they are rounded.
    """
    pixels = np.empty((*(span.stop - span.start for span in region), 3), np.uint8)

    def reconstruct_part(tile: Tile) -> None:
        place, wanted = overlap(region, scale_window(tile.place, CELL))
        pixels[place] = reconstruct_tile(model, latents, tile, finish)[wanted]

    size = latents.z.shape[1] * CELL, latents.z.shape[2] * CELL
    for_each("decoding", decoder_tiles(size, region, core), reconstruct_part)
    return pixels
