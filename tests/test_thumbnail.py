"""Thumbnails are what a full decode resized would be, in a fraction of its work."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
import aecodec.pillow
from aecodec.arrays import Floats
from aecodec.cli.resume import was_compressed_with
from aecodec.container import Box, parse, serialise
from aecodec.decoder import thumbnail
from aecodec.encoder import encoder
from aecodec.model.network import Network
from aecodec.picture import thumbnail as stored
from tests.common import picture_of_mode, shipped_photograph
from tests.test_cli import run_command

pytestmark = pytest.mark.xdist_group("thumbnail")  # whose large pictures are coded once
SIZE = 1100, 1030  # width and height, neither a multiple of a cell, just over SMALLEST


def large(mode: str) -> Image.Image:
    """A photograph enlarged, with alpha that fades to the right where the mode has it."""
    image = Image.fromarray(shipped_photograph("coffee")).resize(SIZE, Image.Resampling.BICUBIC)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").rotate(90).resize(SIZE))
    return image.convert(mode)


@cache
def compressed(mode: str, tune: str = "visual") -> bytes:
    return aecodec.compress(large(mode), 50, tune=tune, effort=0)


@cache
def decoded(mode: str, tune: str = "visual") -> Image.Image:
    return aecodec.decompress(compressed(mode, tune))


def error(reduced: Image.Image, expected: Image.Image) -> float:
    """Mean absolute difference in levels."""
    assert (reduced.mode, reduced.size) == (expected.mode, expected.size)
    if reduced.mode == "RGBA":  # colours count as far as they are seen
        reduced, expected = reduced.convert("RGBa"), expected.convert("RGBa")
    return float(np.abs(np.asarray(reduced).astype(int) - np.asarray(expected)).mean())


@pytest.mark.parametrize(("mode", "limit"), [("RGB", 64), ("RGBA", 130), ("L", 30)])
def test_a_thumbnail_is_near_the_full_picture_made_small(mode: str, limit: int) -> None:
    small = aecodec.decompress(compressed(mode), thumbnail=limit)
    expected = decoded(mode).resize(small.size, Image.Resampling.BICUBIC)
    assert max(small.size) == limit
    assert error(small, expected) < 2


@pytest.mark.parametrize(("factor", "tune"), [(16, "visual"), (8, "psnr"), (4, "visual")])
def test_each_factor_is_near_the_means_of_blocks(factor: int, tune: str) -> None:
    reduced = thumbnail.decode_reduced(parse(compressed("RGB", tune)), factor)
    expected = decoded("RGB", tune).reduce(factor)
    assert error(Image.fromarray(reduced.pixels), expected) < (3 if factor == 4 else 2)


def test_of_a_large_picture_little_is_synthesised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth here, as the picture is small; of 24 megapixels it is a fiftieth."""
    sizes = []
    run = Network.__call__

    def counted(self: Network, quality: float, *inputs: Floats) -> list[Floats]:
        outputs = run(self, quality, *inputs)
        sizes.extend(array.shape[1] * array.shape[2] for array in outputs if len(array) == 3)
        return outputs

    monkeypatch.setattr(Network, "__call__", counted)
    aecodec.decompress(compressed("RGB"), thumbnail=64)
    windows = thumbnail.WINDOWS * (32 * (thumbnail.WINDOW + 2 * thumbnail.WINDOW_HALO)) ** 2
    assert 0 < sum(sizes) <= windows
    assert max(sizes) < SIZE[0] * SIZE[1] / 8


def test_a_flat_page_with_a_small_drawing_keeps_it() -> None:
    """Windows of the page alone would say nothing of what the drawing's latents mean."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 250, np.uint8)
    pixels[500:640, 700:900] = shipped_photograph("astronaut")[:140, :200]
    data = aecodec.compress(pixels, 40, effort=0)
    assert aecodec.info(data).coding == "learned"
    reduced = thumbnail.decode_reduced(parse(data), 16).pixels
    expected = np.asarray(aecodec.decompress(data).reduce(16)).astype(int)
    assert np.abs(reduced[31:40, 43:56] - expected[31:40, 43:56]).mean() < 6
    assert np.abs(reduced - expected).mean() < 1


@pytest.mark.parametrize(
    "options",
    [{"lossless": True}, {"quality": 40}, {"quality": 40, "reduce": 2}, {"quality": 30, "enhance": True}],
)
def test_small_and_lossless_pictures_are_decoded_and_resized(options: dict[str, object]) -> None:
    data = aecodec.compress(picture_of_mode("RGB", 120, 80), **options)
    expected = aecodec.decompress(data).resize((60, 40), Image.Resampling.BICUBIC)
    assert error(aecodec.decompress(data, thumbnail=60), expected) == 0


def test_a_thumbnail_is_never_larger_than_the_picture_and_never_empty() -> None:
    data = aecodec.compress(picture_of_mode("RGB", 300, 2), lossless=True)
    assert aecodec.decompress(data, thumbnail=1000).size == (300, 2)
    assert aecodec.decompress(data, thumbnail=10).size == (10, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thumbnail": 0}, "thumbnail 0 leaves no picture"),
        ({"thumbnail": 2.5}, "is no whole number"),
        ({"thumbnail": 64, "upscale": 2}, "leave out region, enhance and upscale"),
        ({"thumbnail": 64, "region": (0, 0, 1, 1)}, "leave out region, enhance and upscale"),
    ],
)
def test_what_is_no_thumbnail_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(aecodec.StageError, match=message):
        aecodec.decompress(compressed("RGB"), **arguments)


def test_pillow_drafts() -> None:
    data = compressed("RGBA")
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (130, 130)) == ("RGBA", (0, 0, SIZE[0] / 4, SIZE[1] / 4))
        assert image.size == (275, 258)
        assert error(image, decoded("RGBA").reduce(4)) < 3
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((64, 64))
        assert error(image, aecodec.decompress(data, thumbnail=64)) < 1
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft("L", (1000, 1000)) is None
        assert image.size == SIZE


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "a.aec").write_bytes(compressed("RGB"))
    result = run_command("decompress", tmp_path / "a.aec", tmp_path / "b.png", "--thumbnail", 64)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (64, 60)
    again = run_command("decompress", tmp_path / "a.aec", tmp_path / "b.png", "--thumbnail", 64, "--resume")
    assert again.returncode == 0, again.stderr
    for more in (["--region", "0,0,1,1"], ["--upscale", 2], ["--enhance"]):
        refused = run_command("decompress", tmp_path / "a.aec", "--thumbnail", 64, *more)
        assert (refused.returncode, "--thumbnail is of the whole picture" in refused.stderr) == (2, True)


@pytest.fixture
def every_file_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "WORTH_PIXELS", 0)
    monkeypatch.setattr(encoder, "SHARE", 0)


def webp(width: int, height: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    picture_of_mode(mode, width, height).save(file, "WEBP", quality=90)
    return file.getvalue()


def of_16384_pixels_each_way() -> bytes:
    file = io.BytesIO()
    picture_of_mode("RGB", 60, 40).save(file, "WEBP", lossless=True)
    data = bytearray(file.getvalue())
    data[21:25] = b"\xff\xff\xff\x0f"
    return bytes(data)


def film() -> bytes:
    file = io.BytesIO()
    first, second = picture_of_mode("RGB", 60, 40), picture_of_mode("L", 60, 40).convert("RGB")
    first.save(file, "WEBP", save_all=True, append_images=[second])
    return file.getvalue()


def with_box(data: bytes, content: bytes) -> bytes:
    container = parse(data)
    return serialise(replace(container, boxes={**container.boxes, Box.THUMBNAIL: content}))


@pytest.mark.usefixtures("every_file_has_one")
@pytest.mark.parametrize("options", [{}, {"lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_a_stored_thumbnail_is_shown_without_decoding(
    mode: str, options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture_of_mode(mode, 360, 240)
    data = aecodec.compress(image, **options)
    assert "thumbnail" in aecodec.info(data).metadata
    with monkeypatch.context() as context:
        context.setattr(thumbnail, "decode_small", None)
        small = aecodec.decompress(data, thumbnail=120)
        assert aecodec.decompress(data, thumbnail=256).size == (256, 171)
    assert error(small, aecodec.decompress(data).resize((120, 80), Image.Resampling.BICUBIC)) < 3
    assert aecodec.decompress(data, thumbnail=257).size == (257, 171)  # from the payload


@pytest.mark.usefixtures("every_file_has_one")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_pillow_takes_the_stored_thumbnail(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = aecodec.compress(picture_of_mode(mode, 360, 240))
    whole = aecodec.decompress(data)
    monkeypatch.setattr(aecodec.pillow, "decompress", None)
    for size, expected in (((256, 256), (256, 171)), ((60, 90), (60, 40)), ((90, 60), (90, 60))):
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail(size)
            image.load()
            assert (image.mode, image.size) == (mode, expected)
            assert error(image, whole.resize(expected, Image.Resampling.BICUBIC)) < 4  # WebP loses as much
    for size in ((0, 0), (-5, 50)):
        with Image.open(io.BytesIO(data)) as image, suppress(ValueError, ZeroDivisionError):
            image.thumbnail(size)
        assert image.size == (360, 240)
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (128, 85)) == (mode, (0, 0, 256, 171))
        image.load()
        assert image.draft(None, (8, 8)) is None
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (257, 100)) is None
        assert image.size == (360, 240)


@pytest.mark.usefixtures("every_file_has_one")
def test_pillow_s_thumbnails_have_the_sizes_that_pillow_gives() -> None:
    image = picture_of_mode("RGB", 361, 29)
    data = aecodec.compress(image)
    for side in range(1, 260, 9):
        expected = image.copy()
        expected.thumbnail((side, side))
        with Image.open(io.BytesIO(data)) as opened:
            opened.thumbnail((side, side))
            assert opened.size == expected.size


@pytest.mark.usefixtures("every_file_has_one")
def test_without_a_gap_pillow_s_thumbnail_is_of_all_pixels() -> None:
    image = picture_of_mode("RGB", 360, 240)
    data = aecodec.compress(image, lossless=True)
    image.thumbnail((50, 50), reducing_gap=None)
    with Image.open(io.BytesIO(data)) as opened:
        opened.thumbnail((50, 50), reducing_gap=None)
        assert error(opened, image) == 0


@pytest.mark.usefixtures("every_file_has_one")
def test_pillow_makes_a_damaged_thumbnail_anew() -> None:
    data = with_box(aecodec.compress(picture_of_mode("RGB", 360, 240)), b"RIFF")
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((60, 60))
        assert error(image, aecodec.decompress(data).resize((60, 40), Image.Resampling.BICUBIC)) < 1


def test_a_thumbnail_is_stored_where_it_is_small_beside_the_payload() -> None:
    pixels = np.asarray(large("RGB").resize((2048, 2048)))
    picture = aecodec.encode_image(pixels[:32, :32], aecodec.CompressOptions()).source
    large_one = encoder.Encoder(replace(picture, pixels=pixels), aecodec.CompressOptions())
    sizes = [len(file) for file in large_one.thumbnails]
    assert sizes == sorted(sizes, reverse=True)
    for length, best in (
        (100 * sizes[0], large_one.thumbnails[0]),
        (100 * sizes[0] - 1, large_one.thumbnails[1]),
        (100 * sizes[-1] - 1, None),
    ):
        assert large_one.seal(bytes(length), None, {}).container.boxes.get(Box.THUMBNAIL) == best
    smaller = replace(picture, pixels=pixels[:, :-1])
    assert encoder.Encoder(smaller, large_one.options).thumbnails == []


@pytest.mark.usefixtures("every_file_has_one")
def test_files_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture_of_mode("RGB", 360, 240)
    assert "thumbnail" not in aecodec.info(aecodec.compress(image, strip="thumbnail")).metadata
    assert "thumbnail" not in aecodec.info(aecodec.compress(image, strip="all")).metadata
    within = aecodec.compress(image, max_bytes=9000)
    assert len(within) <= 9000
    assert "thumbnail" not in aecodec.info(within).metadata  # as all bytes go to the picture
    monkeypatch.setattr(encoder, "SHARE", 100)
    assert "thumbnail" not in aecodec.info(aecodec.compress(image)).metadata


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"RIFF", "it is no WebP"),
        (webp(60, 40)[:-200], "cannot be read"),
        (webp(60, 41), "60x41 pixels are not those of a thumbnail"),
        (webp(513, 342), "513x342 pixels"),
        (webp(126, 84), "126x84 pixels"),  # larger than the picture
        (of_16384_pixels_each_way(), "could be decompression bomb"),
        (film(), "it is a film"),
    ],
)
def test_a_damaged_thumbnail_is_made_anew(content: bytes, reason: str) -> None:
    data = aecodec.compress(picture_of_mode("RGB", 120, 80), lossless=True)
    with pytest.warns(UserWarning, match=reason):
        small = aecodec.decompress(with_box(data, content), thumbnail=60)
    assert error(small, aecodec.decompress(data, thumbnail=60)) == 0
    assert error(aecodec.decompress(with_box(data, content)), aecodec.decompress(data)) == 0


@pytest.mark.usefixtures("every_file_has_one")
def test_a_file_with_one_is_not_what_strip_asks_for(tmp_path: Path) -> None:
    image = picture_of_mode("RGB", 60, 40)
    (tmp_path / "a.aec").write_bytes(aecodec.compress(image))
    picture = aecodec.api.to_picture(image)
    assert was_compressed_with(tmp_path / "a.aec", picture, aecodec.CompressOptions())
    assert not was_compressed_with(tmp_path / "a.aec", picture, aecodec.CompressOptions(strip="thumbnail"))


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (2, 700)])
def test_thumbnails_of_thin_pictures_are_never_enlarged(size: tuple[int, int]) -> None:
    image = picture_of_mode("RGB", *size)
    data = with_box(aecodec.compress(image, lossless=True), webp(*stored.thumbnail_size(size, 256)))
    assert error(aecodec.decompress(data, thumbnail=5000), image) == 0
    assert aecodec.decompress(data, thumbnail=257).size == stored.thumbnail_size(size, 257)


@pytest.mark.parametrize(("mode", "stored_mode"), [("RGB", "RGBA"), ("RGBA", "RGB"), ("L", "RGBA")])
def test_a_thumbnail_has_alpha_where_the_picture_has(mode: str, stored_mode: str) -> None:
    data = aecodec.compress(picture_of_mode(mode, 120, 80), lossless=True)
    small = aecodec.decompress(with_box(data, webp(60, 40, stored_mode)), thumbnail=60)
    assert (small.mode, small.size) == (mode, (60, 40))
