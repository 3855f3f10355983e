"""Nothing of a picture is lost between its file and its pixels, or an error says so."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import BmpImagePlugin, ExifTags, Image, ImageOps, PngImagePlugin
from skimage.metrics import peak_signal_noise_ratio
from tifffile import imwrite

from aecodec.container import Box
from aecodec.errors import AecodecError, BitstreamError, ImageError
from aecodec.options import ReadOptions
from aecodec.picture import Picture, psnr
from aecodec.picture.lossless import LOSSLESS_MAX_SIDE, read_lossless, write_pixels
from aecodec.picture.reading import from_pillow, read_picture
from aecodec.picture.writing import FORMATS, encode_image, format_for, to_pillow
from tests.common import (
    MAKE,
    METADATA,
    ORIENTATION,
    SOFTWARE,
    TAKEN,
    assert_close,
    assert_same_picture,
    make_cmyk_icc,
    make_exif,
    noise,
    picture_of_mode,
    png_chunk,
    read_exif,
)

MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}
XMP_TAG = 700  # of a TIFF
FORMATS_WITH_METADATA = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")


def saved(path: Path, image: Image.Image, format: str = "PNG", **options: object) -> Path:
    image.save(path, format, **options)
    return path


@pytest.mark.parametrize(("mode", "back"), MODES.items())
def test_modes_survive(tmp_path: Path, mode: str, back: str) -> None:
    image = picture_of_mode(mode, 31, 17)
    result = to_pillow(read_picture(saved(tmp_path / "a.png", image)))
    assert result.mode == back
    np.testing.assert_array_equal(np.asarray(result), np.asarray(image.convert(back)))


@pytest.mark.parametrize(("mode", "back"), [("P", "RGBA"), ("RGB", "RGBA"), ("L", "LA")])
def test_transparent_colours_survive(tmp_path: Path, mode: str, back: str) -> None:
    image = picture_of_mode(mode, 31, 17)
    key = image.getpixel((3, 4))
    path = saved(tmp_path / "a.png", image, transparency=key)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGBA"))
    result = to_pillow(read_picture(path))
    assert result.mode == back
    np.testing.assert_array_equal(np.asarray(result.convert("RGBA")), expected)
    assert 0 in expected[:, :, 3]


def test_palette_with_several_alphas_survives(tmp_path: Path) -> None:
    image = picture_of_mode("P", 31, 17)
    path = saved(tmp_path / "a.png", image, transparency=bytes(range(256)))
    result = to_pillow(read_picture(path))
    assert result.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(result.getchannel("A")), np.asarray(image))


@pytest.mark.parametrize(
    ("mode", "format"),
    [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF"), ("I", "TIFF"), ("F", "TIFF")],
)
def test_modes_that_would_lose_something_are_refused(tmp_path: Path, mode: str, format: str) -> None:
    path = saved(tmp_path / "a", Image.new(mode, (5, 4)), format)
    with pytest.raises(ImageError, match=r"has mode (I;16|I;16B|I|F), not 8-bit.*convert it"):
        read_picture(path)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted_with_a_note(tmp_path: Path, format: str) -> None:
    cyan = Image.new("CMYK", (5, 4), (255, 0, 0, 0))
    by_formula = read_picture(saved(tmp_path / "a", cyan, format))
    assert_close(by_formula.pixels, np.full((4, 5, 3), (0, 255, 255), np.uint8), levels=2)
    assert by_formula.notes == ("CMYK without an ICC profile became RGB by a formula: colours may differ",)
    by_profile = read_picture(saved(tmp_path / "a", cyan, format, icc_profile=make_cmyk_icc()))
    assert_close(by_profile.pixels, np.full((4, 5, 3), (255, 0, 0), np.uint8), levels=12)
    assert by_profile.notes == ("CMYK became sRGB through its ICC profile, which is left out",)
    assert Box.ICC not in by_profile.metadata


@pytest.mark.parametrize("profile", [b"no profile", METADATA[Box.ICC]], ids=["broken", "of RGB"])
def test_cmyk_with_a_faulty_profile_is_converted_without_it(profile: bytes) -> None:
    image = Image.new("CMYK", (5, 4), (0, 255, 0, 0))
    image.info["icc_profile"] = profile
    picture = from_pillow(image)
    np.testing.assert_array_equal(picture.pixels, np.full((4, 5, 3), (255, 0, 255)))
    assert "faulty ICC profile" in picture.notes[0]
    assert Box.ICC not in picture.metadata
    assert image.info["icc_profile"] == profile  # the caller's image is as it was


def test_the_first_frame_of_a_camera_is_kept_with_a_note(tmp_path: Path) -> None:
    first, second = (Image.fromarray(noise(32, 24, seed)) for seed in range(2))
    path = saved(tmp_path / "a.jpg", first, "MPO", save_all=True, append_images=[second])
    picture = read_picture(path)
    assert picture.notes == ("holds 2 frames, of which the first is kept",)
    with Image.open(path) as image:
        np.testing.assert_array_equal(picture.pixels, np.asarray(image))


def test_an_unusual_gamma_is_noted(tmp_path: Path) -> None:
    assert "its gamma of 1, not 1/2.2, is left out" in notes_of_gamma(tmp_path, 100_000)[0]


@pytest.mark.parametrize(
    ("gamma", "more"),
    [(45_455, ()), (45_000, ()), (0, ()), (100_000, ((b"sRGB", b"\0"),))],
    ids=["usual", "about usual", "none", "sRGB"],
)
def test_a_gamma_that_changes_nothing_is_not_noted(
    tmp_path: Path, gamma: int, more: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert notes_of_gamma(tmp_path, gamma, more) == ()


def test_beside_a_profile_gamma_is_not_noted(tmp_path: Path) -> None:
    more = ((b"cHRM", chromaticity()),)
    assert notes_of_gamma(tmp_path, 100_000, more, icc_profile=METADATA[Box.ICC]) == ()


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (12, 13), (1, 1), (2, 13), (2, 2)])
def test_cicp_goes_before_gamma(tmp_path: Path, primaries: int, transfer: int) -> None:
    more = ((b"cICP", bytes([primaries, transfer, 0, 1])), (b"cHRM", chromaticity()))
    notes = notes_of_gamma(tmp_path, 100_000, more)
    assert len(notes) == (2 if (primaries, transfer) == (2, 2) else 0)


def test_cicp_of_a_narrow_range_is_the_only_note(tmp_path: Path) -> None:
    [note] = notes_of_gamma(tmp_path, 100_000, ((b"cICP", b"\1\15\0\0"),))
    assert note.startswith("its cICP, not of RGB in its full range, is left out")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_gray_has_no_primaries_that_could_be_noted(tmp_path: Path, mode: str) -> None:
    gray = mode in ("1", "L", "LA")
    image = Image.fromarray(noise(9, 7)).convert(mode)
    assert len(notes_of_gamma(tmp_path, 45_455, ((b"cHRM", chromaticity()),), image)) == (not gray)
    another_white = chromaticity((34_567, 35_850))
    assert len(notes_of_gamma(tmp_path, 45_455, ((b"cHRM", another_white),), image)) == 1


def chromaticity(white: tuple[int, int] = (31_270, 32_900)) -> bytes:
    """A cHRM of Display P3's primaries."""
    return struct.pack(">8I", *white, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)


def notes_of_gamma(
    tmp_path: Path,
    gamma: int,
    more: tuple[tuple[bytes, bytes], ...] = (),
    image: Image.Image | None = None,
    **options: object,
) -> tuple[str, ...]:
    chunks = PngImagePlugin.PngInfo()
    for chunk_type, content in ((b"gAMA", struct.pack(">I", gamma)), *more):
        chunks.add(chunk_type, content)
    image = image or Image.fromarray(noise(9, 7))
    return read_picture(saved(tmp_path / "a.png", image, pnginfo=chunks, **options)).notes


@pytest.mark.parametrize(("flag", "bits"), [(0x40, 10), (0x60, 12)])
def test_deep_avif_is_refused(tmp_path: Path, flag: int, bits: int) -> None:
    data = bytearray(encode_image(Image.fromarray(noise(16, 16)), "AVIF"))
    data[data.index(b"av1C") + 6] |= flag
    depths = data.index(b"pixi") + 9
    data[depths : depths + 3] = bytes([bits] * 3)
    path = tmp_path / "a.avif"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=f"has {bits} bits a sample"):
        read_picture(path)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused(tmp_path: Path, colour: int, channels: int) -> None:
    rows = zlib.compress(2 * (b"\0" + bytes(range(6 * channels))))
    header = struct.pack(">IIBBBBB", 3, 2, 16, colour, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND", b"")]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(ImageError):
        read_picture(path)


@pytest.mark.parametrize("masks", [(0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)])
def test_bmp_of_sixteen_bits_a_pixel_is_read(masks: tuple[int, ...]) -> None:
    colours = [*masks, 0, masks[0] | masks[1]]  # red, green, blue, black, yellow
    rows = struct.pack("<5H2x", *colours)
    head = struct.pack("<IiiHHIIiiII3I", 40, 5, 1, 1, 16, 3, len(rows), 0, 0, 0, 0, *masks)
    file = b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head + rows
    expected = [[(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 0)]]
    np.testing.assert_array_equal(read_picture(io.BytesIO(file)).pixels, expected)


@pytest.mark.parametrize("header", [56, 108, 124])
@pytest.mark.parametrize("height", [2, -2])
@pytest.mark.parametrize("format", ["BMP", "DIB"])
def test_a_bit_of_alpha_of_bmp_is_read(format: str, height: int, header: int) -> None:
    rows = struct.pack("<4H", 0xFC00, 0x7C00, 0x8000, 0x7FFF)  # red, white and black
    masks = 0x7C00, 0x3E0, 0x1F, 0x8000
    head = struct.pack("<IiiHHIIiiII4I", header, 2, height, 1, 16, 3, len(rows), 0, 0, 0, 0, *masks)
    head = head.ljust(header, b"\0")
    front = b"BM" + struct.pack("<IHHI", 14 + header + len(rows), 0, 0, 14 + header)
    data = (front if format == "BMP" else b"") + head + rows
    picture = read_picture(io.BytesIO(data))
    colours, alpha = [[(255, 0, 0)] * 2, [(0, 0, 0), (255, 255, 255)]], [[255, 0], [255, 0]]
    order = slice(None, None, -1 if height > 0 else 1)
    np.testing.assert_array_equal(picture.pixels, colours[order])
    np.testing.assert_array_equal(picture.alpha, alpha[order])
    assert (picture.gray, picture.notes) == (False, ())
    cut = read_picture(io.BytesIO(data[:-4]), ReadOptions(tolerant=True))
    assert cut.alpha is not None
    assert cut.notes == ("is damaged or ends too early: about 50 % of its pixels are missing",)
    plugins = {"BMP": BmpImagePlugin.BmpImageFile, "DIB": BmpImagePlugin.DibImageFile}
    left = "its alpha, which Pillow does not read, is left out: give its file"
    assert from_pillow(plugins[format](io.BytesIO(data))).notes == (left,)


def test_sixteen_bit_tiff_is_refused(tmp_path: Path) -> None:
    imwrite(tmp_path / "a.tiff", np.zeros((4, 5, 3), np.uint16), photometric="rgb")
    with pytest.raises(ImageError, match="has 16 bits a sample"):
        read_picture(tmp_path / "a.tiff")


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_are_refused(tmp_path: Path, format: str) -> None:
    frames = [Image.fromarray(noise(9, 7, seed)) for seed in range(3)]
    path = saved(tmp_path / "a", frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="holds 3 frames"):
        read_picture(path)


def test_one_gif_frame_is_a_picture(tmp_path: Path) -> None:
    image = picture_of_mode("P", 31, 17)
    pixels = read_picture(saved(tmp_path / "a.gif", image, "GIF")).pixels
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(tmp_path: Path, format: str, orientation: int) -> None:
    image = Image.fromarray(noise(9, 5))
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "maker"
    options = {"lossless": True} if format == "WEBP" else {}
    path = saved(tmp_path / "a", image, format, exif=exif, **options)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    picture = read_picture(path)
    assert picture.pixels.shape == ((5, 9, 3) if orientation < 5 else (9, 5, 3))
    np.testing.assert_array_equal(picture.pixels, expected)
    tags = read_exif(picture.metadata[Box.EXIF])
    assert tags.get(ORIENTATION, 1) == 1
    assert tags[MAKE] == "maker"
    assert ImageOps.exif_transpose(to_pillow(picture)).size == to_pillow(picture).size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_resolutions_follow_the_pixels(tmp_path: Path, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if format != "TIFF":  # where these are those of the file
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = 200, 100
    path = saved(tmp_path / "a", Image.fromarray(noise(9, 5)), format, exif=exif, dpi=(300, 150))
    image = to_pillow(read_picture(path))
    assert tuple(map(round, image.info["dpi"])) == ((300, 150) if orientation < 5 else (150, 300))
    tags = image.getexif()
    if format != "TIFF":
        kept = tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution]
        assert kept == ((200, 100) if orientation < 5 else (100, 200))


@pytest.mark.parametrize("of_exif", [1, 6, None])
@pytest.mark.parametrize("loaded", [False, True])
def test_what_xmp_of_a_tiff_says_of_its_orientation_is_applied_once(
    tmp_path: Path, of_exif: int | None, loaded: bool
) -> None:
    exif = Image.Exif()
    exif[XMP_TAG] = METADATA[Box.XMP] + b'<a tiff:Orientation="6"/>'
    if of_exif:
        exif[ORIENTATION] = of_exif
    path = saved(tmp_path / "a.tif", Image.fromarray(noise(9, 5)), "TIFF", exif=exif)
    with Image.open(path) as opened:
        if loaded:
            opened.load()
        picture = from_pillow(opened)
    shown = to_pillow(picture)
    assert shown.size == ((9, 5) if of_exif == 1 else (5, 9))
    assert ImageOps.exif_transpose(shown).size == shown.size


@pytest.mark.parametrize("format", FORMATS_WITH_METADATA)
def test_icc_survives(tmp_path: Path, format: str) -> None:
    assert written(tmp_path, format, Box.ICC) == METADATA[Box.ICC]


@pytest.mark.parametrize("format", FORMATS_WITH_METADATA)
def test_exif_survives(tmp_path: Path, format: str) -> None:
    data = written(tmp_path, format, Box.EXIF)
    assert read_exif(data) == {MAKE: "maker", SOFTWARE: "program", TAKEN: "2020:01:02 03:04:05"}


@pytest.mark.parametrize("format", FORMATS_WITH_METADATA)
def test_xmp_survives(tmp_path: Path, format: str) -> None:
    assert written(tmp_path, format, Box.XMP) == METADATA[Box.XMP]


def written(tmp_path: Path, format: str, box: Box) -> bytes:
    """One kind of metadata, written alone with `encode_image` and read back."""
    image = to_pillow(Picture(noise(9, 7), metadata={box: METADATA[box]}))
    path = tmp_path / "a"
    path.write_bytes(encode_image(image, format))
    return read_picture(path).metadata.get(box, b"")


@pytest.mark.parametrize("format", FORMATS_WITH_METADATA)
def test_all_metadata_survive_together(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode_image(to_pillow(Picture(noise(9, 7), metadata=METADATA)), format))
    assert set(read_picture(path).metadata) == set(METADATA)


@pytest.mark.parametrize("format", FORMATS_WITH_METADATA)
def test_no_metadata_come_from_nothing(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode_image(Image.fromarray(noise(9, 7)), format))
    assert read_picture(path).metadata == {}


@pytest.mark.parametrize("format", ["BMP", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_lossless_formats_keep_pixels(tmp_path: Path, format: str, mode: str) -> None:
    image = picture_of_mode(mode, 31, 17)
    if format == "BMP" and mode.endswith("A"):
        with pytest.raises(ImageError, match="transparency, which BMP cannot hold"):
            encode_image(image, format)
        return
    path = tmp_path / "a"
    path.write_bytes(encode_image(image, format))
    result = read_picture(path)
    if format == "WEBP":  # knows no gray
        np.testing.assert_array_equal(result.pixels, from_pillow(image).pixels)
    else:
        assert_same_picture(result, from_pillow(image))


def test_transparency_is_refused_by_jpeg() -> None:
    with pytest.raises(ImageError, match=r"transparency, which JPEG cannot hold: choose \.png"):
        encode_image(picture_of_mode("RGBA", 9, 7), "JPEG")


def test_every_suffix_has_a_format_that_writes() -> None:
    image = picture_of_mode("RGB", 31, 17)
    for suffix in FORMATS:
        data = encode_image(image, format_for(Path("a" + suffix.upper())))
        with Image.open(io.BytesIO(data)) as opened:
            assert_close(np.asarray(opened.convert("RGB")), np.asarray(image), levels=60)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "exif", [b"junk", b"Exif\0\0MM\0*\0\0\0\x08\0\x07\x01", b"II*\0\xff\xff\xff\xff", b"MM"]
)
def test_odd_metadata_are_written_or_refused(suffix: str, exif: bytes) -> None:
    image = picture_of_mode("RGB", 31, 17)
    image.info.update(icc_profile=b"junk", exif=exif, xmp=b"\0\xff")
    try:
        data = encode_image(image, FORMATS[suffix])
    except ImageError:
        assert suffix not in (".png", ".bmp")
    else:
        assert read_picture(io.BytesIO(data)).pixels.shape == (17, 31, 3)


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.aec"])
def test_unknown_suffix_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match=r"unknown suffix .*choose one of"):
        format_for(Path(name))


def test_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"not a picture that can be read"):
        read_picture(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot be read: No such file"):
        read_picture(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, beside its error
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_truncated_pictures_are_refused(tmp_path: Path, format: str) -> None:
    data, path = encode_image(Image.fromarray(noise(9, 7)), format), tmp_path / "a"
    path.write_bytes(data)
    expected = read_picture(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with suppress(ImageError):
            assert_same_picture(read_picture(path), expected)


def test_lossless_round_trip_keeps_what_alpha_hides() -> None:
    image = picture_of_mode("RGBA", 31, 17)
    samples = np.asarray(image)
    result = read_lossless(write_pixels(samples[..., :3], samples[..., 3]), image.size)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(image))


def test_lossless_of_another_size_is_refused() -> None:
    with pytest.raises(AecodecError, match="the header says"):
        read_lossless(write_pixels(noise(5, 4)), (4, 5))


@pytest.mark.parametrize("options", [{"quality": 80}, {"save_all": True}, {"exif": make_exif()}])
def test_a_webp_that_we_do_not_write_is_refused(options: dict[str, Any]) -> None:
    """Lossy, animated, or with a canvas of its own, by which a decoder might allocate."""
    first, second, file = Image.fromarray(noise(9, 7)), Image.fromarray(noise(9, 7, 1)), io.BytesIO()
    more = {"append_images": [second]} if "save_all" in options else {}
    first.save(file, "WEBP", lossless="quality" not in options, **options, **more)
    with pytest.raises(BitstreamError, match="not a lossless one"):
        read_lossless(file.getvalue(), (9, 7))


@pytest.mark.parametrize("length", [0, 4, 30, -1])
def test_truncated_lossless_is_refused(length: int) -> None:
    with pytest.raises(AecodecError, match="the WebP inside"):
        read_lossless(write_pixels(noise(9, 7))[:length], (9, 7))


@pytest.mark.parametrize("size", [(5, 4), (LOSSLESS_MAX_SIDE, LOSSLESS_MAX_SIDE)])
def test_lossless_that_claims_to_be_huge_is_refused(size: tuple[int, int]) -> None:
    data = bytearray(write_pixels(noise(5, 4)))
    assert data[12:16] == b"VP8L"
    rest = int.from_bytes(data[21:25], "little") >> 28 << 28
    data[21:25] = (rest | (LOSSLESS_MAX_SIDE - 1) << 14 | LOSSLESS_MAX_SIDE - 1).to_bytes(4, "little")
    with pytest.raises(AecodecError):
        read_lossless(bytes(data), size)


def test_psnr_is_that_of_scikit_image() -> None:
    one, other = noise(31, 17, 1), noise(31, 17, 2)
    expected = peak_signal_noise_ratio(one, other, data_range=255)  # type: ignore[no-untyped-call]
    assert psnr(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (5, 250), (0, 1)])
def test_psnr_does_not_wrap_around(low: int, high: int) -> None:
    dark, bright = (np.full((4, 5, 3), value, np.uint8) for value in (low, high))
    expected = pytest.approx(20 * np.log10(255 / (high - low)))
    assert psnr(dark, bright) == expected
    assert psnr(bright, dark) == expected


def test_psnr_of_identical_pictures_is_none() -> None:
    assert psnr(noise(9, 7), noise(9, 7)) is None


def test_psnr_of_different_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        psnr(noise(9, 7), noise(9, 8))
