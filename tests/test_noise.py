"""Noise is measured where there is some, and text, prints and drawings have none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import restoration
from aecodec.arrays import Pixels
from aecodec.picture import Picture
from aecodec.restoration.denoising import denoise_measured
from aecodec.restoration.noise import estimate_noise
from tests.common import psnr_of, shipped_photograph
from tests.drawn import EDGED, SMOOTH, bordered, jpeg, text, webp

DRAWN = {**EDGED, **SMOOTH}
LUMA = 0.67  # deviation of luma, as a share of that of noise that differs between channels
SMOOTH_CHROMA = {
    "JPEG 95": lambda pixels: jpeg(pixels, 95),
    "JPEG 80": lambda pixels: jpeg(pixels, 80),
    "JPEG 4:2:2": lambda pixels: jpeg(pixels, 95, "4:2:2"),
    "WebP": lambda pixels: webp(pixels, 90),
}


def noisy(pixels: Pixels, sigma: float, gray: bool = False) -> Pixels:
    """Pixels with white noise, clipped to bytes."""
    shape = (*pixels.shape[:2], 1) if gray else pixels.shape
    noise = np.random.default_rng(1).normal(0, sigma, shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", DRAWN)
def test_what_was_drawn_is_left_as_it_is(name: str) -> None:
    picture = Picture(DRAWN[name]())
    denoised, sigma = denoise_measured(picture)
    assert sigma == 0
    assert denoised.notes == ("no noise was measured: left as it is",)
    np.testing.assert_array_equal(denoised.pixels, picture.pixels)


@pytest.mark.parametrize("quality", [75, 92])
@pytest.mark.parametrize("name", ["text", "small text", "text on black", "gray text", "drawing", "half-tone"])
def test_a_jpeg_of_what_was_drawn_is_not_blurred(name: str, quality: int) -> None:
    clean = DRAWN[name]()
    damaged = jpeg(clean, quality)
    denoised = restoration.denoise(Picture(damaged)).pixels
    assert psnr_of(clean, denoised) > psnr_of(clean, damaged) - 0.05


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("sigma", [5, 20, 50])
def test_noise_of_photographs_is_measured(name: str, gray: bool, sigma: float) -> None:
    clean = shipped_photograph(name)[:320, :320]
    clean = np.asarray(Image.fromarray(clean).convert("L").convert("RGB")) if gray else clean
    measured = estimate_noise(noisy(clean, sigma, gray))
    assert measured == pytest.approx(sigma, rel=0.2, abs=1.6)  # the photographs have noise of their own


@pytest.mark.parametrize("coding", SMOOTH_CHROMA)
@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_noise_is_measured_whose_chroma_was_smoothed(name: str, coding: str, sigma: float) -> None:
    damaged = SMOOTH_CHROMA[coding](noisy(shipped_photograph(name)[:320, :320], sigma))
    assert estimate_noise(damaged) == pytest.approx(LUMA * sigma, rel=0.2, abs=1.6)


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
def test_gray_noise_in_colour_is_measured(name: str) -> None:
    damaged = noisy(shipped_photograph(name)[:320, :320], 15, gray=True)
    assert estimate_noise(damaged) == pytest.approx(15, rel=0.1)
    assert estimate_noise((damaged / 255).astype(np.float32)) == pytest.approx(15, rel=0.1)


@pytest.mark.parametrize("quality", [60, 80, 95])
@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee", "rocket"])
def test_a_jpeg_of_a_photograph_has_no_noise(name: str, quality: int) -> None:
    assert estimate_noise(jpeg(shipped_photograph(name), quality)) < 1


@pytest.mark.parametrize("name", DRAWN)
def test_coding_of_what_was_drawn_is_no_noise(name: str) -> None:
    for damaged in (jpeg(DRAWN[name](), 95), jpeg(DRAWN[name](), 75), webp(DRAWN[name](), 90)):
        assert estimate_noise(damaged) < 1.5


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_flat_border_hides_no_noise(level: int) -> None:
    damaged = noisy(shipped_photograph("chelsea")[:220, :220], 25)
    assert estimate_noise(bordered(damaged, level)) == pytest.approx(estimate_noise(damaged), rel=0.1)


def test_a_noisy_scan_of_text_is_noisy() -> None:
    scan = noisy(text(16, (60, 60, 60), (190, 190, 190)), 15)
    assert estimate_noise(scan) == pytest.approx(15, rel=0.2)


def test_a_saturated_colour_hides_no_noise() -> None:
    red = shipped_photograph("chelsea")[:200, :200].copy()
    red[:, :, 2] = 0
    assert estimate_noise(np.dstack([noisy(red, 20)[:, :, :2], red[:, :, 2]])) > 5


@pytest.mark.parametrize("method", ["learned", "nlm"])
def test_noise_of_a_photograph_is_removed_blindly(method: str) -> None:
    clean = shipped_photograph("chelsea")[:160, :160]
    damaged = noisy(clean, 20)
    denoised, sigma = denoise_measured(Picture(damaged), method=method)
    assert sigma == estimate_noise(damaged)
    assert psnr_of(clean, denoised.pixels) > psnr_of(clean, damaged) + 3


@pytest.mark.parametrize("coding", ["JPEG 80", "WebP"])
def test_noise_of_a_photograph_with_smooth_chroma_is_removed(coding: str) -> None:
    clean = shipped_photograph("chelsea")[:160, :160]
    damaged = SMOOTH_CHROMA[coding](noisy(clean, 20))
    denoised, sigma = denoise_measured(Picture(damaged))
    assert sigma == estimate_noise(damaged)
    assert psnr_of(clean, denoised.pixels) > psnr_of(clean, damaged) + 3


def test_the_noise_can_be_had() -> None:
    damaged = noisy(shipped_photograph("chelsea")[:160, :160], 20)
    assert aecodec.estimate_noise(damaged) == pytest.approx(20, rel=0.1)
    assert aecodec.estimate_noise(Image.fromarray(text())) == 0
    assert aecodec.estimate_noise(damaged[:8, :8]) == 0


def test_compress_removes_no_noise_from_text() -> None:
    image = text(12, (40, 40, 40), (230, 230, 230))
    assert aecodec.compress(image, 40, denoise="auto") == aecodec.compress(image, 40)


@pytest.mark.filterwarnings("ignore:no noise was measured")
@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_noise_is_told_where_some_is_removed(name: str) -> None:
    image = shipped_photograph(name)
    for gray in (image[:200, :200, 1], image[-200:, -200:, 0]):
        changed = np.asarray(aecodec.denoise(gray)) != gray
        assert changed.any() == (aecodec.estimate_noise(gray) > 0)
