"""How near a file comes to its picture: the PSNR of all pixels, or of a sample of a large picture's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from codec.engine import Finish, Tile, for_each, scaled, tiles
from codec.entropy import Latents
from codec.model import Model
from codec.picture import Pixels, to_gray
from codec.pipeline import CELL, DECODER_HALO, cells, decode_tile

MEASURED_WHOLE = 2**22  # pixels up to which all are compared: decoding them takes as long as encoding
SAMPLE_CORE = 16  # cells of a sample's tile each way: 512 pixels, which with their halo take twice the time
SAMPLE_TILES = 12  # of 3 megapixels in all: within 0.3 dB of the whole on mosaics of 32 photographs


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A PSNR in dB, infinite where pixels are equal, and whether it is of a sample of them."""

    psnr: float
    sampled: bool


def sample_of(size: tuple[int, int]) -> list[Tile]:
    """Tiles of a picture of `size` (H, W) that no pattern is likely to share, the same each time."""
    every = list(tiles(*cells(*size), SAMPLE_CORE, DECODER_HALO))
    chosen = np.random.default_rng(0).permutation(len(every))[:SAMPLE_TILES]
    return [every[number] for number in sorted(chosen)]


def sampled_psnr(
    model: Model, latents: Latents, pixels: Pixels, gray: bool, finish: Finish | None = None
) -> float:
    """About the PSNR in dB of latents to the picture (H, W, 3) that they stand for; `finish` as decoded."""
    errors, samples = [], []

    def compare(tile: Tile) -> None:
        wanted = pixels[scaled(tile.place, CELL)]
        found = decode_tile(model, latents, tile, finish)[: wanted.shape[0], : wanted.shape[1]]
        difference = wanted.astype(np.float32) - (to_gray(found) if gray else found)
        errors.append(float(np.square(difference).sum(dtype=np.float64)))
        samples.append(wanted.size)

    for_each("decoding", sample_of((pixels.shape[0], pixels.shape[1])), compare)
    return 10 * math.log10(255**2 * sum(samples) / sum(errors)) if any(errors) else math.inf
