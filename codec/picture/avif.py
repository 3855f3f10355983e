"""Reads from the boxes of an AVIF file what Pillow does not give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from aecodec.picture.boxes import boxes_of

DESCRIPTIONS = (b"meta", b"moov")  # boxes that describe still pictures and sequences
MOST = 2**24  # bytes of a description that are searched, so that a false length takes no memory
DEEP, TWELVE, MONOCHROME = 0x40, 0x20, 0x10  # of a configuration: over 8 bits, 12, no chroma


def bits_per_sample(file: IO[bytes]) -> int:
    """8, 10 or 12: the largest of all coder configurations (AV1-ISOBMFF, 2.3.3); 8 where there is none."""
    return max([8, *map(bits_of, configurations(file))])


def is_monochrome(file: IO[bytes]) -> bool:
    """Whether the pictures of a file have no chroma: Pillow gives gray with alpha as RGBA."""
    flags = [configuration[2:3] for configuration in configurations(file)]
    return bool(flags) and all(flag and flag[0] & MONOCHROME for flag in flags)


def configurations(file: IO[bytes]) -> Iterator[bytes]:
    """What follows the name of each coder configuration."""
    for box_type, place in boxes_of(file):
        if box_type in DESCRIPTIONS:
            file.seek(place.start)
            yield from file.read(min(len(place), MOST)).split(b"av1C")[1:]


def bits_of(configuration: bytes) -> int:
    """The bits per sample in the third byte of a configuration."""
    if len(configuration) < 3 or not configuration[2] & DEEP:
        return 8
    return 12 if configuration[2] & TWELVE else 10
