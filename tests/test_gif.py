"""What Pillow does not tell of a GIF: profiles, and what no frame has drawn."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
import pytest
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
    assert whole.frames == [(0, 0, 16, 8)]
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
