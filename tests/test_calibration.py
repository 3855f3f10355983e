"""Figures of the literature that a harness must reproduce, on test sets that lie beside a clone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.benchmarks import stages
from aecodec.benchmarks.metrics import psnr_of, psnr_rgb
from aecodec.benchmarks.reference_codecs import JPEG, pillow_codecs
from aecodec.restoration.denoising import non_local_means

SETS = Path(__file__).parents[2] / "shared" / "data" / "sets"

pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="the academic test sets may not be redistributed")


def gray_pictures(name: str) -> list[np.ndarray]:
    """The gray pictures of a set, by name, as three equal channels."""
    paths = sorted(path for path in (SETS / name).iterdir() if path.suffix in (".bmp", ".png"))
    return [np.asarray(Image.open(path).convert("L").convert("RGB")) for path in paths]


@pytest.mark.parametrize(("quality", "psnr"), [(10, 27.82), (20, 30.12), (30, 31.48), (40, 32.43)])
def test_gray_jpeg_on_classic5(quality: int, psnr: float) -> None:
    codec = next(codec for codec in pillow_codecs()[0] if codec.name == JPEG)
    values = []
    for pixels in gray_pictures("classic5"):
        file = codec.encode(Image.fromarray(pixels).convert("L"), quality)
        values.append(psnr_rgb(pixels, np.asarray(codec.decode(file))))
    assert len(values) == 5
    assert np.mean(values) == pytest.approx(psnr, abs=0.02)


@pytest.mark.parametrize(
    ("name", "scale", "psnr"),
    [
        ("Set5", "x2", 33.67),
        ("Set5", "x3", 30.40),
        ("Set5", "x4", 28.43),
        ("Set14", "x2", 30.32),
        ("Set14", "x3", 27.63),
        ("Set14", "x4", 26.09),
    ],
)
def test_bicubic_interpolation(name: str, scale: str, psnr: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "METHODS", ("bicubic",))
    [measured] = [row for row in stages.upscaling(SETS) if (row.set, row.damage) == (name, scale)]
    assert measured.pictures == int(name[3:])
    assert measured.psnr == pytest.approx(psnr, abs=0.05)


@pytest.mark.parametrize(("sigma", "before", "after"), [(15, 24.61, 30.14), (50, None, 24.55)])
def test_noise_and_non_local_means_on_bsd68(sigma: int, before: float | None, after: float) -> None:
    """What is found is neither clipped nor rounded, which costs 0.03 dB."""
    noisy, cleaned = [], []
    for number, pixels in enumerate(gray_pictures("BSD68")):
        plane = pixels[:, :, :1]
        noise = sigma * np.random.RandomState(number).randn(*plane.shape)
        damaged = ((plane + noise) / 255).astype(np.float32)
        noisy.append(psnr_of(plane.astype(float), 255 * damaged.astype(float)))
        denoised = non_local_means(np.repeat(damaged, 3, 2), sigma, gray=True)[:, :, :1]
        cleaned.append(psnr_of(plane.astype(float), 255 * denoised.astype(float)))
    assert len(noisy) == 68
    if before:
        assert np.mean(noisy) == pytest.approx(before, abs=0.02)
    assert np.mean(cleaned) == pytest.approx(after, abs=0.02)
