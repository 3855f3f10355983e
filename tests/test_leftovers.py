"""What is left out of a picture's file is said, and what is said of it elsewhere goes too."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

import aecodec
from aecodec.api import decompress_picture
from aecodec.container import Box, parse, serialise
from aecodec.picture import Picture, code_points, png, text, xmp
from aecodec.picture.embedding import extended_segments
from aecodec.picture.reading import from_pillow, read_picture
from aecodec.picture.writing import encode_image, notes_of_writing, to_pillow
from tests.common import METADATA, make_icc, noise, png_chunk
from tests.test_metadata import bmp_with, gif_with

HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
FOOT = "</rdf:RDF></x:xmpmeta>"
NOTE = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"'
HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
CONTAINER = (
    '<g:Directory xmlns:g="http://ns.google.com/photos/1.0/container/" '
    'xmlns:i="http://ns.google.com/photos/1.0/container/item/"><rdf:Seq><rdf:li rdf:parseType="Resource">'
    '<g:Item i:Semantic="GainMap"/></rdf:li></rdf:Seq></g:Directory>'
)
TITLE = 'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="cat"'


def packet(attributes: str, content: str = "") -> bytes:
    return f'{HEAD}<rdf:Description rdf:about="" {attributes}>{content}</rdf:Description>{FOOT}'.encode()


def file_of(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(16, 8)).save(file, format, **options)
    return file.getvalue()


def read(data: bytes) -> Picture:
    return read_picture(io.BytesIO(data))


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    data = file_of("PNG")
    made = b"".join(png_chunk(chunk_type, content) for chunk_type, content in chunks)
    return data[:33] + made + data[33:]


def webp_with(chunk_type: bytes, content: bytes) -> bytes:
    data = bytearray(file_of("WEBP", exif=METADATA[Box.EXIF]))
    data += chunk_type + struct.pack("<I", len(content)) + content
    data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


def tiff_with(**tags: Any) -> bytes:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[int(tag[1:])] = value
    return file_of("TIFF", exif=exif)


CHROMATICITY = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)  # of Adobe RGB
EXTENDED = packet(f"{NOTE % ('A' * 32)} {TITLE}")
LEFT = {
    "behind a JPEG": (file_of("JPEG") + b"a film", "6 bytes behind its end are left out"),
    "behind a PNG": (file_of("PNG") + b"a zip", "5 bytes behind its end are left out"),
    "behind a WebP": (file_of("WEBP") + b"more", "4 bytes behind its end are left out"),
    "a segment": (file_of("JPEG", extra=segment(0xEB, b"JP\0\1c2pa")), "its segments APP11 are left out"),
    "Photoshop": (
        file_of("JPEG", extra=segment(0xED, b"Photoshop 3.0\x008BIM\x07\xd0\0\0\0\0\0\2ab")),
        "what Photoshop wrote besides IPTC is left out",
    ),
    "chunks": (png_with((b"caBX", b"c2pa"), (b"tIME", bytes(7))), "its chunks caBX, tIME are left out"),
    "texts alike": (
        png_with((b"tEXt", b"Title\0one"), (b"tEXt", b"Title\0two")),
        "1 of its texts cannot be read, or share a keyword with a later one: left out",
    ),
    "a profile as text": (
        png_with((b"tEXt", b"Raw profile type 8bim\0\n8bim\n4\n00000000\n")),
        "its text 'Raw profile type 8bim' is left out",
    ),
    "a keyword of Pillow's": (
        png_with((b"tEXt", b"gamma\x001.0")),
        "its text 'gamma' has no keyword that can be kept: left out",
    ),
    "primaries": (png_with((b"cHRM", CHROMATICITY)), "its primaries, not those of sRGB, are left out"),
    "a broken profile": (png_with((b"iCCP", b"x\0\0junk")), "its ICC profile cannot be read and is left out"),
    "a cut profile": (bmp_with(b"profile")[:-1], "its ICC profile cannot be read and is left out"),
    "a profile elsewhere": (
        bmp_with(b"C:\\a.icc", b"LINK"),
        "its ICC profile cannot be read and is left out",
    ),
    "XMP of a GIF": (gif_with(b"XMP DataXMP", b"<x/>"), "its XMP, as GIF holds it, is left out"),
    "code points of a narrow range": (
        png_with((b"cICP", b"\x0c\x0d\0\0")),
        "its cICP, not of RGB in its full range, is left out",
    ),
    "a shape of pixels": (png_with((b"pHYs", struct.pack(">IIB", 2, 1, 0))), "its pixels are not square"),
    "a chunk of WebP": (webp_with(b"C2PA", b"1234"), "its chunks C2PA are left out"),
    "tags": (tiff_with(t285="page"), "its tags 285 are left out"),
    "a gain map": (
        file_of("JPEG", xmp=packet(HDRGM, CONTAINER)) + b"a map",
        "its gain map is left out, and what",
    ),
    "a film": (
        file_of("JPEG", xmp=packet('xmlns:G="x" G:MotionPhoto="1"')),
        "what its XMP says of a film or of pictures behind it is left out",
    ),
    "extended XMP": (
        file_of("JPEG", xmp=EXTENDED),
        "its extended XMP is left out: it is not there as a whole",
    ),
    "PQ": (
        png_with((b"cICP", b"\x09\x10\0\1")),
        "its colours are BT.2020 with PQ: PNG and AVIF can say so again",
    ),
}


def test_a_png_is_bare_only_if_it_holds_nothing_but_pixels() -> None:
    data = file_of("PNG")
    for bare in (data, png_with((b"tRNS", bytes(6)))):
        assert png.outline_of(io.BytesIO(bare)) == png.Outline(bare=True, cut=False)
    for more in (png_with((b"tEXt", b"Title\0cat")), png_with((b"prVt", b"")), data + b"x"):
        assert png.outline_of(io.BytesIO(more)) == png.Outline(bare=False, cut=False)
    for cut in (data[:-1], data[:-12], data[:9], b""):
        assert png.outline_of(io.BytesIO(cut)) == png.Outline(bare=False, cut=True)


def test_the_outline_leaves_a_file_where_it_was() -> None:
    file = io.BytesIO(file_of("PNG"))
    file.seek(7)
    png.outline_of(file)
    assert file.tell() == 7


def test_an_image_of_a_bare_png_has_what_its_file_has() -> None:
    with Image.open(io.BytesIO(file_of("PNG"))) as image:
        opened = from_pillow(image)
    assert (opened.metadata, opened.notes) == ({}, ())


@pytest.mark.parametrize(("data", "note"), LEFT.values(), ids=LEFT)
def test_what_is_left_is_noted(data: bytes, note: str) -> None:
    [written_note] = read(data).notes
    assert written_note.startswith(note)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "BMP", "GIF"])
def test_ordinary_files_have_no_notes(format: str) -> None:
    exif = {} if format in ("BMP", "GIF") else {"exif": METADATA[Box.EXIF], "icc_profile": METADATA[Box.ICC]}
    assert read(file_of(format, **exif)).notes == ()


def test_zeros_behind_a_picture_are_nothing() -> None:
    assert read(file_of("JPEG") + bytes(100)).notes == ()


def test_cicp_of_an_image_that_is_loaded(tmp_path: Any) -> None:
    (tmp_path / "a.png").write_bytes(png_with((b"cICP", b"\x0c\x0d\0\1")))
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert from_pillow(image).metadata == {Box.COLOUR: b"\x0c\x0d\0\1"}


def test_claims_about_a_gain_map_go_and_the_rest_stays() -> None:
    picture = read(file_of("JPEG", xmp=packet(f"{HDRGM} {TITLE}", CONTAINER)))
    assert picture.metadata[Box.XMP].replace(b"  ", b" ") == packet(TITLE).replace(b"  ", b" ")
    assert Box.XMP not in read(file_of("JPEG", xmp=packet(HDRGM, CONTAINER))).metadata
    broken = read(file_of("JPEG", xmp=packet(HDRGM) + b"<"))
    assert broken.metadata == {}
    assert len(broken.notes) == 2


def test_extended_xmp_is_put_together() -> None:
    more = packet(
        'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"', f"<crs:x>{'y' * 100_000}</crs:x>"
    )
    digest = hashlib.md5(more).hexdigest().upper()
    main = packet(f"{NOTE % digest} {TITLE}")
    picture = read(file_of("JPEG", xmp=main, extra=extended_segments(more, digest)))
    assert picture.notes == ()
    merged = picture.metadata[Box.XMP]
    assert b'dc:title="cat"' in merged
    assert b"y" * 100_000 in merged
    assert b"HasExtendedXMP" not in merged
    assert xmp.tree(merged.decode()) is not None
    again = read(encode_image(to_pillow(picture), "JPEG"))
    assert again.metadata[Box.XMP] == merged
    assert again.notes == ()


@pytest.mark.parametrize("fault", ["cut", "other", "gap", "no XML"])
def test_extended_xmp_that_is_not_whole_is_noted(fault: str) -> None:
    more = packet("", "y" * 200_000) if fault != "no XML" else b"<x>" + b"y" * 200_000
    parts = extended_segments(more, "B" * 32 if fault == "other" else "A" * 32).split(b"\xff\xe1")[1:]
    del parts[{"cut": -1, "gap": 1}.get(fault, 99) : {"cut": None, "gap": 2}.get(fault, 99)]
    extra = b"".join(b"\xff\xe1" + part for part in parts)
    picture = read(file_of("JPEG", xmp=EXTENDED, extra=extra))
    assert picture.notes[0].startswith("its extended XMP is left out")
    assert b'dc:title="cat"' in picture.metadata[Box.XMP]
    assert b"Extended" not in picture.metadata[Box.XMP]


def test_xmp_that_was_taken_out_stays_out_with_its_extension() -> None:
    more = packet("", "y" * 70_000)
    data = file_of("JPEG", xmp=EXTENDED, extra=extended_segments(more, "A" * 32))
    with Image.open(io.BytesIO(data)) as image:
        del image.info["xmp"]
        assert from_pillow(image).metadata == {}


def test_long_xmp_does_not_block_jpeg() -> None:
    sound, latin = packet(TITLE, "y" * 70_000), b"<x>\xe9" + b"y" * 70_000 + b"</x>"
    image = to_pillow(Picture(noise(16, 8), metadata={Box.XMP: sound}))
    assert read(encode_image(image, "JPEG")).metadata[Box.XMP] == sound
    image = to_pillow(Picture(noise(16, 8), metadata={Box.XMP: latin}))
    assert notes_of_writing(image, "JPEG") == ("its XMP of 70008 bytes is longer than JPEG allows: left out",)
    assert read(encode_image(image, "JPEG")).metadata == {}


@pytest.mark.parametrize("length", [999, 1000, 2**20, 3_000_000])
def test_long_texts_come_back_from_png(length: int) -> None:
    box = text.pack(text.Text((text.TextChunk("workflow", "é" * length),), iptc=b"x" * length))
    image = to_pillow(Picture(noise(16, 8), metadata={Box.TEXT: box}))
    assert read(encode_image(image, "PNG")).metadata == {Box.TEXT: box}


def test_xmp_in_another_encoding_is_not_altered() -> None:
    latin = b'<?xml version="1.0" encoding="latin-1"?><x>\xe9</x>'
    data = encode_image(to_pillow(Picture(noise(16, 8), metadata={Box.XMP: latin})), "PNG")
    assert read(data).metadata == {Box.XMP: latin}
    assert read(data).notes == ()


@pytest.mark.parametrize("long", ["exif", "comment", "iptc", "icc"])
def test_what_is_too_long_for_jpeg_is_noted(long: str) -> None:
    data = bytes(66_000)
    boxes = {
        "exif": {Box.EXIF: METADATA[Box.EXIF] + data},
        "comment": {Box.TEXT: text.pack(text.Text(comment=b"x" * 66_000))},
        "iptc": {Box.TEXT: text.pack(text.Text(iptc=b"x" * 66_000))},
        "icc": {Box.ICC: make_icc().ljust(256 * 65536, b"\0")},
    }[long]
    image = to_pillow(Picture(noise(16, 8), metadata=boxes))
    [note] = notes_of_writing(image, "JPEG")
    assert "longer than JPEG allows" in note
    assert read(encode_image(image, "JPEG")).metadata == {}


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_fits_the_mode_it_is_written_with(format: str, gray: bool) -> None:
    pixels = np.repeat(noise(16, 8)[:, :, :1], 3, axis=2)
    image = to_pillow(Picture(pixels, gray, metadata={Box.ICC: make_icc()}))
    written = read(encode_image(image, format)).metadata
    if gray and format != "WEBP":
        assert notes_of_writing(image, format) == (
            "its ICC profile is none of gray, as the picture is: left out",
        )
        assert Box.ICC not in written
    else:
        assert notes_of_writing(image, format) == ()
        assert written[Box.ICC] == make_icc()


@pytest.mark.parametrize("format", ["JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("primaries", [1, 5, 9, 12, 4, 11])
def test_gray_under_the_white_of_srgb_looks_right_in_all_primaries(format: str, primaries: int) -> None:
    pixels = np.repeat(noise(16, 8)[:, :, :1], 3, axis=2)
    for transfer in (1, 13):
        metadata = {Box.COLOUR: code_points.pack(code_points.Colour(primaries, transfer))}
        notes = notes_of_writing(to_pillow(Picture(pixels, True, metadata=metadata)), format)
        assert len(notes) == (primaries in (4, 11) and format != "WEBP")  # which gets a profile
    hdr = {Box.COLOUR: code_points.pack(code_points.Colour(primaries, 16))}
    [note] = notes_of_writing(to_pillow(Picture(pixels, True, metadata=hdr)), format)
    assert note.endswith("with PQ: they will look wrong")


def test_profiles_made_of_code_points_look_right() -> None:
    wide = code_points.profile(code_points.Colour(12, 13))
    assert wide
    converted = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), (128, 100, 60)),
        ImageCms.ImageCmsProfile(io.BytesIO(wide)),
        ImageCms.createProfile("sRGB"),
    )
    assert converted.getpixel((0, 0)) == pytest.approx((133, 99, 53), abs=1)  # by the matrices of CSS Color 4
    assert code_points.profile(code_points.Colour(9, 16)) is None
    assert code_points.profile(code_points.Colour(77, 13)) is None


def test_boxes_of_later_releases_are_named() -> None:
    container = parse(aecodec.compress(Picture(noise(16, 8)), lossless=True))
    later = serialise(type(container)(16, 8, False, container.payload, unknown={0x88: b"new"}))
    assert aecodec.info(later).metadata == {"unknown box 136": 3}
    note = "its boxes of types 136, of a later release, are left out"
    assert decompress_picture(later).notes == (note,)
    with pytest.warns(UserWarning, match=note):
        aecodec.decompress(later)


@pytest.mark.parametrize(
    ("box", "content", "note"),
    [
        (Box.TEXT, b"\2", "its text is damaged (its method is unknown): left out"),
        (Box.TEXT, b"\1junk", "its text is damaged (Error -3"),
        (Box.COLOUR, b"123", "what it says of its colours is damaged (it is not 4 bytes"),
    ],
)
def test_damaged_boxes_that_may_be_skipped_are_noted(box: Box, content: bytes, note: str) -> None:
    [written_note] = decompress_picture(
        aecodec.compress(Picture(noise(16, 8), metadata={box: content}), lossless=True)
    ).notes
    assert written_note.startswith(note)


def test_png_text_with_exif_is_no_text() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(
        "Raw profile type exif", f"\nexif\n{len(METADATA[Box.EXIF]):8}\n{METADATA[Box.EXIF].hex()}\n"
    )
    assert set(read(file_of("PNG", pnginfo=info)).metadata) == {Box.EXIF}
