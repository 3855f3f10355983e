"""The measurements reproduce published figures and fall for none of the usual traps."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.rate_distortion import (
    Point,
    bd_rate,
    decode_pillow,
    encode_jpeg,
    encode_webp,
    measure,
    monotone,
)

KODAK = Path(__file__).parents[1] / "benchmarks" / "kodak"


def kodak() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(KODAK.glob("*.png"))]


def curve(*points: tuple[float, float]) -> list[Point]:
    return [Point(n, bpp, psnr, [bpp], [psnr]) for n, (bpp, psnr) in enumerate(points)]


def test_kodak_is_whole() -> None:
    lines = (KODAK / "SHA256SUMS").read_text().splitlines()
    sums = {name.strip().lstrip("*"): digest for digest, name in (line.split(None, 1) for line in lines)}
    assert len(sums) == 24
    for name, digest in sums.items():
        assert hashlib.sha256((KODAK / Path(name).name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("quality", "psnr", "bpp"), [(10, 26.67, 0.256), (50, 32.17, 0.869), (90, 38.03, 2.315)]
)
def test_jpeg_on_kodak_is_calibrated(quality: int, psnr: float, bpp: float) -> None:
    (point,) = measure(kodak(), (quality,), encode_jpeg, decode_pillow)
    assert point.psnr == pytest.approx(psnr, abs=0.02)
    assert point.bpp == pytest.approx(bpp, abs=0.001)


def test_webp_on_kodak_is_calibrated() -> None:
    (point,) = measure(kodak(), (50,), encode_webp, decode_pillow)
    assert point.psnr == pytest.approx(33.01, abs=0.02)
    assert point.bpp == pytest.approx(0.673, abs=0.001)


def test_half_the_rate_is_minus_fifty_percent() -> None:
    anchor = curve((0.2, 28), (0.5, 31), (1.0, 34), (2.0, 37))
    half = curve((0.1, 28), (0.25, 31), (0.5, 34), (1.0, 37))
    assert bd_rate(anchor, half) == pytest.approx((-50, 28, 37))
    assert bd_rate(half, anchor)[0] == pytest.approx(100)
    assert bd_rate(anchor, anchor)[0] == pytest.approx(0)


def test_only_the_shared_range_counts() -> None:
    anchor = curve((0.2, 28), (0.5, 31), (1.0, 34), (2.0, 37))
    higher = curve((0.5, 31), (1.0, 34), (2.0, 37), (9.0, 40))
    assert bd_rate(anchor, higher)[1:] == pytest.approx((31, 37))


def test_no_shared_range_is_no_number() -> None:
    with pytest.raises(ValueError, match="share no range"):
        bd_rate(curve((0.1, 20), (0.2, 25)), curve((1.0, 30), (2.0, 35)))


def test_monotony_looks_at_each_picture() -> None:
    rising = [Point(0, 1, 30, [1, 1], [30, 30]), Point(1, 2, 31, [2, 2], [31, 31])]
    uneven = [Point(0, 1, 30, [1, 1], [30, 30]), Point(1, 2, 31, [2.5, 0.9], [31, 32])]
    assert monotone(rising)
    assert not monotone(uneven)


def test_the_mean_is_of_decibels_not_of_errors() -> None:
    flat, noisy = Image.new("RGB", (64, 64), "gray"), Image.effect_noise((64, 64), 90).convert("RGB")

    def blur(data: bytes) -> Image.Image:
        return Image.fromarray(255 - np.asarray(decode_pillow(data)))

    (point,) = measure([flat, noisy], (50,), encode_jpeg, blur)
    assert point.psnr == pytest.approx(np.mean(point.psnrs))
