"""Black-and-white photographs stored as RGB take the bytes of gray and come back as RGB without colour."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import aecodec
from aecodec import restoration
from aecodec.cli import app
from aecodec.container import parse
from aecodec.picture import Picture, is_achromatic, to_gray
from aecodec.picture.reading import from_pillow
from tests.common import photograph, picture_of_mode

GRAY = Image.fromarray(photograph(150, 130)).convert("L")


def as_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


@pytest.mark.parametrize("options", [{}, {"quality": 5.0}, {"effort": 1}, {"psnr": 34}, {"enhance": True}])
def test_three_equal_channels_take_the_bytes_of_gray(options: dict[str, float]) -> None:
    gray, rgb = (aecodec.compress(image, **options) for image in (GRAY, as_rgb(GRAY)))  # type: ignore[arg-type]
    assert aecodec.info(rgb).coding == "learned"
    assert len(rgb) == len(gray)
    assert parse(rgb).payload == parse(gray).payload
    decoded = aecodec.decompress(rgb)
    assert decoded.mode == aecodec.info(rgb).mode == "RGB"
    assert aecodec.info(rgb).coded_gray
    assert is_achromatic(np.asarray(decoded))
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(aecodec.decompress(gray).convert("RGB")))
    part = aecodec.decompress(rgb, region=(7, 9, 60, 50))
    assert part.mode == "RGB"
    assert is_achromatic(np.asarray(part))


@pytest.mark.parametrize("mode", ["RGBA", "P", "JPEG", "PNG", "CMYK"])
def test_wherever_equal_channels_come_from(mode: str) -> None:
    image = as_rgb(GRAY)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif mode == "P":
        image = GRAY.convert("P")
    elif mode == "CMYK":
        flat = Image.new("L", GRAY.size)
        image = Image.merge("CMYK", (flat, flat, flat, GRAY))
    else:
        file = io.BytesIO()
        image.save(file, mode)
        image = Image.open(file)
    with pytest.warns(UserWarning, match="CMYK") if mode == "CMYK" else nullcontext():
        data = aecodec.compress(image)
    decoded = aecodec.decompress(data)
    assert decoded.mode == ("RGBA" if mode == "RGBA" else "RGB")
    assert is_achromatic(np.asarray(decoded)[..., :3])
    assert aecodec.info(data).coded_gray == (aecodec.info(data).coding == "learned")


def test_nearly_gray_is_not_gray() -> None:
    pixels = np.array(as_rgb(GRAY))
    pixels[-1, -1, 2] ^= 1
    assert not is_achromatic(pixels)
    assert not aecodec.info(aecodec.compress(pixels)).coded_gray


def test_lossless_rgb_stays_rgb() -> None:
    data = aecodec.compress(as_rgb(GRAY), lossless=True)
    assert aecodec.info(data).mode == "RGB"
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(data)), np.asarray(as_rgb(GRAY)))


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_is_shown_as_gray(mode: str) -> None:
    data = aecodec.compress(picture_of_mode(mode, 150, 130))
    assert aecodec.info(data).mode == aecodec.decompress(data).mode == mode


@pytest.mark.parametrize(
    "stage",
    [
        lambda picture: restoration.denoise(picture, 15),
        lambda picture: restoration.denoise(picture, 15, "nlm"),
        restoration.enhance,
        lambda picture: restoration.upscale(picture, 2),
        lambda picture: restoration.upscale(picture, 4, "srcnn"),
    ],
)
def test_stages_keep_equal_channels_equal(stage: object) -> None:
    staged = stage(from_pillow(as_rgb(GRAY)))  # type: ignore[operator]
    assert not staged.gray
    assert is_achromatic(staged.pixels)
    gray = stage(Picture(to_gray(from_pillow(GRAY).pixels), gray=True))  # type: ignore[operator]
    np.testing.assert_array_equal(staged.pixels, gray.pixels)


@pytest.mark.parametrize("options", [{"denoise": 10.0}, {"reduce": 2}])
def test_stages_of_a_file_keep_equal_channels_equal(options: dict[str, float]) -> None:
    data = aecodec.compress(as_rgb(GRAY), 20, **options)  # type: ignore[arg-type]
    decoded = aecodec.decompress(data)
    assert decoded.mode == "RGB"
    assert is_achromatic(np.asarray(decoded))
    assert is_achromatic(np.asarray(aecodec.decompress(data, enhance=True, upscale=2)))


def test_info_says_that_it_is_coded_as_gray(tmp_path: Path) -> None:
    path = tmp_path / "a.aec"
    path.write_bytes(aecodec.compress(as_rgb(GRAY)))
    printed = CliRunner().invoke(app, ["info", str(path)]).stdout
    assert "150x130 RGB" in printed
    assert "coded as gray" in printed
    assert json.loads(CliRunner().invoke(app, ["info", str(path), "--json"]).stdout)["coded_gray"]
