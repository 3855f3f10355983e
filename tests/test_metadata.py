"""Every kind of metadata, from files of every format through ours into files of every format.

What comes back is what went in, or a note says what is gone.
"""

from __future__ import annotations

import io
import struct
import warnings
from functools import cache
from typing import Any

import pytest
from PIL import ExifTags, Image, PngImagePlugin

import aecodec
from aecodec.api import decompress_picture
from aecodec.container import Box
from aecodec.picture import Picture, code_points, photoshop, text
from aecodec.picture.reading import read_picture
from aecodec.picture.writing import encode_image, notes_of_writing, to_pillow
from tests.common import MAKE, XMP, make_icc, noise, png_chunk

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
IPTC = b"\x1c\x02\x78\x00\x07Caption\x1c\x02\x19\x00\x03cat"
ICC = make_icc()
P3 = code_points.Colour(12, 13)
LATITUDE = (52.0, 30.0, 15.0)


def exif_with(gps: bool) -> bytes:
    exif = Image.Exif()
    exif[MAKE] = "maker"
    if gps:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: LATITUDE})
    return exif.tobytes()


def png_with(chunk_type: bytes, content: bytes) -> bytes:
    """A PNG with a chunk before its pixels."""
    data = file_of("PNG")
    return data[:33] + png_chunk(chunk_type, content) + data[33:]


def file_of(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    options |= {"lossless": True} if format == "WEBP" else {}
    Image.fromarray(noise(16, 8)).save(file, format, **options)
    return file.getvalue()


def gif_with(name: bytes, *parts: bytes) -> bytes:
    """A GIF with data of an application, and after these how often it is shown."""
    data = file_of("GIF")
    data = b"GIF89a" + data[6:]
    start = 13 + (3 << (data[10] & 7) + 1)
    blocks = b"".join(bytes([len(part)]) + part for part in (name, *parts))
    shown = b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"
    return data[:start] + b"!\xff" + blocks + b"\0" + shown + data[start:]


def bmp_with(profile: bytes, kind: bytes = b"MBED") -> bytes:
    """A BMP with a profile behind its pixels."""
    data = file_of("BMP")
    pixels = data[54:]
    header = struct.pack("<I", 124) + data[18:38] + bytes(32) + kind[::-1] + bytes(52)
    header += struct.pack("<II", 124 + len(pixels), len(profile)) + bytes(4)
    size = 14 + len(header) + len(pixels) + len(profile)
    return b"BM" + struct.pack("<III", size, 0, 138) + header + pixels + profile


def words() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, seed 7" * 100, zip=True)
    info.add_itxt("Title", "Überschrift", "de", "Titel")
    return info


def comment_in_png() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "hello")
    return info


def xmp_in_png() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return info


def iptc_in_tiff() -> Image.Exif:
    tags = Image.Exif()
    tags[33723] = IPTC
    return tags


SEGMENT = photoshop.SEGMENT + photoshop.resource(photoshop.IPTC, IPTC)
IPTC_IN_JPEG = b"\xff\xed" + struct.pack(">H", len(SEGMENT) + 2) + SEGMENT

INPUTS = {
    **{("icc", name): file_of(name, icc_profile=ICC) for name in FORMATS},
    ("icc", "GIF"): gif_with(b"ICCRGBG1012", *(ICC[i : i + 255] for i in range(0, len(ICC), 255))),
    ("icc", "BMP"): bmp_with(ICC),
    **{("exif", name): file_of(name, exif=exif_with(gps=False)) for name in FORMATS},
    **{("gps", name): file_of(name, exif=exif_with(gps=True)) for name in FORMATS},
    **{("xmp", name): file_of(name, xmp=XMP) for name in ("JPEG", "WEBP", "AVIF")},
    ("xmp", "PNG"): file_of("PNG", pnginfo=xmp_in_png()),
    ("xmp", "TIFF"): file_of("TIFF", tiffinfo={700: XMP}),
    ("text", "PNG"): file_of("PNG", pnginfo=words()),
    ("comment", "PNG"): file_of("PNG", pnginfo=comment_in_png()),
    ("comment", "JPEG"): file_of("JPEG", comment=b"hello"),
    ("comment", "GIF"): file_of("GIF", comment=b"hello"),
    ("iptc", "JPEG"): file_of("JPEG", extra=IPTC_IN_JPEG),
    ("iptc", "TIFF"): file_of("TIFF", exif=iptc_in_tiff()),
    ("iptc", "PNG"): png_with(b"tEXt", b"Raw profile type iptc\0" + photoshop.text_of_iptc(IPTC).encode()),
    **{("dpi", name): file_of(name, dpi=(300, 150)) for name in ("PNG", "JPEG", "TIFF", "BMP")},
    ("cicp", "PNG"): png_with(b"cICP", code_points.pack(P3)),
    ("cicp", "AVIF"): code_points.in_avif(file_of("AVIF"), P3),
}
NOTES = {"text": "text", "comment": "comment", "iptc": "IPTC", "dpi": "resolution"}


def said(picture: Picture) -> dict[str, object]:
    """What a picture carries, by kind."""
    exif, words = Image.Exif(), text.unpack(picture.metadata.get(Box.TEXT, b"\0"))[0]
    exif.load(picture.metadata.get(Box.EXIF, b""))
    comments = [one.value for one in words.chunks if one.keyword == "Comment"]
    profile = picture.metadata.get(Box.ICC)
    contents: dict[str, object] = {
        "icc": profile if profile != code_points.profile(P3) else None,
        "exif": exif.get(MAKE),
        "gps": tuple(map(float, exif.get_ifd(ExifTags.IFD.GPSInfo).get(2, ()))),
        "xmp": picture.metadata.get(Box.XMP),
        "text": tuple(one for one in words.chunks if one.keyword != "Comment"),
        "comment": comments[0] if comments else words.comment.decode(),
        "iptc": words.iptc,
        "dpi": tuple(round(value) for value in words.dpi or ()),
        "cicp": Box.COLOUR in picture.metadata or profile == code_points.profile(P3),
    }
    return {kind: content for kind, content in contents.items() if content}


@cache
def coded(kind: str, format: str) -> tuple[Picture, bytes]:
    """The picture of an input, and our file of it."""
    picture = read_picture(io.BytesIO(INPUTS[kind, format]))
    return picture, aecodec.compress(picture, lossless=True)


@pytest.mark.parametrize(("kind", "source"), INPUTS)
def test_what_goes_in_is_kept(kind: str, source: str) -> None:
    picture, data = coded(kind, source)
    expected = {
        "icc": ICC,
        "exif": "maker",
        "gps": LATITUDE,
        "xmp": XMP,
        "comment": "hello",
        "iptc": IPTC,
        "dpi": (300, 150),
        "cicp": True,
    }
    contents = said(picture)
    assert picture.notes == ()
    assert kind in contents
    assert set(contents) == ({"exif", "gps"} if kind == "gps" else {kind})
    assert contents[kind] == expected.get(kind, contents[kind])
    assert said(decompress_picture(data)) == contents


def test_texts_keep_their_languages() -> None:
    picture, _ = coded("text", "PNG")
    assert said(picture)["text"] == (
        text.TextChunk("parameters", "a cat, seed 7" * 100),
        text.TextChunk("Title", "Überschrift", "de", "Titel"),
    )


@pytest.mark.parametrize("target", [*FORMATS, "BMP"])
@pytest.mark.parametrize(("kind", "source"), INPUTS)
def test_each_kind_comes_back_or_is_noted(kind: str, source: str, target: str) -> None:
    picture, data = coded(kind, source)
    image = to_pillow(decompress_picture(data))
    notes = notes_of_writing(image, target)
    with warnings.catch_warnings(action="error"):
        contents = said(read_picture(io.BytesIO(encode_image(image, target))))
    if contents.get(kind) == said(picture)[kind]:
        assert notes == ()
    else:
        name = {"cicp": "Display P3", "gps": "EXIF"}.get(kind, NOTES.get(kind, kind.upper()))
        assert len(notes) == 1
        assert name in notes[0]
        assert kind not in contents
        assert (kind, target) not in MUST


MUST = {
    *((kind, name) for kind in ("icc", "exif", "gps", "xmp", "cicp") for name in FORMATS),
    *(("text", "PNG"), ("comment", "PNG"), ("comment", "JPEG")),
    *(("iptc", name) for name in ("PNG", "JPEG", "TIFF")),
    *(("dpi", name) for name in ("PNG", "JPEG", "TIFF", "BMP")),
}
