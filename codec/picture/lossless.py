"""Pixels kept as they are, in lossless WebP files."""

from __future__ import annotations

import io
from collections.abc import Iterable

from PIL import (
    Image,
    WebPImagePlugin,  # noqa: F401  registers the format, for which Pillow would load all its plugins
)

from codec.errors import BitstreamError, ImageError, LimitError

LOSSLESS_MAX_SIDE = 16383  # of a WebP file
LOSSLESS_MAX_PIXELS = 2**26  # below what Pillow warns of
LOSSLESS_EFFORTS = (0, 4)
LOSSLESS_FIELDS = slice(21, 25)  # of a WebP file: widths of 14, 14, 1 and 3 bits
LOSSLESS_ALPHA = 1 << 28


def fits_lossless(width: int, height: int) -> bool:
    """Whether a picture can be stored losslessly."""
    return max(width, height) <= LOSSLESS_MAX_SIDE and width * height <= LOSSLESS_MAX_PIXELS


def write_lossless(image: Image.Image, efforts: Iterable[int] = LOSSLESS_EFFORTS) -> bytes:
    """The smallest of lossless WebPs of an image, of efforts 0 to 6: the lowest also finds what others miss.

    With an alpha plane they say so even if it is opaque. Raises ImageError where the image does not fit.
    """
    if not fits_lossless(*image.size):
        limits = f"sides end at {LOSSLESS_MAX_SIDE}, pictures at {LOSSLESS_MAX_PIXELS}"
        raise ImageError(f"{image.width}x{image.height} pixels are too many to store losslessly: {limits}")
    files = []
    for effort in efforts:
        file = io.BytesIO()
        image.save(file, "WEBP", lossless=True, method=effort, quality=75, exact=True)
        files.append(file.getvalue())
    data = bytearray(min(files, key=len))
    if image.mode in ("LA", "RGBA"):
        fields = int.from_bytes(data[LOSSLESS_FIELDS], "little") | LOSSLESS_ALPHA
        data[LOSSLESS_FIELDS] = fields.to_bytes(4, "little")
    return bytes(data)


def lossless_fields(data: bytes) -> tuple[int, int, bool]:
    """Width, height and whether there is alpha, as a lossless WebP file says; BitstreamError for any other.

    The header is that of the WebP Lossless Bitstream Specification, section 3.
    """
    if len(data) < 25 or (data[:4], data[8:16], data[20]) != (b"RIFF", b"WEBPVP8L", 0x2F):
        raise BitstreamError("the WebP inside is none, or not a lossless one: the file is damaged")
    fields = int.from_bytes(data[LOSSLESS_FIELDS], "little")
    return (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1, bool(fields & LOSSLESS_ALPHA)


def read_lossless(data: bytes, size: tuple[int, int]) -> Image.Image:
    """The image, RGB or RGBA, in a lossless WebP of `size` (width, height); raises BitstreamError."""
    if not fits_lossless(*size):
        raise LimitError(f"{size[0]}x{size[1]} pixels are too many to be stored losslessly: damaged")
    if (found := lossless_fields(data)[:2]) != size:
        raise BitstreamError(f"the WebP inside is {found}, the header says {size}: damaged")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BitstreamError(f"the WebP inside cannot be read ({error}): the file is damaged") from error
