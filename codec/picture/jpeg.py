"""What the markers of a JPEG file (ITU-T T.81) say of one that ends too early."""

from __future__ import annotations

import re
from random import Random

SCAN, END = 0xDA, b"\xff\xd9"
WITHOUT_CONTENT = (0x01, *range(0xD0, 0xD9))  # markers of no length
NEXT_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # behind coded data, restarts passed over
RESTART, RESTART_INTERVAL = re.compile(rb"\xff[\xd0-\xd7]"), b"\xff\xdd"
COEFFICIENTS = 64
PIXELS_PER_BYTE = 4  # of a made-up ending: far more bytes than coded data have


def is_cut(data: bytes) -> bool:
    """Whether a file has no end behind its last scan."""
    return data.rfind(END) < data.rfind(bytes([0xFF, SCAN]))


def endings(data: bytes, size: tuple[int, int]) -> tuple[bytes, ...]:
    """Ends for a file of a picture of a size that has none: at once, and behind made-up data.

    The made-up data differ in nearly every bit. Before some stands the restart that would come next.
    """
    made_up = Random(0).randbytes(size[0] * size[1] // PIXELS_PER_BYTE)
    other = bytes(255 - byte for byte in made_up)
    first, second = (part.replace(b"\xff", b"\xfe") + END for part in (made_up, other))
    restarts = RESTART.findall(data, data.rfind(bytes([0xFF, SCAN])))
    restart = bytes([0xFF, 0xD0 + (restarts[-1][1] - 0xD0 + 1) % 8 if restarts else 0xD0])
    return END, first, restart + second if RESTART_INTERVAL in data else second


def has_all_scans(data: bytes) -> bool:
    """Whether the scans that a file has bring all bits of all coefficients of each component."""
    components, left = 0, {}
    for marker, content in segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(content) > 5:
            components = content[5]
        if marker == SCAN and content:
            count = content[0]
            start, stop, bits = content[1 + 2 * count], content[2 + 2 * count], content[3 + 2 * count] & 15
            for component in content[1 : 1 + 2 * count : 2]:
                left.update({(component, place): bits for place in range(start, stop + 1)})
    return len(left) == components * COEFFICIENTS and not any(left.values())


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """Marker and content of each segment that is there as a whole; coded data are passed over."""
    listed, position = [], 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in WITHOUT_CONTENT:
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        if end > len(data):
            break
        listed.append((marker, data[position + 4 : end]))
        after = NEXT_MARKER.search(data, end) if marker == SCAN else None
        if marker == SCAN and after is None:
            break
        position = after.start() if after else end
    return listed
