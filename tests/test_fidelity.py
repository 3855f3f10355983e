"""The PSNR of a large picture is that of a sample, and is said to be; of others it is that of all pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec import CompressOptions, Encoded, compress, decompress
from aecodec.container import CELL
from aecodec.encoder import encoded
from aecodec.encoder.encoder import encode
from aecodec.picture import Picture
from aecodec.picture import psnr as psnr_of
from tests.common import photograph
from tests.test_cli import run_command

SIZE = 420, 300  # pixels (W, H)


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "SAMPLE_CORE", 2)
    monkeypatch.setattr(encoded, "SAMPLES", 5)
    monkeypatch.setattr("aecodec.encoder.encoded.MEASURED_WHOLE", SIZE[0] * SIZE[1] - 1)


def coded(picture: Picture, quality: float = 40) -> Encoded:
    return encode(picture, CompressOptions(quality=quality))


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("gray", [False, True])
def test_a_sample_tells_about_the_psnr(gray: bool) -> None:
    pixels = photograph(*SIZE)
    picture = Picture(np.repeat(pixels[:, :, 1:2], 3, 2) if gray else pixels, gray)
    file = coded(picture)
    sampled, exact = file.fidelity(), file.fidelity(exact=True)
    assert (sampled.sampled, exact.sampled) == (True, False)
    assert sampled.psnr == pytest.approx(exact.psnr, abs=1.5)
    assert sampled.psnr != exact.psnr


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("achromatic", [False, True])
def test_a_sample_of_all_is_exact(monkeypatch: pytest.MonkeyPatch, achromatic: bool) -> None:
    monkeypatch.setattr(encoded, "SAMPLE_CORE", 34)
    monkeypatch.setattr(encoded, "SAMPLES", 1)
    pixels = photograph(*SIZE)
    file = coded(Picture(np.repeat(pixels[:, :, 1:2], 3, 2) if achromatic else pixels))
    assert file.fidelity().psnr == pytest.approx(file.psnr, abs=1e-3)


def test_samples_are_spread_and_the_same_each_time() -> None:
    size = 4000, 6000
    sample = encoded.sample_of(size)
    assert sample == encoded.sample_of(size)
    assert len(sample) == encoded.SAMPLES**2
    for axis in range(2):
        positions = [tile.place[axis].start * CELL / size[axis] for tile in sample]
        assert min(positions) < 0.17
        assert max(positions) > 0.8


@pytest.mark.parametrize("quality", [20, 80])
def test_what_the_encoder_knows_of_y_is_what_the_decoder_finds(quality: float) -> None:
    pixels = photograph(*SIZE)
    file = coded(Picture(pixels), quality)
    assert file.latents is not None
    assert file.latents.y_hat is not None
    decoded_psnr = psnr_of(pixels, np.asarray(decompress(file.data)))
    assert file.fidelity().psnr == pytest.approx(decoded_psnr, abs=1e-3)


@pytest.mark.usefixtures("small_samples")
def test_a_lossless_file_has_no_psnr(tmp_path: Path) -> None:
    path = tmp_path / "icon.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    record = json.loads(run_command("compress", path, tmp_path / "a.aec", "--json").stdout)
    assert record["psnr"] is None
    assert record["psnr_sampled"] is False


def test_files_do_not_depend_on_how_psnr_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photograph(*SIZE)).save(path)
    record = json.loads(
        run_command("compress", path, "-o", tmp_path / "a.aec", "--exact-psnr", "--json").stdout
    )
    assert 20 < record["psnr"] < 60
    assert record["psnr_sampled"] is False
    assert (tmp_path / "a.aec").read_bytes() == compress(photograph(*SIZE))
