"""EXIF of Pillow images: a block of its own stays as it is, but for the orientation of turned pixels."""

from __future__ import annotations

import re
import struct

from PIL import ExifTags, Image

IN_PNG = "Raw profile type exif"  # as ImageMagick writes it, in hexadecimal after three lines
PREFIX = re.compile(rb"(Exif\0\0){0,2}")
ORDERS = {b"II": "<", b"MM": ">"}  # of bytes, as `struct` calls them
ENTRY = 12  # bytes: tag, type, count, value
SHORT = 3  # type of a value of 2 bytes
TURNED = range(2, 9)  # orientations of pixels that are not upright
DESCRIPTIVE_TAGS = {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
}


def block_of(image: Image.Image) -> bytes | None:
    """The block that holds an image's EXIF; None where there is none, as in TIFF. May raise ValueError."""
    block = image.info.get("exif")
    if block is None and (text := image.info.get(IN_PNG)):
        return bytes.fromhex("".join(text.split("\n")[3:]))
    return block.encode() if isinstance(block, str) else block


def block_of_tags(image: Image.Image) -> bytes | None:
    """EXIF of an image's tags without what describes its samples: orientation, and a TIFF file's layout.

    Pillow raises what it will where they cannot be read.
    """
    source, kept = image.getexif(), Image.Exif()
    for tag, value in source.items():
        if tag in DESCRIPTIVE_TAGS or (image.format != "TIFF" and tag != ExifTags.Base.Orientation):
            kept[tag] = value
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := source.get_ifd(directory):
            kept[directory] = values
    return kept.tobytes() if len(kept) else None


def first_directory(block: bytes) -> tuple[str, range]:
    """Byte order and places of the entries; of a damaged block they may be past its end.

    Raises ValueError or struct.error where there is no directory.
    """
    prefix = PREFIX.match(block)
    start = prefix.end() if prefix else 0
    if (mark := block[start : start + 2]) not in ORDERS:
        raise ValueError(f"{mark!r} is no byte order")
    order = ORDERS[mark]
    start += struct.unpack_from(order + "I", block, start + 4)[0]
    (count,) = struct.unpack_from(order + "H", block, start)
    return order, range(start + 2, start + 2 + count * ENTRY, ENTRY)


def is_readable(block: bytes) -> bool:
    """Whether the first directory is there as a whole."""
    try:
        return first_directory(block)[1].stop <= len(block)
    except (ValueError, struct.error):
        return False


def upright(block: bytes) -> bytes:
    """The block with orientation 1 wherever its first directory has one, otherwise byte for byte the same."""
    order, places = first_directory(block)
    tag, changed = struct.pack(order + "H", ExifTags.Base.Orientation), bytearray(block)
    for place in places:
        if block[place : place + 2] == tag and place + ENTRY <= len(block):
            struct.pack_into(order + "HIH", changed, place + 2, SHORT, 1, 1)  # type, count, value
    return bytes(changed)
