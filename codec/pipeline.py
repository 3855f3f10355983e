"""The path of a picture: analysis, quantisation, coding, container; and back.

    pixels ──► y, z ──► symbols ──► stream ──► container      y improved step by step, the stream read back
    pixels ◄── y ◄── means ◄── symbols, z ◄── stream

Networks run over tiles; nothing but pixels, symbols and scale indices is held whole, and in the encoder y,
with what else the descent of an effort changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aecodec.bitstream import QUALITY_UNITS, Learned
from aecodec.engine import Finish, Floats, Tile, Window, for_each, narrowed, overlap, scaled, tiles, within
from aecodec.entropy import SYMBOL_LIMIT, Latents, turns
from aecodec.errors import AecodecError
from aecodec.model import Model
from aecodec.tables import Integers, Levels, Symbols, Tables

PATCH = 16  # pixels per latent position, each way
CELL = 32  # pixels per hyper-latent position, each way: the unit of tiles
CORE = 34  # cells per tile at most, each way, without the halo: 1088 pixels
LARGE = 2 * CORE**2  # cells of a picture above which the decoder's tiles are smaller
LARGE_CORE = 26  # cells per tile, which two at a time take as much memory for as one of 34
ANALYSIS_CORE = 30  # which is faster, as more of its tiles stays in the processor's caches
# Halos in cells. Networks see farther, but what lies there changes the decoder's outputs no more than the
# rounding of floats does, and the encoder's far less than its rounding to symbols and to products of 8 bits.
ANALYSIS_HALO = 1  # six blocks at 1/16 and one at 1/4 see 100 pixels
ROUNDING_HALO = 2  # means, in the encoder
DECODER_HALO = 4  # means, then four blocks at 1/16 and six at 1/4: 200 pixels
SYNTHESIS_HALO = 2  # of these the blocks alone, which see 88 pixels: what a third adds is 1e-4 of a level
# Bits that a squared quantisation step of error is worth by quality, chosen on validation pictures. Lower
# ones at the end of quality stretch its range, at a percent or two of rate.
ERROR_WEIGHTS = ((0.0, 10.0), (10.0, 20.0))  # (quality, bits), linear in between
MEANS = "first_means", "second_means", "third_means"

Sample = TypeVar("Sample", bound=np.generic)
Pixels = NDArray[np.uint8]  # (H, W, 3)
Places = NDArray[np.intp]


def cells(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of hyper-latent positions of a picture."""
    return -(-height // CELL), -(-width // CELL)


def window(array: NDArray[Sample], cells: Window, factor: int) -> NDArray[Sample]:
    """The part of (C, H, W) under a window of cells, each `factor` samples wide."""
    rows, columns = scaled(cells, factor)
    return array[:, rows, columns]


def copied(array: NDArray[Sample], cells: Window, factor: int) -> NDArray[Sample]:
    """The same in one piece of memory, of which samples are taken faster."""
    return np.ascontiguousarray(window(array, cells, factor))


def read_pixels(pixels: Pixels, cells: Window) -> Floats:
    """The picture (3, H, W) in [0, 1] under a window of cells, its borders replicated as needed."""
    rows, columns = scaled(cells, CELL)
    part = pixels[rows, columns]
    below, right = rows.stop - rows.start - part.shape[0], columns.stop - columns.start - part.shape[1]
    part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
    return part.transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def analysis_tiles(rows: int, columns: int, core: int = CORE) -> list[Tile]:
    """The tiles of a picture's cells that are analysed one by one."""
    return list(tiles(rows, columns, min(core, ANALYSIS_CORE), ANALYSIS_HALO))


def analyse(model: Model, pixels: Pixels, quality: float, core: int = CORE) -> tuple[Floats, Integers]:
    """y (M, 2h, 2w) in quantisation steps and the hyper-latent (Z, h, w) of a picture (H, W, 3)."""
    rows, columns = cells(*pixels.shape[:2])
    tables = model.tables
    y = np.empty((tables.scale_offset.shape[1], 2 * rows, 2 * columns), np.float32)
    z = np.empty((tables.z_channels, rows, columns), np.int32)

    def analyse_tile(tile: Tile) -> None:
        y_part, z_part = model.analysis(quality, read_pixels(pixels, tile.outer))
        window(y, tile.place, 2)[:] = window(y_part, tile.inner, 2)
        window(z, tile.place, 1)[:] = np.rint(window(z_part, tile.inner, 1))

    for_each("analysing", analysis_tiles(rows, columns, core), analyse_tile)
    return y, np.clip(z, tables.z_low, tables.z_high)


def error_weight(quality: int) -> float:
    """Bits that a squared quantisation step of error is worth at `quality` in hundredths."""
    qualities, weights = zip(*ERROR_WEIGHTS, strict=True)
    return float(np.interp(quality / QUALITY_UNITS, qualities, weights))


def quantise(tables: Tables, residual: Floats, levels: Levels, lowered_below: Floats) -> Floats:
    """Symbols (N,), still as floats, for residuals (N,) of y from its means at coded scale indices (N,).

    Each is rounded to the nearest integer, or one step nearer to zero where it is less than `lowered_below`,
    which is of `Tables`, says.
    """
    residual = np.clip(residual, -SYMBOL_LIMIT, SYMBOL_LIMIT)
    symbols: Floats = np.rint(residual)
    places = np.flatnonzero(symbols != 0)  # of truths, as of floats it takes five times as long
    nearest = symbols[places]
    lowered = np.abs(residual[places]) < lowered_below[tables.entries(nearest, levels[places])]
    symbols[places] = nearest - np.copysign(lowered, nearest)
    return symbols


def dequantise(tables: Tables, symbols: Floats, index: Levels) -> Floats:
    """Where symbols stand for y, from its means, in quantisation steps; of any shape."""
    return np.asarray(symbols - np.sign(symbols) * tables.inward.take(index), np.float32)


def quantise_all(
    model: Model,
    y: Floats,
    z: Integers,
    index: Levels,
    quality: int,
    core: int = CORE,
    coded: Floats | None = None,
) -> Symbols:
    """The symbols (M, 2h, 2w) of y: see `quantise`. `coded`, if given, becomes the decoder's y."""
    symbols = np.empty(y.shape, np.int16)
    lowered_below = model.tables.lowered_below(error_weight(quality))

    def round_tile(tile: Tile) -> None:
        part, decoded = quantise_tile(model, y, z, index, quality, tile, lowered_below)
        window(symbols, tile.place, 2)[:] = window(part, tile.inner, 2)
        if coded is not None:
            window(coded, tile.place, 2)[:] = window(decoded, tile.inner, 2)

    for_each("rounding", list(tiles(z.shape[1], z.shape[2], core, ROUNDING_HALO)), round_tile)
    return symbols


def quantise_tile(
    model: Model, y: Floats, z: Integers, index: Levels, quality: int, tile: Tile, lowered_below: Floats
) -> tuple[Symbols, Floats]:
    """The symbols and the decoder's y, both (M, h, w), of a tile with its halo: see `quantise`."""
    exact, levels = copied(y, tile.outer, 2), copied(index, tile.outer, 2)
    symbols = np.zeros(levels.shape, np.int16)

    def steps(places: Places, means: Floats) -> Floats:
        own = levels.take(places)
        chosen = quantise(model.tables, exact.take(places) - means, own, lowered_below)
        symbols.reshape(-1)[places] = chosen
        return dequantise(model.tables, chosen, own)

    return symbols, turn_by_turn(model, z, quality, tile, levels, steps)


def turn_by_turn(
    model: Model,
    z: Integers,
    quality: int,
    tile: Tile,
    levels: Levels,
    steps: Callable[[Places, Floats], Floats],
) -> Floats:
    """The decoder's y (M, h, w) of a tile: means from the hyper-latent, then from what is known, plus steps.

    `levels` (M, h, w) are the tile's scale indices. Each turn `steps` gets the places (n,) of its coded
    latents in the flat tile and their means (n,), and gives the steps (n,) from these to y. What networks
    get as means, they add to; those of places that are known go nowhere.
    """
    level = quality / QUALITY_UNITS
    features, means = model.first_means(level, window(z, tile.outer, 1).astype(np.float32))
    order, coded = turns(levels.shape), levels >= model.tables.first_level
    known = np.zeros(levels.shape, np.float32)
    for turn, name in enumerate(MEANS):
        if turn:
            (means,) = getattr(model, name)(level, features, means, known)
        due = order == turn
        np.putmask(known, due, means)  # np.copyto does the same, six times slower
        places = np.flatnonzero(due & coded)
        known.reshape(-1)[places] += steps(places, means.take(places))
    return known


def tiles_of(size: tuple[int, int], region: Window, core: int = CORE) -> list[tuple[Tile, Window]]:
    """The tiles that a region of a picture of `size` (H, W) needs, and the region's part in each."""
    found, (height, width) = [], cells(*size)
    core = min(core, LARGE_CORE) if height * width > LARGE else core
    for tile in tiles(height, width, core, DECODER_HALO):
        rows, columns = (overlap(*pair) for pair in zip(scaled(tile.place, CELL), region, strict=True))
        if rows.start < rows.stop and columns.start < columns.stop:
            found.append((tile, (rows, columns)))
    return found


def synthesise(
    model: Model, latents: Latents, region: Window, core: int = CORE, finish: Finish | None = None
) -> Pixels:
    """The pixels (H, W, 3) of a region, rows and columns, of the picture that the latents say.

    `finish` is what is done before levels are rounded.
    """
    pixels = np.empty((*(side.stop - side.start for side in region), 3), np.uint8)

    def decode_part(part: tuple[Tile, Window]) -> None:
        tile, wanted = part
        inside = within(wanted, scaled(tile.place, CELL))
        pixels[within(wanted, region)] = decode_tile(model, latents, tile, finish)[inside]

    size = latents.z.shape[1] * CELL, latents.z.shape[2] * CELL
    for_each("decoding", tiles_of(size, region, core), decode_part)
    return pixels


def decode_tile(model: Model, latents: Latents, tile: Tile, finish: Finish | None = None) -> Pixels:
    """The pixels of a tile's place, padding included."""
    seen = narrowed(tile, SYNTHESIS_HALO)
    y = window(decoded_y(model, latents, tile), seen.outer, 2)
    (image,) = model.synthesis(latents.quality / QUALITY_UNITS, y)
    levels = window(image, seen.inner, CELL)
    levels = np.multiply(np.clip(levels, 0, 1, out=levels), np.float32(255), out=levels).transpose(1, 2, 0)
    if finish:
        levels = finish(levels, scaled(tile.place, CELL))
    return np.rint(levels).astype(np.uint8)


def decoded_y(model: Model, latents: Latents, tile: Tile) -> Floats:
    """The decoder's y (M, h, w) of a tile with its halo."""
    if latents.y is not None:
        return window(latents.y, tile.outer, 2)
    symbols, levels = copied(latents.symbols, tile.outer, 2), copied(latents.index, tile.outer, 2)

    def steps(places: Places, means: Floats) -> Floats:
        return dequantise(model.tables, symbols.take(places).astype(np.float32), levels.take(places))

    return turn_by_turn(model, latents.z, latents.quality, tile, levels, steps)


def write_checked(model: Model, latents: Latents, size: tuple[int, int]) -> tuple[Learned, bytes]:
    """Header and payload of the latents of a picture of `size` (H, W), read again as a check.

    Raises AecodecError where that says something else.
    """
    header, payload = write_latents(model, latents)
    found = read_latents(model, header, payload, size)
    if not (np.array_equal(found.z, latents.z) and np.array_equal(found.symbols, latents.symbols)):
        raise AecodecError("the encoder could not read back what it wrote: please report this picture")
    return header, payload


def write_latents(model: Model, latents: Latents) -> tuple[Learned, bytes]:
    """Header and payload of latents."""
    prior = model.coder.best_prior(latents.z, latents.quality)
    return Learned(model.fingerprint, latents.quality, prior), model.coder.encode(latents, prior)


def read_latents(model: Model, header: Learned, payload: bytes, size: tuple[int, int]) -> Latents:
    """The latents of a picture of `size` (H, W); raises BitstreamError for a payload that does not fit."""
    return model.coder.decode(payload, cells(*size), header.quality, header.prior)


def whole(size: tuple[int, int]) -> Window:
    """All rows and columns of a picture of `size` (H, W)."""
    return slice(0, size[0]), slice(0, size[1])
