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
from aecodec.errors import ImageError
from aecodec.options import ReadOptions
from aecodec.picture import png_file
from aecodec.picture.png_file import PngFile, is_cut
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


# Damage

ANCILLARY = {
    **{chunk[0].decode(): chunk for chunk in CHUNKS if chunk[0] != b"tRNS"},
    "zTXt": (b"zTXt", b"Title\0\0" + zlib.compress(b"cat")),
    "gAMA": (b"gAMA", struct.pack(">I", 100_000)),
    "cHRM": (b"cHRM", bytes(32)),
    "sRGB": (b"sRGB", b"\0"),
    "cICP": (b"cICP", b"\x0c\x0d\0\1"),
    "bKGD": (b"bKGD", bytes(6)),
}
MAY_BE_WRONG = "is damaged, and its pixels may be wrong"


def with_wrong_checksum(data: bytes, chunk_type: bytes) -> bytes:
    place = data.index(chunk_type)
    checksum = place + 4 + int.from_bytes(data[place - 4 : place])
    return data[:checksum] + bytes([data[checksum] ^ 1]) + data[checksum + 1 :]


def note_of(chunk_type: bytes) -> str:
    if chunk_type == b"iCCP":
        return "its ICC profile cannot be read and is left out"
    return f"its chunks {chunk_type.decode()} are damaged and left out"


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("chunk", ANCILLARY.values(), ids=ANCILLARY)
def test_a_damaged_chunk_that_is_no_pixels_is_left_out(chunk: tuple[bytes, bytes], behind: bool) -> None:
    data = with_wrong_checksum(png_of(behind=(chunk,)) if behind else png_of(chunk), chunk[0])
    picture = read_picture(io.BytesIO(data))
    np.testing.assert_array_equal(picture.pixels, noise(16, 8))
    assert (picture.metadata, picture.notes) == ({}, (note_of(chunk[0]),))
    if behind:  # before the pixels Pillow refuses it
        for image in (loaded(data), Image.open(io.BytesIO(data))):
            opened = from_pillow(image)
            assert (opened.metadata, opened.notes) == (picture.metadata, picture.notes)


def test_sound_chunks_beside_a_damaged_one_are_kept() -> None:
    expected = read_picture(io.BytesIO(png_of(*CHUNKS)))
    broken = (b"tEXt", b"Author\0cat")
    for data in (png_of(broken, *CHUNKS), png_of(*CHUNKS, broken), png_of(*CHUNKS, behind=(broken,))):
        place = data.index(b"tEXtAuthor")
        picture = read_picture(io.BytesIO(data[:place] + with_wrong_checksum(data[place - 4 :], b"tEXt")[4:]))
        assert_same_picture(picture, expected)
        assert picture.metadata == expected.metadata
        assert picture.notes == ("its chunks tEXt are damaged and left out",)


@pytest.mark.parametrize("chunk_type", [b"gAMA", b"cHRM", b"sRGB", b"pHYs"])
def test_a_chunk_that_is_too_short_is_left_out(chunk_type: bytes) -> None:
    picture = read_picture(io.BytesIO(png_of((chunk_type, b""))))
    np.testing.assert_array_equal(picture.pixels, noise(16, 8))
    assert picture.notes == (note_of(chunk_type),)


def packed(words: bytes) -> bytes:
    """Compressed words without their last bytes, of which a part can be had."""
    cut = zlib.compress(words)[:-6]
    assert zlib.decompressobj().decompress(cut)
    return cut


NOISE = random.Random(1).randbytes(500)
CUT = {
    "iCCP": (b"iCCP", b"icc\0\0" + packed(make_icc())),
    "zTXt": (b"zTXt", b"Title\0\0" + packed(NOISE)),
    "iTXt": (b"iTXt", b"Title\0\1\0\0\0" + packed(NOISE.hex().encode())),
    "comment": (b"zTXt", b"comment\0\0" + packed(NOISE)),
    "XMP": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed(XMP)),
    "broken zTXt": (b"zTXt", b"Title\0\0junk"),
    "iCCP of an unknown method": (b"iCCP", b"icc\0\7" + zlib.compress(make_icc())),
    "iCCP without data": (b"iCCP", b"icc"),
    "empty iCCP": (b"iCCP", b""),
}


@pytest.mark.parametrize("chunk", CUT.values(), ids=CUT)
def test_what_is_compressed_and_cut_is_left_out(chunk: tuple[bytes, bytes]) -> None:
    data = png_of(chunk)
    picture = read_picture(io.BytesIO(data))
    np.testing.assert_array_equal(picture.pixels, noise(16, 8))
    assert picture.metadata == {}
    [note] = picture.notes
    assert note.startswith(note_of(b"iCCP") if chunk[0] == b"iCCP" else "1 of its texts cannot be read")
    if chunk not in (CUT["iCCP of an unknown method"], CUT["iCCP without data"], CUT["empty iCCP"]):
        for image in (loaded(data), Image.open(io.BytesIO(data))):  # which Pillow opens
            opened = from_pillow(image)
            assert (opened.metadata, opened.notes) == (picture.metadata, picture.notes)


def test_a_profile_that_the_caller_has_set_stays_beside_a_cut_one() -> None:
    image = loaded(png_of(CUT["iCCP"]))
    image.info["icc_profile"] = make_icc()
    picture = from_pillow(image)
    assert (picture.metadata, picture.notes) == ({Box.ICC: make_icc()}, ())


def test_damaged_pixels_are_refused_unless_one_is_tolerant() -> None:
    for chunk_type in (b"IDAT", b"tRNS"):
        for chunks in (CHUNKS[4:5], CHUNKS[4:]):  # with a text, too
            data = with_wrong_checksum(png_of(*chunks), chunk_type)
            with pytest.raises(ImageError, match=f"as a whole: it {MAY_BE_WRONG}: pass --tolerant"):
                read_picture(io.BytesIO(data))
            picture = read_picture(io.BytesIO(data), ReadOptions(tolerant=True))
            assert picture.notes == (MAY_BE_WRONG,)
            np.testing.assert_array_equal(picture.pixels, noise(16, 8))
    opened = Image.open(io.BytesIO(with_wrong_checksum(png_of(), b"IDAT")))
    assert from_pillow(opened).notes == (MAY_BE_WRONG,)


def test_the_palette_and_the_header_are_refused_by_their_names() -> None:
    file = io.BytesIO()
    Image.fromarray(noise(16, 8)).quantize(16).save(file, "PNG")
    for chunk_type in (b"IHDR", b"PLTE"):
        data = with_wrong_checksum(file.getvalue(), chunk_type)
        with pytest.raises(ImageError, match=f"cannot be read: its chunk {chunk_type.decode()} is damaged"):
            read_picture(io.BytesIO(data), ReadOptions(tolerant=True))


def test_the_checksum_of_the_end_says_nothing() -> None:
    assert read_picture(io.BytesIO(with_wrong_checksum(png_of(), b"IEND"))).notes == ()


def test_an_animation_with_a_damaged_frame_is_refused_unless_one_is_tolerant() -> None:
    file = io.BytesIO()
    frames = [Image.fromarray(noise(16, 8, seed)) for seed in range(2)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    for chunk_type in (b"fdAT", b"fcTL", b"acTL"):
        data = with_wrong_checksum(file.getvalue(), chunk_type)
        with pytest.raises(ImageError, match=MAY_BE_WRONG):
            read_picture(io.BytesIO(data), ReadOptions(frame=1))
        picture = read_picture(io.BytesIO(data), ReadOptions(frame=1, tolerant=True))
        np.testing.assert_array_equal(picture.pixels, noise(16, 8, 1))


def test_many_cut_texts_do_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    monkeypatch.setattr(png_file, "is_cut", lambda *chunk: counted.append(chunk) or is_cut(*chunk))
    read_picture(io.BytesIO(png_of(*[CUT["zTXt"]] * 100)))
    assert len(counted) <= 70
