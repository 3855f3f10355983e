"""Reads from the chunks of a PNG file what Pillow does not give, or gives wrongly."""

from __future__ import annotations

from typing import IO

from PIL import Image

from aecodec.picture.opening import file_of

SIGNATURE = 8  # bytes
LENGTH_KIND_CHECKSUM = 12  # bytes of a chunk beside its content
END = b"IEND"
LAST_CHUNK = bytes(4) + END
HEADER = 26  # bytes up to the colour type


def is_cut(file: IO[bytes]) -> bool:
    """Whether a file ends before its last chunk does."""
    start, end = SIGNATURE, file.seek(0, 2)
    file.seek(max(end - LENGTH_KIND_CHECKSUM, 0))
    if file.read(8) == LAST_CHUNK:  # as nearly always
        return False
    while start + LENGTH_KIND_CHECKSUM <= end:
        file.seek(start)
        head = file.read(8)
        start += LENGTH_KIND_CHECKSUM + int.from_bytes(head[:4])
        if head[4:] == END:
            return start > end
    return True


def header_of(image: Image.Image) -> tuple[int, int] | None:
    """Bits of each sample and colour type of the file that an image is of; None where it is gone."""
    with file_of(image) as file:
        head = file.read(HEADER) if file else b""
    return (head[24], head[25]) if len(head) == HEADER else None


def right_key(image: Image.Image) -> int | tuple[int, ...] | None:
    """The transparent gray or colour of a PNG on the scale of its pixels; None where Pillow's is right.

    Pillow scales grays of 2 and 4 bits to 0 to 255, but gives the transparent one as it stands in the file.
    Bits above those of the samples count for nothing (PNG, third edition, 11.3.1.1).
    """
    key, header = image.info.get("transparency"), header_of(image) if image.format == "PNG" else None
    if header is None or header[0] > 8 or image.mode not in ("L", "RGB"):
        return None
    most = (1 << header[0]) - 1
    if isinstance(key, int):
        return (key & most) * 255 // most
    return tuple(value & most for value in key) if isinstance(key, tuple) else None
