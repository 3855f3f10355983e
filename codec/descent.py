"""What an effort does to a picture's latents: steps of descent from what a decoder would make of them.

draft ──► symbols ──► decoder's y ──► gradients of error and bits ──► y moved ──► symbols ──► ...
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aecodec.bitstream import QUALITY_UNITS
from aecodec.engine import Floats, Tile, for_each, scaled, sharing, tiles
from aecodec.entropy import Latents, turns
from aecodec.hyperprior import scale_index
from aecodec.model import Model
from aecodec.pipeline import (
    CELL,
    CORE,
    MEANS,
    Pixels,
    analyse,
    analysis_tiles,
    cells,
    quantise_all,
    read_pixels,
    window,
)
from aecodec.progress import part_of_passes
from aecodec.tables import Tables

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
    together = sharing(
        len(analysis_tiles(*cells(*pixels.shape[:2]), core))
    )  # and hardly another number later
    later = (*MEANS, *(("gradient",) if descends else ()))
    model.load_ahead(quality / QUALITY_UNITS, *later, together=together)
    y, z = analyse(model, pixels, quality / QUALITY_UNITS, core)
    index = scale_index(model.tables, z, quality)
    alone = max(z.shape[1:]) <= core  # one tile, whose y here is the decoder's
    coded = np.empty_like(y) if descends or alone else None
    symbols = quantise_all(model, y, z, index, quality, core, coded)
    latents = Latents(z, symbols, index, quality, coded if alone else None)
    if coded is None or not descends:
        return Draft(latents, None)
    return Draft(latents, Descent(y, coded, np.zeros((1, *y.shape[1:]), np.float32)))


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

    def move(tile: Tile) -> None:
        gradients = half_gradients(model, pixels, latents, tile, window(descent.coded, tile.outer, 2))
        of_error, of_bits = (window(gradient, tile.inner, 2) for gradient in gradients)
        y, coded, curvature = (
            window(array, tile.place, 2) for array in (descent.y, descent.coded, descent.curvature)
        )
        if not curvature.any():  # once measured it is above 0
            curvature[:] = curvature_of(of_error, coded - y)
        target = coded - (of_error + of_bits) / (np.float32(damping) * curvature)
        y += np.float32(share) * (target - y)

    for_each("descending", list(tiles(height, width, core, GRADIENT_HALO)), move)


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
