"""Reads from the blocks of a GIF file what Pillow does not give (GIF89a specification)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCREEN = 13  # bytes of the header and the screen's description
TABLE, BITS = 0x80, 0x07  # of a byte of flags: whether a table of colours follows, and its bits less one
APPLICATION = b"\xff"  # label of an extension
ICC, XMP = b"ICCRGBG1", b"XMP Data"  # names of applications


@dataclass(slots=True)
class Blocks:
    """Where frames lie (left, top, right, bottom), and the data of applications by their names."""

    frames: list[tuple[int, int, int, int]] = field(default_factory=list)
    applications: dict[bytes, bytes] = field(default_factory=dict)


def blocks_of(content: bytes) -> Blocks:
    """The blocks of a file, as far as it goes."""
    blocks, place = Blocks(), SCREEN + size_of_table(content[10:11])
    while (label := content[place : place + 1]) and label != b";":
        place += 1
        if label == b"," and place + 9 <= len(content):
            left, top, width, height = struct.unpack_from("<4H", content, place)
            blocks.frames.append((left, top, left + width, top + height))
            place += 9 + size_of_table(content[place + 8 : place + 9]) + 1  # that of the least size of codes
            place = data_at(content, place)[1]
        elif label == b"!":
            data, end = data_at(content, place + 1)
            if content[place : place + 1] == APPLICATION and data:
                blocks.applications.setdefault(data[0][:8], b"".join(data[1:]))
            place = end
    return blocks


def size_of_table(flags: bytes) -> int:
    """The bytes of a table of colours, by the byte of flags that tells of it."""
    return 3 << (flags[0] & BITS) + 1 if flags and flags[0] & TABLE else 0


def data_at(content: bytes, place: int) -> tuple[list[bytes], int]:
    """The parts of data that begin at a place, and where they end."""
    parts = []
    while place < len(content) and (size := content[place]):
        parts.append(content[place + 1 : place + 1 + size])
        place += 1 + size
    return parts, place + 1


def with_uncovered(
    alpha: NDArray[np.uint8] | None, image: Image.Image, content: bytes
) -> NDArray[np.uint8] | None:
    """Alpha (H, W), which is 0 where no frame up to the image's own has drawn anything, as browsers show it.

    Pillow gives the first colour there. None where all is opaque.
    """
    frames = blocks_of(content).frames[: image.tell() + 1]
    if struct.pack("<2H", *image.size) != content[6:10]:  # the screen's, unless the caller has resized it
        return alpha
    drawn = np.zeros((image.height, image.width), bool)
    for left, top, right, bottom in frames:
        drawn[top:bottom, left:right] = True
    if not frames or drawn.all():
        return alpha
    untouched = np.asarray(image)[~drawn]
    if (untouched != untouched[0]).any():  # the caller has drawn there
        return alpha
    return np.where(drawn, 255 if alpha is None else alpha, 0).astype(np.uint8)
