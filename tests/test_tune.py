"""`tune="ssim"`: another model of ours, whose files keep more structure in as many bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import codec
import codec.pillow
from benchmarks.metrics import ms_ssim_db, psnr_rgb
from codec.model import TUNED, model_named
from tests.common import photograph


@pytest.mark.parametrize("quality", [20, 40, 60])
def test_each_tuning_is_best_at_what_it_is_tuned_for(quality: float) -> None:
    pixels = photograph(384, 320)
    for_psnr = codec.compress(pixels, quality)
    for_ssim = codec.compress(pixels, tune="ssim", max_bytes=len(for_psnr))
    assert len(for_ssim) > 0.95 * len(for_psnr)
    first, second = (np.asarray(codec.decompress(file)) for file in (for_psnr, for_ssim))
    assert ms_ssim_db(pixels, second) > ms_ssim_db(pixels, first) + 0.4
    assert psnr_rgb(pixels, second) < psnr_rgb(pixels, first)


@pytest.mark.parametrize("quality", [10, 40, 75])
def test_efforts_go_by_what_the_model_is_tuned_for(quality: float) -> None:
    """At equal MS-SSIM four steps save what a difference of some quality does."""
    pixels = photograph(320, 256)
    plain, finer = (codec.compress(pixels, q, tune="ssim") for q in (quality, quality + 6))
    better = codec.compress(pixels, quality, tune="ssim", effort=3)
    files = [plain, finer, better]
    figures = [ms_ssim_db(pixels, np.asarray(codec.decompress(file))) for file in files]
    slope = np.log(len(finer) / len(plain)) / (figures[1] - figures[0])
    equal = len(plain) * np.exp(slope * (figures[2] - figures[0]))
    assert len(better) < 0.96 * equal


@pytest.mark.parametrize("tune", TUNED)
def test_a_file_names_the_model_of_its_tuning(tune: str) -> None:
    about = codec.info(codec.compress(photograph(70, 50), tune=tune))
    assert about.model == model_named(TUNED[tune]).fingerprint.hex()


def test_nothing_else_can_be_tuned_for() -> None:
    with pytest.raises(codec.QualityError, match="no model is tuned for 'vmaf': choose psnr or ssim"):
        codec.compress(photograph(20, 20), tune="vmaf")


def test_what_goes_by_psnr_is_refused() -> None:
    with pytest.raises(codec.StageError, match="go by PSNR"):
        codec.compress(photograph(20, 20), tune="ssim", enhance=True)
    with pytest.raises(codec.StageError, match="go by PSNR"):
        codec.compress(photograph(20, 20), tune="ssim", reduce="auto")


def test_a_tuning_chooses_the_model() -> None:
    with pytest.raises(codec.QualityError, match="tune ssim chooses the model"):
        codec.compress(photograph(20, 20), tune="ssim", model="base")


def test_pillow_takes_a_tuning(tmp_path: Path) -> None:
    Image.fromarray(photograph(70, 50)).save(tmp_path / "a.aec", tune="ssim")
    model = codec.info((tmp_path / "a.aec").read_bytes()).model
    assert model == model_named(TUNED["ssim"]).fingerprint.hex()
