"""Reads from the header of a BMP file what Pillow does not give (BITMAPV5HEADER)."""

from __future__ import annotations

import struct
from typing import IO

FILE_HEADER, V5 = 14, 124  # bytes of the headers
EMBEDDED, LINKED = b"DEBM", b"KNIL"  # what the colours are given by
COLOURS = slice(56, 60)  # of the header
PROFILE = 112  # place in the header of the profile's place, behind the header's start, and its size


def profile_of(file: IO[bytes]) -> bytes | None:
    """The ICC profile of an open file; None for none, empty for one that is elsewhere or not all there."""
    head = file.read(FILE_HEADER + V5)
    start = FILE_HEADER if head.startswith(b"BM") else 0
    header = head[start : start + V5]
    if len(header) < V5 or int.from_bytes(header[:4], "little") < V5:
        return None
    if header[COLOURS] not in (EMBEDDED, LINKED):
        return None
    place, size = struct.unpack_from("<II", header, PROFILE)
    if header[COLOURS] == LINKED or start + place + size > file.seek(0, 2):
        return b""
    file.seek(start + place)
    return file.read(size)
