"""The plugin as Pillow's own tests see theirs: sane, invalid, truncated, wrong mode."""

from __future__ import annotations

import io
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

import aecodec
import aecodec.pillow
from aecodec.container import Box
from tests.common import METADATA, ORIENTATION, picture_of_mode, psnr_of
from tests.fuzz.pictures import deep_png, png_chunk

ICC, EXIF, XMP = (METADATA[box] for box in (Box.ICC, Box.EXIF, Box.XMP))


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "AEC", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_sanity(mode: str) -> None:
    image = picture_of_mode(mode, 61, 47)
    with Image.open(io.BytesIO(saved(image, quality=80))) as opened:
        assert (opened.format, opened.mode, opened.size) == ("AEC", mode, (61, 47))
        assert opened.get_format_mimetype() == "image/x-aec"
        opened.load()
        assert psnr_of(np.asarray(image), np.asarray(opened)) > 28
        assert opened.copy().tobytes() == aecodec.decompress(saved(image, quality=80)).tobytes()


def test_imageio_reads_and_writes_through_pillow(tmp_path: Path) -> None:
    pixels = np.asarray(picture_of_mode("RGB", 61, 47))
    imageio.imwrite(tmp_path / "a.aec", pixels, plugin="pillow", quality=80)
    assert psnr_of(pixels, imageio.imread(tmp_path / "a.aec", plugin="pillow")) > 28


def test_opening_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture_of_mode("RGB", 61, 47))
    decoded = []
    monkeypatch.setattr(
        "aecodec.pillow.decompress", lambda data: decoded.append(1) or aecodec.decompress(data)
    )
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (61, 47)
        assert not decoded
        image.load()
        image.load()
        assert len(decoded) == 1


def test_files_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.aec"
    picture_of_mode("RGB", 61, 47).save(path, quality=30)
    with Image.open(path) as image:
        image.convert("L").save(tmp_path / "b.png")
    small, large = (saved(picture_of_mode("RGB", 61, 47), quality=q) for q in (10, 90))
    assert len(small) < path.stat().st_size < len(large)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_files_larger_than_their_pixels_are_not_taken_for_them(tmp_path: Path, mode: str) -> None:
    image = picture_of_mode(mode, 8, 8)
    image.info["icc_profile"] = ICC
    image.save(tmp_path / "a.aec", lossless=True)
    with Image.open(tmp_path / "a.aec") as opened:
        assert opened.tobytes() == image.tobytes()


def test_saving_is_as_careful_as_compressing(tmp_path: Path) -> None:
    image = picture_of_mode("RGB", 20, 20)
    image.info["icc_profile"] = ICC
    assert saved(image, lossless=True) == aecodec.compress(image, lossless=True)
    frames = [picture_of_mode("L", 20, 20), picture_of_mode("L", 20, 20).rotate(90)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as image, pytest.raises(OSError, match="frames"):
        image.save(tmp_path / "b.aec")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_saving_keeps_colours_alone_unasked_as_pillow_does(tmp_path: Path, format: str) -> None:
    file = tmp_path / "a"  # by whose name the depth of an AVIF is known after it was loaded
    picture_of_mode("RGB", 20, 20).save(file, format, icc_profile=ICC, exif=EXIF, dpi=(300, 300))
    with Image.open(file) as image:
        assert set(aecodec.info(saved(image, lossless=True)).metadata) == {"icc"}
        assert "exif" in aecodec.info(saved(image, lossless=True, exif=image.getexif())).metadata
        everything = aecodec.info(aecodec.compress(image, lossless=True)).metadata
        assert set(everything) - {"text"} == {"icc", "exif"}


@pytest.mark.parametrize("key", ["icc_profile", "exif", "xmp", "comment", "dpi"])
@pytest.mark.parametrize("value", [b"", None])
def test_what_is_given_empty_is_left_out(key: str, value: bytes | None) -> None:
    image = picture_of_mode("RGB", 20, 20)
    image.info.update(icc_profile=ICC, exif=EXIF, xmp=XMP, comment=b"hello", dpi=(300, 300))
    arguments = {"icc_profile": ICC, "exif": EXIF, "xmp": XMP, "comment": b"hello", "dpi": (300, 300)}
    arguments[key] = value
    with Image.open(io.BytesIO(saved(image, lossless=True, **arguments))) as opened:
        assert set(opened.info) == set(arguments) - {key}


def test_strip_on_save() -> None:
    image = picture_of_mode("RGB", 20, 20)
    image.info["icc_profile"] = ICC
    data = saved(image, lossless=True, exif=EXIF, xmp=XMP, strip=("exif", "icc"))
    assert set(aecodec.info(data).metadata) == {"xmp"}
    with pytest.raises(OSError, match="strip nonsense: choose of exif, gps, icc, xmp, text, thumbnail, all"):
        saved(image, strip="nonsense")


def test_metadata_of_the_image_or_of_the_call() -> None:
    image = picture_of_mode("RGB", 20, 20)
    image.info["icc_profile"] = ICC
    data = saved(image, exif=EXIF, xmp=XMP)
    assert set(image.info) == {"icc_profile"}
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.info["icc_profile"] == ICC
        assert opened.info["xmp"] == XMP
        assert opened.getexif()[0x010F] == "maker"


def test_invalid_file() -> None:
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"no picture at all, of any kind"))
    data = bytearray(saved(picture_of_mode("RGB", 20, 20)))
    data[-6] ^= 1
    with pytest.raises(OSError, match="checksum"):
        Image.open(io.BytesIO(data))


def test_truncated_at_every_length() -> None:
    data = saved(picture_of_mode("RGB", 20, 20), quality=10)
    for length in range(len(data)):
        with pytest.raises(OSError):  # noqa: PT011
            Image.open(io.BytesIO(data[:length])).load()


def test_what_is_not_kept_on_save_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="CMYK without an ICC profile"):
        data = saved(Image.new("CMYK", (20, 20), (0, 255, 255, 0)))
    assert Image.open(io.BytesIO(data)).getpixel((3, 4)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["I;16", "F", "HSV"])
def test_wrong_mode_on_save(mode: str) -> None:
    with pytest.raises(OSError, match="mode"):
        saved(Image.new(mode, (20, 20)))


def test_deep_images_are_converted_on_demand() -> None:
    gray = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    with pytest.warns(UserWarning, match="rounded to 8"):
        data = saved(Image.fromarray(gray), depth=8, lossless=True)
    expected = np.rint(gray / 257).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), expected)


def test_a_frame_is_chosen_by_its_number() -> None:
    frames, file = [picture_of_mode("L", 20, 20).rotate(90 * n) for n in range(3)], io.BytesIO()
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    with Image.open(file) as image:
        data = saved(image, frame=2, lossless=True)
    assert Image.open(io.BytesIO(data)).tobytes() == frames[2].tobytes()


def test_the_limit_of_pixels_is_that_of_the_call() -> None:
    with pytest.raises(OSError, match="over the limit of 399 pixels"):
        saved(picture_of_mode("RGB", 20, 20), max_pixels=399)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_of_the_call_says_how_pixels_lie(orientation: int) -> None:
    given, upright = Image.Exif(), Image.Exif()
    given[ORIENTATION], upright[ORIENTATION] = orientation, 1
    file = io.BytesIO()
    picture_of_mode("RGB", 30, 20).save(file, "PNG", exif=given)
    with Image.open(file) as opened:
        opened.load()
    pixels = Image.fromarray(np.asarray(opened))
    turned = opened.transpose(Image.Transpose.ROTATE_270)  # by hand: its `info` still has the orientation
    for image, exif in ((pixels, given), (turned, upright), (turned, Image.Exif()), (opened, given)):
        expected = io.BytesIO()
        image.save(expected, "PNG", exif=exif.tobytes() or upright)
        with Image.open(expected) as png:
            expected_pixels = np.asarray(ImageOps.exif_transpose(png))
        with Image.open(io.BytesIO(saved(image, lossless=True, exif=exif.tobytes() or upright))) as ours:
            assert ours.getexif().get(ORIENTATION, 1) == 1
            np.testing.assert_array_equal(np.asarray(ours), expected_pixels)


@pytest.mark.parametrize(
    ("key", "value"),
    [("icc_profile", 5), ("icc_profile", "x"), ("exif", "x"), ("xmp", 5), ("comment", 5), ("dpi", 300)],
)
def test_metadata_of_another_type_is_refused(key: str, value: object) -> None:
    with pytest.raises(OSError, match=f"^{key} "):
        saved(picture_of_mode("RGB", 20, 20), **{key: value})


def test_text_is_taken_for_metadata_that_are_text() -> None:
    data = saved(picture_of_mode("RGB", 20, 20), xmp=XMP.decode(), comment="hello")
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.info["xmp"], opened.info["comment"]) == (XMP, b"hello")


@pytest.mark.parametrize("given", [{}, {"exif": EXIF}], ids=["plain", "exif"])
def test_the_file_of_an_image_counts_beside_metadata_of_the_call(
    given: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "deep.png").write_bytes(deep_png(2, 3))
    plain = io.BytesIO()
    picture_of_mode("RGB", 20, 20).save(plain, "PNG")
    chunk, data = png_chunk(b"cICP", bytes([12, 13, 0, 1])), plain.getvalue()
    (tmp_path / "p3.png").write_bytes(data[:33] + chunk + data[33:])
    with Image.open(tmp_path / "deep.png") as deep, pytest.raises(OSError, match="convert it to 8 bits"):
        saved(deep, **given)
    with Image.open(tmp_path / "p3.png") as image:
        info = dict(image.info)
        assert "colour" in aecodec.info(saved(image, lossless=True, **given)).metadata
        assert image.info == info
