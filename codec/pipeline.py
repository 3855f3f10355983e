"""The path of a picture: analysis, quantisation, coding, container; and back.

    pixels ──► y, z ──► symbols ──► stream ──► container      encode
    pixels ◄── y ◄── means ◄── symbols, z ◄── stream          decode

Networks run over tiles; nothing but symbols and pixels (and y, in the encoder) is held whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codec.bitstream import QUALITY_UNITS, Learned
from codec.engine import Floats, Tile, Window, scaled, tiles
from codec.entropy import SYMBOL_LIMIT, Integers, Levels, Symbols, Tables, scale_index, turns
from codec.errors import AecodecError
from codec.model import Model

PATCH = 16  # pixels per latent position, each way
CELL = 32  # pixels per hyper-latent position, each way: the unit of tiles
CORE = 32  # cells per tile, each way, without the halo: 1024 pixels
ANALYSIS_HALO = 3  # cells; four blocks at 1/16 and one at 1/4 see 68 pixels
MEANS_HALO = 3  # cells; five blocks at 1/16 see 80 pixels
DECODER_HALO = 5  # cells; means, then three blocks at 1/16 and two at 1/4: 136 pixels

ERROR_WEIGHT = 40.0  # bits that a squared quantisation step of error is worth, chosen on validation pictures

Sample = TypeVar("Sample", bound=np.generic)
Pixels = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True)
class Latents:
    """What a file says of the pixels: hyper-latent (Z, h, w), symbols (M, 2h, 2w), scale indices alike."""

    z: Integers
    symbols: Symbols
    index: Levels


def cells(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of hyper-latent positions of a picture."""
    return -(-height // CELL), -(-width // CELL)


def window(array: NDArray[Sample], cells: Window, factor: int) -> NDArray[Sample]:
    """The part of (C, H, W) under a window of cells, each `factor` samples wide."""
    rows, columns = scaled(cells, factor)
    return array[:, rows, columns]


def read_pixels(pixels: Pixels, cells: Window) -> Floats:
    """The picture (3, H, W) in [0, 1] under a window of cells, its borders replicated as needed."""
    rows, columns = scaled(cells, CELL)
    part = pixels[rows, columns]
    below, right = rows.stop - rows.start - part.shape[0], columns.stop - columns.start - part.shape[1]
    part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
    return part.transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def analyse(model: Model, pixels: Pixels, quality: float, core: int = CORE) -> tuple[Floats, Integers]:
    """y (M, 2h, 2w) in quantisation steps and the hyper-latent (Z, h, w) of a picture (H, W, 3)."""
    rows, columns = cells(*pixels.shape[:2])
    tables = model.tables
    y = np.empty((tables.scale_offset.shape[1], 2 * rows, 2 * columns), np.float32)
    z = np.empty((tables.z_channels, rows, columns), np.int32)
    for tile in tiles(rows, columns, core, ANALYSIS_HALO):
        y_part, z_part = model.analysis(quality, read_pixels(pixels, tile.outer))
        window(y, tile.place, 2)[:] = window(y_part, tile.inner, 2)
        window(z, tile.place, 1)[:] = np.rint(window(z_part, tile.inner, 1))
    return y, np.clip(z, tables.z_low, tables.z_high)


def quantise(tables: Tables, y: Floats, index: Levels, means: Floats) -> Floats:
    """Symbols of y given its means, still as floats; zero where they are not coded.

    Each is rounded to the nearest integer, or one step nearer to zero where the bits that this saves are
    worth the error that it adds.
    """
    residual = np.clip(y - means, -SYMBOL_LIMIT, SYMBOL_LIMIT)
    symbols = np.where(index < tables.first_level, np.float32(0), np.rint(residual))
    places = np.flatnonzero(symbols)
    nearest, exact = symbols.ravel()[places], residual.ravel()[places]
    smaller = nearest - np.sign(nearest)
    levels = index.ravel()[places]
    saved = tables.bits_of(nearest, levels) - tables.bits_of(smaller, levels)
    added = np.square(exact - smaller) - np.square(exact - nearest)
    symbols.ravel()[places] = np.where(saved > ERROR_WEIGHT * added, smaller, nearest)
    return symbols


def encode_latents(model: Model, pixels: Pixels, quality: int, core: int = CORE) -> Latents:
    """The latents of a picture (H, W, 3) at `quality` in hundredths."""
    y, z = analyse(model, pixels, quality / QUALITY_UNITS, core)
    index = scale_index(model.tables, z, quality)
    symbols = np.empty(y.shape, np.int16)
    for tile in tiles(z.shape[1], z.shape[2], core, MEANS_HALO):
        symbols_given = partial(
            quantise, model.tables, window(y, tile.outer, 2), window(index, tile.outer, 2)
        )
        part = symbols_given(means_of(model, z, quality, tile, symbols_given))
        window(symbols, tile.place, 2)[:] = window(part, tile.inner, 2)
    return Latents(z, symbols, index)


def means_of(
    model: Model, z: Integers, quality: int, tile: Tile, symbols_given: Callable[[Floats], Floats]
) -> Floats:
    """The means (M, h, w) of a tile: from the hyper-latent, then twice refined by the symbols before.

    `symbols_given` means (M, h, w) are the symbols; only those whose means are final are used.
    """
    level = quality / QUALITY_UNITS
    features, means = model.first_means(level, window(z, tile.outer, 1).astype(np.float32))
    turn = turns(means.shape)
    for step, network in enumerate((model.second_means, model.third_means), start=1):
        final = turn < step
        known = np.where(final, symbols_given(means) + means, np.float32(0))
        means = np.where(final, means, network(level, features, means, known)[0])
    return means


def unchanged(symbols: Floats, means: Floats) -> Floats:
    """The decoder's symbols: those that were read, whatever the means."""
    return symbols


def synthesise(
    model: Model, z: Integers, symbols: Symbols, size: tuple[int, int], quality: int, core: int = CORE
) -> Pixels:
    """The picture (H, W, 3) of `size` (H, W) from its latents at `quality` in hundredths."""
    pixels = np.empty((*size, 3), np.uint8)
    for tile in tiles(z.shape[1], z.shape[2], core, DECODER_HALO):
        part = window(symbols, tile.outer, 2).astype(np.float32)
        y = part + means_of(model, z, quality, tile, partial(unchanged, part))
        (image,) = model.synthesis(quality / QUALITY_UNITS, y)
        image = window(image, tile.inner, CELL).transpose(1, 2, 0)
        place = pixels[scaled(tile.place, CELL)]
        place[:] = np.rint(np.clip(image[: place.shape[0], : place.shape[1]], 0, 1) * 255)
    return pixels


def encode(model: Model, pixels: Pixels, quality: int) -> tuple[Learned, bytes]:
    """Header and payload of a picture (H, W, 3); decodes the payload to check it before it returns."""
    latents = encode_latents(model, pixels, quality)
    prior = model.coder.best_prior(latents.z)
    payload = model.coder.encode(latents.z, latents.symbols, latents.index, prior)
    size = (latents.z.shape[1], latents.z.shape[2])
    z, symbols = model.coder.decode(payload, size, quality, prior)
    if not (np.array_equal(z, latents.z) and np.array_equal(symbols, latents.symbols)):
        raise AecodecError("the encoder could not read back what it wrote: please report this picture")
    return Learned(model.fingerprint, quality, prior), payload


def decode(model: Model, header: Learned, payload: bytes, size: tuple[int, int]) -> Pixels:
    """The picture (H, W, 3) of `size` (H, W); raises BitstreamError for a payload that does not fit."""
    z, symbols = model.coder.decode(payload, cells(*size), header.quality, header.prior)
    return synthesise(model, z, symbols, size, header.quality)
