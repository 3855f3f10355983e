"""compressai's models as peers: with weights of the right shape at hand, whole files that come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.benchmarks import zoo
from aecodec.benchmarks.metrics import psnr_rgb
from tests.common import photograph

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub folder that holds two untrained models under the names of the trained ones."""
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("compressai.zoo.image")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    zoo.checkpoints().mkdir(parents=True)
    torch.manual_seed(0)
    for quality in (1, 2):
        url = image.model_urls["bmshj2018-hyperprior"]["mse"][quality]
        model = image.model_architectures["bmshj2018-hyperprior"](8, 12)
        torch.save(model.state_dict(), zoo.checkpoints() / url.rsplit("/", 1)[1])
    zoo.model_of.cache_clear()
    return tmp_path


def test_models_with_weights_are_peers_and_the_others_are_named(hub: Path) -> None:
    peers, absent = zoo.of_zoo()
    assert [peer.qualities for peer in peers] == [(1, 2)]
    assert len(absent) == len(zoo.ARCHITECTURES) - 1
    assert "mse" in peers[0].settings
    assert all("checkpoints" in reason for reason in absent.values())


@pytest.mark.parametrize("size", [(64, 64), (75, 49)])
def test_files_hold_all_that_decoding_takes(hub: Path, size: tuple[int, int]) -> None:
    [peer], _ = zoo.of_zoo()
    pixels = photograph(*size)
    file = peer.encode(Image.fromarray(pixels), 2)
    zoo.model_of.cache_clear()
    decoded = np.asarray(peer.decode(file))
    assert decoded.shape == pixels.shape
    assert np.isfinite(psnr_rgb(pixels, decoded))


def test_without_weights_nothing_of_torch_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    peers, absent = zoo.of_zoo()
    assert peers == []
    assert len(absent) == len(zoo.ARCHITECTURES)
    assert set(absent.values()) == {f"its weights are not in {zoo.checkpoints()}"}
