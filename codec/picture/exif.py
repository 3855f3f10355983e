"""EXIF of Pillow images. The block of a file is kept byte for byte, but for the orientation of turned pixels.

A block begins with PREFIX, as in a JPEG, in every format.
"""

from __future__ import annotations

import re
import struct
from copy import copy
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from PIL import ExifTags, Image

IN_PNG = "Raw profile type exif"  # as ImageMagick writes it, in hexadecimal after three lines
PREFIX = b"Exif\0\0"
PREFIXES = re.compile(rb"(Exif\0\0){0,2}")
COORDINATES = re.compile(rb"gps(?:latitude|longitude)", re.IGNORECASE)  # of XMP within a block
ORDERS = {b"II": "<", b"MM": ">"}  # of bytes, as `struct` calls them
ENTRY = 12  # bytes: tag, type, count, value
SHORT = 3  # type of a value of 2 bytes
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes, by type
MOST_DIRECTORIES = 16  # of a chain; in EXIF it has two
TURNED = range(2, 9)  # orientations of pixels that are not upright
SIDEWAYS = range(5, 9)  # those whose rows become columns
SAID = (269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316)  # tags of TIFF, among those of its layout
LAYOUT = set(range(254, 533)).difference(SAID)  # tags that describe a TIFF file's samples (TIFF 6.0)
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
    """The block in an image's `info`, with edits of its `getexif()`; None where there is no block.

    Pillow raises errors of many types where the block cannot be read.
    """
    block = image.info.get("exif")
    if block is None and (text := image.info.get(IN_PNG)):
        block = bytes.fromhex("".join(text.split("\n")[3:]))
    if isinstance(block, str):
        block = block.encode()
    return as_edited(image, canonical(block)) if block else None


def canonical(block: bytes) -> bytes:
    """The block with one prefix."""
    prefixes = PREFIXES.match(block)
    return PREFIX + block[prefixes.end() if prefixes else 0 :]


def as_edited(image: Image.Image, block: bytes) -> bytes:
    """The block. Where the caller has changed what `getexif()` gives, a block of that."""
    if not is_readable(block):
        return block
    before, now = Image.Exif(), copy(image.getexif())
    before.load(block)
    now._ifds = now._ifds.copy()  # which `get_ifd` fills: the caller's stays as it is
    known = {ExifTags.Base.Orientation} if ExifTags.Base.Orientation in before else set()
    if contents(now, known) == contents(before, known):
        return block
    # With directories that were read before they went.
    edited = canonical(with_bytes(now).tobytes()) if len(now) else b""
    return edited if ExifTags.IFD.GPSInfo in now else without_gps(edited) or b""


def with_bytes(tags: Image.Exif) -> Image.Exif:
    """The same EXIF for Pillow to write, which keeps bytes, and ASCII alone of text.

    What it has read it takes for Latin-1, so in that texts are the bytes that they were; others are UTF-8.
    """
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if directory in tags:
            tags.get_ifd(directory)
    written = copy(tags)
    written._data = encoded(dict(tags.items()))
    written._ifds = {directory: encoded(entries) for directory, entries in tags._ifds.items()}
    return written


def encoded(entries: dict[int, Any]) -> dict[int, Any]:
    """Entries of EXIF whose texts are bytes, unless they are ASCII."""
    return {tag: encoded_text(value) if isinstance(value, str) else value for tag, value in entries.items()}


def encoded_text(value: str) -> str | bytes:
    """A text of EXIF: as it is if it is ASCII, else in Latin-1, or in UTF-8 where that lacks its letters."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def contents(exif: Image.Exif, known: set[ExifTags.Base]) -> str:
    """All entries of EXIF as text, but for an orientation that is not `known`: Pillow has it from XMP."""
    tags = {tag: value for tag, value in exif.items() if tag != ExifTags.Base.Orientation or tag in known}
    present = [tag for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if tag in exif]
    directories = [exif.get_ifd(tag) for tag in present]
    return repr([sorted(entries.items(), key=itemgetter(0)) for entries in (tags, *directories)])


def block_of_tags(image: Image.Image) -> bytes | None:
    """EXIF of a TIFF file's tags without those that describe its samples; None for other images.

    Pillow raises what it will where they cannot be read.
    """
    if image.format != "TIFF":
        return None
    source, kept = image.getexif(), Image.Exif()
    for tag, value in source.items():
        if tag in DESCRIPTIVE_TAGS:
            kept[tag] = value
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := source.get_ifd(directory):
            kept.get_ifd(directory).update(values)
    return with_bytes(kept).tobytes() if len(kept) or any(kept._ifds.values()) else None


def first_directory(block: bytes) -> tuple[str, range]:
    """Byte order and places of the entries; of a damaged block they may be past its end.

    Raises ValueError or struct.error where there is no directory.
    """
    prefix = PREFIXES.match(block)
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


def upright(block: bytes, sideways: bool = False) -> bytes:
    """The block with orientation 1 wherever its first directory has one, otherwise byte for byte the same.

    Pixels that lay `sideways` have the horizontal resolution where the vertical one was, and the other way
    round.
    """
    order, entries = first_directory(block)
    changed, place_of = bytearray(block), dict[int, int]()
    for place in entries:
        if place + ENTRY <= len(block):
            (tag,) = struct.unpack_from(order + "H", block, place)
            place_of[tag] = place
            if tag == ExifTags.Base.Orientation:
                struct.pack_into(order + "HIH", changed, place + 2, SHORT, 1, 1)  # type, count, value
    if sideways and place_of.keys() >= {ExifTags.Base.XResolution, ExifTags.Base.YResolution}:
        across, down = (
            slice(place_of[tag] + 2, place_of[tag] + ENTRY)
            for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)
        )
        changed[across], changed[down] = block[down], block[across]
    return bytes(changed)


def without_gps(block: bytes) -> bytes | None:
    """The block without its GPS directories, whose bytes become 0; all else stays where it is.

    Empty where there is nothing else. None where that cannot be done safely: the block is damaged, parts of
    it overlap, or XMP within it has coordinates.
    """
    block = canonical(block)
    changed = bytearray(block)
    try:
        all_directories = directories(block)
        before = [directory.contents(block) for directory in all_directories]
        for directory in all_directories:
            while (entry := directory.find(changed, ExifTags.IFD.GPSInfo)) is not None:
                wipe(changed, directory.at(changed, directory.value(changed, entry)))
                directory.remove(changed, entry)
        after = [directory.contents(changed) for directory in all_directories]
    except (ValueError, struct.error):
        return None
    if before != after or COORDINATES.search(changed):
        return None
    return bytes(changed) if any(after) or changed == block else b""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a block: its byte order, where offsets count from, and where it stands."""

    order: str
    base: int
    start: int

    def count(self, block: bytes | bytearray) -> int:
        return int(struct.unpack_from(self.order + "H", block, self.start)[0])

    def entries(self, block: bytes | bytearray) -> range:
        """The places of the entries; raises ValueError where they are not all there."""
        first = self.start + 2
        offsets = range(first, first + ENTRY * self.count(block), ENTRY)
        if offsets.stop > len(block):
            raise ValueError("a directory is cut off")
        return offsets

    def find(self, block: bytes | bytearray, tag: int) -> int | None:
        """The place of the first entry with a tag."""
        wanted = struct.pack(self.order + "H", tag)
        return next((place for place in self.entries(block) if block[place : place + 2] == wanted), None)

    def contents(self, block: bytes | bytearray) -> list[tuple[bytes, bytes]]:
        """The entries and the values that they point to. The entry of GPS is left out."""
        entries = []
        for place in self.entries(block):
            tag, field_type, count, offset = struct.unpack_from(self.order + "HHII", block, place)
            size, start = SIZES.get(field_type, 1) * count, self.base + offset
            if tag != ExifTags.IFD.GPSInfo:
                value = block[start : start + size] if size > 4 else b""
                entries.append((bytes(block[place : place + ENTRY]), bytes(value)))
        return entries

    def value(self, block: bytes | bytearray, entry: int) -> int:
        """The number in an entry that points to a directory."""
        return int(struct.unpack_from(self.order + "I", block, entry + 8)[0])

    def at(self, block: bytes | bytearray, offset: int) -> Directory:
        return Directory(self.order, self.base, self.base + offset)

    def next(self, block: bytes | bytearray) -> int:
        """The offset of the next one in the chain, 0 at its end."""
        end = self.entries(block).stop
        return int(struct.unpack_from(self.order + "I", block, end)[0]) if end + 4 <= len(block) else 0

    def remove(self, block: bytearray, entry: int) -> None:
        """Take an entry out. Later entries and the offset of the next directory move up."""
        end = self.entries(block).stop + 4
        block[entry:end] = (block[entry + ENTRY : end] + bytes(ENTRY))[: len(block[entry:end])]
        struct.pack_into(self.order + "H", block, self.start, self.count(block) - 1)


def directories(block: bytes) -> list[Directory]:
    """Those of a canonical block's chain, and their Exif directories; raises ValueError or struct.error."""
    order, entries = first_directory(block)
    listed = [Directory(order, len(PREFIX), entries.start - 2)]
    while (offset := listed[-1].next(block)) and len(listed) < MOST_DIRECTORIES:
        listed.append(listed[0].at(block, offset))
    pointers = [(directory, directory.find(block, ExifTags.IFD.Exif)) for directory in listed]
    return listed + [
        directory.at(block, directory.value(block, entry))
        for directory, entry in pointers
        if entry is not None
    ]


def wipe(block: bytearray, directory: Directory) -> None:
    """Set a directory and its values to 0; raises ValueError where they are not all there."""
    entries = directory.entries(block)
    for entry in entries:
        field_type, count, offset = struct.unpack_from(directory.order + "HII", block, entry + 2)
        if (size := SIZES.get(field_type, 1) * count) > 4:
            start = directory.base + offset
            if start + size > len(block):
                raise ValueError("a value is cut off")
            block[start : start + size] = bytes(size)
    block[directory.start : entries.stop] = bytes(entries.stop - directory.start)
