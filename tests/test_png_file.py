"""Texts of PNGs are texts, whatever their keywords: no other chunk is lost to them, no picture refused."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from aecodec.container import Box
from aecodec.options import ReadOptions
from aecodec.picture.png_file import PngFile
from aecodec.picture.reading import from_pillow, read_picture
from aecodec.picture.text import MOST_BYTES, PNG_KEYS
from aecodec.picture.writing import encode_image, to_pillow
from tests.common import METADATA, XMP, assert_same_picture, make_exif, make_icc, noise, png_chunk
from tests.fuzz.pictures import deep_png

EXIF = make_exif(6)
CHUNKS = (
    (b"iCCP", b"icc\0\0" + zlib.compress(make_icc())),
    (b"eXIf", EXIF.removeprefix(b"Exif\0\0")),
    (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
    (b"tRNS", struct.pack(">3H", *noise(16, 8)[0, 0])),
    (b"tEXt", b"Title\0cat"),
)
TEXTS = {
    b"tEXt": lambda keyword: keyword + b"\0words",
    b"zTXt": lambda keyword: keyword + b"\0\0" + zlib.compress(b"words"),
    b"iTXt": lambda keyword: keyword + b"\0\0\0de\0\0words",
}


def png_of(*chunks: tuple[bytes, bytes], behind: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG with chunks before and behind its pixels."""
    file = io.BytesIO()
    Image.fromarray(noise(16, 8)).save(file, "PNG")
    data = file.getvalue()
    first, last = (b"".join(png_chunk(*chunk) for chunk in some) for some in (chunks, behind))
    return data[:33] + first + data[33:-12] + last + data[-12:]


def loaded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("place", ["first", "last", "behind"])
@pytest.mark.parametrize("chunk_type", TEXTS)
@pytest.mark.parametrize("key", sorted(PNG_KEYS))
def test_a_text_takes_no_place_of_another_chunk(key: str, chunk_type: bytes, place: str) -> None:
    odd = (chunk_type, TEXTS[chunk_type](key.encode()))
    chunks = {"first": (odd, *CHUNKS), "last": (*CHUNKS, odd), "behind": CHUNKS}[place]
    data = png_of(*chunks, behind=(odd,) if place == "behind" else ())
    expected, picture = read_picture(io.BytesIO(png_of(*CHUNKS))), read_picture(io.BytesIO(data))
    assert_same_picture(picture, expected)
    assert picture.metadata == expected.metadata
    assert picture.notes == (f"its text {key!r} has no keyword that can be kept: left out",)
    if key != "bbox":  # which keeps Pillow itself from finding the pixels
        assert_same_picture(from_pillow(Image.open(io.BytesIO(data))), expected)
        assert from_pillow(Image.open(io.BytesIO(data))).metadata == expected.metadata


def test_the_image_of_the_caller_stays_as_it_is() -> None:
    data = png_of(*CHUNKS, (b"tEXt", b"exif\0words"), (b"tEXt", b"transparency\0words"))
    image = loaded(data)
    image.putpixel((3, 4), (1, 2, 3))
    image.info["icc_profile"] = b"another"
    del image.info["xmp"], image.info["Title"]
    before = dict(image.info)
    picture = from_pillow(image)
    assert image.info == before
    assert picture.pixels.shape == (16, 8, 3)  # turned
    assert (picture.pixels == (1, 2, 3)).all(2).any()
    assert set(picture.metadata) == {Box.ICC, Box.EXIF, Box.TEXT}  # of that the resolution
    assert picture.metadata[Box.ICC] == b"another"


def test_exif_that_the_caller_has_set_stays() -> None:
    image = loaded(png_of(*CHUNKS, (b"tEXt", b"exif\0words")))
    image.info["exif"] = METADATA[Box.EXIF]
    assert from_pillow(image).metadata[Box.EXIF] == METADATA[Box.EXIF]


LONG = b"A" * (PngImagePlugin.MAX_TEXT_CHUNK + 1)
UNREAD = {
    "zTXt": (b"zTXt", b"Long\0\0" + zlib.compress(LONG)),
    "iTXt": (b"iTXt", b"Long\0\1\0\0\0" + zlib.compress(LONG)),
    "unknown compression": (b"zTXt", b"Long\0\x07words"),
    **{key: (b"zTXt", key.encode() + b"\0\0" + zlib.compress(LONG)) for key in sorted(PNG_KEYS)},
}


@pytest.mark.parametrize("chunk", UNREAD.values(), ids=UNREAD)
@pytest.mark.parametrize("behind", [False, True])
def test_a_text_that_cannot_be_read_is_left_out(chunk: tuple[bytes, bytes], behind: bool) -> None:
    expected = read_picture(io.BytesIO(png_of(*CHUNKS)))
    last: Any = (chunk,) if behind else ()
    picture = read_picture(io.BytesIO(png_of(*CHUNKS, *(() if behind else (chunk,)), behind=last)))
    assert_same_picture(picture, expected)
    assert picture.metadata == expected.metadata
    [note] = picture.notes
    assert note.startswith("1 of its texts cannot be read")


def test_many_long_texts_take_no_more_memory_than_pillow_allows() -> None:
    packed = zlib.compress(LONG[:-1])
    texts = [(b"zTXt", b"%d\0\0" % number + packed) for number in range(70)]
    with PngFile(io.BytesIO(png_of(*texts)), "") as image:
        held = sum(map(len, image.text.values()))
    assert held <= PngImagePlugin.MAX_TEXT_MEMORY
    assert np.array_equal(np.asarray(image), noise(16, 8))
    picture = read_picture(io.BytesIO(png_of(*texts)))
    assert picture.notes[0].startswith("its text, over 67108864 bytes, is left out")
    assert picture.notes[1].startswith("6 of its texts cannot be read")


def test_a_long_profile_is_kept() -> None:
    profile = make_icc() + random.Random(0).randbytes(PngImagePlugin.MAX_TEXT_CHUNK)
    picture = read_picture(io.BytesIO(png_of((b"iCCP", b"icc\0\0" + zlib.compress(profile)))))
    assert (picture.metadata, picture.notes) == ({Box.ICC: profile}, ())
    assert read_picture(io.BytesIO(encode_image(to_pillow(picture), "PNG"))).metadata == {Box.ICC: profile}


def test_a_profile_without_end_is_left_out_with_a_note() -> None:
    bomb = (b"iCCP", b"icc\0\0" + zlib.compress(bytes(MOST_BYTES + 1)))
    picture = read_picture(io.BytesIO(png_of(bomb)))
    assert picture.metadata == {}
    assert picture.notes == ("its ICC profile cannot be read and is left out",)


def test_deep_samples_of_the_callers_image_are_rounded_beside_such_a_text() -> None:
    chunk, data = png_chunk(b"tEXt", b"exif\0words"), deep_png(2, 3)
    data = data[:33] + chunk + data[33:]
    image = from_pillow(Image.open(io.BytesIO(data)), ReadOptions(depth=8))
    assert_same_picture(image, read_picture(io.BytesIO(data), ReadOptions(depth=8)))
    assert "has 16 bits a sample, rounded to 8" in image.notes
