"""What Pillow does not tell of a GIF: profiles, and what no frame has drawn."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import aecodec
from aecodec.container import Box
from aecodec.errors import ImageError
from aecodec.options import ReadOptions
from aecodec.picture import gif
from aecodec.picture.reading import from_pillow, read_picture
from tests.common import make_icc
from tests.test_metadata import gif_with

SIDE = 16  # pixels of a frame of a GIF on a screen of 24 x 24


def part_of_screen(image: Image.Image, *others: Image.Image) -> bytes:
    """A GIF whose first frame lies at (3, 5) of a larger screen, and other ones at its corner."""
    file = io.BytesIO()
    image.save(file, "GIF", save_all=True, append_images=others)
    data = bytearray(file.getvalue())
    data[6:10] = bytes([24, 0, 24, 0])
    frame = data.index(b"," + bytes(4) + bytes([SIDE, 0, SIDE, 0]))
    data[frame + 1 : frame + 5] = bytes([3, 0, 5, 0])
    return bytes(data)


def gradient(mode: str) -> Image.Image:
    levels = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
    return Image.fromarray(levels if mode == "L" else np.dstack([levels, levels.T, levels])).convert(mode)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_what_no_frame_has_drawn_is_transparent(mode: str) -> None:
    data = part_of_screen(gradient(mode))
    picture = read_picture(io.BytesIO(data))
    drawn = np.zeros((24, 24), np.uint8)
    drawn[5:21, 3:19] = 255
    np.testing.assert_array_equal(picture.alpha, drawn)
    assert (picture.gray, picture.notes) == (mode == "L", ())
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
        image.load()
        np.testing.assert_array_equal(from_pillow(image).alpha, drawn)
    assert aecodec.decompress(aecodec.compress(picture, lossless=True)).getpixel((0, 0))[-1] == 0


def test_frames_add_up() -> None:
    data = part_of_screen(gradient("P"), gradient("P").rotate(90))
    first, second = (read_picture(io.BytesIO(data), ReadOptions(frame=frame)).alpha for frame in (0, 1))
    assert first is not None
    assert second is not None
    assert (first[0, 0], second[0, 0], second[20, 18], second[23, 23]) == (0, 255, 255, 0)


# Frames as browsers compose them

COLOURS = np.random.default_rng(0).integers(0, 256, (2, 8, 3), dtype=np.uint8)  # global ones, and local ones
GRAYS = np.arange(8, dtype=np.uint8).repeat(3).reshape(8, 3)


@dataclass(frozen=True)
class Drawn:
    """A frame of indices (h, w) at a place."""

    indices: NDArray[np.uint8]
    left: int = 0
    top: int = 0
    disposal: int = 0
    key: int | None = None
    colours: NDArray[np.uint8] | None = None

    def blocks(self) -> bytes:
        file, image = io.BytesIO(), Image.fromarray(self.indices)
        image.putpalette(COLOURS[0].tobytes())
        image.save(file, "GIF", optimize=False)
        data = file.getvalue()
        data = data[data.index(b"," + bytes(4) + struct.pack("<2H", *image.size)) + 10 : -1]
        flags = bytes([self.disposal << 2 | (self.key is not None), 0, 0, self.key or 0])
        table = b"" if self.colours is None else self.colours.tobytes()
        place = struct.pack("<4HB", self.left, self.top, *image.size, 0x82 if table else 0)
        return b"!\xf9\4" + flags + b"\0," + place + table + data


def gif_of(*frames: Drawn, colours: NDArray[np.uint8] = COLOURS[0]) -> bytes:
    """A GIF on a screen of 9 x 7, whose colour of the background is the fifth."""
    head = b"GIF89a" + struct.pack("<2H3B", 9, 7, 0xF2, 4, 0) + colours.tobytes()
    return head + b"".join(frame.blocks() for frame in frames) + b";"


def composed(*frames: Drawn, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    screen = np.zeros((7, 9, 4), np.uint8)
    for frame in frames:
        before = screen.copy()
        for (y, x), index in np.ndenumerate(frame.indices):
            if index != frame.key:
                table = colours if frame.colours is None else frame.colours
                screen[frame.top + y, frame.left + x] = *table[index], 255
        shown = screen.copy()
        if frame.disposal == 2:
            height, width = frame.indices.shape
            screen[frame.top : frame.top + height, frame.left : frame.left + width] = 0
        elif frame.disposal == 3:
            screen = before
    return shown


def drawn_at_random(random: np.random.Generator) -> Drawn:
    left, top = (0, 0) if random.random() < 0.5 else random.integers(0, (9, 7)).tolist()
    indices = random.integers(0, 8, (7, 9), dtype=np.uint8)[top:, left:]
    key = int(random.integers(0, 8)) if random.random() < 0.5 else None
    local = COLOURS[1] if random.random() < 0.3 else None
    return Drawn(indices, left, top, int(random.integers(0, 4)), key, local)


@pytest.mark.parametrize("colours", [COLOURS[0], GRAYS], ids=["colours", "grays"])
@pytest.mark.parametrize("seed", range(20))
def test_frames_are_composed_as_browsers_do(seed: int, colours: NDArray[np.uint8]) -> None:
    random = np.random.default_rng(seed)
    frames = [drawn_at_random(random) for _ in range(4)]
    if colours is GRAYS:  # behind a transparent one of which Pillow fails to read colours
        frames[0] = replace(frames[0], key=None)
    data = gif_of(*frames, colours=colours)
    for number in range(4):
        expected = composed(*frames[: number + 1], colours=colours)
        with Image.open(io.BytesIO(data)) as image:
            image.seek(number)
            for picture in (
                read_picture(io.BytesIO(data), ReadOptions(frame=number)),
                from_pillow(image, ReadOptions(frame=number)),
                from_pillow(image, ReadOptions(frame=number)),
            ):
                alpha = np.full((7, 9), 255) if picture.alpha is None else picture.alpha
                np.testing.assert_array_equal(alpha, expected[..., 3])
                np.testing.assert_array_equal(picture.pixels[alpha > 0], expected[..., :3][alpha > 0])


def test_what_a_frame_clears_is_transparent() -> None:
    indices = np.arange(63, dtype=np.uint8).reshape(7, 9) % 8
    data = gif_of(Drawn(indices, disposal=2), Drawn(indices[:3, :4], 2, 1))
    first, second = (read_picture(io.BytesIO(data), ReadOptions(frame=frame)) for frame in (0, 1))
    drawn = np.zeros((7, 9), np.uint8)
    drawn[1:4, 2:6] = 255
    assert first.alpha is None
    np.testing.assert_array_equal(second.alpha, drawn)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        image.paste((1, 2, 3), (0, 0, 2, 2))
        assert from_pillow(image, ReadOptions(frame=1)).alpha is None


def test_a_frame_of_the_whole_screen_is_opaque() -> None:
    file = io.BytesIO()
    gradient("P").save(file, "GIF")
    assert read_picture(io.BytesIO(file.getvalue())).alpha is None


def test_a_gray_gif_with_a_profile_of_rgb_keeps_it() -> None:
    data = gif_with(b"ICCRGBG1012", make_icc()[:255], make_icc()[255:510], make_icc()[510:])
    palette = 13, 13 + (3 << (data[10] & 7) + 1)
    ramp = bytes(level for level in range(256) for _ in range(3))[: palette[1] - palette[0]]
    picture = read_picture(io.BytesIO(data[: palette[0]] + ramp + data[palette[1] :]))
    assert (picture.gray, picture.metadata, picture.notes) == (False, {Box.ICC: make_icc()}, ())


def test_blocks_are_read_as_far_as_they_go() -> None:
    data = gif_with(b"ICCRGBG1012", b"profile")
    whole = gif.blocks_of(data)
    assert [(frame.rows, frame.columns) for frame in whole.frames] == [(slice(0, 8), slice(0, 16))]
    assert whole.applications == {b"ICCRGBG1": b"profile", b"NETSCAPE": b"\1\0\0"}
    for length in range(len(data)):
        gif.blocks_of(data[:length])
        with suppress(ImageError):
            read_picture(io.BytesIO(data[:length]), ReadOptions(tolerant=True))


def test_what_the_caller_has_drawn_or_resized_is_seen() -> None:
    data = part_of_screen(gradient("P"))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        image.paste(7, (0, 0, 2, 2))
        assert from_pillow(image).alpha is None
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((12, 12))
        assert from_pillow(image).alpha is None
