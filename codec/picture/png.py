"""Reads from the chunks of a PNG file what Pillow does not give, or gives wrongly."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from typing import IO

from PIL import Image

from aecodec.picture.opening import file_of
from aecodec.picture.png_file import (
    DECIDING,
    END,
    LENGTH_KIND_CHECKSUM,
    OF_PIXELS,
    PNG_SIGNATURE,
    is_damaged,
    places_of,
)

LAST_CHUNK = bytes(4) + END
HEADER = 26  # bytes up to the colour type
AT_ONCE = 2**20  # bytes that are read of a chunk


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of a file by their types, and where they end."""

    first: dict[bytes, bytes]  # the content of the first one that is not damaged, but of pixels
    counts: Counter[bytes]
    damaged: Counter[bytes]  # of those that are counted
    end: int  # of the last one, where the file should end


def chunks_of(content: bytes) -> Chunks:
    """The chunks of a file, up to that which is its end."""
    first: dict[bytes, bytes] = {}
    counts, damaged, end = Counter[bytes](), Counter[bytes](), len(PNG_SIGNATURE)
    for chunk_type, place in places_of(content):
        counts[chunk_type] += 1
        end = place.stop + 4
        if is_damaged(chunk_type, memoryview(content)[place], content[place.stop : end]):
            damaged[chunk_type] += 1
        elif chunk_type not in first:
            first[chunk_type] = b"" if chunk_type == b"IDAT" else content[place]
    return Chunks(first, counts, damaged, min(end, len(content)))


@dataclass(frozen=True, slots=True)
class Outline:
    """What a file's chunks say, the content of metadata aside."""

    bare: bool  # it holds pixels and nothing else, neither in other chunks nor behind them
    cut: bool  # it ends before its last chunk does
    damaged: bool = False  # a chunk that decides on pixels has a checksum of another content


def outline_of(file: IO[bytes]) -> Outline:
    """The outline of an open file, which is left where it was."""
    position, end = file.tell(), file.seek(0, 2)
    file.seek(max(end - LENGTH_KIND_CHECKSUM, 0))
    whole = file.read(8) == LAST_CHUNK  # as nearly always
    place, chunk_type, bare, damaged = len(PNG_SIGNATURE), b"", True, False
    while place + LENGTH_KIND_CHECKSUM <= end and chunk_type != END:
        file.seek(place)
        head = file.read(8)
        chunk_type, length = head[4:], int.from_bytes(head[:4])
        place += LENGTH_KIND_CHECKSUM + length
        bare = chunk_type in OF_PIXELS and bare
        if chunk_type in DECIDING and chunk_type != END and place <= end:
            checksum = zlib.crc32(chunk_type)
            for start in range(0, length, AT_ONCE):
                checksum = zlib.crc32(file.read(min(length - start, AT_ONCE)), checksum)
            damaged = damaged or int.from_bytes(file.read(4)) != checksum
    file.seek(position)
    ended = chunk_type == END
    bare = bare and not damaged and ended and place == end
    return Outline(bare, not (whole or (ended and place <= end)), damaged)


def header_of(image: Image.Image) -> tuple[int, int] | None:
    """Bits of each sample and colour type of the file that an image is of; None where it is gone."""
    with file_of(image) as file:
        head = file.read(HEADER) if file else b""
    return (head[24], head[25]) if len(head) == HEADER else None


def right_key(image: Image.Image) -> int | tuple[int, ...] | None:
    """The transparent gray or colour of a PNG on the scale of its pixels; None where Pillow's is right.

    Pillow scales grays of 2 and 4 bits to 0 to 255, but gives the transparent one as it stands in the file,
    before 12.1 that of 1 bit too.
    Bits above those of the samples count for nothing (PNG, third edition, 11.3.1.1).
    """
    key, header = image.info.get("transparency"), header_of(image) if image.format == "PNG" else None
    if header is None or header[0] > 8 or image.mode not in ("1", "L", "RGB"):
        return None
    most = (1 << header[0]) - 1
    if isinstance(key, int):
        return (key & most) * 255 // most
    return tuple(value & most for value in key) if isinstance(key, tuple) else None
