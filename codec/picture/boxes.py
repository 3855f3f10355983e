"""Boxes of ISO media files (ISO/IEC 14496-12, 4.2), which AVIF, HEIC and JPEG XL files are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO


def boxes_of(file: IO[bytes]) -> Iterator[tuple[bytes, range]]:
    """The type of each outermost box, and where in the file its content stands, or should: it may be cut."""
    start, end = 0, file.seek(0, 2)
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        length, content = int.from_bytes(head[:4]), start + 8
        if length == 1:  # the length is that of 8 bytes behind the type
            length, content = int.from_bytes(head[8:16]), start + 16
        stop = end if length == 0 else start + length
        if stop < content:
            return
        yield head[4:8], range(content, stop)
        start = stop
