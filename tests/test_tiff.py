"""TIFFs that Pillow misreads are read right or refused, and what is left out of them is said."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile

from aecodec.errors import ImageError
from aecodec.options import ReadOptions
from aecodec.picture import Picture
from aecodec.picture.reading import read_picture
from tests.common import photograph

SUB = {"photometric": "rgb", "metadata": None}
GRAY = np.random.default_rng(0).integers(0, 256, (18, 29), dtype=np.uint8)


def read(data: bytes, options: ReadOptions = ReadOptions()) -> Picture:  # noqa: B008  frozen
    return read_picture(io.BytesIO(data), options)


def tiff_of(strip: bytes, mark: bytes = b"", **tags: tuple[int, ...]) -> bytes:
    """A TIFF of 29x18 pixels in a strip, 8-bit gray but for `tags`: numbers of 16 bits, by t and tag."""
    start = 8 + len(mark)
    plain = {"t256": (29,), "t257": (18,), "t258": (8,), "t259": (1,), "t262": (1,), "t277": (1,)}
    all_tags = {**plain, "t273": (start,), "t278": (18,), "t279": (len(strip),), **tags}
    entries, values, place = b"", b"", start + len(strip)
    for name, numbers in sorted(all_tags.items(), key=lambda item: int(item[0][1:])):
        value = struct.pack(f"<{len(numbers)}H", *numbers)
        if len(value) > 4:
            value, values = struct.pack("<I", place + len(values)), values + value
        entries += struct.pack("<HHI", int(name[1:]), 3, len(numbers)) + value.ljust(4, b"\0")
    directory = struct.pack("<H", len(all_tags)) + entries + bytes(4)
    return struct.pack("<4sI", b"II*\0", place + len(values)) + mark + strip + values + directory


@pytest.mark.parametrize(
    "first",
    [{"subfiletype": 1}, {"extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]}],
    ids=["NEF", "DNG"],
)
def test_the_preview_of_a_raw_file_is_not_taken_for_the_picture(first: dict[str, Any]) -> None:
    file, pixels = io.BytesIO(), photograph(64, 48)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels[::4, ::4], subifds=1, **SUB, **first)
        writer.write(pixels, **SUB)
    with pytest.raises(ImageError, match=r"a camera's raw file.*only a preview.*: develop it first"):
        read(file.getvalue())
    np.testing.assert_array_equal(read(file.getvalue(), ReadOptions(frame=0)).pixels, pixels[::4, ::4])


def test_the_preview_of_a_cr2_is_not_taken_for_the_picture() -> None:
    data = tiff_of(GRAY.tobytes(), mark=b"CR\2\0\0\0\0\0")
    with pytest.raises(ImageError, match="a camera's raw file"):
        read(data)
    assert read(data, ReadOptions(frame=0)).gray


def test_smaller_pictures_in_subifds_do_not_make_a_raw_file() -> None:
    file, pixels = io.BytesIO(), photograph(64, 48)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels, subifds=2, **SUB)
        writer.write(pixels[::2, ::2], subfiletype=1, **SUB)
        writer.write(pixels[::4, ::4], subfiletype=1, **SUB)
    np.testing.assert_array_equal(read(file.getvalue()).pixels, pixels)
