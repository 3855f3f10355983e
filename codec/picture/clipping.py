"""Pure white and pure black of a decoded picture: patches that are pure, and levels drawn to the ends.

`aecodec.container` specifies the box. It is applied to the floats of the last network before they are
rounded. Floats that differ by far less than a level between machines still differ by at most one afterwards.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Floats, Window
from aecodec.errors import LimitError
from aecodec.fields import MAX_VARINT_BYTES, Reader, write_varint

WHITE, BLACK = 255, 0
ENDS = (WHITE, BLACK)  # in the order of the box
PATCHES = (0, 8, 16)  # pixels each way, by code; 0 for no patches
MOST_REACH = 15  # levels
PATCH_SHIFT = 4
EVERYWHERE = 0b0100_0000

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Clipping:
    """What is done at one end of the levels."""

    reach: int = 0  # levels, 0 to 15: what is as near to the end becomes the end
    everywhere: bool = False  # or only in `pure_patches` and the patches that touch them
    patch: int = 0  # pixels each way: 8, 16 or 0 for none
    pure_patches: Bits | None = None  # (ceil(H / patch), ceil(W / patch)), true where each pixel is the end


def write_clipping(ends: tuple[Clipping, Clipping]) -> bytes:
    """The box for white and black; nothing where both do nothing."""
    parts = []
    for end in ends:
        parts.append(
            bytes([end.reach | PATCHES.index(end.patch) << PATCH_SHIFT | EVERYWHERE * end.everywhere])
        )
        if end.pure_patches is not None:
            runs = compress_runs(end.pure_patches)
            parts += [write_varint(len(runs)), runs]
    box = b"".join(parts)
    return box if any(box) else b""


def read_clipping(box: bytes, size: tuple[int, int]) -> tuple[Clipping, Clipping]:
    """The white and the black end in a box of a picture of `size` (width, height); raises BitstreamError."""
    reader = Reader(box)
    white, black = (read_end(reader, size) for _ in ENDS)
    if reader.position < len(box):
        raise LimitError("the box of white and black is longer than it says: the file is damaged")
    return white, black


def read_end(reader: Reader, size: tuple[int, int]) -> Clipping:
    code = reader.byte("reach")
    reach, patch_code, everywhere = (
        code & MOST_REACH,
        (code & ~EVERYWHERE) >> PATCH_SHIFT,
        bool(code & EVERYWHERE),
    )
    if patch_code >= len(PATCHES) or (everywhere and not reach) or (reach and not (patch_code or everywhere)):
        raise LimitError(f"{code} says nothing of white or black: the file is damaged or of a later release")
    if not patch_code:
        return Clipping(reach, everywhere)
    patch = PATCHES[patch_code]
    columns, rows = (-(-side // patch) for side in size)
    runs = reader.take(reader.varint("length of the patches"), "patches")
    return Clipping(reach, everywhere, patch, expand_runs(runs, rows, columns))


def compress_runs(pure_patches: Bits) -> bytes:
    """Patches (h, w), row by row, as lengths of runs, deflated. The first run is of impure patches."""
    edges = np.flatnonzero(np.diff(pure_patches.ravel(), prepend=False, append=False))
    lengths = np.diff(edges, prepend=0)
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return coder.compress(b"".join(write_varint(int(length)) for length in lengths)) + coder.flush()


def expand_runs(data: bytes, rows: int, columns: int) -> Bits:
    """The patches (rows, columns) that `compress_runs` wrote, one at least; raises BitstreamError."""
    decoder, count = zlib.decompressobj(-zlib.MAX_WBITS), rows * columns
    try:
        lengths = read_varints(decoder.decompress(data, count + 2))  # each run has a byte for a patch at most
    except zlib.error as error:
        raise LimitError(f"white or black patches cannot be read ({error}): the file is damaged") from error
    if not decoder.eof or decoder.unused_data or len(lengths) % 2 or not lengths.any():
        raise LimitError("white or black patches do not end as they should: the file is damaged")
    if not lengths[1:].all() or (left := count - int(lengths.sum())) < 0:
        raise LimitError("the runs of white or black patches do not fit the picture: the file is damaged")
    pure_patches = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.pad(pure_patches, (0, left)).reshape(rows, columns)


def read_varints(data: bytes) -> NDArray[np.int64]:
    """All varints that fill some data, as `aecodec.fields.Reader` reads them one by one; for many of them.

    Raises LimitError.
    """
    groups = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(groups < 0x80)
    starts = np.append(0, ends[:-1] + 1)[: len(ends)]
    sizes = ends - starts + 1
    padded = (groups[ends[sizes > 1]] == 0).any()
    if padded or data[-1:] >= b"\x80" or (sizes > MAX_VARINT_BYTES).any():
        raise LimitError("a length of white or black patches is not as it is written: the file is damaged")
    positions = np.arange(len(groups)) - np.repeat(starts, sizes)
    values = (groups & 0x7F).astype(np.int64) << 7 * positions
    return np.add.reduceat(values, starts) if len(ends) else values


class Clipper:
    """Draws levels to white and black as the two ends in a box tell it."""

    def __init__(self, ends: tuple[Clipping, Clipping]) -> None:
        self.ends = [(level, end, beside(end)) for level, end in zip(ENDS, ends, strict=True)]

    def __call__(self, levels: Floats, place: Window) -> Floats:
        """Levels (h, w, 3), 0 to 255 and not yet rounded, of a place in the picture, rows and columns."""
        for level, end, near in self.ends:
            distance = np.abs(np.float32(level) - levels)
            if end.reach:
                drawn = draw(distance, end.reach)
                distance = drawn if near is None else np.where(under(near, place, end.patch), drawn, distance)
            if end.pure_patches is not None:
                distance = np.where(under(end.pure_patches, place, end.patch), np.float32(0), distance)
            levels = np.abs(np.float32(level) - distance)
        return levels


def draw(distance: Floats, reach: int) -> Floats:
    """Distances from an end: 0 up to `reach`, unchanged from twice that on, twice as steep in between."""
    return np.asarray(np.minimum(distance, np.maximum(2 * (distance - np.float32(reach)), 0)), np.float32)


def beside(end: Clipping) -> Bits | None:
    """The patches in which an end's reach counts: pure ones and those that touch them. None: everywhere."""
    if end.everywhere or end.pure_patches is None:
        return None
    padded = np.pad(end.pure_patches, 1)
    tall = padded[:-2] | padded[1:-1] | padded[2:]
    return np.asarray(tall[:, :-2] | tall[:, 1:-1] | tall[:, 2:])


def whole_patches(pure: Bits, patch: int) -> Bits:
    """Which patches of a picture have nothing but pure pixels (H, W)."""
    height, width = pure.shape
    padded = np.pad(pure, ((0, -height % patch), (0, -width % patch)), mode="edge")
    return np.asarray(padded.reshape(-(-height // patch), patch, -1, patch).all((1, 3)))


def under(patches: Bits, place: Window, side: int) -> Bits:
    """Patches, `side` pixels each way, as pixels (h, w, 1) of a place; the last go on beyond the picture."""
    rows, columns = (
        np.minimum(np.arange(span.start, span.stop) // side, count - 1)
        for span, count in zip(place, patches.shape, strict=True)
    )
    return np.asarray(patches[np.ix_(rows, columns)][:, :, None])
