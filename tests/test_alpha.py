"""What alpha hides costs nothing, and counts for nothing, unless it is to be kept exactly."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import aecodec
from aecodec import restoration
from aecodec.cli import app
from aecodec.errors import TargetError
from aecodec.picture import Picture, is_achromatic, psnr
from aecodec.picture.alpha import fill_hidden, push_pull
from aecodec.picture.reading import from_pillow
from tests.common import noise, photograph, picture_of_mode

WIDTH, HEIGHT = 150, 130


def sprite_alpha() -> NDArray[np.uint8]:
    """An oval (H, W) with soft edges."""
    large = Image.new("L", (4 * WIDTH, 4 * HEIGHT))
    ImageDraw.Draw(large).ellipse((60, 40, 500, 480), fill=255)
    return np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


ALPHA = sprite_alpha()
HIDDEN = ALPHA == 0


def sprite(hidden: NDArray[np.uint8] | tuple[int, int, int], mode: str = "RGBA") -> Image.Image:
    """A photograph under `ALPHA` with other colours where it hides them."""
    pixels = np.where(HIDDEN[:, :, None], np.asarray(hidden, np.uint8), photograph(WIDTH, HEIGHT))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.putalpha(Image.fromarray(ALPHA))
    return image.convert(mode)


NOISY, FLAT = sprite(noise(WIDTH, HEIGHT)), sprite((255, 0, 255))


def colours(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGBA"))[..., :3]


def visible_psnr(image: Image.Image, decoded: Image.Image) -> float:
    return psnr(colours(image), colours(decoded), ALPHA) or math.inf


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_noise_under_alpha_costs_nothing(mode: str, quality: float) -> None:
    noisy, flat = (sprite(hidden, mode) for hidden in (noise(WIDTH, HEIGHT), (255, 0, 255)))
    files = [aecodec.compress(image, quality) for image in (noisy, flat)]
    assert files[0] == files[1]
    if mode == "RGBA":
        exact = aecodec.compress(noisy, quality, exact=True)
        assert len(exact) > 1.5 * len(files[0])
        figures = [visible_psnr(noisy, aecodec.decompress(file)) for file in (files[0], exact)]
        assert figures[0] > figures[1] - 0.1


@pytest.mark.parametrize("target", [{"psnr": 33}, {"max_bytes": 4000}, {"quality": 0.0, "reduce": "auto"}])
def test_noise_under_alpha_moves_no_target(target: dict[str, object]) -> None:
    files = [aecodec.compress(image, **target) for image in (NOISY, FLAT)]  # type: ignore[arg-type]
    assert files[0] == files[1]
    if "psnr" in target:
        assert 33 <= visible_psnr(NOISY, aecodec.decompress(files[0])) < 34


def test_visible_colours_hardly_change_because_of_hidden_ones() -> None:
    """As with the continued photograph itself under alpha 0."""
    figures, sizes = [], []
    for image in (NOISY, sprite(photograph(WIDTH, HEIGHT))):
        file = aecodec.compress(image, 50)
        figures.append(visible_psnr(image, aecodec.decompress(file)))
        sizes.append(len(file))
    assert figures[0] == pytest.approx(figures[1], abs=0.1)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("options", [{"lossless": True}, {"exact": True, "max_bytes": 10**6}])
def test_what_is_kept_exactly_has_its_hidden_colours(options: dict[str, object]) -> None:
    file = aecodec.compress(NOISY, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(file)), np.asarray(NOISY))


@pytest.mark.parametrize(("exact", "kept"), [(True, True), (False, False)])
def test_exact_keeps_hidden_colours_in_the_learned_coding(exact: bool, kept: bool) -> None:
    image = sprite(255 - photograph(WIDTH, HEIGHT))
    file = aecodec.compress(image, 90, exact=exact)
    assert aecodec.info(file).coding == "learned"
    error = np.abs(colours(aecodec.decompress(file))[HIDDEN].astype(int) - colours(image)[HIDDEN]).mean()
    assert (error < 5) == kept


def test_a_lossless_file_by_choice_keeps_all_that_is_seen() -> None:
    icon = Image.new("RGBA", (64, 64), "navy")
    icon.putalpha(Image.fromarray(ALPHA).crop((30, 0, 94, 64)))
    alpha = np.asarray(icon.getchannel("A"))
    pixels = np.where(alpha[:, :, None] == 0, noise(64, 64), colours(icon))
    noisy = Image.fromarray(np.dstack([pixels, alpha]))
    files = [aecodec.compress(image) for image in (icon, noisy)]
    assert files[0] == files[1]
    assert aecodec.info(files[0]).coding == "lossless"
    decoded = np.asarray(aecodec.decompress(files[0]))
    np.testing.assert_array_equal(decoded[..., 3], alpha)
    np.testing.assert_array_equal(decoded[alpha > 0], np.asarray(icon)[alpha > 0])


@pytest.mark.parametrize("options", [[], ["--exact"], ["--lossless"]])
def test_the_command_keeps_and_verifies_what_it_says(tmp_path: Path, options: list[str]) -> None:
    icon = Image.new("RGBA", (40, 40), (0, 0, 255, 255))
    icon.paste((9, 99, 199, 0), (0, 0, 40, 20))
    icon.putpixel((3, 3), (255, 0, 0, 0))
    icon.save(tmp_path / "a.png")
    made = CliRunner().invoke(app, ["compress", str(tmp_path / "a.png"), "--verify", *options])
    assert made.exit_code == 0, made.output
    assert "lossless" in made.output
    decoded = np.asarray(aecodec.decompress((tmp_path / "a.aec").read_bytes()))
    np.testing.assert_array_equal(decoded[20:], np.asarray(icon)[20:])
    assert (decoded == np.asarray(icon)).all() == bool(options)


def test_the_plugin_keeps_hidden_colours_if_asked_to() -> None:
    import aecodec.pillow  # noqa: F401  registers the format

    files = [io.BytesIO(), io.BytesIO()]
    NOISY.save(files[0], "AEC")
    NOISY.save(files[1], "AEC", exact=True)
    assert len(files[1].getvalue()) > 1.5 * len(files[0].getvalue())


def test_filling_is_smooth_exact_where_visible_and_knows_nothing_of_what_was_hidden() -> None:
    for visible in (~HIDDEN, noise(WIDTH, HEIGHT)[..., 0] < 3, np.indices((HEIGHT, WIDTH)).sum(0) == 0):
        one, other = photograph(WIDTH, HEIGHT), noise(WIDTH, HEIGHT)
        other[visible] = one[visible]
        filled = push_pull(one, visible)
        np.testing.assert_array_equal(push_pull(other, visible), filled)
        np.testing.assert_array_equal(filled[visible], one[visible])
        assert one[visible].min() <= filled.min()
        assert filled.max() <= one[visible].max()
    ramp = np.repeat(np.arange(WIDTH, dtype=np.uint8)[None, :, None], HEIGHT, 0).repeat(3, 2)
    hole = np.ones((HEIGHT, WIDTH), np.bool_)
    hole[40:90, 50:100] = False
    steps = np.abs(np.diff(push_pull(ramp, hole).astype(int), axis=1))
    assert steps.max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (65, 17), (130, 64)])
def test_pictures_of_any_size_are_filled(size: tuple[int, int]) -> None:
    pixels, alpha = noise(*size), noise(*size, 1)[..., 0] // 64 * 64
    alpha[0, 0] = 0
    filled = fill_hidden(Picture(pixels, alpha=alpha)).pixels
    np.testing.assert_array_equal(filled[alpha > 0], pixels[alpha > 0])


def test_what_is_wholly_visible_or_hidden() -> None:
    opaque = Picture(noise(9, 7), alpha=np.full((7, 9), 1, np.uint8))
    assert fill_hidden(opaque) is opaque
    assert not fill_hidden(Picture(noise(9, 7), alpha=np.zeros((7, 9), np.uint8))).pixels.any()
    file = aecodec.compress(Image.new("RGBA", (300, 200), (9, 8, 7, 0)))
    assert aecodec.decompress(file).getchannel("A").getextrema() == (0, 0)


def test_channels_that_are_equal_where_seen_are_filled_equally() -> None:
    gray = np.repeat(photograph(WIDTH, HEIGHT)[..., :1], 3, 2)
    hidden = np.where(HIDDEN[:, :, None], noise(WIDTH, HEIGHT), gray)
    assert is_achromatic(fill_hidden(Picture(hidden, alpha=ALPHA)).pixels)


@pytest.mark.parametrize(
    "stage",
    [
        lambda picture: restoration.denoise(picture, 15),
        restoration.enhance,
        lambda picture: restoration.upscale(picture, 2),
        lambda picture: restoration.upscale(picture, 3, "bicubic"),
    ],
)
def test_stages_see_nothing_of_what_is_hidden(stage: object) -> None:
    staged = [stage(from_pillow(image)) for image in (NOISY, FLAT)]  # type: ignore[operator]
    np.testing.assert_array_equal(staged[0].pixels, staged[1].pixels)


def test_noise_is_measured_where_it_is_seen() -> None:
    grain = np.random.default_rng(0).normal(0, 20, (384, 384, 3))
    pixels = np.clip(photograph(384, 384) + grain, 0, 255).astype(np.uint8)
    alpha = np.zeros((384, 384), np.uint8)
    alpha[100:300, 90:290] = 255
    file = aecodec.compress(Image.fromarray(np.dstack([pixels, alpha])), denoise="auto")
    assert aecodec.info(file).noise == pytest.approx(20, abs=4)


def test_psnr_weighs_by_alpha() -> None:
    one, other = noise(9, 7, 1), noise(9, 7, 2)
    alpha = np.zeros((7, 9), np.uint8)
    alpha[:3] = 255
    assert psnr(one, other, alpha) == pytest.approx(psnr(one[:3], other[:3]))
    assert psnr(one, other, np.full((7, 9), 255, np.uint8)) == psnr(one, other)
    half = np.full((7, 9), 255, np.uint8)
    half[3:] = 51
    squares = np.square(one.astype(float) - other).sum((1, 2))
    error = (squares[:3].sum() + squares[3:].sum() / 5) / (3 * (27 + 36 / 5))
    assert psnr(one, other, half) == pytest.approx(10 * np.log10(255**2 / error))
    assert psnr(one, other, np.zeros((7, 9), np.uint8)) is None


def test_modes_with_alpha_come_back() -> None:
    for mode in ("LA", "RGBA"):
        assert aecodec.decompress(aecodec.compress(picture_of_mode(mode, 70, 50), exact=True)).mode == mode


def test_a_psnr_out_of_reach_of_invisible_pixels_says_so() -> None:
    with pytest.raises(TargetError, match="; exact counts invisible pixels too: leave it out"):
        aecodec.compress(NOISY, psnr=40, exact=True)
    with pytest.raises(TargetError, match=r"or lossless$"):
        aecodec.compress(photograph(60, 50), psnr=90, exact=True)
