"""What an encoder gives: a file, with all that is known of it, so that nothing is parsed back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aecodec.arrays import Pixels
from aecodec.container import CELL, Box, Container
from aecodec.decoder.decoding import clipper_of, decode_samples
from aecodec.decoder.reconstruction import reconstruct_tile
from aecodec.entropy.coder import Latents
from aecodec.model.registry import MEANS, Model
from aecodec.model.tiling import DECODER_HALO, Tile, cell_grid, decoder_tiles, scale_window, tiles
from aecodec.parallel import for_each, tiles_at_once
from aecodec.picture import Picture, to_gray
from aecodec.picture import psnr as psnr_of

MEASURED_WHOLE = 2**22  # pixels up to which all are compared: decoding them takes as long as encoding
SAMPLE_CORE = 8  # cells of a sample's tile each way: 256 pixels
SAMPLES = 6  # tiles each way, in all 2.4 megapixels, which take a fifth of the time of 24


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A PSNR in dB, infinite where pixels are equal, and whether it is of a sample of them."""

    psnr: float
    sampled: bool


@dataclass(frozen=True)
class Encoded:
    """A file and what it holds; its pixels are decoded when they are first asked for, once.

    Two are equal if their files are.
    """

    data: bytes
    container: Container = field(compare=False)
    latents: Latents | None = field(compare=False)  # None if lossless, and where they are no longer kept
    model: Model = field(compare=False)
    source: Picture = field(compare=False)  # that it was made of
    keeps_hidden: bool = field(compare=False)  # whether the colours of invisible pixels count
    known: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __len__(self) -> int:
        """Bytes of the file."""
        return len(self.data)

    # Before Python 3.12 a `cached_property` has one lock for all files: threads would wait for each other.
    @property
    def pixels(self) -> Pixels:
        """The pixels (H, W, 3) that a decoder shows, which may not be changed."""
        if "pixels" not in self.known:
            full_window = slice(0, self.container.height), slice(0, self.container.width)
            samples = decode_samples(self.container, full_window, self.latents, self.model)[..., :3]
            pixels = to_gray(samples) if self.container.gray else samples
            pixels.setflags(write=False)
            self.known["pixels"] = pixels
        return np.asarray(self.known["pixels"])

    @property
    def psnr(self) -> float:
        """PSNR in dB to the source, weighted by alpha unless invisible pixels count; infinite if equal."""
        if "psnr" not in self.known:
            alpha = None if self.keeps_hidden else self.source.alpha
            figure = psnr_of(self.source.pixels, self.pixels, alpha)
            self.known["psnr"] = math.inf if figure is None else figure
        return float(self.known["psnr"])

    def slim(self) -> Encoded:
        """The same without latents and pixels, which take some 8 bytes a pixel."""
        slim = replace(self, latents=None)
        if "psnr" in self.known:
            slim.known["psnr"] = self.known["psnr"]
        return slim

    def fidelity(self, exact: bool = False) -> Fidelity:
        """The PSNR of the file. That of a large picture is measured on a sample, unless `exact` is set.

        Tiles are compared as they are decoded, so that no second picture takes memory. Where stages follow
        them, or alpha weights them, all pixels are needed.
        """
        size = self.container.height, self.container.width
        sampled = size[0] * size[1] > MEASURED_WHOLE and not exact
        known = "psnr" in self.known or ("pixels" in self.known and not sampled)
        staged = self.container.stages.enhance or self.container.stages.upscale
        weighted = self.source.alpha is not None and not self.keeps_hidden
        if known or self.latents is None or staged or weighted:
            return Fidelity(self.psnr, sampled=False)
        model, latents, gray = self.model, self.latents, self.container.gray
        finish = clipper_of(self.container) if Box.CLIPPING in self.container.boxes else None
        parts = sample_of(size) if sampled else decoder_tiles(size)

        def compare(tile: Tile) -> tuple[float, int]:
            wanted = self.source.pixels[scale_window(tile.place, CELL)]
            decoded = reconstruct_tile(model, latents, tile, finish)[: wanted.shape[0], : wanted.shape[1]]
            error = wanted.astype(np.float32)
            error -= to_gray(decoded) if gray else decoded
            return float(np.square(error, out=error).sum(dtype=np.float64)), wanted.size

        model.load_ahead(latents.quality, *MEANS, "synthesis", together=tiles_at_once(len(parts)))
        errors, samples = zip(*for_each("decoding", parts, compare), strict=True)
        psnr = float(10 * np.log10(255**2 * sum(samples) / sum(errors))) if any(errors) else math.inf
        if not sampled:
            self.known["psnr"] = psnr
        return Fidelity(psnr, sampled)


def sample_of(size: tuple[int, int]) -> list[Tile]:
    """Tiles of a picture of `size` (H, W), one of each of SAMPLES x SAMPLES parts, by a fixed random seed."""
    every, random = list(tiles(*cell_grid(*size), SAMPLE_CORE, DECODER_HALO)), np.random.default_rng(0)
    height, width = (-(-side // SAMPLE_CORE) for side in cell_grid(*size))  # in tiles
    strata = np.arange(SAMPLES)
    rows = (strata[:, None] + random.random((SAMPLES, SAMPLES))) * height / SAMPLES
    columns = (strata + random.random((SAMPLES, SAMPLES))) * width / SAMPLES
    chosen = np.unique(rows.astype(np.intp) * width + columns.astype(np.intp))
    return [every[number] for number in chosen]
