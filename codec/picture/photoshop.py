"""Photoshop's image resources, among which JPEG, TIFF and PNG carry IPTC."""

from __future__ import annotations

import struct

SIGNATURE = b"8BIM"
IPTC = 0x0404
UNIMPORTANT = {0x03ED, 0x0425, IPTC}  # resolution, digest of IPTC
SEGMENT = b"Photoshop 3.0\0"  # how such a segment of a JPEG begins


def resources(block: bytes) -> dict[int, bytes]:
    """The resources by their numbers, up to where the block is damaged."""
    by_number, place = {}, 0
    while block[place : place + 4] == SIGNATURE and place + 12 <= len(block):
        (number,) = struct.unpack_from(">H", block, place + 4)
        name = 1 + block[place + 6]
        place += 6 + name + name % 2
        size = int.from_bytes(block[place : place + 4], "big")
        if place + 4 + size > len(block):
            break
        by_number[number] = block[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
    return by_number


def resource(number: int, data: bytes) -> bytes:
    """One resource without a name."""
    return SIGNATURE + struct.pack(">HxxI", number, len(data)) + data + bytes(len(data) % 2)


def iptc_of_text(text: str) -> bytes | None:
    """IPTC that ImageMagick or ExifTool wrote into a PNG: in hexadecimal after three lines, or None."""
    try:
        block = bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None
    return resources(block).get(IPTC) if block.startswith(SIGNATURE) else block


def text_of_iptc(data: bytes) -> str:
    """The same the other way."""
    block = resource(IPTC, data)
    digits = block.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return "\n".join(["", "iptc", f"{len(block):8}", *lines, ""])
