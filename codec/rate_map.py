"""Where the bits of a file went: the information content of its latents under the coder's own tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Integers
from aecodec.container import MAX_PIXELS, PATCH, Container, LearnedHeader, parse
from aecodec.entropy.coder import Latents
from aecodec.entropy.context import CONTEXT_PASSES, coded_scale_indices
from aecodec.entropy.hyperprior import hyper_steps
from aecodec.entropy.tables import FrequencyTables
from aecodec.model.registry import model_with
from aecodec.model.tiling import cell_grid

Bits = NDArray[np.float64]  # (h, w)


def rate_map(data: bytes, max_pixels: int = MAX_PIXELS) -> Bits | None:
    """Bits of each 16x16 pixels of the coded picture, (ceil(H / 16), ceil(W / 16)); None of a lossless file.

    A symbol's bits are -log2 of its probability in the table that coded it. The hyper-latent's are shared
    equally by the four positions that it stands for, and those of positions in the padding count at the
    picture's border. The sum is the payload, but for the coder's last words, 0 to 10 bytes. Of a picture
    that is upscaled after decoding, H and W are those before it.

    Raises BitstreamError for a damaged file, UnknownModelError for one of a model that is not installed.

    >>> from PIL import Image
    >>> import aecodec
    >>> from aecodec.rate_map import rate_map
    >>> rate_map(aecodec.compress(Image.effect_noise((70, 40), 40), quality=30)).shape
    (3, 5)
    """
    container = parse(data, max_pixels)
    if container.learned is None:
        return None
    return of_learned(container, container.learned)


def of_learned(container: Container, header: LearnedHeader) -> Bits:
    """The map of a learned picture."""
    model, (height, width) = model_with(header.fingerprint), container.coded_size
    latents = model.coder.decode(container.payload, cell_grid(height, width), header.quality, header.cdf_set)
    bits = latent_bits(model.tables, latents)
    shared = hyper_latent_bits(model.tables, latents.z, header.quality, header.cdf_set) / 4
    bits += shared.repeat(2, axis=0).repeat(2, axis=1)
    return padding_at_border(bits, (-(-height // PATCH), -(-width // PATCH)))


def latent_bits(tables: FrequencyTables, latents: Latents) -> Bits:
    """Bits (2h, 2w) of the symbols, all channels together."""
    symbols = latents.symbols.reshape(-1)
    plane = latents.symbols[0].size
    total = np.zeros(plane)
    for number in range(CONTEXT_PASSES):
        for places, adapted in coded_scale_indices(tables, latents.scale_index, latents.symbols, number):
            bits = tables.bits_of(symbols.take(places).astype(np.float32), adapted)
            total += np.bincount(places % plane, bits, plane)
    return total.reshape(latents.symbols.shape[1:])


def hyper_latent_bits(tables: FrequencyTables, z: Integers, quality: float, cdf_set: int) -> Bits:
    """Bits (h, w) of the hyper-latent (Z, h, w) at a quality, all channels together."""
    total = np.zeros(z[0].size)
    span = tables.z_high - tables.z_low
    for step in hyper_steps(tables, z, quality):
        codes = z[step.channel].reshape(-1)[step.places] - step.origin + span
        total[step.places] += tables.z_bits[cdf_set, step.context, codes]
    return total.reshape(z.shape[1:])


def padding_at_border(bits: Bits, size: tuple[int, int]) -> Bits:
    """The first rows and columns of `size`. Bits beyond them are added to the last row and column."""
    rows, columns = (np.minimum(np.arange(n), last - 1) for n, last in zip(bits.shape, size, strict=True))
    folded = np.zeros(size)
    np.add.at(folded, np.ix_(rows, columns), bits)
    return folded
