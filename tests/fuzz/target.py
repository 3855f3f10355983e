"""The one thing that is tested: of any bytes comes a picture or a documented error."""

from __future__ import annotations

from contextlib import suppress

import aecodec
from aecodec.picture.writing import encode_image

PICTURE = "picture"
PIXELS = 2**16  # more are refused, so that valid files are decoded soon
FORMATS = ("PNG", "TIFF", "WEBP")  # each writes metadata in a way of its own


def outcome(data: bytes, max_pixels: int = PIXELS) -> str:
    """`picture`, or the name of the AecodecError that refuses the data; whatever else is raised is a bug."""
    try:
        image = aecodec.decompress(data, max_pixels=max_pixels)
    except aecodec.AecodecError as error:
        return type(error).__name__
    about = aecodec.info(data)
    assert (image.size, image.mode) == ((about.width, about.height), about.mode)
    if "thumbnail" in about.metadata:
        aecodec.decompress(data, max_pixels=max_pixels, thumbnail=8)
    if about.metadata:
        for name in FORMATS:
            with suppress(aecodec.ImageError):
                encode_image(image, name)
    return PICTURE


def read_container(data: bytes) -> None:
    """Parses alone, which takes microseconds."""
    with suppress(aecodec.BitstreamError):
        aecodec.info(data)
