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
from aecodec.model.registry import MEANS, Model
from aecodec.model.tiling import (
    CORE,
    SYNTHESIS_HALO,
    Tile,
    decoder_tiles,
    overlap,
    scale_window,
)
from aecodec.parallel import for_each


def decode_y(
    model: Model,
    z: Integers,
    quality: float,
    tile: Tile,
    scale_index: ScaleIndices,
    symbols: Symbols,
    choose: Callable[[Places, Floats], Floats] | None = None,
) -> Floats:
    """y_hat (M, h, w) of a tile: pass after pass, the means plus what the symbols of the pass stand for.

    `scale_index` and `symbols` (M, h, w) are the tile's. An encoder, which has no symbols yet, has `choose`:
    that gets the places (n,) of a pass's coded latents in the flat tile and their means (n,), and returns
    symbols (n,), which are filled in. Each network outputs a correction that is added to its input means.
    Means of latents that are already decoded are ignored. Symbols other than zero are reconstructed nearer to
    the mean, by an offset.
    """
    features, means = model.first_means(quality, z[:, *tile.outer].astype(np.float32))
    pass_of, coded = context_passes(scale_index.shape), scale_index >= model.tables.skip_below
    y_hat, flat = np.zeros(scale_index.shape, np.float32), symbols.reshape(-1)
    for number, name in enumerate(MEANS):
        if number:
            (means,) = getattr(model, name)(quality, features, means, y_hat)
        in_pass = pass_of == number
        np.putmask(y_hat, in_pass, means)  # np.copyto does the same, six times slower
        places = np.flatnonzero(in_pass & coded)
        if choose:
            flat[places] = choose(places, means.take(places))
        steps = flat.take(places).astype(np.float32)
        steps -= np.sign(steps) * model.tables.reconstruction_offset.take(scale_index.take(places))
        y_hat.reshape(-1)[places] += steps
    return y_hat


def decode_y_of_symbols(model: Model, latents: Latents, tile: Tile) -> Floats:
    """y_hat (M, h, w) of a tile with its halo, from the symbols."""
    seen = (slice(None), *scale_window(tile.outer, 2))
    symbols: Symbols = np.ascontiguousarray(latents.symbols[seen])  # taken from faster
    scale_index: ScaleIndices = np.ascontiguousarray(latents.scale_index[seen])
    return decode_y(model, latents.z, latents.quality, tile, scale_index, symbols)


def reconstruct_tile(model: Model, latents: Latents, tile: Tile, finish: Finish | None = None) -> Pixels:
    """The pixels (H, W, 3) of a tile's place, padding included.

    The synthesis gets no more of the halo than it sees.
    """
    if latents.y_hat is None:
        y_hat = decode_y_of_symbols(model, latents, tile)
    else:  # known to the encoder
        y_hat = latents.y_hat[:, *scale_window(tile.outer, 2)]
    spans = []  # of rows and columns: what the synthesis sees of the tile, and what is kept of that
    for kept, outer in zip(tile.inner, tile.outer, strict=True):
        first = max(kept.start - SYNTHESIS_HALO, 0)
        last = min(kept.stop + SYNTHESIS_HALO, outer.stop - outer.start)
        spans.append((slice(first, last), slice(kept.start - first, kept.stop - first)))
    seen, inner = zip(*spans, strict=True)
    (image,) = model.synthesis(latents.quality, y_hat[:, *scale_window(seen, 2)])
    levels = image[:, *scale_window(inner, CELL)] * np.float32(255)
    levels = np.clip(levels, 0, 255, out=levels).transpose(1, 2, 0)
    if finish:
        levels = finish(levels, scale_window(tile.place, CELL))
    pixels: Pixels = np.rint(levels, out=levels).astype(np.uint8, order="C")  # of other orders slower to copy
    return pixels


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
