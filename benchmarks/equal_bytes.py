"""JPEG, WebP, AVIF and JPEG XL at the size of another file: each searched for by its quality."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, log

import numpy as np
from PIL import Image

from aecodec.benchmarks.reference_codecs import ReferenceCodec, pillow_codecs, plugin_codecs
from aecodec.progress import Progress

NEAR = 0.01  # of the size: files within it count as equal
NEAR_ENOUGH = 0.004  # of the size: where the search ends; a trial more rarely gains what is left
MOST_TRIALS = 12  # where sizes do not rise with quality; 4 are usual
DERIVATIVE = 0.03  # by which the logarithm of the size rises with a unit of quality, about, of all four
FINE = 0.1  # of a unit of quality: steps of WebP and JPEG XL, which take fractions
FINER = 0.02  # steps of JPEG, whose tables we scale ourselves
SHOWN = {"JPEG 4:2:0": "JPEG", "WebP": "WebP", "AVIF 4:4:4": "AVIF", "JPEG XL": "JPEG XL"}
# Tables K.1 and K.2 of ITU-T T.81, which libjpeg scales by its quality, row by row.
LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)


class FineJpeg(ReferenceCodec):
    """JPEG of a quality with fractions: libjpeg's formula for the tables, without rounding the scale."""

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """The file of an L or RGB image; at most whole qualities the same as by Pillow's `quality`."""
        scale = 5000 / quality if quality < 50 else 200 - 2 * quality
        tables = [
            np.clip((np.array(base) * scale + 50) // 100, 1, 255).astype(int).tolist()
            for base in (LUMA, CHROMA)
        ]
        file = io.BytesIO()
        options = {name: value for name, value in self.options.items() if name != "quality"}
        image.save(file, "JPEG", **options, qtables=tables[: 1 if image.mode == "L" else 2])
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class Match:
    """A file as near to a size as the codec's quality allows; `off` is the share by which it is larger."""

    quality: float
    data: bytes
    off: float

    @property
    def equal(self) -> bool:
        """Whether its size is within NEAR of what was asked for."""
        return abs(self.off) <= NEAR


def reference_codecs() -> tuple[list[ReferenceCodec], dict[str, str]]:
    """JPEG, WebP, AVIF and JPEG XL where they can run here, and a reason for each that cannot."""
    kinds = [pillow_codecs(), plugin_codecs()]
    available = {codec.name: codec for codecs, _ in kinds for codec in codecs}
    reasons = {name: reason for _, absent in kinds for name, reason in absent.items()}
    absent = {name: reasons[name] for name in SHOWN.values() if name in reasons}
    return [fine(available[name]) for name in SHOWN if name in available], absent


def fine(codec: ReferenceCodec) -> ReferenceCodec:
    """The codec with the finest steps of quality that it takes, under the name that is shown."""
    named = replace(codec, name=SHOWN[codec.name])
    if codec.format == "JPEG":
        options = {**codec.options, "progressive": True}  # a few percent smaller, pixels the same
        return FineJpeg("JPEG", "JPEG", codec.version, (), options, codec.licence, span=(1, 100), step=FINER)
    if codec.format == "JXL":
        return replace(named, step=FINE, span=(0, 99.9))  # at 100 the plugin's options contradict each other
    return replace(named, step=FINE) if codec.format == "WEBP" else named


def match_size(codec: ReferenceCodec, image: Image.Image, size: int) -> Match:
    """The file of an L or RGB image that is nearest to `size` bytes, found by the codec's quality."""
    first, last = (round(end / codec.step) for end in codec.span)
    derivative = DERIVATIVE * codec.step

    def encode(step: int) -> bytes:
        return codec.encode(image, round(step * codec.step, 2))

    step, data = nearest(encode, (first, last), derivative, size)
    return Match(round(step * codec.step, 2), data, len(data) / size - 1)


def nearest(
    encode: Callable[[int], bytes], span: tuple[int, int], derivative: float, size: int
) -> tuple[int, bytes]:
    """The step of a span whose file is nearest to a size, by interpolating the logarithm of sizes."""
    tried: dict[int, bytes] = {}
    low, high = span[0] - 1, span[1] + 1  # outside what may still be nearest
    progress = Progress("searching", MOST_TRIALS)
    step = (span[0] + span[1]) // 2
    while len(tried) < MOST_TRIALS and low < step < high:
        tried[step] = encode(step)
        progress.step()
        if abs(len(tried[step]) / size - 1) <= NEAR_ENOUGH:
            break
        low, high = (step, high) if len(tried[step]) < size else (low, step)
        step = guess(tried, low, high, derivative, size)
    best = min(tried, key=lambda step: (abs(len(tried[step]) - size), step))
    return best, tried[best]


def guess(tried: dict[int, bytes], low: int, high: int, derivative: float, size: int) -> int:
    """A step between two, not these, where the size is likely what is wanted."""
    below, above = (
        (step, log(len(tried[step]) / size)) if step in tried else (step, inf) for step in (low, high)
    )
    if inf in (below[1], above[1]):
        known = below if above[1] == inf else above
        wanted = known[0] - known[1] / derivative
    else:
        wanted = below[0] + (above[0] - below[0]) * -below[1] / max(above[1] - below[1], 1e-9)
    return min(max(round(wanted), low + 1), high - 1)
