"""CompressAI's models as reference codecs: with weights of the right shape whole files come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.benchmarks import compressai_models
from aecodec.benchmarks.metrics import psnr_rgb
from tests.common import photograph

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub folder that holds two untrained models under the names of the trained ones."""
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("compressai.zoo.image")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    compressai_models.checkpoints().mkdir(parents=True)
    torch.manual_seed(0)
    for quality in (1, 2):
        url = image.model_urls["bmshj2018-hyperprior"]["mse"][quality]
        model = image.model_architectures["bmshj2018-hyperprior"](8, 12)
        torch.save(model.state_dict(), compressai_models.checkpoints() / url.rsplit("/", 1)[1])
    compressai_models.model_of.cache_clear()
    return tmp_path


def test_models_with_weights_are_codecs_and_the_others_are_named(hub: Path) -> None:
    codecs, absent = compressai_models.compressai_codecs()
    assert [codec.qualities for codec in codecs] == [(1, 2)]
    assert len(absent) == len(compressai_models.ARCHITECTURES) - 1
    assert "mse" in codecs[0].settings
    assert all("checkpoints" in reason for reason in absent.values())


@pytest.mark.parametrize("size", [(64, 64), (75, 49)])
def test_files_hold_all_that_decoding_takes(hub: Path, size: tuple[int, int]) -> None:
    [codec], _ = compressai_models.compressai_codecs()
    pixels = photograph(*size)
    file = codec.encode(Image.fromarray(pixels), 2)
    compressai_models.model_of.cache_clear()
    decoded = np.asarray(codec.decode(file))
    assert decoded.shape == pixels.shape
    assert np.isfinite(psnr_rgb(pixels, decoded))


def test_without_weights_nothing_of_torch_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    codecs, absent = compressai_models.compressai_codecs()
    assert codecs == []
    assert len(absent) == len(compressai_models.ARCHITECTURES)
    assert set(absent.values()) == {f"its weights are not in {compressai_models.checkpoints()}"}
