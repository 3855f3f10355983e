"""Pictures too large for one WebP are lossless in tiles, whole or by regions; damage has its own errors."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import aecodec
from aecodec.arrays import Pixels
from aecodec.container import TILE, Box, Container, parse, serialise
from aecodec.errors import BitstreamError, LimitError, TruncatedError
from aecodec.fields import write_varint
from aecodec.picture import lossless
from aecodec.picture.lossless import read_pixels, tile_windows, write_pixels, write_tiles
from tests.common import noise


def page(width: int, height: int) -> Image.Image:
    """Lines of text from top to bottom."""
    image = Image.new("RGB", (width, height), "white")
    for number, top in enumerate(range(4, height - 12, 24)):
        ImageDraw.Draw(image).text(
            (4, top), f"line {number} of a long page, {number * 7919 % 104729}", "black"
        )
    return image


def test_a_long_page_is_lossless_and_no_larger_than_png() -> None:
    image, png = page(64, 16_500), io.BytesIO()
    image.save(png, "PNG", optimize=True)
    file = aecodec.compress(image)
    assert parse(file).tiled
    info = aecodec.info(file)
    assert (info.coding, info.mode, info.width, info.height) == ("lossless", "RGB", 64, 16_500)
    assert len(file) < len(png.getvalue())
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file)), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(16_384, 3), (2, 16_400)])
def test_every_mode_is_kept(mode: str, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    image = Image.fromarray(np.dstack([pixels, pixels[..., :1]])).convert(mode)
    file = aecodec.compress(image, lossless=True)
    decoded = aecodec.decompress(file)
    assert decoded.mode == aecodec.info(file).mode == mode
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(image))
    left, top = size[0] // 2, size[1] // 2
    region = (left, top, size[0] - left, size[1] - top)
    part = aecodec.decompress(file, region=region)
    np.testing.assert_array_equal(np.asarray(part), np.asarray(image)[top:, left:])


def test_a_learned_picture_of_any_length_has_alpha() -> None:
    pixels, alpha = noise(16_400, 24), np.tile(np.arange(100, 200, dtype=np.uint8), (24, 164))
    file = aecodec.compress(Image.fromarray(np.dstack([pixels, alpha])), 0)
    assert aecodec.info(file).coding == "learned"
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file).getchannel("A")), alpha)


def test_many_pixels_are_lossless_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "LOSSLESS_MAX_PIXELS", 10_000)
    monkeypatch.setattr(lossless, "TILE", 90)
    image = page(300, 200)
    file = aecodec.compress(image)
    assert parse(file).tiled
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file)), np.asarray(image))


def test_tiles_cover_the_picture_row_by_row() -> None:
    windows = list(tile_windows(TILE + 1, 2 * TILE))
    assert windows == [
        (slice(0, TILE), slice(0, TILE)),
        (slice(0, TILE), slice(TILE, TILE + 1)),
        (slice(TILE, 2 * TILE), slice(0, TILE)),
        (slice(TILE, 2 * TILE), slice(TILE, TILE + 1)),
    ]


def test_regions_decode_only_the_tiles_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    width, decoded = 3 * TILE, []
    read = lossless.read_lossless

    def noted(data: bytes, size: tuple[int, int]) -> Image.Image:
        decoded.append(size)
        return read(data, size)

    monkeypatch.setattr(lossless, "read_lossless", noted)
    pixels = np.tile(noise(64, 2), (1, width // 64, 1))
    payload = write_tiles(pixels)
    region = read_pixels(payload, (width, 2), True, (slice(1, 2), slice(TILE - 1, TILE + 1)))
    np.testing.assert_array_equal(region, pixels[1:2, TILE - 1 : TILE + 1])
    assert len(decoded) == 2


WIDTH, HEIGHT = TILE + 5, 3
PIXELS: Pixels = np.tile(noise(64, HEIGHT), (1, WIDTH // 64 + 1, 1))[:, :WIDTH]
FIRST, SECOND = (write_pixels(PIXELS[window]) for window in tile_windows(WIDTH, HEIGHT))
OPAQUE = write_pixels(PIXELS[:, TILE:], np.full_like(PIXELS[:, TILE:, 0], 255))


def joined(*tiles: bytes) -> bytes:
    return b"".join(write_varint(len(tile)) + tile for tile in tiles)


DAMAGED = {
    "nothing": (b"", TruncatedError, "tile's length"),
    "one tile": (joined(FIRST), TruncatedError, "tile's length"),
    "exchanged": (joined(SECOND, FIRST), BitstreamError, "the header says"),
    "three tiles": (joined(FIRST, SECOND, SECOND), LimitError, "bytes follow the last tile"),
    "cut": (joined(FIRST, SECOND)[:-1], TruncatedError, "too early, within the tile"),
    "long length": (b"\xff\xff\xff\x7f" + FIRST, TruncatedError, "too early, within the tile"),
    "padded length": (b"\x80\x00" + FIRST, LimitError, "not in its shortest form"),
    "no tile": (joined(FIRST, b""), BitstreamError, "WebP inside is none"),
    "cut tile": (joined(FIRST, SECOND[:40]), BitstreamError, "cannot be read"),
    "some alpha": (joined(FIRST, OPAQUE), LimitError, "some tiles have alpha"),
    "one WebP": (FIRST, BitstreamError, "WebP inside is none"),
}


@pytest.mark.parametrize(("payload", "error", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_refused(payload: bytes, error: type[BitstreamError], message: str) -> None:
    sound = Container(WIDTH, HEIGHT, False, joined(FIRST, SECOND), tiled=True)
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(serialise(sound))), PIXELS)
    with pytest.raises(error, match=message):
        aecodec.decompress(serialise(replace(sound, payload=payload)))


def test_alpha_in_both_places_is_refused() -> None:
    payload = write_tiles(PIXELS, PIXELS[..., 0])
    boxes = {Box.ALPHA: write_pixels(PIXELS[..., 0])}
    with pytest.raises(LimitError, match="so has a box"):
        aecodec.info(serialise(Container(WIDTH, HEIGHT, False, payload, None, boxes, tiled=True)))
