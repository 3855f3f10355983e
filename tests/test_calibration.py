"""Figures of the literature that a harness must reproduce, on test sets that lie beside a clone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.metrics import psnr_rgb
from benchmarks.peers import JPEG, of_pillow

SETS = Path(__file__).parents[2] / "shared" / "data" / "sets"

pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="the academic test sets may not be redistributed")


def gray_pictures(name: str) -> list[np.ndarray]:
    """The gray pictures of a set, by name, as three equal channels."""
    paths = sorted(path for path in (SETS / name).iterdir() if path.suffix in (".bmp", ".png"))
    return [np.asarray(Image.open(path).convert("L").convert("RGB")) for path in paths]


@pytest.mark.parametrize(("quality", "psnr"), [(10, 27.82), (20, 30.12), (30, 31.48), (40, 32.43)])
def test_gray_jpeg_on_classic5(quality: int, psnr: float) -> None:
    peer = next(peer for peer in of_pillow()[0] if peer.name == JPEG)
    found = []
    for pixels in gray_pictures("classic5"):
        file = peer.encode(Image.fromarray(pixels).convert("L"), quality)
        found.append(psnr_rgb(pixels, np.asarray(peer.decode(file))))
    assert len(found) == 5
    assert np.mean(found) == pytest.approx(psnr, abs=0.02)
