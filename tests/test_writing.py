"""Picture files: transparency in formats without, quality of JPEGs, and PNGs that take little time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.arrays import Pixels
from aecodec.container import Box
from aecodec.picture import avif
from aecodec.picture.reading import from_pillow, read_picture
from aecodec.picture.writing import (
    FAST_PNG,
    LONGEST_SIDES,
    SMALL,
    encode_image,
    fast_png,
    fitted,
    flattened,
    notes_of_writing,
)
from tests.common import METADATA, noise, photograph, picture_of_mode, shipped_photograph
from tests.drawn import text

KEYS = ("icc_profile", "exif", "xmp")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def half_transparent(mode: str) -> Image.Image:
    """An image of mode LA or RGBA, opaque on its left."""
    image = picture_of_mode(mode, 40, 30)
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:, 20:] = np.linspace(0, 200, 20)
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_pictures_become_opaque_files(format: str, mode: str) -> None:
    image = picture_of_mode(mode, 40, 30)
    image.putalpha(255)
    with opened(encode_image(image, format)) as written:
        assert written.mode == mode.removesuffix("A")
        if format == "BMP":
            assert written.tobytes() == image.convert(written.mode).tobytes()


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_ones_need_a_background(format: str, mode: str) -> None:
    image = half_transparent(mode)
    with pytest.raises(aecodec.ImageError, match=f"which {format} cannot hold: .*--background COLOUR"):
        encode_image(image, format)
    for background in ("white", "#0f8", "#102030"):
        with opened(encode_image(fitted(image, format, background), format)) as written:
            assert written.mode == ("L" if mode == "LA" and background == "white" else "RGB")


@pytest.mark.parametrize(("background", "colour"), [("red", (255, 0, 0)), ("#0f8", (0, 255, 136))])
def test_a_background_shows_as_far_as_the_picture_is_transparent(
    background: str, colour: tuple[int, int, int]
) -> None:
    image = half_transparent("RGBA")
    flat = np.asarray(flattened(image, background)).astype(float)
    levels = np.asarray(image).astype(float)
    share = levels[:, :, 3:] / 255
    expected = share * levels[:, :, :3] + (1 - share) * np.array(colour)
    assert np.abs(flat - expected).max() <= 1


@pytest.mark.parametrize("background", ["nothing", "#12", "#00000080", "", "rgb(1,2)"])
def test_what_is_no_colour_is_refused(background: str) -> None:
    data = aecodec.compress(photograph(40, 30), 30)
    with pytest.raises(aecodec.ImageError, match="background"):
        aecodec.decompress(data, background=background)


def test_python_composes_too() -> None:
    data = aecodec.compress(half_transparent("RGBA"), 50)
    plain, composed = aecodec.decompress(data), aecodec.decompress(data, background="white")
    assert (plain.mode, composed.mode) == ("RGBA", "RGB")
    np.testing.assert_array_equal(composed, flattened(plain, "white"))
    gray = aecodec.compress(half_transparent("LA"), 50)
    assert aecodec.decompress(gray, background="black").mode == "L"
    assert aecodec.decompress(gray, background="red").mode == "RGB"


def test_metadata_stays_on_a_background() -> None:
    image = half_transparent("RGBA")
    image.info.update(dict(zip(KEYS, METADATA.values(), strict=True)))
    flat = flattened(image, "white")
    assert {key: flat.info[key] for key in KEYS} == {key: image.info[key] for key in KEYS}


def test_jpegs_have_the_quality_that_is_asked_for() -> None:
    image = Image.fromarray(photograph(200, 150))
    sizes = [len(encode_image(image, "JPEG", jpeg_quality=quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[2] == len(encode_image(image, "JPEG"))
    assert encode_image(image, "PNG", jpeg_quality=20) == encode_image(image, "PNG")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_gray_pictures_become_gray_avifs(mode: str) -> None:
    image, gray = picture_of_mode(mode, 40, 30), mode in ("L", "LA")
    profile = bytes(16) + (b"GRAY" if gray else b"RGB ") + bytes(16) + b"acsp" + bytes(88)
    image.info["icc_profile"] = profile
    data = encode_image(image, "AVIF")
    assert notes_of_writing(image, "AVIF") == ()
    assert avif.is_monochrome(io.BytesIO(data)) is gray
    picture = read_picture(io.BytesIO(data))
    assert (picture.gray, picture.metadata[Box.ICC]) == (gray, profile)
    np.testing.assert_allclose(picture.pixels, np.asarray(image.convert("RGB")), atol=10)
    assert (picture.alpha is not None) == mode.endswith("A")


def mirrored(pixels: Pixels, rows: int = 3, columns: int = 4) -> Image.Image:
    """A large image of one that is repeated, each time mirrored."""
    tall = np.concatenate([pixels[:: (-1) ** number] for number in range(rows)])
    return Image.fromarray(np.concatenate([tall[:, :: (-1) ** number] for number in range(columns)], axis=1))


def usual_size(image: Image.Image) -> int:
    """Bytes of a PNG as Pillow writes it."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return len(file.getvalue())


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_fast_pngs_hold_the_same_pixels(mode: str) -> None:
    image = mirrored(shipped_photograph("astronaut")).convert(mode)
    with opened(encode_image(image, "PNG")) as written:
        assert written.mode == mode
        assert written.tobytes() == image.tobytes()


def test_large_photographs_are_written_fast_and_hardly_larger() -> None:
    parts = [shipped_photograph(name)[:400, :500] for name in ("astronaut", "chelsea", "coffee", "rocket")]
    parts = [
        np.pad(part, ((0, 400 - len(part)), (0, 500 - part.shape[1]), (0, 0)), "reflect") for part in parts
    ]
    image = Image.fromarray(np.concatenate(parts)).resize((800, 2700), Image.Resampling.LANCZOS)
    assert fast_png(image) in FAST_PNG[:2]
    assert len(encode_image(image, "PNG")) < 1.06 * usual_size(image)


def test_large_pages_of_text_are_hardly_larger() -> None:
    image = mirrored(text(), 10, 6)
    assert fast_png(image) == FAST_PNG[2]
    assert len(encode_image(image, "PNG")) < 1.25 * usual_size(image)


def test_small_pictures_are_written_as_small_as_can_be() -> None:
    image = Image.fromarray(shipped_photograph("astronaut"))
    assert len(encode_image(image, "PNG")) == usual_size(image)


def test_long_and_narrow_pictures_are_written() -> None:
    for size in ((1, SMALL + 1), (SMALL + 1, 1), (2**20, 3), (7, 2**19)):
        image = Image.fromarray(noise(*size))
        with opened(encode_image(image, "PNG")) as written:
            assert written.tobytes() == image.tobytes()


@pytest.mark.parametrize(("format", "longest"), LONGEST_SIDES.items())
def test_a_format_says_how_long_a_side_it_holds(
    capfd: pytest.CaptureFixture[str], format: str, longest: int
) -> None:
    encode_image(Image.new("L", (longest, 1)), format)
    for size in ((longest + 1, 1), (1, longest + 1)):
        with pytest.raises(aecodec.ImageError, match=f"{size[0]}x{size[1]} .*: {format} holds {longest} "):
            encode_image(Image.new("L", size), format)
    assert capfd.readouterr().err == ""  # where libjpeg would write


def test_colours_that_the_caller_draws_on_a_gray_avif_stay(tmp_path: Path) -> None:
    gray = picture_of_mode("LA", 40, 30)
    (tmp_path / "a.avif").write_bytes(encode_image(gray, "AVIF"))
    with Image.open(tmp_path / "a.avif") as image:
        assert from_pillow(image).gray
        image.load()
        image.paste((255, 0, 0, 255), (5, 5, 20, 20))
        picture = from_pillow(image)
    assert not picture.gray
    assert picture.pixels[10, 10].tolist() == [255, 0, 0]
