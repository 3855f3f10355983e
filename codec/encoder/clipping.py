"""Chooses how white and black are kept: the way by which the fewest pixels change for a few bytes.

Only pictures with areas of pure white or black may have a box. The decoded picture is compared with the
source once for each size of patches. The histograms of this comparison give the effect of each way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Pixels
from aecodec.encoder.encoded import Encoded
from aecodec.picture import pure_pixels
from aecodec.picture.clipping import (
    ENDS,
    PATCHES,
    Bits,
    Clipping,
    beside,
    draw,
    under,
    whole_patches,
    write_clipping,
)

LEAST_SHARE = 0.005  # of the pixels; less are highlights, where nobody takes 254 for a fault
REACHES = (0, 1, 2, 3, 4, 6, 8, 12, 15)  # levels that are tried; the format ends at 15
FARTHEST = 32  # levels from an end, which no reach changes
STRIP = 64  # rows at a time
# Bytes that a box may cost, as a share of the file's: where less than GROUND of the pixels are pure, as in
# most photographs, and where they are the ground of a product or page. There what it adds to the squared
# error, which elsewhere may not rise, counts as the bytes that it is worth.
FREE, FREE_OF_GROUND, GROUND = 0.0025, 0.02, 0.25
LEAST_FREE = 16  # bytes, for a ground: patches take 12 to 14 in a small picture, whose corners they keep
# What bytes are worth: 1 % more of them, by a higher quality, lower squared error by 1.1 %, as
# `aecodec.encoder.rate_control.DERIVATIVES` say.
EXCHANGE = 1.1
WORTH = 0.7  # of the pixels that change without a box: what leaves more is not worth any byte
KEPT = 0.0005  # of white or black pixels; where fewer change, the way that is worth the most is taken
BOX_FIELDS = 3  # bytes: type, length, and the number of boxes where there are no others
ELSEWHERE, NEAR, INSIDE = range(3)  # where a pixel lies: NEAR is in a patch that touches a pure one

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to keep an end, and its effect."""

    end: Clipping
    changed: float  # share of the end's pixels that still change
    gain: float  # by which the squared error falls: squared levels, summed over samples

    @property
    def bytes(self) -> int:
        """The bytes of the box of this end, with one byte for the other end."""
        return len(write_clipping((self.end, Clipping())))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Histograms of decoded pixels that lie INSIDE pure patches, NEAR them and ELSEWHERE."""

    samples: Counts  # (3, FARTHEST, 256): by decoded distance from the end, and by source
    pure: Counts  # (3, 256): pixels that are the end in the source, by their farthest sample


def choose_clipping(encoded: Encoded) -> bytes:
    """The box for a file whose picture has areas of white or black; nothing where none is worth it."""
    source, decoded, size = encoded.source.pixels, encoded.pixels, len(encoded.data)
    error = sum(
        float(np.square(source[rows].astype(np.int32) - decoded[rows]).sum()) for rows in strips(source)
    )
    white = choose_end(source, decoded, ENDS[0], error, size, 0)
    taken = len(write_clipping((white, Clipping())))
    return write_clipping((white, choose_end(source, decoded, ENDS[1], error, size, taken)))


def choose_end(source: Pixels, decoded: Pixels, level: int, error: float, size: int, taken: int) -> Clipping:
    """The affordable way to keep a level by which the fewest of its pixels change.

    `taken` are the bytes that the other end takes.
    """
    pure = pure_pixels(source, level)
    if pure.mean() < LEAST_SHARE:
        return Clipping()
    is_ground = pure.mean() >= GROUND
    free = max(size * FREE_OF_GROUND, LEAST_FREE) if is_ground else size * FREE
    free -= BOX_FIELDS + taken
    none, *ways = (way for patch in PATCHES for way in ways_with(source, decoded, level, pure, patch))
    lagrangian = EXCHANGE * error / size  # of a byte, in squared levels
    good = [none] + [
        way
        for way in ways
        if (way.gain >= 0 or is_ground)
        and (way.bytes - free) * lagrangian <= min(way.gain, 0)
        and way.changed <= WORTH * none.changed
    ]
    return min(good, key=lambda way: (max(way.changed, KEPT), way.bytes * lagrangian - way.gain)).end


def ways_with(source: Pixels, decoded: Pixels, level: int, pure: Bits, patch: int) -> Iterator[Way]:
    """Every way to keep a level with patches of a size. `patch` 0 stands for no patches."""
    pure_patches = whole_patches(pure, patch) if patch else None
    if pure_patches is not None and not pure_patches.any():
        return
    comparison = compare(source, decoded, level, pure, Clipping(patch=patch, pure_patches=pure_patches))
    for reach, everywhere in product(REACHES, (False, True)):
        if everywhere <= (reach > 0) and (everywhere or patch or not reach):
            end = Clipping(reach, everywhere, patch, pure_patches)
            yield Way(end, *effect(comparison, level, end))


def compare(source: Pixels, decoded: Pixels, level: int, pure: Bits, end: Clipping) -> Comparison:
    """Histograms of decoded pixels, by where they lie relative to the pure patches of an end."""
    samples, ends = np.zeros(3 * FARTHEST * 256, np.int64), np.zeros(3 * 256, np.int64)
    near = beside(end)
    for rows in strips(source):
        place = rows, slice(0, source.shape[1])
        where = np.full((*source[place].shape[:2], 1), ELSEWHERE)
        if near is not None and end.pure_patches is not None:
            where = where + under(near, place, end.patch) + under(end.pure_patches, place, end.patch)
        distance = np.abs(level - decoded[place].astype(np.int64))
        code = (where * FARTHEST + distance) * 256 + source[place]
        samples += np.bincount(code[distance < FARTHEST], minlength=len(samples))
        code = where[..., 0] * 256 + distance.max(2)
        ends += np.bincount(code[pure[place]], minlength=len(ends))
    return Comparison(samples.reshape(3, FARTHEST, 256), ends.reshape(3, 256))


def effect(comparison: Comparison, level: int, end: Clipping) -> tuple[float, float]:
    """The share of pixels of a level that still change, and the squared error that an end saves."""
    distances, gain, changed = np.arange(256), 0.0, 0
    drawn = np.rint(draw(distances.astype(np.float32), end.reach))
    outcomes = {ELSEWHERE: drawn if end.everywhere else distances, NEAR: drawn, INSIDE: 0 * drawn}
    for where, after in outcomes.items():
        squares = [np.square(np.abs(level - d)[:, None] - np.arange(256.0)) for d in (distances, after)]
        gain += float((comparison.samples[where] * (squares[0] - squares[1])[:FARTHEST]).sum())
        changed += int(comparison.pure[where][after > 0].sum())
    return changed / int(comparison.pure.sum()), gain


def strips(source: Pixels) -> Iterator[slice]:
    for start in range(0, len(source), STRIP):
        yield slice(start, min(start + STRIP, len(source)))
