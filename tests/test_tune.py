"""`tune`: two models of ours, one whose pictures look nearest in as many bytes, one of the best PSNR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aecodec
import aecodec.pillow
from aecodec.benchmarks.metrics import ms_ssim_db, psnr_rgb, ssimulacra2
from aecodec.encoder.options import TUNED
from aecodec.model.registry import model_named
from tests.common import photograph


@pytest.mark.parametrize("quality", [20, 40, 60])
def test_each_tuning_is_best_at_what_it_is_tuned_for(quality: float) -> None:
    pixels = photograph(384, 320)
    for_psnr = aecodec.compress(pixels, quality, tune="psnr")
    to_the_eye = aecodec.compress(pixels, max_bytes=len(for_psnr))
    assert len(to_the_eye) > 0.95 * len(for_psnr)
    first, second = (np.asarray(aecodec.decompress(file)) for file in (for_psnr, to_the_eye))
    assert ssimulacra2(pixels, second) > ssimulacra2(pixels, first) + 2
    assert ms_ssim_db(pixels, second) > ms_ssim_db(pixels, first) + 0.3
    assert psnr_rgb(pixels, second) < psnr_rgb(pixels, first)


@pytest.mark.parametrize("quality", [10, 40, 75])
def test_efforts_go_by_what_the_model_is_tuned_for(quality: float) -> None:
    """At an equal measure four steps save what a difference of some quality does."""
    pixels = photograph(320, 256)
    plain, finer = (aecodec.compress(pixels, q) for q in (quality, quality + 6))
    better = aecodec.compress(pixels, quality, effort=3)
    decoded = [np.asarray(aecodec.decompress(file)) for file in (plain, finer, better)]
    for measure, share in ((ms_ssim_db, 0.98), (ssimulacra2, 0.995)):
        figures = [measure(pixels, picture) for picture in decoded]
        gradient = np.log(len(finer) / len(plain)) / (figures[1] - figures[0])
        equal = len(plain) * np.exp(gradient * (figures[2] - figures[0]))
        assert len(better) < share * equal, measure


@pytest.mark.parametrize("tune", TUNED)
def test_a_file_names_the_model_of_its_tuning(tune: str) -> None:
    info = aecodec.info(aecodec.compress(photograph(70, 50), tune=tune))
    assert info.model == model_named(TUNED[tune]).fingerprint.hex()


@pytest.mark.parametrize(
    ("asked", "tune"),
    [
        ({}, "visual"),
        ({"max_bytes": 900}, "visual"),
        ({"reduce": 2}, "visual"),
        ({"psnr": 30.0}, "psnr"),
        ({"enhance": True}, "psnr"),
        ({"reduce": "auto"}, "psnr"),
    ],
)
def test_pictures_are_made_for_the_eye_unless_psnr_decides(asked: dict[str, Any], tune: str) -> None:
    info = aecodec.info(aecodec.compress(photograph(170, 150), **asked))
    assert info.model == model_named(TUNED[tune]).fingerprint.hex()


def test_nothing_else_can_be_tuned_for() -> None:
    with pytest.raises(aecodec.QualityError, match="no model is tuned for 'vmaf': choose visual or psnr"):
        aecodec.compress(photograph(20, 20), tune="vmaf")


def test_what_goes_by_psnr_is_refused() -> None:
    with pytest.raises(aecodec.StageError, match="go by PSNR"):
        aecodec.compress(photograph(20, 20), tune="visual", enhance=True)
    with pytest.raises(aecodec.StageError, match="go by PSNR"):
        aecodec.compress(photograph(20, 20), tune="visual", reduce="auto")


def test_a_tuning_chooses_the_model() -> None:
    with pytest.raises(aecodec.QualityError, match="tune psnr chooses the model"):
        aecodec.compress(photograph(20, 20), tune="psnr", model="base")


def test_pillow_takes_a_tuning(tmp_path: Path) -> None:
    Image.fromarray(photograph(70, 50)).save(tmp_path / "a.aec", tune="psnr")
    model = aecodec.info((tmp_path / "a.aec").read_bytes()).model
    assert model == model_named(TUNED["psnr"]).fingerprint.hex()
