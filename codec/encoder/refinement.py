"""What an effort does to a picture's latents: iterative refinement against rate and distortion.

    y ──► symbols ──► y_hat ──► gradients of distortion and rate ──► y moved ──► symbols ──► ...

After Campos et al. 2019 (arXiv 1906.01223) and Yang et al. 2020 (arXiv 2006.04240), with steps of Gauss and
Newton.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aecodec.arrays import Floats, Pixels
from aecodec.container import CELL
from aecodec.encoder.quantisation import RefinementState, quantise_all
from aecodec.entropy.coder import Latents
from aecodec.entropy.context import context_passes
from aecodec.entropy.tables import FrequencyTables
from aecodec.model.registry import Model
from aecodec.model.tiling import CORE, Tile, gradient_tiles, read_tile, scale_window
from aecodec.parallel import for_each
from aecodec.progress import as_part_of_passes

# By effort: steps of refinement, the share of its way that each goes, and the damping of the first and of
# the last, in terms of the curvature of the distortion. Chosen on crops of validation pictures, for
# `--tune psnr`; docs/experiments.md has the figures.
REFINEMENTS = (
    (0, 0.0, 0.0, 0.0),
    (2, 0.4, 0.875, 1.25),
    (3, 0.4, 0.8, 1.25),
    (4, 0.4, 0.75, 1.25),
    (8, 0.35, 0.75, 1.35),
    (16, 0.25, 0.6875, 1.35),
    (32, 0.2, 0.6875, 1.375),
    (64, 0.12, 0.625, 1.375),
    (128, 0.08, 0.5625, 1.5),
    (256, 0.05, 0.5625, 1.5),
)
OWN_SHARE = np.float32(0.6)  # of the bits of a symbol itself, which rounding counts again
CURVATURE = np.float32(8)  # of distortion, in bits for a squared step, where nothing else is known
BELIEF = np.float32(1)  # squared steps of a measurement that count as much as that
LEAST_CURVATURE = np.float32(4)  # that is believed
# The farthest that a target may lie from y_hat, in quantisation steps, by what a model is tuned for. One
# curvature a position fits squared error well, and SSIMULACRA 2 badly: without a limit 4 steps took a score
# from 83 to 41. On crops of validation pictures 0.7 was better than 0.6, 0.8 and 1.1 for `visual`, none than
# 0.7 and 1.0 for `psnr`; docs/experiments.md has the figures.
FARTHEST_TARGET = {"visual": np.float32(0.7)}


def refined(
    model: Model, pixels: Pixels, latents: Latents, state: RefinementState, effort: int, core: int = CORE
) -> Latents:
    """The latents of a picture (H, W, 3) after an effort, 1 to 9. Refinement changes the state."""
    steps, share, first, last = REFINEMENTS[effort]
    for step, damping in enumerate(np.linspace(first, last, steps)):
        with as_part_of_passes("refining", step, steps):
            refine(model, pixels, latents, state, share, float(damping), core)
            symbols = quantise_all(
                model, state.y, latents.z, latents.scale_index, latents.quality, core, state.y_hat
            )
            latents = replace(latents, symbols=symbols)
    return latents


def refine(
    model: Model,
    pixels: Pixels,
    latents: Latents,
    state: RefinementState,
    share: float,
    damping: float,
    core: int,
) -> None:
    """Move y a share of the way to where distortion and rate together are least.

    `latents` are what y rounds to. From y_hat that is a step of Gauss and Newton, whose Hessian is taken to
    be a multiple of the identity at each position: the curvature, times a damping. It is measured in the
    first step, from what rounding did. All latents move at once, so the error that one of them leaves is made
    up for by others, and each is moved to where it predicts later ones better.
    """
    farthest = FARTHEST_TARGET.get(model.manifest.get("tune", ""))

    def move_tile(tile: Tile) -> None:
        gradients = half_gradients(model, pixels, latents, tile, state.y_hat[:, *scale_window(tile.outer, 2)])
        of_distortion, of_rate = (gradient[:, *scale_window(tile.inner, 2)] for gradient in gradients)
        y, y_hat, curvature = (
            array[:, *scale_window(tile.place, 2)] for array in (state.y, state.y_hat, state.curvature)
        )
        if not curvature.any():  # once measured it is above 0
            curvature[:] = estimate_curvature(of_distortion, y_hat - y)
        move = -(of_distortion + of_rate) / (np.float32(damping) * curvature)
        if farthest is not None:
            np.clip(move, -farthest, farthest, out=move)
        y += np.float32(share) * (y_hat + move - y)

    for_each("refining", gradient_tiles(latents.z.shape[1], latents.z.shape[2], core), move_tile)


def estimate_curvature(of_distortion: Floats, rounding: Floats) -> Floats:
    """The curvature (1, h, w) of distortion, in bits for a squared step, by what rounding (M, h, w) did.

    At each position it is the factor of rounding that explains half the gradient best: a ridge regression,
    which falls back to CURVATURE where there was little rounding.
    """
    measured = (of_distortion * rounding).sum(0, keepdims=True), np.square(rounding).sum(0, keepdims=True)
    factor = (measured[0] + BELIEF * CURVATURE) / (measured[1] + BELIEF)
    return np.asarray(np.maximum(factor, LEAST_CURVATURE), np.float32)


def half_gradients(
    model: Model, pixels: Pixels, latents: Latents, tile: Tile, y_hat: Floats
) -> tuple[Floats, Floats]:
    """Half the gradients (M, h, w), in bits a step, of distortion and of rate with respect to y_hat.

    Both gradients and `y_hat` are of a tile with its halo. The bits of the symbol at a position count in part
    only: see OWN_SHARE.
    """
    rows, columns = scale_window(tile.outer, CELL)
    image = read_tile(pixels, tile.outer)
    inside = np.zeros((1, *image.shape[1:]), np.float32)
    inside[:, : pixels.shape[0] - rows.start, : pixels.shape[1] - columns.start] = 1
    features, _ = model.first_means(latents.quality, latents.z[:, *tile.outer].astype(np.float32))
    derivatives = derivatives_of_bits(model.tables, latents, tile)
    pass_of = context_passes(y_hat.shape).astype(np.float32)
    inputs = y_hat, image, inside, features, derivatives, pass_of
    of_distortion, of_rate = model.gradient(latents.quality, *inputs)
    return of_distortion, np.asarray((of_rate + OWN_SHARE * derivatives) / 2, np.float32)


def derivatives_of_bits(tables: FrequencyTables, latents: Latents, tile: Tile) -> Floats:
    """How fast bits rise with each symbol (M, h, w) of a tile with its halo, at its scale index."""
    symbols = latents.symbols[:, *scale_window(tile.outer, 2)]
    scale_index = latents.scale_index[:, *scale_window(tile.outer, 2)]
    places = np.nonzero(symbols)  # as tables are symmetric, bits of zeros have no derivative
    derivatives = np.zeros(symbols.shape, np.float32)
    derivatives[places] = tables.derivatives_of(symbols[places].astype(np.float32), scale_index[places])
    return derivatives
