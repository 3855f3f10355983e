"""Every picture file is read right, or refused with a sentence that says what to do about it."""

from __future__ import annotations

import io
import random
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import brotli
import numpy as np
import pillow_heif
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from aecodec.container import MAX_PIXELS, Box, check_size
from aecodec.errors import AecodecError, ImageError, LimitError, MissingExtraError
from aecodec.options import ReadOptions
from aecodec.picture import Picture
from aecodec.picture.jpeg_xl import read_header, unpacked
from aecodec.picture.opening import format_of
from aecodec.picture.reading import from_pillow, read_picture
from aecodec.signatures import READABLE_SUFFIXES
from tests.common import (
    MAKE,
    METADATA,
    ORIENTATION,
    make_exif,
    photograph,
    picture_of_mode,
    psnr_of,
    read_exif,
)
from tests.fuzz.pictures import (
    HEIGHT,
    OPTIONS,
    PICTURE,
    RGB,
    WIDTH,
    deep_png,
    heic,
    inputs,
    outcome,
    png_chunk,
    saved,
    seeds,
)

SEEDS = seeds()
TO_8 = ReadOptions(depth=8)
TOLERANT = ReadOptions(tolerant=True)
SAMPLES = np.random.default_rng(0).integers(0, 2**16, (18, 29, 4), dtype=np.uint16)
MUTATIONS = 1000  # of the 100 000 of docs/hardening.md


def read(data: bytes, options: ReadOptions = ReadOptions()) -> Picture:  # noqa: B008  frozen
    return read_picture(io.BytesIO(data), options)


def rounded(samples: NDArray[Any], white: int) -> NDArray[np.uint8]:
    return np.rint(samples * (255 / white)).astype(np.uint8)


def samples_of(picture: Picture, channels: int) -> NDArray[np.uint8]:
    """The samples (H, W, C) of a picture: gray, gray and alpha, RGB or RGBA."""
    colours = picture.pixels[:, :, : 1 if channels < 3 else 3]
    return np.dstack([colours, picture.alpha]) if channels in (2, 4) else colours


# Damage


@pytest.mark.parametrize("name", SEEDS)
def test_sound_pictures_of_every_kind_are_read(name: str) -> None:
    data = SEEDS[name]
    options = [options for options in OPTIONS if options.depth and options.frame == 0]
    assert {outcome(data, one) for one in options} == {PICTURE}


def test_damaged_pictures_are_read_or_refused() -> None:
    came = {outcome(data, options) for _, data, options in inputs(SEEDS, MUTATIONS, 0)}
    assert came <= {PICTURE, "DamagedError", "ImageError"}
    assert PICTURE in came


def test_whatever_a_library_raises_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    class OddError(Exception):
        pass

    def fail(*_: object) -> None:
        raise OddError("first\nsecond \x1b line")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(ImageError, match=rf"^cannot be read: first second {chr(0xFFFD)} line$"):
        read(SEEDS["PNG RGB"])
    with pytest.raises(ImageError, match="cannot be read"):
        from_pillow(Image.open(io.BytesIO(SEEDS["PNG RGB"])))


def test_a_second_attempt_does_not_pass_over_damage() -> None:
    """Pillow goes on behind damaged data of a PNG where it is asked to load it once more."""
    data = saved(Image.fromarray(photograph(300, 200)), "PNG")
    place = data.index(b"IDAT") + 20_000
    with pytest.raises(ImageError, match="cannot be read"):
        read(data[:place] + bytes(64) + data[place + 64 :])


def test_a_damaged_palette_is_refused_however_tolerant() -> None:
    data = SEEDS["BMP gray"]
    colours = struct.pack("<I", 18_432)
    with pytest.raises(ImageError, match="cannot be read: invalid palette size"):
        read(data[:46] + colours + data[50:], TOLERANT)


def test_damaged_avif_that_the_caller_has_opened_is_refused() -> None:
    data, refused = saved(Image.fromarray(photograph(90, 60)), "AVIF"), 0
    for length in range(8, 80, 8):  # some of which the decoder does not see, others with each release
        damaged = io.BytesIO(data[:-length] + bytes(length))
        with Image.open(damaged) as image, suppress(RuntimeError):
            image.load()
            continue
        with Image.open(damaged) as image, pytest.raises(ImageError, match="cannot be read"):
            from_pillow(image)
        refused += 1
    assert refused


# Files that end too early


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_last_bytes_is_whole(options: dict[str, Any], missing: int) -> None:
    data = saved(Image.fromarray(photograph(150, 100)), "JPEG", **options)
    picture = read(data[:-missing])
    np.testing.assert_array_equal(picture.pixels, read(data).pixels)
    assert picture.notes == ("ends too early, but all of its pixels are there",)


def test_a_png_without_its_end_is_whole() -> None:
    data = saved(RGB, "PNG")
    for missing in (1, 12, 16):  # of the last checksum; the end; the checksum before it
        picture = read(data[:-missing])
        np.testing.assert_array_equal(picture.pixels, np.asarray(RGB))
        assert picture.notes == ("ends too early, but all of its pixels are there",)
    assert read(data).notes == ()


CUT = {
    "JPEG": ("JPEG", {"quality": 90}),
    "progressive JPEG": ("JPEG", {"quality": 90, "progressive": True}),
    "JPEG with restarts": ("JPEG", {"quality": 90, "restart_marker_rows": 1}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "lossy WebP": ("WEBP", {}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "AVIF": ("AVIF", {}),
    "TIFF": ("TIFF", {}),
    "BMP": ("BMP", {}),
}


@pytest.mark.parametrize("name", CUT)
def test_of_a_cut_file_there_is_what_there_is(name: str) -> None:
    pillow_format, options = CUT[name]
    data = saved(Image.fromarray(photograph(300, 200)), pillow_format, **options)
    complete, cut = read(data).pixels, data[: int(0.6 * len(data))]
    with pytest.raises(
        ImageError, match=r"about \d+ % of its pixels are missing( or coarse)?: pass --tolerant"
    ):
        read(cut)
    picture = read(cut, TOLERANT)
    missing = int(picture.notes[0].split("about ")[1].split(" %")[0])
    assert 15 < missing < 75
    if name == "progressive JPEG":  # all of which is coarse
        assert psnr_of(complete, picture.pixels) > 25
    else:
        same = (picture.pixels == complete).all(2).mean()
        assert abs(100 * (1 - same) - missing) < 15, (same, missing)
    assert len(picture.notes) == 1


@pytest.mark.parametrize("motif", ["photograph", "flat", "dark below"])
@pytest.mark.parametrize(
    ("name", "options"), [*CUT.values(), ("JPEG", {"restart_marker_blocks": 2})], ids=str
)
def test_no_cut_file_passes_for_whole(name: str, options: dict[str, Any], motif: str) -> None:
    pixels = photograph(40, 33)
    if motif != "photograph":
        pixels[:: 1 if motif == "flat" else 33] = 200
    pixels[10:] = 0 if motif == "dark below" else pixels[10:]
    data = saved(Image.fromarray(pixels), name, **options)
    complete = read(data).pixels
    for length in {*range(0, len(data), len(data) // 40 + 1), *range(len(data) - 20, len(data))}:
        with suppress(ImageError):
            np.testing.assert_array_equal(read(data[:length]).pixels, complete)


@pytest.mark.parametrize("interlace", [0, 1])
def test_a_transparent_gif_that_is_cut_is_not_whole(interlace: int) -> None:
    image = Image.fromarray(photograph(90, 60)).quantize(32)
    data = saved(image, "GIF", transparency=3, interlace=interlace)
    with pytest.raises(ImageError, match="of its pixels are missing"):
        read(data[: int(0.6 * len(data))])
    assert "of its pixels are missing" in read(data[: int(0.6 * len(data))], TOLERANT).notes[0]


def test_a_progressive_jpeg_cut_between_scans_is_not_whole() -> None:
    data = saved(Image.fromarray(photograph(90, 60)), "JPEG", progressive=True)
    last_scan = data.rindex(b"\xff\xda")
    cut = data[: data.rindex(b"\xff\xc4", 0, last_scan)]  # and without the tables of that scan
    with pytest.raises(ImageError, match="about 100 % of its pixels are missing"):
        read(cut)


def test_a_file_without_a_header_is_refused_however_tolerant() -> None:
    for name, data in SEEDS.items():
        with pytest.raises(ImageError):
            read(data[: 12 if name[:3] != "BMP" else 2], TOLERANT)


def test_the_process_is_not_made_tolerant() -> None:
    from PIL import ImageFile

    read(SEEDS["JPEG progressive"][:-20], TOLERANT)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


# Transparent colours


@pytest.mark.parametrize("key", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_any_bits(bits: int, key: int) -> None:
    above = 0 if bits in (1, 16) else 0x100  # a bit that counts for nothing
    data = deep_png(0, 1, bits, png_chunk(b"tRNS", struct.pack(">H", key | above)))
    bytes_of_rows = np.array(
        [list(Random(n).randbytes(-(-WIDTH * bits // 8))) for n in range(HEIGHT)], np.uint8
    )
    flags = np.unpackbits(bytes_of_rows, axis=1)[:, : WIDTH * bits].reshape(HEIGHT, WIDTH, bits)
    expected = flags @ (1 << np.arange(bits)[::-1])
    picture = read(data, TO_8)
    assert picture.gray
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha == 0, expected == key)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], rounded(expected, 2**bits - 1))


def test_the_transparent_colour_of_16_bits_is_exact() -> None:
    rows = np.array([list(Random(n).randbytes(WIDTH * 6)) for n in range(HEIGHT)], np.uint8)
    colour = rows.view(">u2").reshape(HEIGHT, WIDTH, 3)[4, 5]
    picture = read(deep_png(2, 3, 16, png_chunk(b"tRNS", struct.pack(">3H", *colour))), TO_8)
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[4, 5]]


def test_the_image_of_the_caller_keeps_its_transparency() -> None:
    with Image.open(io.BytesIO(SEEDS["PNG 2 bits"])) as image:
        from_pillow(image)
        assert image.info["transparency"] == 1


# Depth


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_is_rounded_on_demand(colour: int, channels: int) -> None:
    data = deep_png(colour, channels)
    rows = np.array([list(Random(n).randbytes(WIDTH * 2 * channels)) for n in range(HEIGHT)], np.uint8)
    samples = rows.view(">u2").reshape(HEIGHT, WIDTH, channels)
    with pytest.raises(ImageError, match=r"convert it to 8 bits with --depth 8 \(depth=8 in Python\)"):
        read(data)
    picture = read(data, TO_8)
    np.testing.assert_array_equal(samples_of(picture, channels), rounded(samples, 65535))
    assert picture.gray == (channels < 3)
    assert picture.notes == ("has 16 bits a sample, rounded to 8",)


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"tile": (16, 16)}])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_16_bits_is_rounded_on_demand(options: dict[str, Any], channels: int) -> None:
    file, samples = io.BytesIO(), SAMPLES[:, :, :channels]
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    colours = "rgb" if channels > 1 else "minisblack"
    tifffile.imwrite(file, samples.squeeze(), photometric=colours, **extra, **options)
    picture = read(file.getvalue(), TO_8)
    np.testing.assert_array_equal(samples_of(picture, channels), rounded(samples, 65535))
    assert picture.notes == ("has 16 bits a sample, rounded to 8",)


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}])
def test_tiff_of_inks_of_16_bits(options: dict[str, Any]) -> None:
    deep, shallow = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(deep, SAMPLES, photometric="separated", **options)
    tifffile.imwrite(shallow, rounded(SAMPLES, 65535), photometric="separated")
    picture, expected = read(deep.getvalue(), TO_8), read(shallow.getvalue())
    np.testing.assert_array_equal(picture.pixels, expected.pixels)
    assert picture.alpha is None
    assert picture.notes == ("has 16 bits a sample, rounded to 8", *expected.notes)


def test_tiff_whose_white_is_zero() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, SAMPLES[:, :, 0], photometric="miniswhite")
    expected = 255 - rounded(SAMPLES[:, :, :1], 65535)
    np.testing.assert_array_equal(samples_of(read(file.getvalue(), TO_8), 1), expected)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_images_of_16_bits_are_rounded_on_demand(mode: str) -> None:
    gray = SAMPLES[:, :, 0]
    dtype = {"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}[mode]
    image = Image.frombytes(mode, gray.shape[::-1], gray.astype(dtype).tobytes())
    with pytest.raises(ImageError, match=f"has mode {mode}, .*--depth 8"):
        from_pillow(image)
    picture = from_pillow(image, TO_8)
    np.testing.assert_array_equal(samples_of(picture, 1)[:, :, 0], rounded(gray, 65535))
    assert picture.gray


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536]])
def test_integers_beyond_16_bits_are_refused(values: list[int]) -> None:
    with pytest.raises(ImageError, match=r"has integer samples from .*: scale them to 0 to 65535 first"):
        from_pillow(Image.fromarray(np.array([values], np.int32)), TO_8)


@pytest.mark.parametrize("white", [1, 255])
def test_floats_are_rounded_on_demand(white: int) -> None:
    values = np.linspace(0, white, 5 * 7).reshape(5, 7).astype(np.float32)
    data = saved(Image.fromarray(values), "TIFF")
    with pytest.raises(ImageError, match=r"has mode F, .*--depth 8"):
        read(data)
    picture = read(data, TO_8)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], rounded(values, white))
    assert picture.notes == (f"has float samples, rounded to 8 bits with {white} for white",)


def test_floats_a_little_above_white_are_white() -> None:
    values = np.array([[0, 0.5, 1, 1.0001, 1.1]], np.float32)
    picture = read(saved(Image.fromarray(values), "TIFF"), TO_8)
    assert picture.pixels[0, :, 0].tolist() == [0, 128, 255, 255, 255]
    assert picture.notes == ("has float samples, rounded to 8 bits with 1 for white, those up to 1.1 too",)


@pytest.mark.parametrize("high", [0.5, 1, 1.1])
def test_floats_a_little_below_black_are_black(high: float) -> None:
    low = -0.24 * min(high, 1)
    values = np.array([[low, -0.02, 0, 0.5, high]], np.float32)
    picture = read(saved(Image.fromarray(values), "TIFF"), TO_8)
    assert picture.pixels[0, :, 0].tolist() == [0, 0, 0, 128, 128 if high == 0.5 else 255]
    above = ", those up to 1.1 too" if high > 1 else ""
    note = f"has float samples, rounded to 8 bits with 1 for white{above}"
    assert picture.notes == (f"{note}, with 0 for black those down to {low:g} too",)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-0.3, 1.2), (-0.1, 0.1), (-0.2, 0), (-0.5, 255)])
def test_floats_of_both_signs_are_refused(low: float, high: float) -> None:
    with pytest.raises(ImageError, match=r"has float samples from .*: scale them to 0 to 1 first"):
        from_pillow(Image.fromarray(np.array([[low, 0, high]], np.float32)), TO_8)


@pytest.mark.parametrize("value", [-0.2, 1.5, 20, 255.1, np.nan, np.inf, -np.inf])
def test_floats_whose_white_nobody_knows_are_refused(value: float) -> None:
    with pytest.raises(ImageError, match=r"has float samples from .*: scale them to 0 to 1 first"):
        from_pillow(Image.fromarray(np.array([[0.5, value]], np.float32)), TO_8)


@pytest.mark.parametrize("source", ["named", "in memory"])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_deep_png_that_was_loaded_is_not_cut_unsaid(tmp_path: Path, channels: int, source: str) -> None:
    data = deep_png({2: 4, 3: 2, 4: 6}[channels], channels)
    (tmp_path / "a.png").write_bytes(data)
    with Image.open(tmp_path / "a.png" if source == "named" else io.BytesIO(data)) as image:
        image.load()
        with pytest.raises(ImageError, match="has 16 bits a sample"):
            from_pillow(image)
        assert from_pillow(image, TO_8).notes == ("has 16 bits a sample, cut to 8 as it was loaded",)


def deep_avif(image: Image.Image, late: bool = False) -> bytes:
    """An AVIF that says it has 10 bits; where it is `late`, far from the start of the file."""
    data = bytearray(saved(image, "AVIF"))
    data[data.index(b"av1C") + 6] |= 0x40
    depths = data.index(b"pixi") + 9
    data[depths : depths + 3] = bytes([10] * 3)
    if not late:
        return bytes(data)
    start = data.index(b"meta") - 4
    stop = start + int.from_bytes(data[start : start + 4])
    free = struct.pack(">I", 10000) + b"free" + bytes(9992)  # in front of the last box within
    within = data.index(b"iprp") - 4
    data[start : start + 4] = (stop - start + len(free)).to_bytes(4)
    return bytes(data[:within] + free + data[within:])


@pytest.mark.parametrize("late", [False, True])
def test_a_deep_avif_is_refused_wherever_it_says_so(late: bool) -> None:
    with pytest.raises(ImageError, match="has 10 bits a sample: convert it to 8 bits with --depth 8"):
        read(deep_avif(RGB, late))


def test_a_deep_avif_that_was_loaded_is_not_cut_unsaid(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    RGB.save(path)
    with Image.open(path) as image:
        image.load()
        assert from_pillow(image).notes == ()
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()
        assert from_pillow(image).notes[0].startswith("was loaded before, and its file is gone")
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert [from_pillow(image).notes for _ in range(2)] == [(), ()]  # loaded by ourselves
    with Image.open(path) as image:
        image.load()
        path.write_bytes(deep_avif(RGB))
        with pytest.raises(ImageError, match="has 10 bits a sample"):
            from_pillow(image)
        assert from_pillow(image, TO_8).notes == ("has 10 bits a sample, made 8 by its decoder",)


@pytest.mark.parametrize("depth", [16, 0, "8", 8.5, True])
def test_other_depths_are_not_offered(depth: Any) -> None:
    with pytest.raises(ImageError, match="depth"):
        read(SEEDS["PNG RGB"], ReadOptions(depth=depth))


# Frames


FRAMES = {name: data for name, data in SEEDS.items() if "animated" in name or "several" in name}


@pytest.mark.parametrize("name", FRAMES)
def test_one_frame_of_several(name: str) -> None:
    data = FRAMES[name]
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
        for frame in (2, 0, 1):
            image.seek(frame)
            expected = np.asarray(image.convert("RGB"))
            picture = read(data, ReadOptions(frame=frame))
            np.testing.assert_array_equal(picture.pixels, expected)
            assert picture.notes == ()
    assert len({read(data, ReadOptions(frame=frame)).pixels.tobytes() for frame in range(3)}) == 3
    with pytest.raises(ImageError, match="has no frame 3: it holds 3 frames, 0 to 2"):
        read(data, ReadOptions(frame=3))
    with pytest.raises(ImageError, match="has no frame -1"):
        read(data, ReadOptions(frame=-1))


@pytest.mark.parametrize("name", sorted({*FRAMES} - {"JPEG several"}))
def test_several_frames_name_the_option(name: str) -> None:
    with pytest.raises(ImageError, match=r"holds 3 frames: choose one with --frame 0 to 2 \(frame= in"):
        read(FRAMES[name])


def test_a_single_picture_is_frame_0() -> None:
    assert read(SEEDS["PNG RGB"], ReadOptions(frame=0)).notes == ()
    with pytest.raises(ImageError, match="has no frame 1: it holds 1 frame, which is 0"):
        read(SEEDS["PNG RGB"], ReadOptions(frame=1))


def test_the_note_names_the_frame_that_is_kept() -> None:
    data = FRAMES["JPEG several"]
    assert read(data).notes == ("holds 3 frames, of which the first is kept",)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(2)
        picture = from_pillow(image)
        np.testing.assert_array_equal(picture.pixels, np.asarray(image))
        assert picture.notes == ("holds 3 frames, of which frame 2 is kept",)


def test_the_image_of_the_caller_stays_where_it_was() -> None:
    with Image.open(io.BytesIO(FRAMES["GIF animated"])) as image:
        image.seek(1)
        from_pillow(image, ReadOptions(frame=2))
        assert image.tell() == 1


# HEIC and JPEG XL


def test_heic_keeps_metadata_and_is_turned_once(tmp_path: Path) -> None:
    file = pillow_heif.from_pillow(RGB)
    data = io.BytesIO()
    file.save(data, quality=-1, exif=make_exif(6), xmp=METADATA[Box.XMP])
    picture = read(data.getvalue())
    assert picture.pixels.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(picture.pixels.astype(int) - np.rot90(np.asarray(RGB), -1)).mean() < 4
    tags = read_exif(picture.metadata[Box.EXIF])
    assert (tags[MAKE], tags.get(ORIENTATION, 1)) == ("maker", 1)
    assert b"<note>" in picture.metadata[Box.XMP]
    assert picture.notes == ()


def test_colours_of_heic_that_are_not_srgb_are_kept() -> None:
    file, data = pillow_heif.from_pillow(RGB), io.BytesIO()
    nclx = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 1}
    file[0].info["nclx_profile"] = {**nclx, "full_range_flag": 1}
    file.save(data, save_nclx_profile=True)
    assert read(data.getvalue()).metadata[Box.COLOUR][:2] == bytes([12, 13])


def test_heic_of_10_bits_is_rounded_on_demand() -> None:
    samples = np.linspace(0, 65535, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
    data = heic(pillow_heif.from_bytes("RGB;16", (64, 64), samples.tobytes()))
    with pytest.raises(ImageError, match="has 10 bits a sample: convert it to 8 bits with --depth 8"):
        read(data)
    picture = read(data, TO_8)
    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)  # holds what [0] shows
    decoded = np.asarray(file[0]) >> 6
    np.testing.assert_array_equal(picture.pixels, rounded(decoded, 1023))
    assert picture.notes == ("has 10 bits a sample, rounded to 8",)


@pytest.mark.parametrize("packed", [False, True])
def test_jpeg_xl_keeps_pixels_metadata_and_gray(packed: bool) -> None:
    image = picture_of_mode("L", 31, 17)
    metadata = {"exif": make_exif(6), "xmp": METADATA[Box.XMP], "compress_metadata": packed}
    picture = read(saved(image, "JXL", lossless=True, use_container=True, **metadata))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.asarray(image))  # the codestream's counts
    assert picture.gray
    tags = read_exif(picture.metadata[Box.EXIF])
    assert (tags[MAKE], tags.get(ORIENTATION, 1)) == ("maker", 1)
    assert picture.metadata[Box.XMP] == METADATA[Box.XMP]


def test_jpeg_xl_of_16_bits_is_rounded_on_demand() -> None:
    data = saved(Image.fromarray(SAMPLES[:, :, 0]), "JXL", lossless=True)
    with pytest.raises(ImageError, match=r"has mode I;16, .*--depth 8"):
        read(data)
    np.testing.assert_array_equal(samples_of(read(data, TO_8), 1), rounded(SAMPLES[:, :, :1], 65535))


DEEP_RGB_JXL = "ff0a035140d1220804010068"  # the header of 24x16 pixels, RGB of 10 bits
ANIMATED_JXL = "ff0a03054d00202608040100"  # the same of 8 bits, animated


def test_headers_of_jpeg_xl() -> None:
    deep, animated = (read_header(bytes.fromhex(text)) for text in (DEEP_RGB_JXL, ANIMATED_JXL))
    assert (deep.width, deep.height, deep.bits, deep.animated) == (24, 16, 10, False)
    assert (animated.width, animated.height, animated.animated) == (24, 16, True)
    for size in ((1, 1), (256, 256), (640, 480), (16, 9), (300, 7000), (513, 8)):
        header = read_header(saved(Image.new("RGB", size), "JXL"))
        assert (header.width, header.height, header.bits) == (*size, 8)


def test_packed_metadata_are_no_bomb() -> None:
    bomb = b"xml " + brotli.compress(bytes(10**8), quality=2)
    with pytest.raises(ImageError, match="has packed metadata that are cut or over"):
        unpacked(b"brob", bomb)


def test_animated_jpeg_xl_is_refused() -> None:
    with pytest.raises(ImageError, match="is animated"):
        read(bytes.fromhex(ANIMATED_JXL))


def test_jpeg_xl_over_the_limit_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match="over the limit of 100000 pixels"):
        read(saved(Image.new("RGB", (640, 480)), "JXL"), ReadOptions(max_pixels=100_000))


@pytest.mark.parametrize(
    ("name", "module", "what"),
    [
        ("HEIC RGB", "pillow_heif", "HEIC"),
        ("JXL RGB", "pillow_jxl", "JPEG XL"),
        ("JXL RGB", "brotli", "JPEG XL"),
    ],
)
def test_without_the_extra_it_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, what: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{what} needs pip install 'aecodec\[more\]'"):
        read(SEEDS[name])


# Formats, limits and the process


def test_formats_are_known_by_their_bytes_alone() -> None:
    formats = {"HEIC": "HEIF"}
    for name, data in SEEDS.items():
        expected = name.split()[0]
        assert format_of(data[:512]) == formats.get(expected, expected)
    assert format_of(b"") is None
    for text in (b"\xaeC\r\n", b"BMW and other makers of cars", b"GIF files are old", b"II and III"):
        assert format_of(text) is None
    assert {".heic", ".jxl", ".jfif", ".jpe", ".jif", ".apng", ".dib"} <= READABLE_SUFFIXES


@pytest.mark.parametrize(
    ("size", "limit", "fits"),
    [
        ((97, 61), 97 * 61, True),
        ((97, 61), 97 * 61 - 1, False),
        ((4000, 2500), 10_000_000, True),  # whose last cells are cut
        ((480, 17_000), MAX_PIXELS, True),
        ((1, 1_048_576), 16_000_000, False),
        ((1_048_576, 1), 16_000_000, False),
        ((33, 1_000_000), 40_000_000, False),
        ((1, 4_194_304), MAX_PIXELS, True),  # the work of 134 million
        ((1, 16_000_000), MAX_PIXELS, False),
    ],
)
def test_the_limit_is_one_of_work(size: tuple[int, int], limit: int, fits: bool) -> None:
    if fits:
        check_size(*size, limit)
        return
    with pytest.raises(LimitError, match=f"over the limit of {limit} pixels: raise it with --max-pixels"):
        check_size(*size, limit)


@pytest.mark.parametrize("name", [name for name in SEEDS if "animated" not in name and "several" not in name])
def test_pictures_over_the_limit_are_refused(name: str) -> None:
    with pytest.raises(ImageError, match="over the limit of 521 pixels"):
        read(SEEDS[name], ReadOptions(max_pixels=WIDTH * HEIGHT - 1))


def test_the_limit_of_pillow_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read(SEEDS["PNG RGB"]).pixels.shape == (HEIGHT, WIDTH, 3)


def test_reading_in_threads_leaves_warnings_as_they_were(tmp_path: Path) -> None:
    odd = saved(RGB, "TIFF")[:-1] + b"\xff"
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(RGB, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x07\x01"))
    before, seen, done = list(warnings.filters), 0, threading.Event()

    def work(number: int) -> None:
        time.sleep(random.Random(number).uniform(0, 0.01))
        for _ in range(20):
            read_picture(path)
            with suppress(AecodecError):
                read(odd)

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, number) for number in range(8)]
        while not done.is_set():
            with pytest.raises(UserWarning, match="heard"):
                warnings.warn("heard", stacklevel=1)
            seen += 1
            if all(future.done() for future in futures):
                done.set()
    for future in futures:
        future.result()
    assert seen
    assert list(warnings.filters) == before


@pytest.mark.parametrize("wrap", [Path, str, lambda path: path.open("rb")], ids=["path", "text", "open"])
def test_files_by_name_or_open(tmp_path: Path, wrap: Callable[[Path], Any]) -> None:
    path = tmp_path / "a.png"
    RGB.save(path)
    source = wrap(path)
    np.testing.assert_array_equal(read_picture(source).pixels, np.asarray(RGB))
    if hasattr(source, "read"):
        assert not source.closed
        source.close()


def test_what_is_no_open_file_of_bytes_is_said() -> None:
    for wrong, remedy in (
        (io.StringIO("text"), "open it in mode 'rb'"),
        (object(), "open for reading bytes"),
    ):
        with pytest.raises(ImageError, match=remedy):
            read_picture(wrong)  # type: ignore[arg-type]
