"""How near a file comes to its picture: the PSNR of all pixels, or of a sample of a large picture's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aecodec.engine import Finish, Tile, for_each, scaled, tiles
from aecodec.entropy import Latents
from aecodec.model import Model
from aecodec.picture import Pixels, to_gray
from aecodec.pipeline import CELL, DECODER_HALO, cells, decode_tile

MEASURED_WHOLE = 2**22  # pixels up to which all are compared: decoding them takes as long as encoding
SAMPLE_CORE = 8  # cells of a sample's tile each way: 256 pixels
SAMPLES = 6  # tiles each way, in all 2.4 megapixels, which take a fifth of the time of 24


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A PSNR in dB, infinite where pixels are equal, and whether it is of a sample of them."""

    psnr: float
    sampled: bool


def sample_of(size: tuple[int, int]) -> list[Tile]:
    """Tiles of a picture of `size` (H, W), one somewhere in each part of it, the same each time."""
    every, random = list(tiles(*cells(*size), SAMPLE_CORE, DECODER_HALO)), np.random.default_rng(0)
    height, width = (-(-side // SAMPLE_CORE) for side in cells(*size))  # in tiles
    places = np.arange(SAMPLES)
    rows = (places[:, None] + random.random((SAMPLES, SAMPLES))) * height / SAMPLES
    columns = (places + random.random((SAMPLES, SAMPLES))) * width / SAMPLES
    chosen = np.unique(rows.astype(np.intp) * width + columns.astype(np.intp))
    return [every[number] for number in chosen]


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
