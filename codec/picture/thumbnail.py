"""The small WebP that the file of a large picture has in a box, so that a folder of them shows at once.

A decode of 24 megapixels takes ten seconds and more, and even its low bands alone take a quarter of that
(docs/experiments.md, how cheap can a thumbnail be). The WebP is read in milliseconds.
"""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from aecodec.errors import BitstreamError
from aecodec.picture import Picture
from aecodec.picture.pillow_errors import decoding

SIDE = 256  # pixels of the longer side: what file managers ask for
LARGEST = 512  # pixels of a side that is read, see docs/format.md
WORTH_PIXELS = 2**22  # of a picture; a smaller one is decoded in three seconds of one core
SHARE = 100  # a thumbnail takes at most one part in so many of the payload
# Of libwebp. Thumbnails of the 32 validation photographs have 33.6 dB in 6.4 kB by the first and 30.2 dB in
# 3.6 kB by the last.
QUALITIES = (75, 60, 50, 40, 30)


def thumbnail_size(size: tuple[int, int], limit: int) -> tuple[int, int]:
    """Width and height, of which the longer is `limit`, of a picture of `size`; or that, if it is smaller."""
    longer = max(*size, limit)
    width, height = (max(1, round(side * limit / longer)) for side in size)
    return width, height


def resized(picture: Picture, size: tuple[int, int], part: tuple[float, float]) -> Picture:
    """The picture at another size (width, height), of the part (width, height) from its top left corner."""
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None:  # Pillow weighs colours by alpha
        image.putalpha(Image.fromarray(picture.alpha))
    samples = np.asarray(image.resize(size, Image.Resampling.BICUBIC, (0, 0, *part)))
    alpha = None if picture.alpha is None else samples[..., 3]
    return replace(picture, pixels=samples[..., :3], alpha=alpha)


def is_webp(content: bytes) -> bool:
    """Whether bytes begin as a WebP file does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def thumbnails_of(picture: Picture) -> list[bytes]:
    """WebP files of a picture made small, the best first."""
    height, width = picture.pixels.shape[:2]
    small = resized(picture, thumbnail_size((width, height), SIDE), (width, height))
    image = Image.fromarray(small.pixels)
    if small.alpha is not None:
        image.putalpha(Image.fromarray(small.alpha))
    method = 4 if small.alpha is not None else 6  # which saves 1 % of a noisy alpha in 50 times the time
    files = []
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=method)
        files.append(file.getvalue())
    return files


def read_thumbnail(content: bytes, size: tuple[int, int]) -> Image.Image:
    """The image, RGB or RGBA, in a box of a picture of `size` (width, height).

    Raises BitstreamError, or DamagedError for what is no sound WebP.
    """
    if not is_webp(content):
        raise BitstreamError("it is no WebP")
    with decoding(), Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
        if getattr(image, "is_animated", False):
            raise BitstreamError("it is a film")
        if max(image.size) > LARGEST or image.size != thumbnail_size(size, max(image.size)):
            raise BitstreamError(f"{image.width}x{image.height} pixels are not those of a thumbnail")
        image.load()
        return image
