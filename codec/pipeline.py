"""The path of a picture: analysis, quantisation, coding, container; and back.

    pixels ──► y, z ──► symbols ──► stream ──► container      encode
    pixels ◄── y ◄── means ◄── symbols, z ◄── stream          decode

Networks run over tiles; nothing but symbols and pixels (and y, in the encoder) is held whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codec.bitstream import QUALITY_UNITS, Learned
from codec.engine import Floats, Tile, Window, scaled, tiles
from codec.entropy import SYMBOL_LIMIT, Integers, Levels, Symbols, scale_index
from codec.errors import BitstreamError
from codec.model import Model

PATCH = 16  # pixels per latent position, each way
CELL = 32  # pixels per hyper-latent position, each way: the unit of tiles
CORE = 32  # cells per tile, each way, without the halo: 1024 pixels
ANALYSIS_HALO = 3  # cells; four blocks at 1/16 and one at 1/4 see 68 pixels
MEANS_HALO = 2  # cells; three blocks at 1/16 see 48 pixels
DECODER_HALO = 4  # cells; means, then three blocks at 1/16 and two at 1/4: 104 pixels

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


def first_half(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mask (C, H, W) of the symbols whose means come from the hyper-latent alone: a checkerboard."""
    channel, row, column = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.asarray((row + column + channel) % 2 == 0)


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


def quantise(residual: Floats, coded: NDArray[np.bool_]) -> Floats:
    """Symbols of y minus its means, still as floats: rounded, zero where they are not coded."""
    return np.where(coded, np.clip(np.rint(residual), -SYMBOL_LIMIT, SYMBOL_LIMIT), 0).astype(np.float32)


def encode_latents(model: Model, pixels: Pixels, quality: int, core: int = CORE) -> Latents:
    """The latents of a picture (H, W, 3) at `quality` in hundredths."""
    y, z = analyse(model, pixels, quality / QUALITY_UNITS, core)
    index = scale_index(model.tables, z, quality)
    symbols = np.empty(y.shape, np.int16)
    for tile in tiles(z.shape[1], z.shape[2], core, MEANS_HALO):
        y_part = window(y, tile.outer, 2)
        coded = window(index, tile.outer, 2) >= model.tables.first_level
        half = first_half(y_part.shape)
        features, means = first_means(model, z, quality, tile)
        first = quantise(y_part - means, coded)
        means = np.where(half, means, second_means(model, features, means, first, half, quality))
        part = np.where(half, first, quantise(y_part - means, coded))
        window(symbols, tile.place, 2)[:] = window(part, tile.inner, 2)
    return Latents(z, symbols, index)


def first_means(model: Model, z: Integers, quality: int, tile: Tile) -> list[Floats]:
    """Features and means of a tile, from the hyper-latent alone."""
    return model.first_means(quality / QUALITY_UNITS, window(z, tile.outer, 1).astype(np.float32))


def second_means(
    model: Model, features: Floats, means: Floats, symbols: Floats, half: NDArray[np.bool_], quality: int
) -> Floats:
    """Means of a tile, refined by the half of it whose symbols are known."""
    known = np.where(half, symbols + means, 0).astype(np.float32)
    return model.second_means(quality / QUALITY_UNITS, features, means, known)[0]


def synthesise(
    model: Model, z: Integers, symbols: Symbols, size: tuple[int, int], quality: int, core: int = CORE
) -> Pixels:
    """The picture (H, W, 3) of `size` (H, W) from its latents at `quality` in hundredths."""
    pixels = np.empty((*size, 3), np.uint8)
    for tile in tiles(z.shape[1], z.shape[2], core, DECODER_HALO):
        part = window(symbols, tile.outer, 2).astype(np.float32)
        half = first_half(part.shape)
        features, means = first_means(model, z, quality, tile)
        means = np.where(half, means, second_means(model, features, means, part, half, quality))
        (image,) = model.synthesis(quality / QUALITY_UNITS, part + means)
        image = window(image, tile.inner, CELL).transpose(1, 2, 0)
        place = pixels[scaled(tile.place, CELL)]
        place[:] = np.rint(np.clip(image[: place.shape[0], : place.shape[1]], 0, 1) * 255)
    return pixels


def encode(model: Model, pixels: Pixels, quality: int) -> tuple[Learned, bytes]:
    """Header and payload of a picture (H, W, 3); decodes the payload to check it before it returns."""
    latents = encode_latents(model, pixels, quality)
    prior = model.coder.best_prior(latents.z)
    payload = model.coder.encode(latents.z, latents.symbols, latents.index, prior)
    z, symbols = model.coder.decode(payload, latents.z.shape[1:], quality, prior)
    if not (np.array_equal(z, latents.z) and np.array_equal(symbols, latents.symbols)):
        raise BitstreamError("the encoder could not read back what it wrote: please report this picture")
    return Learned(model.fingerprint, quality, prior), payload


def decode(model: Model, header: Learned, payload: bytes, size: tuple[int, int]) -> Pixels:
    """The picture (H, W, 3) of `size` (H, W); raises BitstreamError for a payload that does not fit."""
    z, symbols = model.coder.decode(payload, cells(*size), header.quality, header.prior)
    return synthesise(model, z, symbols, size, header.quality)
