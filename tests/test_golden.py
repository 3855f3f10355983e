"""Files written once decode for ever: the same symbols, the same pixels within one level.

tests/golden/ is never regenerated in place. A new model or format adds files; a file leaves only when
CHANGELOG, under *Bitstream*, says that its model or format is no longer read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import codec
from codec.bitstream import parse
from codec.model import model_with
from codec.pipeline import cells

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.aec"))


def test_there_are_golden_files() -> None:
    assert {codec.info(path.read_bytes()).coding for path in FILES} == {"learned", "lossless"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pixels(path: Path) -> None:
    decoded = codec.decompress(path.read_bytes())
    with Image.open(path.with_suffix(".png")) as image:
        expected = image.copy()
    assert (decoded.mode, decoded.size) == (expected.mode, expected.size)
    difference = np.asarray(decoded).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_symbols(path: Path) -> None:
    container = parse(path.read_bytes())
    expected = json.loads(path.with_suffix(".json").read_text())
    if not (learned := container.learned):
        assert expected == {}
        return
    coder = model_with(learned.fingerprint).coder
    size = cells(container.height, container.width)
    latents = coder.decode(container.payload, size, learned.quality, learned.prior)
    assert hashlib.sha256(latents.z.astype("<i4").tobytes()).hexdigest() == expected["z"]
    assert hashlib.sha256(latents.symbols.astype("<i2").tobytes()).hexdigest() == expected["symbols"]
