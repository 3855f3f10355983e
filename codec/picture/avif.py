"""Reads from the boxes of an AVIF file what Pillow does not give."""

from __future__ import annotations

from typing import IO

from aecodec.picture.boxes import boxes_of

DESCRIPTIONS = (b"meta", b"moov")  # boxes that describe still pictures and sequences
MOST = 2**24  # bytes of a description that are searched, so that a false length takes no memory
DEEP, TWELVE = 0x40, 0x20  # of the third byte of a configuration: more than 8 bits, and 12


def bits_per_sample(file: IO[bytes]) -> int:
    """8, 10 or 12: the largest of all coder configurations (AV1-ISOBMFF, 2.3.3); 8 where there is none."""
    bits = 8
    for box_type, place in boxes_of(file):
        if box_type in DESCRIPTIONS:
            file.seek(place.start)
            description = file.read(min(len(place), MOST))
            bits = max([bits, *map(bits_of, description.split(b"av1C")[1:])])
    return bits


def bits_of(configuration: bytes) -> int:
    """The bits per sample in the third byte of a configuration."""
    if len(configuration) < 3 or not configuration[2] & DEEP:
        return 8
    return 12 if configuration[2] & TWELVE else 10
