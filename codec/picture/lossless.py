"""Pixels kept as they are, in lossless WebP files: one, or tiles of a picture that is too large for one."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    WebPImagePlugin,  # noqa: F401  registers the format, for which Pillow would load all its plugins
)

from aecodec.arrays import Window
from aecodec.container import TILE
from aecodec.errors import BitstreamError, LimitError
from aecodec.fields import Reader, write_varint
from aecodec.model.tiling import overlap

LOSSLESS_MAX_SIDE = 16383  # of a WebP file
LOSSLESS_MAX_PIXELS = 2**26  # below what Pillow warns of
LOSSLESS_EFFORTS = (0, 4)  # of libwebp that are tried, 0 to 6: more find smaller files, and take longer
LOSSLESS_FIELDS = slice(21, 25)  # of a WebP file: widths of 14, 14, 1 and 3 bits
LOSSLESS_ALPHA = 1 << 28


@dataclass(frozen=True, slots=True)
class LosslessTile:
    """A part of a picture and the WebP that holds it."""

    place: Window
    data: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, which are also those of the WebP, in pixels."""
        rows, columns = self.place
        return columns.stop - columns.start, rows.stop - rows.start


def write_pixels(
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None = None,
    efforts: Iterable[int] = LOSSLESS_EFFORTS,
) -> bytes:
    """Pixels (H, W) or (H, W, 3), with alpha (H, W) or without: a WebP if they fit into one, or tiles.

    It is the smallest by some efforts, 0 to 6; the lowest is at times smallest. Its header tells of an alpha
    plane even if that is opaque.
    """
    height, width = pixels.shape[:2]
    if not fits_lossless(width, height):
        return write_tiles(pixels, alpha, efforts)
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    files = []
    for effort in efforts:
        file = io.BytesIO()
        image.save(file, "WEBP", lossless=True, method=effort, quality=75, exact=True)
        files.append(file.getvalue())
    data = bytearray(min(files, key=len))
    if alpha is not None:
        fields = int.from_bytes(data[LOSSLESS_FIELDS], "little") | LOSSLESS_ALPHA
        data[LOSSLESS_FIELDS] = fields.to_bytes(4, "little")
    return bytes(data)


def write_tiles(
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None = None,
    efforts: Iterable[int] = LOSSLESS_EFFORTS,
) -> bytes:
    """The same in tiles, however large the picture is."""
    parts = []
    for place in tile_windows(pixels.shape[1], pixels.shape[0]):
        data = write_pixels(pixels[place], None if alpha is None else alpha[place], efforts)
        parts += [write_varint(len(data)), data]
    return b"".join(parts)


def read_tiles(payload: bytes, size: tuple[int, int], tiled: bool) -> Iterator[LosslessTile]:
    """The tiles of a picture of `size` (width, height), or the one WebP, whose headers fit.

    Raises BitstreamError.
    """
    windows = tile_windows(*size) if tiled else iter([(slice(0, size[1]), slice(0, size[0]))])
    reader = Reader(payload)
    for place in windows:
        length = reader.varint("tile's length") if tiled else len(payload)
        tile = LosslessTile(place, reader.take(length, "tile"))
        check_lossless(tile.data, tile.size)
        yield tile
    if extra := len(payload) - reader.position:
        raise LimitError(f"{extra} bytes follow the last tile: the file is damaged")


def tiles_have_alpha(payload: bytes, size: tuple[int, int], tiled: bool) -> bool:
    """Whether pixels of `size` (width, height) have alpha; raises BitstreamError where some tiles have."""
    alpha_flags = {lossless_fields(tile.data)[2] for tile in read_tiles(payload, size, tiled)}
    if len(alpha_flags) > 1:
        raise LimitError("some tiles have alpha and some have none: the file is damaged")
    return alpha_flags == {True}


def read_pixels(payload: bytes, size: tuple[int, int], tiled: bool, part: Window) -> NDArray[np.uint8]:
    """The samples (h, w, 3 or 4) of a part, rows and columns, of a picture of `size` (width, height).

    Only tiles that the part touches are decoded. Raises BitstreamError.
    """
    if not tiled:
        return np.asarray(read_lossless(payload, size))[part]
    channels = 4 if tiles_have_alpha(payload, size, tiled) else 3
    pixels = np.empty((*(side.stop - side.start for side in part), channels), np.uint8)
    for tile in read_tiles(payload, size, tiled):
        place, wanted = overlap(part, tile.place)
        if all(span.start < span.stop for span in wanted):
            samples: NDArray[np.uint8] = np.asarray(read_lossless(tile.data, tile.size))
            pixels[place] = samples[wanted]
    return pixels


def tile_windows(width: int, height: int) -> Iterator[Window]:
    """The windows of tiles, row by row. All but the last of a row or column have TILE pixels each way."""
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield slice(top, min(top + TILE, height)), slice(left, min(left + TILE, width))


def fits_lossless(width: int, height: int) -> bool:
    """Whether a picture can be stored in one lossless WebP."""
    return max(width, height) <= LOSSLESS_MAX_SIDE and width * height <= LOSSLESS_MAX_PIXELS


def lossless_fields(data: bytes) -> tuple[int, int, bool]:
    """Width, height and whether there is alpha, of a lossless WebP file; raises BitstreamError for another.

    The header is that of the WebP Lossless Bitstream Specification, section 3.
    """
    if len(data) < 25 or (data[:4], data[8:16], data[20]) != (b"RIFF", b"WEBPVP8L", 0x2F):
        raise BitstreamError("the WebP inside is none, or not a lossless one: the file is damaged")
    fields = int.from_bytes(data[LOSSLESS_FIELDS], "little")
    return (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1, bool(fields & LOSSLESS_ALPHA)


def check_lossless(data: bytes, size: tuple[int, int]) -> None:
    """Raises BitstreamError unless data begin as a lossless WebP of `size` (width, height) does."""
    if not fits_lossless(*size):
        raise LimitError(f"{size[0]}x{size[1]} pixels are too many to be stored losslessly: damaged")
    if (coded_size := lossless_fields(data)[:2]) != size:
        raise BitstreamError(f"the WebP inside is {coded_size}, the header says {size}: damaged")


def read_lossless(data: bytes, size: tuple[int, int]) -> Image.Image:
    """The image, RGB or RGBA, in a lossless WebP of `size` (width, height); raises BitstreamError."""
    check_lossless(data, size)
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BitstreamError(f"the WebP inside cannot be read ({error}): the file is damaged") from error
