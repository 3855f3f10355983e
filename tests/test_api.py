"""What the package exports: every picture comes back, and every wrong input has its error."""

from __future__ import annotations

import doctest
import inspect
import io
import types
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import aecodec
import aecodec.api
from aecodec import errors
from aecodec.arrays import Pixels
from aecodec.container import MAX_PIXELS, MAX_SIDE, Box, Container, parse, serialise
from aecodec.decoder.decoding import decode_picture
from aecodec.encoder import lossless
from aecodec.errors import BitstreamError, ImageError, LimitError, RegionError, UnknownModelError
from aecodec.options import ReadOptions
from aecodec.picture import Picture, check_input
from aecodec.picture.lossless import write_pixels
from aecodec.picture.reading import from_pillow
from aecodec.picture.writing import to_pillow
from tests.common import METADATA, noise, photograph, picture_of_mode, psnr_of, read_exif, run_python

BACK = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}
SIZES = [(1, 1), (1, 17), (17, 1), (31, 33), (97, 61), (640, 480)]
LARGE = (3000, 2800)  # more than MODERATE of the lossless encoder, the largest limit that changes anything
FOREIGN_WEBP = {
    "empty": b"",
    "truncated": write_pixels(noise(5, 4))[:-9],
    "not WebP": b"not a WebP",
    "another size": write_pixels(noise(4, 5)),
}


@pytest.mark.parametrize("mode", BACK)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("metadata", [{}, METADATA], ids=["bare", "metadata"])
def test_every_mode_and_size_comes_back(
    mode: str, size: tuple[int, int], metadata: Mapping[Box, bytes]
) -> None:
    assert_comes_back(picture_of_mode(mode, *size), metadata)


def test_large_pictures_come_back() -> None:
    grain = noise(*LARGE) // 16
    image = Image.fromarray(np.asarray(picture_of_mode("RGB", 500, 375).resize(LARGE)) // 2 + grain)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert_comes_back(image, METADATA)


@pytest.mark.parametrize("mode", BACK)
def test_large_pictures_of_every_mode_come_back(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "MODERATE", 2**21)
    small = picture_of_mode(mode, 500, 375)
    assert_comes_back(small.resize((1700, 1300), Image.Resampling.NEAREST), METADATA, lossless=True)


def assert_comes_back(image: Image.Image, metadata: Mapping[Box, bytes], lossless: bool = False) -> None:
    """Mode, size and metadata, alpha exactly, and pixels about."""
    picture = replace(from_pillow(image), metadata=metadata)
    result = aecodec.decompress(
        aecodec.compress(picture, None if lossless else 60, effort=0, lossless=lossless)
    )
    assert (result.mode, result.size) == (BACK[image.mode], image.size)
    assert psnr_of(picture.pixels, np.asarray(result.convert("RGB"))) > 15
    if image.mode.endswith("A"):
        np.testing.assert_array_equal(np.asarray(result.getchannel("A")), np.asarray(image.getchannel("A")))
    assert from_pillow(result).metadata.keys() == metadata.keys()
    if metadata:
        assert result.info["icc_profile"] == metadata[Box.ICC]
        assert result.info["xmp"] == metadata[Box.XMP]
        assert read_exif(result.info["exif"]) == read_exif(metadata[Box.EXIF])


def test_gray_has_three_equal_channels() -> None:
    file = aecodec.compress(picture_of_mode("L", 97, 61), 30)
    assert aecodec.info(file).coding == "learned"
    pixels = decode_picture(parse(file)).pixels
    np.testing.assert_array_equal(pixels, pixels[:, :, :1].repeat(3, axis=2))


def test_pictures_arrays_and_pillow_images_are_one() -> None:
    pixels = photograph(97, 61)
    files = {aecodec.compress(image) for image in (pixels, Image.fromarray(pixels), Picture(pixels))}
    assert len(files) == 1


def test_gray_arrays_are_gray() -> None:
    gray = photograph(97, 61)[:, :, 0]
    assert aecodec.decompress(aecodec.compress(gray)).mode == "L"


def test_arrays_with_gaps_are_read_right() -> None:
    pixels = photograph(194, 122)[::2, ::-2]
    assert aecodec.compress(pixels) == aecodec.compress(np.ascontiguousarray(pixels))


@pytest.mark.parametrize("colour", ["black", "white", "teal", "#010203"])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (300, 200)])
def test_flat_colours_are_lossless(colour: str, size: tuple[int, int]) -> None:
    assert_lossless(Image.new("RGB", size, colour))


def assert_lossless(image: Image.Image) -> None:
    file = aecodec.compress(image, 50)
    assert aecodec.info(file).coding == "lossless"
    result = aecodec.decompress(file)
    assert result.mode == image.mode
    np.testing.assert_array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("tile", [noise(64, 64), photograph(100, 100)], ids=["noise", "photograph"])
def test_repetitions_are_lossless_and_smaller_than_png(tile: Pixels) -> None:
    """Where a tile repeats, the quick try must see it, and libwebp's usual effort need not."""
    image, png = Image.fromarray(np.tile(tile, (12, 12, 1))), io.BytesIO()
    image.save(png, "PNG", optimize=True)
    assert_lossless(image)
    assert len(aecodec.compress(image)) <= len(png.getvalue()) + 16


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_icon_is_lossless(mode: str) -> None:
    icon = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    draw = ImageDraw.Draw(icon)
    draw.rectangle((2, 2, 13, 13), fill="navy", outline="orange")
    draw.line((4, 4, 11, 11), fill="white")
    assert_lossless(icon.convert(mode))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA"])
@pytest.mark.parametrize("side", [16, 32, 64])
def test_an_icon_with_alpha_is_lossless_and_no_larger_than_png(mode: str, side: int) -> None:
    large = Image.new("RGBA", (4 * side, 4 * side), (0, 0, 0, 0))
    ImageDraw.Draw(large).ellipse((4, 4, 4 * side - 4, 4 * side - 4), fill=(200, 40, 40, 255))
    ImageDraw.Draw(large).rectangle((side, side, 3 * side, 3 * side), fill=(20, 200, 90, 200))
    icon, png = large.resize((side, side)).quantize(16), io.BytesIO()
    icon = icon if mode == "P" else icon.convert("RGBA").convert(mode)
    icon.save(png, "PNG", optimize=True)
    file = aecodec.compress(icon)
    assert aecodec.info(file).coding == "lossless"
    assert len(file) <= len(png.getvalue()) + 16
    assert aecodec.decompress(file).convert("RGBA").tobytes() == icon.convert("RGBA").tobytes()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("opaque", [False, True], ids=["transparent", "opaque"])
def test_lossless_alpha_needs_no_box(mode: str, opaque: bool) -> None:
    image = picture_of_mode("L", 31, 17).convert(mode)
    image.putalpha(Image.new("L", image.size, 255) if opaque else image.getchannel(0))
    file = aecodec.compress(image, lossless=True)
    assert not parse(file).boxes
    assert aecodec.info(file).mode == aecodec.decompress(file).mode == mode
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file)), np.asarray(image))
    part = aecodec.decompress(file, region=(5, 3, 11, 7))
    np.testing.assert_array_equal(np.asarray(part), np.asarray(image.crop((5, 3, 16, 10))))


@pytest.mark.parametrize("gray", [False, True])
def test_lossless_files_with_alpha_in_a_box_are_read(gray: bool) -> None:
    image = picture_of_mode("LA" if gray else "RGBA", 31, 17)
    pixels = np.asarray(image.convert("RGBA"))
    payload, alpha = write_pixels(pixels[..., :3]), write_pixels(pixels[..., 3])
    file = serialise(Container(31, 17, gray, payload, boxes={Box.ALPHA: alpha}))
    assert aecodec.info(file).mode == image.mode
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file)), np.asarray(image))


def test_alpha_in_both_places_is_refused() -> None:
    pixels = np.asarray(picture_of_mode("RGBA", 31, 17))
    colours, alpha = pixels[..., :3], pixels[..., 3]
    boxes = {Box.ALPHA: write_pixels(alpha)}
    file = serialise(Container(31, 17, False, write_pixels(colours, alpha), boxes=boxes))
    for read in (aecodec.decompress, aecodec.info):
        with pytest.raises(BitstreamError, match="the WebP inside has alpha, and so has a box"):
            read(file)


def test_alpha_counts_in_the_choice_of_coding() -> None:
    """Coding makes the colours smaller, but not the alpha that repeats them: lossless both are one."""
    grain = Image.fromarray(noise(64, 64)[:, :, 0])
    assert aecodec.info(aecodec.compress(grain)).coding == "learned"
    assert_lossless(Image.merge("LA", (grain, grain)))


def test_lossless_alpha_that_has_nothing_of_the_colours_has_a_box() -> None:
    image = Image.fromarray(photograph(97, 61))
    alpha = Image.linear_gradient("L").resize(image.size)
    together = write_pixels(np.asarray(image), np.asarray(alpha))
    image.putalpha(alpha)
    file = aecodec.compress(image, lossless=True)
    assert len(file) < len(together)
    assert parse(file).boxes.keys() == {Box.ALPHA}
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file)), np.asarray(image))


@pytest.mark.parametrize("quality", [0, 50, 100])
@pytest.mark.parametrize("pattern", ["noise", "black", "white", "checks"])
def test_odd_pictures_never_fail(pattern: str, quality: float) -> None:
    checks = np.indices((61, 97)).sum(0)[:, :, None] % 2 * np.full(3, 255)
    pictures = {
        "noise": noise(97, 61),
        "black": np.zeros((61, 97, 3), np.uint8),
        "white": np.full((61, 97, 3), 255, np.uint8),
        "checks": checks.astype(np.uint8),
    }
    file = aecodec.compress(pictures[pattern], quality)
    assert aecodec.decompress(file).size == (97, 61)
    assert len(file) <= len(write_pixels(pictures[pattern])) + 32


@pytest.mark.parametrize("quality", [-0.01, 100.01, float("nan"), float("inf")])
def test_quality_out_of_range(quality: float) -> None:
    with pytest.raises(ValueError, match=r"quality .* is out of range: choose 0 to 100"):
        aecodec.compress(photograph(9, 7), quality)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 4, 3), np.float32),
        np.zeros((5, 4), np.uint16),
        np.zeros((5, 4), bool),
        np.zeros(5, np.uint8),
        np.zeros((5, 4, 5), np.uint8),
        np.zeros((5, 4, 0), np.uint8),
        np.zeros((1, 5, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype} {array.ndim}D",
)
def test_wrong_arrays_are_refused(array: Pixels) -> None:
    with pytest.raises(ImageError, match="expected bytes of shape"):
        aecodec.compress(array)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3)])
def test_pictures_without_pixels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="cannot be coded"):
        aecodec.compress(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("size", [(0, 1), (MAX_PIXELS + 1, 1), (2**14 + 1, 2**14), (MAX_SIDE + 1, 1)])
def test_what_no_reader_accepts_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError):
        check_input(*size)


def test_unknown_model_by_name() -> None:
    with pytest.raises(UnknownModelError, match=r"no model is called nothing: installed are .*base"):
        aecodec.compress(photograph(9, 7), model="nothing")


def learned_file() -> bytes:
    file = aecodec.compress(photograph(97, 61), 30)
    assert aecodec.info(file).coding == "learned"
    return file


def with_learned(file: bytes, **changes: Any) -> bytes:
    """A learned file with other header fields and the right checksum."""
    container = parse(file)
    assert container.learned
    return serialise(replace(container, learned=replace(container.learned, **changes)))


def test_unknown_fingerprint() -> None:
    file = with_learned(learned_file(), fingerprint=b"\0\x01\x02\x03")
    assert aecodec.info(file).model == "00010203"
    with pytest.raises(UnknownModelError, match="00010203, which is not installed"):
        aecodec.decompress(file)


def test_unknown_cdf_set() -> None:
    with pytest.raises(BitstreamError, match="does not fit its header"):
        aecodec.decompress(with_learned(learned_file(), cdf_set=255))


@pytest.mark.parametrize("payload", [b"abc", b"abcd" * 1000, bytes(4)])
def test_foreign_payload(payload: bytes) -> None:
    with pytest.raises(BitstreamError):
        aecodec.decompress(serialise(replace(parse(learned_file()), payload=payload)))


@pytest.mark.parametrize("payload", FOREIGN_WEBP.values(), ids=FOREIGN_WEBP)
def test_foreign_lossless_payload(payload: bytes) -> None:
    with pytest.raises(BitstreamError):
        aecodec.decompress(serialise(Container(5, 4, False, payload)))


@pytest.mark.parametrize("alpha", FOREIGN_WEBP.values(), ids=FOREIGN_WEBP)
def test_foreign_alpha(alpha: bytes) -> None:
    with pytest.raises(BitstreamError):
        aecodec.decompress(serialise(replace(parse(learned_file()), boxes={Box.ALPHA: alpha})))


def test_max_pixels() -> None:
    file, pixels = learned_file(), 97 * 61
    assert aecodec.decompress(file, max_pixels=pixels).size == (97, 61)
    assert aecodec.info(file, max_pixels=pixels).width == 97
    for read in (aecodec.decompress, aecodec.info):
        with pytest.raises(LimitError, match=f"over the limit of {pixels - 1} pixels"):
            read(file, max_pixels=pixels - 1)


@pytest.mark.parametrize("region", [(0, 0, 0, 10), (0, 0, 10, 0), (0, 0, 10, -1), (0, 0, MAX_PIXELS, 2)])
def test_a_region_that_is_none_is_no_damage(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(RegionError, match="is not inside 97x61 pixels"):
        aecodec.decompress(learned_file(), region=region)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (97, 61)])
def test_info_agrees_with_decompress(mode: str, size: tuple[int, int]) -> None:
    picture = replace(from_pillow(picture_of_mode(mode, *size)), metadata=METADATA)
    file = aecodec.compress(to_pillow(picture), 30.25)
    info, result = aecodec.info(file), aecodec.decompress(file)
    assert (info.width, info.height) == result.size == size
    assert info.mode == result.mode == mode
    assert info.size == len(file)
    assert info.bpp == pytest.approx(8 * len(file) / (size[0] * size[1]))
    for name, key in (("icc", "icc_profile"), ("exif", "exif"), ("xmp", "xmp")):
        assert info.metadata[name] == len(result.info[key])


def test_info_of_both_codings() -> None:
    learned, lossless = (
        aecodec.info(learned_file()),
        aecodec.info(aecodec.compress(Image.new("L", (300, 200)))),
    )
    container = parse(learned_file())
    assert container.learned
    assert learned.quality == 30 == container.learned.quality
    assert learned.model == container.learned.fingerprint.hex()
    assert (lossless.coding, lossless.quality, lossless.model) == ("lossless", None, None)


def test_all_is_the_public_names() -> None:
    assert dir(aecodec) == sorted(set(aecodec.__all__))
    assert all(getattr(aecodec, name) is not None for name in aecodec.__all__)
    assert {name for name, value in vars(errors).items() if isinstance(value, type)} <= set(aecodec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Compress'"):
        _ = aecodec.Compress
    with pytest.raises(TypeError, match="qualty"):
        aecodec.compress(photograph(9, 7), qualty=3)


def test_signatures_name_every_option() -> None:
    options = {option.name for option in fields(aecodec.CompressOptions)}
    assert set(inspect.signature(aecodec.compress).parameters) == options | {"image"}
    reading = {option.name for option in fields(ReadOptions)}
    for function, parameters in ((aecodec.denoise, {"sigma", "method"}), (aecodec.enhance, set())):
        assert set(inspect.signature(function).parameters) == reading | parameters | {"image", "strip"}


def test_import_is_light() -> None:
    script = "import aecodec, sys; print({'torch', 'onnxruntime', 'compressai'} & set(sys.modules))"
    assert run_python(script).strip() == "set()"


@pytest.mark.parametrize("module", [aecodec, aecodec.api])
def test_examples_of_the_documentation(module: types.ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_encoded_pictures_are_equal_as_their_files_are() -> None:
    pixels = noise(24, 40)
    one, same, other = (
        aecodec.encode_image(pixels, aecodec.CompressOptions(quality=q)) for q in (40, 40, 41)
    )
    assert one == same != other
    assert len({one, same, other}) == 2
    assert one in [other, same]
    infos = {aecodec.info(encoded.data) for encoded in (one, same, other)}
    assert len(infos) == 2


def test_an_encoded_picture_knows_what_it_was_made_of() -> None:
    """A caller may fill an array anew."""
    pixels = photograph(40, 60)
    encoded = aecodec.encode_image(pixels, aecodec.CompressOptions(quality=40))
    expected = psnr_of(pixels, encoded.pixels)
    pixels[:] = 0
    assert encoded.psnr == pytest.approx(expected)
    with pytest.raises(ValueError, match="read-only"):
        encoded.pixels[0] = 0


def test_an_array_is_one_frame() -> None:
    pixels = noise(24, 40)
    assert aecodec.compress(pixels, frame=0) == aecodec.compress(pixels)
    for frame in (1, -1):
        with pytest.raises(ImageError, match=f"no frame {frame}: it is 1 frame, which is 0"):
            aecodec.compress(pixels, frame=frame)


@pytest.mark.parametrize("options", [None, {"quality": 5}, 50])
def test_options_are_compress_options(options: Any) -> None:
    with pytest.raises(errors.AecodecError, match="is no CompressOptions"):
        aecodec.encode_image(noise(8, 8), options)
