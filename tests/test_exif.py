"""EXIF stays byte for byte what it was, but for the orientation of pixels that were turned."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from aecodec.container import Box
from aecodec.picture import Picture, exif
from aecodec.picture.reading import from_pillow, read_picture
from aecodec.picture.writing import encode_image, to_pillow
from tests.common import MAKE, ORIENTATION, make_exif, noise, read_exif

PICTURE = Image.fromarray(noise(9, 5))
COPYRIGHT, LENS = 0x8298, 0xA434
KEEPING = ("JPEG", "PNG", "WEBP")
UNREADABLE = {
    "of no kind": b"Exif\0\0garbage!!",
    "without a directory": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "cut within its directory": b"Exif\0\0II*\0\x08\0\0\0\x09\0" + bytes(12),
    "cut within its header": b"Exif\0\0MM\0",
}


def block(order: str, orientation: int, type: int = 3) -> bytes:
    """EXIF with a maker's note that Pillow would move, a thumbnail's directory, and bytes between them."""
    value = struct.pack(order + ("H2x" if type == 3 else "I"), orientation)
    entries = [
        struct.pack(order + "HHI", MAKE, 2, 4) + b"abc\0",
        struct.pack(order + "HHI", ORIENTATION, type, 1) + value,
        struct.pack(order + "HHII", 0x927C, 7, 9, 99),
    ]
    head = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(order + "IH", 8, len(entries)) + b"".join(entries) + struct.pack(order + "I", 64)
    thumbnail = struct.pack(order + "H", 1) + entries[0] + bytes(4)
    return b"Exif\0\0" + (head + first).ljust(64, b"\xaa") + thumbnail.ljust(35, b"\xbb") + b"MAKERNOTE-"


def read_back(format: str, data: bytes) -> Picture:
    """The Picture of a file with some EXIF."""
    file = io.BytesIO()
    PICTURE.save(file, format, exif=data)
    return read_picture(file)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("format", KEEPING)
def test_exif_is_kept_byte_for_byte(format: str, order: str) -> None:
    picture = read_back(format, block(order, 1))
    assert picture.metadata[Box.EXIF].removeprefix(b"Exif\0\0") == block(order, 1).removeprefix(b"Exif\0\0")
    assert picture.notes == ()


@pytest.mark.parametrize("type", [3, 4], ids=["short", "long"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("format", KEEPING)
def test_of_turned_pixels_the_orientation_alone_changes(format: str, order: str, type: int) -> None:
    before, picture = block(order, 6, type), read_back(format, block(order, 6, type))
    assert picture.pixels.shape == (9, 5, 3)
    after = b"Exif\0\0" + picture.metadata[Box.EXIF].removeprefix(b"Exif\0\0")
    changed = [place for place, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    entry = before.index(struct.pack(order + "H", ORIENTATION))
    assert entry + 2 <= min(changed)
    assert max(changed) < entry + 12
    assert to_pillow(picture).getexif()[ORIENTATION] == 1


@pytest.mark.parametrize("format", KEEPING)
def test_exif_comes_back_as_it_was_kept(format: str) -> None:
    picture = read_back("JPEG", block(">", 6))
    again = read_picture(io.BytesIO(encode_image(to_pillow(picture), format)))
    assert again.metadata[Box.EXIF].removeprefix(b"Exif\0\0") == picture.metadata[Box.EXIF][6:]


def test_hexadecimal_exif_in_a_png_is_kept() -> None:
    text, file = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text(exif.IN_PNG, f"\nexif\n{len(block('<', 3)):8}\n{block('<', 3).hex()}\n")
    PICTURE.save(file, "PNG", pnginfo=text)
    assert read_picture(file).metadata[Box.EXIF] == block("<", 1)
    np.testing.assert_array_equal(read_picture(file).pixels, np.asarray(PICTURE)[::-1, ::-1])


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("format", KEEPING)
def test_exif_that_cannot_be_read_is_kept_with_a_note(format: str, data: bytes) -> None:
    picture = read_back(format, data)
    assert picture.metadata[Box.EXIF].removeprefix(b"Exif\0\0") == data[6:]
    assert picture.notes == ("its EXIF cannot be read and is kept as it is",)


def test_hexadecimal_exif_that_is_none_is_left_out_with_a_note() -> None:
    image = PICTURE.copy()
    image.info[exif.IN_PNG] = "\nexif\n 4\nnone\n"
    picture = from_pillow(image)
    assert picture.notes == ("its EXIF cannot be read and is left out",)
    assert Box.EXIF not in picture.metadata


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it cannot read
def test_damaged_exif_never_leaves_turned_pixels_to_be_turned_again() -> None:
    exif_data, random = make_exif(6), np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(exif_data[: random.integers(6, len(exif_data) + 1)])
        data[random.integers(len(data))] = random.integers(256)
        image = PICTURE.copy()
        image.info["exif"] = bytes(data)
        picture = from_pillow(image)
        if picture.pixels.shape == (9, 5, 3):
            assert from_pillow(to_pillow(picture)).pixels.shape == (9, 5, 3)


@pytest.mark.parametrize("name", ["© Jürgen".encode(), "Jürgen".encode("latin-1"), "Jürgen \N{SNOWMAN}"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("source", ["TIFF", *KEEPING])
def test_letters_beyond_ascii_survive(source: str, orientation: int, name: bytes | str) -> None:
    tags, letters = Image.Exif(), name if isinstance(name, bytes) else name.encode()
    tags[COPYRIGHT], tags[ORIENTATION] = letters, orientation
    tags.get_ifd(ExifTags.IFD.Exif)[LENS] = letters
    file = io.BytesIO()
    PICTURE.save(file, source, exif=tags)
    assert letters in file.getvalue()
    with Image.open(file) as image:
        picture = from_pillow(image)
        image.getexif()[MAKE] = "Mäker"  # so that Pillow has to write it anew
        edited = from_pillow(image)
    assert edited.metadata[Box.EXIF].count(letters) == picture.metadata[Box.EXIF].count(letters) > 0
    assert read_exif(edited.metadata[Box.EXIF])[MAKE] == "Mäker"
    for written in ("AVIF", "TIFF", *KEEPING):
        assert letters in encode_image(to_pillow(picture), written)
