"""A picture that is kept exactly, as a candidate beside its learned files: coded once, where it may serve.

It takes a learned file's place where it is larger by LOSSLESS_WORTH at most, or where that file is poor and
the lossless one at most POOR_LOSSLESS_WORTH times as large, metadata and alpha apart.
`aecodec.encoder.encoder` goes by these rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np

from aecodec.container import Box
from aecodec.parallel import run_in_thread
from aecodec.picture import Picture
from aecodec.picture.alpha import blacken_hidden
from aecodec.picture.lossless import LOSSLESS_EFFORTS, write_pixels

LOSSLESS_WORTH = 32  # bytes that a lossless file may be larger than the learned one: about a header's
# (quality, dB), linear in between: what all of 32 validation photographs exceed, and scanned text does not.
POOR_BELOW = ((0.0, 15.0), (20.0, 23.9), (50.0, 30.3), (80.0, 34.2), (100.0, 36.0))
POOR_LOSSLESS_WORTH = 2.5  # times as large a lossless file is taken for a poor one: scanned text has 2.1
LOSSLESS_PROMISING = 1.5  # times a limit: in a picture that is not small, a quick try above is the last
SAMPLED = (8, 64)  # rows of so many, or of more:
LARGEST_SAMPLE = 2**19  # pixels, which take libwebp 0.5 s; an eighth of 24 megapixels took it 3 s
DETAILED = 3  # bits a pixel of a sample above which the rest is taken to be like it
SMALL = 2**16  # pixels
MODERATE = 2**23  # pixels above which lossless coding, at 26 bytes a pixel, does not go beside other work


def is_poor(quality: float, psnr: float) -> bool:
    """Whether a learned file of a quality has a PSNR, in dB, that photographs exceed."""
    qualities, decibels = zip(*POOR_BELOW, strict=True)
    return psnr < float(np.interp(quality, qualities, decibels))


@dataclass(frozen=True, slots=True)
class Lossless:
    """A lossless payload, and the box of alpha where that is not in it."""

    payload: bytes
    alpha: dict[Box, bytes]
    size: int  # bytes of both


class LosslessCandidate:
    """What files of a picture keep exactly, coded once for all qualities.

    The colours of invisible pixels are among that, or are black.
    """

    def __init__(self, picture: Picture, keeps_hidden: bool = True) -> None:
        self.height, width = picture.pixels.shape[:2]
        self.area = self.height * width  # pixels
        self.alpha: dict[Box, bytes] = {}  # beside a learned payload
        if picture.alpha is not None:
            self.alpha[Box.ALPHA] = write_pixels(picture.alpha)
            picture = picture if keeps_hidden else blacken_hidden(picture)
        self.picture = picture
        self.coded: Lossless | None = None

    @property
    def lossless(self) -> Lossless:
        """The pixels, and alpha with them or beside them, as takes fewer bytes; coded when first asked for.

        (Before Python 3.12 a `cached_property` has one lock for all pictures: threads would wait.)
        """
        self.coded = self.coded or self.encode(LOSSLESS_EFFORTS)
        return self.coded

    @cached_property
    def quick_try(self) -> Future[int]:
        """About the bytes of pixels and alpha at little effort; work begins as this is first asked for."""
        return run_in_thread(self.quickly)

    def quickly(self) -> int:
        """Bytes of pixels and alpha at little effort: by a sample of rows if it is full of detail.

        Rows that occur again, of which a sample knows nothing, are taken to cost nothing.
        """
        sample = self.sample()
        distinct = len({crc32(row.tobytes()) for row in self.picture.pixels})
        size: int = sample.encode((0,)).size * distinct // sample.height
        detailed = 8 * size > DETAILED * self.area
        return size if detailed else self.encode((0,)).size

    def sample(self) -> LosslessCandidate:
        """A candidate of some rows of each part of the picture, at random so as not to follow a pattern."""
        rows, of = SAMPLED
        of = max(of, rows * self.area // LARGEST_SAMPLE)
        starts = np.arange(0, self.height, of)
        starts += np.random.default_rng(0).integers(0, of - rows, len(starts), endpoint=True)
        sampled_rows = np.minimum(starts, max(self.height - rows, 0))[:, None] + np.arange(rows)
        chosen = np.unique(sampled_rows[sampled_rows < self.height])
        alpha = None if self.picture.alpha is None else self.picture.alpha[chosen]
        return LosslessCandidate(replace(self.picture, pixels=self.picture.pixels[chosen], alpha=alpha))

    def encode(self, efforts: Sequence[int]) -> Lossless:
        """The smaller of two files: alpha as a channel beside the pixels, or in a box of its own."""
        pixels, alpha = self.picture.pixels, self.picture.alpha
        payload = write_pixels(pixels, efforts=efforts)
        apart = Lossless(payload, self.alpha, len(payload) + sum(map(len, self.alpha.values())))
        if alpha is None:
            return apart
        payload = write_pixels(pixels, alpha, efforts)
        together = Lossless(payload, {}, len(payload))
        return together if together.size <= apart.size else apart
