"""Comparisons of crops at the same file size, by all codecs of a benchmark, where they differ most."""

from __future__ import annotations

import numpy as np
from PIL import Image

from aecodec.benchmarks.comparison import (
    BITS_BLOCK,
    MEASURES,
    Coded,
    Comparison,
    colours_of,
    error_map,
    largest_sum,
    page_of,
)
from aecodec.benchmarks.equal_bytes import match_size
from aecodec.benchmarks.measure import Photograph
from aecodec.benchmarks.metrics import Pixels, measure_all
from aecodec.benchmarks.reference_codecs import ReferenceCodec
from aecodec.picture.reading import read_picture
from aecodec.rate_map import rate_map

CROP = 256  # pixels each way, or the whole blocks of a side: larger crops show more, and differ less
# Quality of aecodec's file, whose size the others match as nearly as they can: low, so that differences can
# be seen.
OUR_QUALITY = 20.0


def crop_comparison_of(photograph: Photograph, codecs: list[ReferenceCodec]) -> Comparison:
    """Crops of the first codec's file at OUR_QUALITY, and of the files of the others nearest to its size."""
    picture = read_picture(photograph.path)
    pixels = picture.pixels
    image = Image.fromarray(pixels)
    first = codecs[0].encode(image, OUR_QUALITY)
    coded = [code_of(codecs[0], OUR_QUALITY, first, 0.0, pixels)]
    for codec in codecs[1:]:
        match = match_size(codec, image.copy(), len(first))  # as Pillow keeps options in the image
        coded.append(code_of(codec, match.quality, match.data, match.off, pixels))
    part = most_different_part(pixels, [one.pixels for one in coded])
    colours = {} if picture.gray else colours_of(picture)  # codecs may add colour to gray
    return page_of(photograph.name, pixels, part, coded, rate_map(first), [], colours)


def code_of(codec: ReferenceCodec, quality: float, data: bytes, off: float, pixels: Pixels) -> Coded:
    """What comes of one codec's file, measured on the whole picture."""
    decoded = np.asarray(codec.decode(data))
    measures = measure_all(pixels, decoded, MEASURES)
    return Coded(codec.name, f"quality {quality:g}", data, off, decoded, measures)


def most_different_part(pixels: Pixels, decoded: list[Pixels]) -> tuple[slice, slice]:
    """Rows and columns of the crop in which the squared errors of the codecs differ most."""
    height, width = pixels.shape[:2]
    if max(height, width) <= CROP:
        return slice(0, height), slice(0, width)
    unlike = np.stack([error_map(pixels, other) for other in decoded]).std(0)
    tall, wide = (max(min(CROP, side) // BITS_BLOCK, 1) * BITS_BLOCK for side in (height, width))
    return largest_sum(unlike, (height, width), (tall, wide))
