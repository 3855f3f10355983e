"""Reads from the header of a BMP file what Pillow does not give (BITMAPV5HEADER)."""

from __future__ import annotations

import struct
from typing import IO, Any

from PIL import Image

FILE_HEADER, V5 = 14, 124  # bytes of the headers
EMBEDDED, LINKED = b"DEBM", b"KNIL"  # what the colours are given by
COLOURS = slice(56, 60)  # of the header
PROFILE = 112  # place in the header of the profile's place, behind the header's start, and its size
BITS_AND_COMPRESSION, MASKS = slice(14, 20), slice(40, 56)  # of the header
A1R5G5B5 = struct.pack("<HI", 16, 3), struct.pack("<4I", 0x7C00, 0x3E0, 0x1F, 0x8000)  # alpha's mask is last


def profile_of(file: IO[bytes]) -> bytes | None:
    """The ICC profile of an open file; None for none, empty for one that is elsewhere or not all there."""
    start, header = header_of(file)
    if len(header) < V5 or int.from_bytes(header[:4], "little") < V5:
        return None
    if header[COLOURS] not in (EMBEDDED, LINKED):
        return None
    place, size = struct.unpack_from("<II", header, PROFILE)
    if header[COLOURS] == LINKED or start + place + size > file.seek(0, 2):
        return b""
    file.seek(start + place)
    return file.read(size)


def header_of(file: IO[bytes]) -> tuple[int, bytes]:
    """Where the header begins in a file that is at its start, and its bytes, at most those of V5."""
    head = file.read(FILE_HEADER + V5)
    start = FILE_HEADER if head.startswith(b"BM") else 0
    return start, head[start : start + V5]


def has_bit_of_alpha(file: IO[bytes]) -> bool:
    """Whether pixels are of 16 bits, of which one is alpha: Pillow leaves it out."""
    header = header_of(file)[1]
    size = int.from_bytes(header[:4], "little")
    return size >= MASKS.stop and (header[BITS_AND_COMPRESSION], header[MASKS]) == A1R5G5B5


def read_bit_of_alpha(image: Image.Image) -> None:
    """Let Pillow decode an image that is not loaded with its bit of alpha."""
    opened: Any = image
    opened._mode = "RGBA"
    opened.tile = [tile._replace(args=("BGRA;15", *tile.args[1:])) for tile in opened.tile]
