"""The path of a picture: analysis, quantisation, coding, container; and back.

    pixels ──► y, z ──► symbols ──► stream ──► container      encode, y improved step by step
    pixels ◄── y ◄── means ◄── symbols, z ◄── stream          decode

Networks run over tiles; nothing but pixels, symbols and scale indices is held whole, and in the encoder y,
with what else the descent of an effort changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codec.bitstream import QUALITY_UNITS, Learned
from codec.engine import Floats, Tile, Window, scaled, tiles
from codec.entropy import SYMBOL_LIMIT, Latents, turns
from codec.errors import AecodecError
from codec.hyperprior import scale_index
from codec.model import Model
from codec.progress import part_of_passes, told
from codec.tables import Integers, Levels, Symbols, Tables

PATCH = 16  # pixels per latent position, each way
CELL = 32  # pixels per hyper-latent position, each way: the unit of tiles
CORE = 28  # cells per tile, each way, without the halo: 896 pixels
# Halos in cells. Networks see farther, but what lies there changes their outputs no more than rounding does,
# which in the analysis is that of products of 8 bits.
ANALYSIS_HALO = 2  # twelve blocks at 1/16 and one at 1/4 see 196 pixels
MEANS_HALO = 3  # seven blocks at 1/16 see 112 pixels
DECODER_HALO = 4  # means, then six blocks at 1/16 and four at 1/4: 224 pixels

GRADIENT_CORE = 16  # cells per tile of gradients, which take more memory
GRADIENT_WHOLE = 24  # cells each way, up to which a picture is one tile of them
GRADIENT_HALO = 3  # cells; what lies farther away changes steps by less than 5e-4, or 2e-3 for MS-SSIM

EFFORT = 0  # unless the caller says otherwise
# By effort: steps of descent, the share of its way that each goes, and the damping of the first and of the
# last, in terms of the curvature of error.
DESCENTS = (
    (0, 0.0, 0.0, 0.0),
    (1, 0.35, 1.0, 1.0),
    (2, 0.4, 0.875, 1.25),
    (4, 0.4, 0.75, 1.25),
    (8, 0.35, 0.75, 1.35),
    (16, 0.25, 0.6875, 1.35),
    (32, 0.2, 0.6875, 1.375),
    (64, 0.12, 0.625, 1.375),
    (128, 0.08, 0.5625, 1.5),
    (256, 0.05, 0.5625, 1.5),
)
MOST_EFFORT = len(DESCENTS) - 1
OWN_SHARE = np.float32(0.6)  # of the bits of a symbol itself, which rounding counts again
CURVATURE = np.float32(8)  # of error, in bits for a squared quantisation step, where nothing else is known
BELIEF = np.float32(1)  # squared steps of a measurement that count as much as that
LEAST_CURVATURE = np.float32(4)  # that is believed
# Bits that a squared quantisation step of error is worth by quality, chosen on validation pictures. Lower
# ones at the end of quality stretch its range, at a percent or two of rate.
ERROR_WEIGHTS = ((0.0, 10.0), (10.0, 20.0))  # (quality, bits), linear in between
MEANS = "first_means", "second_means", "third_means"

Sample = TypeVar("Sample", bound=np.generic)
Pixels = NDArray[np.uint8]  # (H, W, 3)


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
    for tile in told("analysing", tiles(rows, columns, core, ANALYSIS_HALO)):
        y_part, z_part = model.analysis(quality, read_pixels(pixels, tile.outer))
        window(y, tile.place, 2)[:] = window(y_part, tile.inner, 2)
        window(z, tile.place, 1)[:] = np.rint(window(z_part, tile.inner, 1))
    return y, np.clip(z, tables.z_low, tables.z_high)


def error_weight(quality: int) -> float:
    """Bits that a squared quantisation step of error is worth at `quality` in hundredths."""
    qualities, weights = zip(*ERROR_WEIGHTS, strict=True)
    return float(np.interp(quality / QUALITY_UNITS, qualities, weights))


def quantise(tables: Tables, y: Floats, index: Levels, worth: float, means: Floats) -> Floats:
    """Symbols of y given its means, still as floats; zero where they are not coded.

    Each is rounded to the nearest integer, or one step nearer to zero where the bits that this saves are
    worth the error that it adds, at `worth` bits for a squared step.
    """
    residual = np.clip(y - means, -SYMBOL_LIMIT, SYMBOL_LIMIT)
    symbols: Floats = np.multiply(np.rint(residual), index >= tables.first_level)
    places = np.flatnonzero(symbols != 0)  # of truths, as of floats it takes five times as long
    nearest, exact = symbols.ravel()[places], residual.ravel()[places]
    smaller = nearest - np.sign(nearest)
    levels = index.ravel()[places]
    saved = tables.bits_of(nearest, levels) - tables.bits_of(smaller, levels)
    added = np.square(exact - dequantise(tables, smaller, levels))
    added -= np.square(exact - dequantise(tables, nearest, levels))
    symbols.ravel()[places] = np.where(saved > worth * added, smaller, nearest)
    return symbols


def dequantise(tables: Tables, symbols: Floats, index: Levels) -> Floats:
    """Where symbols stand for y, from its means, in quantisation steps; of any shape."""
    return np.asarray(symbols - np.sign(symbols) * tables.inward.take(index), np.float32)


def rounded(tables: Tables, y: Floats, index: Levels, worth: float, means: Floats) -> Floats:
    """The encoder's steps from the means to y, as the decoder will know them."""
    return dequantise(tables, quantise(tables, y, index, worth, means), index)


def unchanged(steps: Floats, means: Floats) -> Floats:
    """The decoder's steps: those that were read, whatever the means."""
    return steps


@dataclass(frozen=True, slots=True)
class Descent:
    """What an effort changes in place: the encoder's y (M, 2h, 2w), the decoder's, and error's curvature.

    The last, (1, 2h, 2w) in bits for a squared step, is zero where it was not measured yet.
    """

    y: Floats
    coded: Floats
    curvature: Floats


@dataclass(frozen=True, slots=True)
class Draft:
    """Latents before any effort, and where its descent begins if there will be one."""

    latents: Latents
    descent: Descent | None


def draft(model: Model, pixels: Pixels, quality: int, descends: bool = False, core: int = CORE) -> Draft:
    """The draft of a picture (H, W, 3) at `quality` in hundredths, from which an effort descends or none."""
    model.load_ahead(*MEANS, *(("gradient",) if descends else ()))
    y, z = analyse(model, pixels, quality / QUALITY_UNITS, core)
    index = scale_index(model.tables, z, quality)
    descent = Descent(y, np.empty_like(y), np.zeros((1, *y.shape[1:]), np.float32)) if descends else None
    symbols = quantise_all(model, y, z, index, quality, core, descent.coded if descent else None)
    return Draft(Latents(z, symbols, index, quality), descent)


def encode_latents(
    model: Model,
    pixels: Pixels,
    quality: int,
    effort: int = EFFORT,
    core: int = CORE,
    drafted: Draft | None = None,
) -> Latents:
    """The latents of a picture (H, W, 3) at `quality` in hundredths, improved as `effort` says.

    `drafted` is its draft at this quality if there is one, of no use to an effort without a descent, which is
    changed.
    """
    if drafted is None or (effort and drafted.descent is None):
        drafted = draft(model, pixels, quality, effort > 0, core)
    latents, descent = drafted.latents, drafted.descent
    if not effort or descent is None:
        return latents
    steps, share, first, last = DESCENTS[effort]
    for step, damping in enumerate(np.linspace(first, last, steps)):
        with part_of_passes("descending", step, steps):
            descend(model, pixels, latents, descent, share, float(damping), core)
            given = latents.z, latents.index, quality, core
            latents = replace(latents, symbols=quantise_all(model, descent.y, *given, descent.coded))
    return latents


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
    for tile in told("rounding", tiles(z.shape[1], z.shape[2], core, MEANS_HALO)):
        levels = window(index, tile.outer, 2)
        given = model.tables, window(y, tile.outer, 2), levels, error_weight(quality)
        means = means_of(model, z, quality, tile, partial(rounded, *given))
        part = quantise(*given, means)
        window(symbols, tile.place, 2)[:] = window(part, tile.inner, 2)
        if coded is not None:
            decoded = means + dequantise(model.tables, part, levels)
            window(coded, tile.place, 2)[:] = window(decoded, tile.inner, 2)
    return symbols


def descend(
    model: Model,
    pixels: Pixels,
    latents: Latents,
    descent: Descent,
    share: float,
    damping: float,
    core: int,
) -> None:
    """Move y a share of the way to where error and bits together are least; `latents` are what it rounds to.

    From the decoder's y that is a step of Gauss and Newton, whose Hessian is taken to be a multiple of
    the identity at each position: the curvature, times a damping. It is measured in the first step, from
    what rounding did. All latents move at once, so the error that one of them leaves is made up for by
    others, and each is moved to where it predicts later ones better.
    """
    height, width = latents.z.shape[1:]
    core = min(core, GRADIENT_WHOLE if max(height, width) <= GRADIENT_WHOLE else GRADIENT_CORE)
    for tile in told("descending", tiles(height, width, core, GRADIENT_HALO)):
        gradients = half_gradients(model, pixels, latents, tile, window(descent.coded, tile.outer, 2))
        of_error, of_bits = (window(gradient, tile.inner, 2) for gradient in gradients)
        y, coded, curvature = (
            window(array, tile.place, 2) for array in (descent.y, descent.coded, descent.curvature)
        )
        if not curvature.any():  # once measured it is above 0
            curvature[:] = curvature_of(of_error, coded - y)
        target = coded - (of_error + of_bits) / (np.float32(damping) * curvature)
        y += np.float32(share) * (target - y)


def curvature_of(of_error: Floats, rounding: Floats) -> Floats:
    """The curvature (1, h, w) of error, in bits for a squared step, by what rounding (M, h, w) did to it.

    At each position it is the factor of rounding that explains half the gradient best: a ridge regression,
    which falls back to CURVATURE where there was little rounding.
    """
    measured = (of_error * rounding).sum(0, keepdims=True), np.square(rounding).sum(0, keepdims=True)
    factor = (measured[0] + BELIEF * CURVATURE) / (measured[1] + BELIEF)
    return np.asarray(np.maximum(factor, LEAST_CURVATURE), np.float32)


def half_gradients(
    model: Model, pixels: Pixels, latents: Latents, tile: Tile, coded: Floats
) -> tuple[Floats, Floats]:
    """Half the gradients (M, h, w), in bits a step, of error and of bits with respect to the decoder's y.

    All are of a tile with its halo, `coded` being the decoder's y there. Of a symbol's own bits a part
    counts: see OWN_SHARE.
    """
    level, rows, columns = latents.quality / QUALITY_UNITS, *scaled(tile.outer, CELL)
    image = read_pixels(pixels, tile.outer)
    inside = np.zeros((1, *image.shape[1:]), np.float32)
    inside[:, : pixels.shape[0] - rows.start, : pixels.shape[1] - columns.start] = 1
    features, _ = model.first_means(level, window(latents.z, tile.outer, 1).astype(np.float32))
    slopes, turn = slopes_of_bits(model.tables, latents, tile), turns(coded.shape).astype(np.float32)
    of_error, of_bits = model.gradient(level, coded, image, inside, features, slopes, turn)
    return of_error, np.asarray((of_bits + OWN_SHARE * slopes) / 2, np.float32)


def slopes_of_bits(tables: Tables, latents: Latents, tile: Tile) -> Floats:
    """How fast bits rise with each symbol (M, h, w) of a tile with its halo, at its scale index."""
    symbols, index = window(latents.symbols, tile.outer, 2), window(latents.index, tile.outer, 2)
    places = np.nonzero(symbols)  # as tables are symmetric, bits of zeros have no slope
    slopes = np.zeros(symbols.shape, np.float32)
    slopes[places] = tables.slopes_of(symbols[places].astype(np.float32), index[places])
    return slopes


def means_of(
    model: Model, z: Integers, quality: int, tile: Tile, steps_given: Callable[[Floats], Floats]
) -> Floats:
    """The means (M, h, w) of a tile: from the hyper-latent, then twice refined by the symbols before.

    `steps_given` means (M, h, w) are the steps from them to y; only those whose means are final are used.
    """
    level = quality / QUALITY_UNITS
    features, means = model.first_means(level, window(z, tile.outer, 1).astype(np.float32))
    turn = turns(means.shape)
    for step, network in enumerate((model.second_means, model.third_means), start=1):
        final = turn < step
        known = np.multiply(means + steps_given(means), final)
        means = np.where(final, means, network(level, features, means, known)[0])
    return means


def synthesise(model: Model, latents: Latents, region: Window, core: int = CORE) -> Pixels:
    """The pixels (H, W, 3) of a region, rows and columns, of the picture that the latents say."""
    pixels = np.empty((*(side.stop - side.start for side in region), 3), np.uint8)
    parts = []
    for tile in tiles(latents.z.shape[1], latents.z.shape[2], core, DECODER_HALO):
        place = scaled(tile.place, CELL)
        rows, columns = (overlap(*pair) for pair in zip(place, region, strict=True))
        if rows.start < rows.stop and columns.start < columns.stop:
            parts.append((tile, place, rows, columns))
    for tile, place, rows, columns in told("decoding", parts):
        image = decode_tile(model, latents, tile)
        part = image[moved(rows, place[0]), moved(columns, place[1])]
        pixels[moved(rows, region[0]), moved(columns, region[1])] = part
    return pixels


def decode_tile(model: Model, latents: Latents, tile: Tile) -> Pixels:
    """The pixels of a tile's place, padding included."""
    (image,) = model.synthesis(latents.quality / QUALITY_UNITS, decoded_y(model, latents, tile))
    inner = window(image, tile.inner, CELL).transpose(1, 2, 0)
    pixels: Pixels = np.rint(np.clip(inner, 0, 1) * 255).astype(np.uint8)
    return pixels


def decoded_y(model: Model, latents: Latents, tile: Tile) -> Floats:
    """The decoder's y (M, h, w) of a tile with its halo."""
    symbols = window(latents.symbols, tile.outer, 2).astype(np.float32)
    steps = dequantise(model.tables, symbols, window(latents.index, tile.outer, 2))
    return steps + means_of(model, latents.z, latents.quality, tile, partial(unchanged, steps))


def overlap(first: slice, second: slice) -> slice:
    """What two spans share; empty where it ends before it starts."""
    return slice(max(first.start, second.start), min(first.stop, second.stop))


def moved(span: slice, whole: slice) -> slice:
    """A span counted from where the whole starts."""
    return slice(span.start - whole.start, span.stop - whole.start)


def encode(
    model: Model, pixels: Pixels, quality: int, effort: int = EFFORT, drafted: Draft | None = None
) -> tuple[Learned, bytes, Latents]:
    """Header and payload of a picture (H, W, 3), and the latents that were decoded from it as a check.

    `drafted` is as for `encode_latents`.
    """
    latents = encode_latents(model, pixels, quality, effort, drafted=drafted)
    header, payload = write_latents(model, latents)
    found = read_latents(model, header, payload, (pixels.shape[0], pixels.shape[1]))
    if not (np.array_equal(found.z, latents.z) and np.array_equal(found.symbols, latents.symbols)):
        raise AecodecError("the encoder could not read back what it wrote: please report this picture")
    return header, payload, found


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
