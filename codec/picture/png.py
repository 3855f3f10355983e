"""Reads from the chunks of a PNG file what Pillow does not give, or gives wrongly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import IO

from PIL import Image

from aecodec.picture.opening import PNG_SIGNATURE, file_of

LENGTH_KIND_CHECKSUM = 12  # bytes of a chunk beside its content
END = b"IEND"
LAST_CHUNK = bytes(4) + END
HEADER = 26  # bytes up to the colour type
OF_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", END}  # chunks of a file that holds nothing else


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of a file: the content of the first of each type, but of pixels, and how many there are."""

    first: dict[bytes, bytes]
    counts: Counter[bytes]
    end: int  # of the last one, where the file should end


def chunks_of(content: bytes) -> Chunks:
    """The chunks of a file, up to that which is its end."""
    first: dict[bytes, bytes] = {}
    counts: Counter[bytes] = Counter()
    place = len(PNG_SIGNATURE)
    while place + LENGTH_KIND_CHECKSUM <= len(content) and not counts[END]:
        size, chunk_type = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        counts[chunk_type] += 1
        if chunk_type not in first:
            first[chunk_type] = b"" if chunk_type == b"IDAT" else content[place + 8 : place + 8 + size]
        place += LENGTH_KIND_CHECKSUM + size
    return Chunks(first, counts, min(place, len(content)))


@dataclass(frozen=True, slots=True)
class Outline:
    """What the types and lengths of a file's chunks say."""

    bare: bool  # it holds pixels and nothing else, neither in other chunks nor behind them
    cut: bool  # it ends before its last chunk does


def outline_of(file: IO[bytes]) -> Outline:
    """The outline of an open file, which is left where it was."""
    position, end = file.tell(), file.seek(0, 2)
    file.seek(max(end - LENGTH_KIND_CHECKSUM, 0))
    whole = file.read(8) == LAST_CHUNK  # as nearly always
    place, chunk_type, bare = len(PNG_SIGNATURE), b"", True
    while place + LENGTH_KIND_CHECKSUM <= end and chunk_type != END and (bare or not whole):
        file.seek(place)
        head = file.read(8)
        chunk_type = head[4:]
        place += LENGTH_KIND_CHECKSUM + int.from_bytes(head[:4])
        bare = chunk_type in OF_PIXELS and bare
    file.seek(position)
    ended = chunk_type == END
    return Outline(bare and ended and place == end, not (whole or (ended and place <= end)))


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
