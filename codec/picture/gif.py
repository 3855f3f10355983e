"""Reads from the blocks of a GIF file what Pillow does not give (GIF89a specification)."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from aecodec.picture.pillow_errors import MALFORMED

SCREEN = 13  # bytes of the header and the screen's description
TABLE, BITS = 0x80, 0x07  # of a byte of flags: whether a table of colours follows, and its bits less one
APPLICATION, CONTROL = b"\xff", b"\xf9"  # labels of extensions
CLEAR = 2  # a disposal: the frame's place is transparent afterwards; from 3 on it is as it was before
ICC, XMP = b"ICCRGBG1", b"XMP Data"  # names of applications


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a file: where it lies on the screen, and its bytes."""

    rows: slice
    columns: slice
    control: bytes  # data of the extension before it; empty for none
    place: slice  # of its description and data in the file

    @property
    def disposal(self) -> int:
        """What becomes of the frame as the next one is drawn."""
        return self.control[0] >> 2 & 7 if self.control else 0


@dataclass(slots=True)
class Blocks:
    """The frames of a file, and the data of applications by their names."""

    frames: list[Frame] = field(default_factory=list)
    applications: dict[bytes, bytes] = field(default_factory=dict)


def blocks_of(content: bytes) -> Blocks:
    """The blocks of a file, as far as it goes."""
    blocks, place, control = Blocks(), SCREEN + size_of_table(content[10:11]), b""
    while (label := content[place : place + 1]) and label != b";":
        place += 1
        if label == b"," and place + 9 <= len(content):
            left, top, width, height = struct.unpack_from("<4H", content, start := place)
            place += 9 + size_of_table(content[place + 8 : place + 9]) + 1  # that of the least size of codes
            place = data_at(content, place)[1]
            rows, columns = slice(top, top + height), slice(left, left + width)
            blocks.frames.append(Frame(rows, columns, control, slice(start, place)))
            control = b""
        elif label == b"!":
            data, end = data_at(content, place + 1)
            if content[place : place + 1] == APPLICATION and data:
                blocks.applications.setdefault(data[0][:8], b"".join(data[1:]))
            elif content[place : place + 1] == CONTROL and data:
                control = data[0]
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


def as_shown(image: Image.Image, content: bytes) -> Image.Image:
    """The image, or if browsers show its frame otherwise, a copy (L, LA, RGB or RGBA) as they do.

    Pillow gives a colour to what no frame has drawn and to what a frame clears, which browsers leave
    transparent, and clears frames that are to stay after one that is not. What the caller has changed stays.
    """
    number, frames = image.tell(), blocks_of(content).frames
    if number >= len(frames) or struct.pack("<2H", *image.size) != content[6:10]:
        return image  # resized, or on a screen that Pillow has enlarged
    if number == 0 and (frames[0].rows, frames[0].columns) == (slice(0, image.height), slice(0, image.width)):
        return image
    pixels = pixels_of(image)
    if not np.array_equal(pixels, decoded(content, number)):
        return image
    seen = composed(frames[: number + 1], content, image.size)
    hidden = seen[..., 3] == 0
    seen[hidden, :3] = pixels[hidden, :3]
    if np.array_equal(seen, pixels):
        return image
    gray = image.mode == "L" and bool((seen[..., :1] == seen[..., 1:3]).all())
    copy = Image.fromarray(seen).convert(("L" if gray else "RGB") + ("A" if hidden.any() else ""))
    copy.info = {key: value for key, value in image.info.items() if key != "transparency"}
    copy.format = image.format
    return copy


def composed(frames: list[Frame], content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels (H, W, 4) of the last of a file's first frames, drawn over those before, on a screen (W, H)."""
    screen = np.zeros((size[1], size[0], 4), np.uint8)
    for number, frame in enumerate(frames):
        place = screen[frame.rows, frame.columns]
        if not place.size:
            continue
        before, pixels = place.copy(), decoded(alone(frame, content), 0)
        np.copyto(place, pixels, where=pixels[..., 3:] > 0)
        if number < len(frames) - 1 and frame.disposal >= CLEAR:
            place[...] = 0 if frame.disposal == CLEAR else before
    return screen


def alone(frame: Frame, content: bytes) -> bytes:
    """A file of one frame of a file, at the corner of a screen of its size."""
    described = content[frame.place]
    control = b"!" + CONTROL + bytes([len(frame.control)]) + frame.control + b"\0" if frame.control else b""
    screen = content[:6] + described[4:8] + content[10 : SCREEN + size_of_table(content[10:11])]
    return screen + control + b"," + bytes(4) + described[4:] + b";"


def decoded(content: bytes, number: int) -> NDArray[np.uint8]:
    """Pixels (H, W, 4) of a frame, as far as its data goes."""
    with GifImagePlugin.GifImageFile(io.BytesIO(content)) as image:
        image.seek(number)
        with suppress(*MALFORMED):
            image.load()
        image.tile = []
        return pixels_of(image)


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels (H, W, 4); zeros where Pillow has lost the palette, as of colours behind a gray frame."""
    try:
        return np.asarray(image.convert("RGBA"))
    except ValueError:
        return np.zeros((image.height, image.width, 4), np.uint8)
