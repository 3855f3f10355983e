"""Latents of pictures and of files: through this alone the other modules of `aecodec.uses` see networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aecodec.arrays import Floats, Integers, Pixels
from aecodec.container import MAX_PIXELS, PATCH, parse
from aecodec.decoder.reconstruction import decode_y_of_symbols
from aecodec.encoder.quantisation import analyse
from aecodec.model.registry import Model, model_named, model_with
from aecodec.model.tiling import CORE, DECODER_HALO, Tile, cell_grid, scale_window, tiles
from aecodec.parallel import for_each

MODEL = "visual"  # the default model of `compress`, and so that of most files
STRIDE = PATCH  # pixels per latent position, each way


@dataclass(frozen=True, slots=True)
class PictureLatents:
    """What a model knows of a picture of `size` (H, W) at a quality, 0 to 100.

    y: latents (M, ceil(H / 16), ceil(W / 16)), in quantisation steps.
    z: hyper-latents (Z, ceil(H / 32), ceil(W / 32)), integers.
    """

    y: Floats
    z: Integers
    size: tuple[int, int]
    quality: float
    model: Model

    @property
    def fingerprint(self) -> str:
        """The model's, hexadecimal."""
        return self.model.fingerprint.hex()


def default_fingerprint() -> str:
    """The fingerprint, hexadecimal, of the default model of `of_pixels`."""
    return model_named(MODEL).fingerprint.hex()


def of_pixels(pixels: Pixels, quality: float, model: Model | None = None) -> PictureLatents:
    """The latents of pixels (H, W, 3), before they are rounded."""
    model = model or model_named(MODEL)
    y, z = analyse(model, pixels, quality)
    height, width = pixels.shape[:2]
    return PictureLatents(without_padding(y, (height, width)), z, (height, width), quality, model)


def without_padding(y: Floats, size: tuple[int, int]) -> Floats:
    """The latents whose patches lie in a picture of `size` (H, W), at least in part."""
    return y[:, : -(-size[0] // STRIDE), : -(-size[1] // STRIDE)]


def of_file(data: bytes) -> PictureLatents | None:
    """The latents in an .aec file, as its decoder has them; None for a lossless file. No pixels are decoded.

    Raises a BitstreamError that says what is wrong with the data, or UnknownModelError.
    """
    container = parse(data, MAX_PIXELS)
    if container.learned is None:
        return None
    header, size = container.learned, container.coded_size
    model, grid = model_with(header.fingerprint), cell_grid(*size)
    latents = model.coder.decode(container.payload, grid, header.quality, header.cdf_set)
    y = np.empty(latents.symbols.shape, np.float32)

    def decode(tile: Tile) -> None:
        y_hat = decode_y_of_symbols(model, latents, tile)
        y[:, *scale_window(tile.place, 2)] = y_hat[:, *scale_window(tile.inner, 2)]

    for_each("reading", list(tiles(*grid, CORE, DECODER_HALO)), decode)
    return PictureLatents(without_padding(y, size), latents.z, size, header.quality, model)
