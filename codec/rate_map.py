"""Where the bits of a file went: the information content of its latents under the coder's own tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aecodec.bitstream import MAX_PIXELS, Container, Learned, parse
from aecodec.entropy import Latents
from aecodec.hyperprior import hyper_steps
from aecodec.model import model_with
from aecodec.neighbours import TURNS, coded_levels
from aecodec.pipeline import PATCH, read_latents
from aecodec.tables import Integers, Tables

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


def of_learned(container: Container, header: Learned) -> Bits:
    """The map of a learned picture."""
    model, (height, width) = model_with(header.fingerprint), container.coded_size
    latents = read_latents(model, header, container.payload, (height, width))
    bits = latent_bits(model.tables, latents)
    shared = hyper_latent_bits(model.tables, latents.z, header.quality, header.prior) / 4
    bits += shared.repeat(2, axis=0).repeat(2, axis=1)
    return padding_at_border(bits, (-(-height // PATCH), -(-width // PATCH)))


def latent_bits(tables: Tables, latents: Latents) -> Bits:
    """Bits (2h, 2w) of the symbols, all channels together."""
    symbols = latents.symbols.reshape(-1)
    plane = latents.symbols[0].size
    total = np.zeros(plane)
    for turn in range(TURNS):
        for places, levels in coded_levels(tables, latents.index, latents.symbols, turn):
            bits = tables.bits_of(symbols.take(places).astype(np.float32), levels)
            total += np.bincount(places % plane, bits, plane)
    return total.reshape(latents.symbols.shape[1:])


def hyper_latent_bits(tables: Tables, z: Integers, quality: int, prior: int) -> Bits:
    """Bits (h, w) of the hyper-latent (Z, h, w) at `quality` in hundredths, all channels together."""
    total = np.zeros(z[0].size)
    span = tables.z_high - tables.z_low
    for step in hyper_steps(tables, z, quality):
        codes = z[step.channel].reshape(-1)[step.places] - step.origin + span
        total[step.places] += tables.z_bits[prior, step.context, codes]
    return total.reshape(z.shape[1:])


def padding_at_border(bits: Bits, size: tuple[int, int]) -> Bits:
    """The first rows and columns of `size`, what lies beyond them added to the last."""
    rows, columns = (np.minimum(np.arange(n), last - 1) for n, last in zip(bits.shape, size, strict=True))
    folded = np.zeros(size)
    np.add.at(folded, np.ix_(rows, columns), bits)
    return folded
