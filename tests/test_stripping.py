"""What is stripped, or was taken out of an image, is in no file."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

import aecodec
from aecodec.container import Box, parse, serialise
from aecodec.errors import MetadataError, TargetError
from aecodec.picture import Picture, code_points, exif, text, xmp
from aecodec.picture.reading import from_pillow
from aecodec.picture.stripping import KINDS, kinds_of, strip
from aecodec.picture.writing import encode_image, to_pillow
from tests.common import MAKE, METADATA, ORIENTATION, TAKEN, XMP, make_exif, noise
from tests.test_cli import refusal, run_command

GPS, EXIF_IFD = ExifTags.IFD.GPSInfo, ExifTags.IFD.Exif
PLACE = struct.pack("<6I", 52, 1, 30, 1, 1519, 100)  # degrees, minutes, seconds
RDF = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://x/dc/"'
    "%s</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def packet(content: str) -> bytes:
    return (RDF % content).encode()


def located(order: str = "<") -> bytes:
    """EXIF by hand: a maker, an Exif directory, GPS with values beside it, a thumbnail's directory behind."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entry = order + "HHII"
    first = struct.pack(order + "H", 3) + struct.pack(entry, MAKE, 2, 6, 100)
    first += struct.pack(entry, EXIF_IFD, 4, 1, 110) + struct.pack(entry, GPS, 4, 1, 150)
    first += struct.pack(order + "I", 240)
    place = struct.pack(order + "6I", *struct.unpack("<6I", PLACE))
    block = bytearray(300)
    for start, part in (
        (0, head + first),
        (100, b"maker\0"),
        (110, struct.pack(order + "H", 1) + struct.pack(entry, 0x927C, 7, 20, 210) + bytes(4)),
        (150, struct.pack(order + "H", 1) + struct.pack(entry, 2, 5, 3, 180) + bytes(4)),
        (180, place),
        (210, b"the maker's own note"),
        (240, struct.pack(order + "H", 1) + struct.pack(entry, 0x0103, 4, 1, 6) + bytes(4)),
    ):
        block[start : start + len(part)] = part
    return b"Exif\0\0" + bytes(block)


def image_with(block: bytes, format: str = "JPEG") -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(noise(16, 8)).save(file, format, exif=block)
    return Image.open(file)


def kept(image: Image.Image, **options: object) -> set[str]:
    return set(aecodec.info(aecodec.compress(image, lossless=True, **options)).metadata)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_that_was_taken_out_stays_out(format: str) -> None:
    with image_with(located(), format) as image:
        assert kept(image) == {"exif"}
        image.getexif()
        del image.info["exif"]
        assert kept(image) == set()
    with image_with(located(), format) as image:
        image.info = {}
        assert kept(image) == set()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_of_an_upright_copy_can_be_taken_out(format: str) -> None:
    with image_with(make_exif(6), format) as image:
        upright = ImageOps.exif_transpose(image)
        assert upright.size == (8, 16)
        upright.info = {}
        assert kept(upright) == set()


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_is_kept_as_it_was_edited(format: str, seen: bool) -> None:
    with image_with(located(), format) as image:
        if seen:
            image.getexif().get_ifd(GPS)
        aecodec.compress(image, lossless=True)
        del image.getexif()[GPS]
        block = parse(aecodec.compress(image, lossless=True)).boxes[Box.EXIF]
    entries = Image.Exif()
    entries.load(block)
    assert entries[MAKE] == "maker"
    assert not entries.get_ifd(GPS)
    assert struct.pack("<I", 1519) not in block


def test_an_edited_orientation_counts() -> None:
    with image_with(make_exif(6)) as image:
        image.getexif()[ORIENTATION] = 1
        picture = from_pillow(image)
    assert picture.pixels.shape == (8, 16, 3)
    assert to_pillow(picture).getexif()[ORIENTATION] == 1


def test_texts_and_comments_that_were_taken_out_stay_out() -> None:
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("parameters", "a cat")
    info.add_text("Title", "cat")
    Image.fromarray(noise(16, 8)).save(file, "PNG", pnginfo=info, dpi=(300, 300))
    with Image.open(file) as image:
        del image.info["parameters"], image.info["dpi"]
        stored = text.unpack(parse(aecodec.compress(image, lossless=True)).boxes[Box.TEXT])[0]
        assert stored == text.Text((text.TextChunk("Title", "cat"),))


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        ("exif", ("exif",)),
        ("exif,icc", ("exif", "icc")),
        (["exif", "icc"], ("exif", "icc")),
        (("gps", "GPS, xmp"), ("gps", "xmp")),
        ("all", KINDS),
        ((), ()),
    ],
)
def test_kinds(names: str | list[str], kinds: tuple[str, ...]) -> None:
    assert kinds_of(names) == kinds


@pytest.mark.parametrize("names", ["iptc", ["exif", "x"], 5, [5], [b"exif"]])
def test_other_kinds_are_refused(names: object) -> None:
    with pytest.raises(MetadataError, match=r"^strip .*choose of exif, gps, icc, xmp, text, thumbnail, all$"):
        aecodec.compress(Image.new("RGB", (4, 4)), strip=names)
    with pytest.raises(ValueError, match="strip"):
        aecodec.decompress(aecodec.compress(Image.new("RGB", (4, 4))), strip=names)


@pytest.mark.parametrize("kind", ["exif", "icc", "xmp", "text", "all"])
def test_kinds_go_from_both_directions(kind: str) -> None:
    metadata = {**METADATA, Box.TEXT: text.pack(text.Text(comment=b"x"))}
    picture = Picture(noise(9, 7), metadata=metadata)
    left = set() if kind == "all" else {"exif", "icc", "xmp", "text"} - {kind}
    assert set(aecodec.info(aecodec.compress(picture, lossless=True, strip=kind)).metadata) == left
    image = aecodec.decompress(aecodec.compress(picture, lossless=True), strip=[kind])
    names = {"exif": "exif", "icc": "icc_profile", "xmp": "xmp", "text": "comment"}
    assert set(image.info) == {names[box] for box in left}


def test_a_profile_that_is_not_srgb_is_noted_as_it_goes() -> None:
    profile = code_points.profile(code_points.Colour(12, 13))
    assert profile
    for stripped in ({Box.ICC: profile}, {Box.COLOUR: code_points.pack(code_points.Colour(9, 14))}):
        [note] = strip(Picture(noise(4, 4), metadata=stripped), "icc").notes
        assert "stripped" in note
        assert "look different" in note
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert strip(Picture(noise(4, 4), metadata={Box.ICC: lab}), "icc").notes
    assert strip(Picture(noise(4, 4), metadata={Box.ICC: METADATA[Box.ICC]}), "icc").notes == ()


@pytest.mark.parametrize(
    ("colour", "same"), [((12, 13), True), ((9, 13), True), ((4, 13), False), ((12, 16), False)]
)
def test_gray_is_the_same_under_the_primaries_of_a_white(colour: tuple[int, int], same: bool) -> None:
    metadata = {Box.COLOUR: code_points.pack(code_points.Colour(*colour))}
    for gray in (True, False):
        picture = Picture(np.repeat(noise(4, 4)[:, :, :1], 3, axis=2), gray, metadata=metadata)
        assert len(strip(picture, "icc").notes) == (not (gray and same))


@pytest.mark.parametrize("order", "<>")
def test_gps_goes_and_all_else_stays_where_it_is(order: str) -> None:
    before = located(order)
    after = exif.without_gps(before)
    assert after is not None
    assert len(after) == len(before)
    assert struct.pack(order + "I", 1519) not in after
    assert after[6 + 100 : 6 + 150] == before[6 + 100 : 6 + 150]  # maker, Exif directory
    assert after[6 + 210 : 6 + 300] == before[6 + 210 : 6 + 300]  # maker's note, thumbnail's directory
    entries = Image.Exif()
    entries.load(after)
    assert entries[MAKE] == "maker"
    assert entries.get_ifd(EXIF_IFD)[0x927C] == b"the maker's own note"
    assert entries.get_ifd(ExifTags.IFD.IFD1) == {0x0103: 6}
    assert GPS not in entries
    assert exif.without_gps(after) == after
    assert exif.without_gps(before[6:]) == after  # as older files hold it


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_gps_goes_from_every_format(format: str) -> None:
    entries = Image.Exif()
    entries[MAKE], entries[ORIENTATION] = "maker", 6
    entries.get_ifd(EXIF_IFD)[TAKEN] = "2020:01:02 03:04:05"
    entries.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 15.19)})
    with image_with(entries.tobytes(), format) as image:
        data = aecodec.compress(image, lossless=True, strip="gps")
        there = aecodec.compress(image, lossless=True)
    for stripped in (aecodec.decompress(data).getexif(), aecodec.decompress(there, strip=("gps",)).getexif()):
        assert stripped.get_ifd(EXIF_IFD)[TAKEN] == "2020:01:02 03:04:05"
        assert not stripped.get_ifd(GPS)


def test_exif_of_gps_alone_goes() -> None:
    alone = Image.Exif()
    alone.get_ifd(GPS)[1] = "N"
    assert exif.without_gps(alone.tobytes()) == b""


def test_exif_that_cannot_be_edited_goes_as_a_whole() -> None:
    random, block = np.random.default_rng(0), located()
    gone = 0
    for _ in range(400):
        data = bytearray(block[: random.integers(6, len(block) + 1)])
        data[random.integers(6, len(data) + 1) - 1] = random.integers(256)
        picture = strip(Picture(noise(4, 4), metadata={Box.EXIF: bytes(data)}), "gps")
        if Box.EXIF not in picture.metadata:
            assert picture.notes == (
                "its EXIF is stripped as a whole: it may name a place, and cannot be edited",
            )
            gone += 1
            continue
        with warnings.catch_warnings(action="ignore"), suppress(SyntaxError):  # of what Pillow cannot read
            entries = Image.Exif()
            entries.load(picture.metadata[Box.EXIF])
            assert not entries.get_ifd(GPS)
    assert 0 < gone < 400


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            ' exif:GPSLatitude="52,30N" exif:ISO="100" exif:GPSAltitude=\'5/1\'>',
            ' exif:ISO="100">',
        ),
        (
            "><exif:GPSLatitude>52,30N</exif:GPSLatitude><dc:title>cat</dc:title><exif:GPSMapDatum/>",
            "><dc:title>cat</dc:title>",
        ),
        (
            ' xmlns:d="http://www.dji.com/" d:GpsLongitude="13.4" d:Latitude="52">',
            ' xmlns:d="http://www.dji.com/">',
        ),
    ],
)
def test_coordinates_go_from_xmp(before: str, after: str) -> None:
    assert xmp.without_location(packet(before)) == packet(after)


@pytest.mark.parametrize(
    "unsafe",
    [
        packet(' exif:GPSLatitude="52'),
        packet(">GPSLatitude is 52"),
        packet(' exif:GPSLatitude="52">').decode().encode("utf-16"),
        b'<!DOCTYPE a [<!ENTITY gps "1">]>' + packet(' exif:GPSLatitude="52">'),
        packet("><exif:GPSA><exif:GPSA/>GPS</exif:GPSA>&"),
        b"\xff\xfe nonsense",
    ],
)
def test_xmp_that_cannot_be_edited_goes_as_a_whole(unsafe: bytes) -> None:
    picture = strip(Picture(noise(4, 4), metadata={Box.XMP: unsafe}), "gps")
    assert picture.metadata == {}
    assert picture.notes == ("its XMP is stripped as a whole: it may name a place, and cannot be edited",)


def test_xmp_without_coordinates_stays_byte_for_byte() -> None:
    assert strip(Picture(noise(4, 4), metadata={Box.XMP: XMP}), "gps").metadata == {Box.XMP: XMP}


def test_texts_that_name_coordinates_go() -> None:
    words = (text.TextChunk("exif:GPSLatitude", "52/1"), text.TextChunk("Title", "cat"))
    box = text.pack(text.Text(words, b"hello"))
    kept = strip(Picture(noise(4, 4), metadata={Box.TEXT: box}), "gps").metadata[Box.TEXT]
    assert text.unpack(kept)[0] == text.Text(words[1:], b"hello")


def test_strip_adds_up_on_the_command_line(tmp_path: Path) -> None:
    picture = Picture(noise(16, 8), metadata={**METADATA, Box.TEXT: text.pack(text.Text(comment=b"x"))})
    (tmp_path / "a.png").write_bytes(encode_image(to_pillow(picture), "PNG"))
    options = ("--strip", "exif", "--strip", "icc,text", "-f")
    assert run_command("compress", tmp_path / "a.png", *options).returncode == 0
    assert set(aecodec.info((tmp_path / "a.aec").read_bytes()).metadata) == {"xmp"}
    assert run_command("compress", tmp_path / "a.png", "-f").returncode == 0
    assert run_command("decompress", tmp_path / "a.aec", tmp_path / "b.png", *options).returncode == 0
    with Image.open(tmp_path / "b.png") as image:
        assert set(image.info) == {"xmp", "XML:com.adobe.xmp"}
    for command in ("compress", "decompress"):
        result = run_command(command, tmp_path / "a.aec", "--strip", "iptc")
        refusal(result, 2, "--strip iptc: choose of exif, gps, icc, xmp, text, thumbnail, all")


def test_notes_of_stripping_and_of_later_releases_on_the_command_line(tmp_path: Path) -> None:
    wide = code_points.profile(code_points.Colour(12, 13))
    assert wide
    picture = Picture(noise(16, 8), metadata={Box.ICC: wide})
    (tmp_path / "a.png").write_bytes(encode_image(to_pillow(picture), "PNG"))
    assert (
        "is not sRGB and is stripped" in run_command("compress", tmp_path / "a.png", "--strip", "icc").stderr
    )
    container = replace(parse(aecodec.compress(picture, lossless=True)), unknown={0x88: b"new"})
    (tmp_path / "b.aec").write_bytes(serialise(container))
    result = run_command("decompress", tmp_path / "b.aec", "--strip", "all")
    assert "boxes of types 136, of a later release, are left out" in result.stderr
    assert "is not sRGB and is stripped" in result.stderr
    assert "unknown box 136: 3 B" in run_command("info", tmp_path / "b.aec").stdout


def test_metadata_over_the_limit_of_bytes_are_named() -> None:
    picture = Picture(noise(16, 8), metadata={Box.XMP: bytes(900)})
    with pytest.raises(
        TargetError, match=r"^the metadata takes 900 of 800 bytes: --strip, or raise the limit$"
    ):
        aecodec.compress(picture, max_bytes=800)
    with pytest.raises(TargetError, match=r"out of reach.*, of which the metadata takes 900: --strip$"):
        aecodec.compress(picture, max_bytes=905)
    assert len(aecodec.compress(picture, max_bytes=800, strip="xmp")) <= 800


@pytest.mark.parametrize("command", [["denoise"], ["enhance"], ["upscale", "--method", "bicubic"]])
def test_stages_strip_as_the_coding_does(command: list[str], tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(noise(40, 40)).save(data, "PNG", exif=make_exif(), icc_profile=METADATA[Box.ICC], xmp=XMP)
    (tmp_path / "in.png").write_bytes(data.getvalue())
    arguments = [*command, tmp_path / "in.png", tmp_path / "out.png", "--strip", "exif", "--strip", "xmp"]
    result = run_command(*arguments)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "out.png") as image:
        assert image.info.keys() & {"exif", "xmp", "icc_profile"} == {"icc_profile"}
    refusal(run_command(*arguments[:-1], "all of it", "-f"), 2, "--strip all of it: choose of exif")


@pytest.mark.parametrize(
    "stage", [aecodec.denoise, aecodec.enhance, lambda image, **o: aecodec.upscale(image, 2, **o)]
)
def test_stages_strip_in_python(stage: Callable[..., Image.Image]) -> None:
    image = Image.fromarray(noise(40, 36))
    image.info["exif"] = make_exif(1)
    assert "exif" in stage(image).info
    assert "exif" not in stage(image, strip="exif").info


PLACES = {
    "Description": "lat=50.12345, lon=8.65432",
    "geo": "somewhere",
    "Note": "taken at 50.12345, 8.65432",
    "Place": "N51 30.5 W0 7.2",
    "com.apple.quicktime.location.ISO6709": "x",
    "ISO": "+50.1234+008.6543/",
    "Title": "48°51'30\"N 2°17'40\"E",
}
HARMLESS = {
    "Software": "aecodec 1.0.0",
    "Author": "J. Latimer, 12.5 x 8.25 cm",
    "Comment 2": "Latest: scale 1.0000 0.5000",
    "Source": "http://example.com/1.0000/2.000",
    "Lens": "50mm f/1.8, 0.35-1.2 m",
    "Creation Time": "2020:01:02 03:04:05",
}


def test_gps_goes_from_texts_and_comments_that_look_so() -> None:
    info = PngImagePlugin.PngInfo()
    for keyword, value in {**PLACES, **HARMLESS, "Comment": "50.12345N 8.65432E"}.items():
        info.add_text(keyword, value)
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "PNG", pnginfo=info)
    kept = aecodec.decompress(aecodec.compress(file, strip="gps")).info
    assert {key: kept.get(key) for key in HARMLESS} == HARMLESS
    assert not kept.keys() & {*PLACES, "Comment", "comment"}
