"""What was never coded is left alone by `enhance`, and what was coded is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import restoration
from aecodec.arrays import Pixels
from aecodec.picture import Picture
from aecodec.restoration.traces import may_be_coded
from tests.common import photograph, psnr_of, shipped_photograph
from tests.drawn import EDGED, SMOOTH, jpeg

NAMES = ["astronaut", "chelsea", "coffee", "rocket"]
NOTE = "no trace of coding: left as it is"


def part(name: str) -> Pixels:
    return np.ascontiguousarray(shipped_photograph(name)[:256, :320])


@pytest.mark.parametrize("name", EDGED)
def test_what_was_never_coded_is_left_as_it_is(name: str) -> None:
    picture = Picture(EDGED[name](), notes=("kept",))
    enhanced = restoration.enhance(picture)
    assert enhanced.notes == ("kept", NOTE)
    assert enhanced.pixels is picture.pixels


@pytest.mark.parametrize("name", EDGED)
@pytest.mark.parametrize("shift", [(1, 0), (3, 5)])
def test_that_holds_where_a_picture_was_cut(name: str, shift: tuple[int, int]) -> None:
    assert not may_be_coded(EDGED[name]()[shift[0] :, shift[1] :])


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_pictures_stay_what_they_were(name: str) -> None:
    pixels = SMOOTH[name]()
    assert psnr_of(pixels, restoration.enhance(Picture(pixels)).pixels) > 55


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", [5, 10, 30, 60, 95])
def test_jpegs_of_photographs_show_it(name: str, subsampling: str, quality: int) -> None:
    damaged = jpeg(part(name), quality, subsampling)
    gray = np.asarray(Image.fromarray(damaged).convert("L").convert("RGB"))
    assert all(may_be_coded(pixels) for pixels in (damaged, damaged[3:, 5:], gray))


@pytest.mark.parametrize("quality", [20, 50, 90])
@pytest.mark.parametrize(
    "name", ["text", "gray text", "coloured text", "drawing", "screenshot", "dots", "icon"]
)
def test_jpegs_of_what_was_drawn_show_it(name: str, quality: int) -> None:
    damaged = jpeg(EDGED[name](), quality)
    assert may_be_coded(damaged)
    assert may_be_coded(damaged[:, 4:])


@pytest.mark.parametrize("quality", [0, 20, 50, 80, 100])
def test_our_files_show_it(quality: float) -> None:
    assert may_be_coded(np.asarray(aecodec.decompress(aecodec.compress(part("astronaut"), quality))))


def test_decompress_enhances_what_it_knows_to_be_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aecodec.restoration.enhancement.may_be_coded", lambda pixels: False)
    file = aecodec.compress(part("chelsea"), 10)
    assert aecodec.decompress(file, enhance=True).tobytes() != aecodec.decompress(file).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (9, 9), (10, 10), (300, 11)])
def test_small_pictures_say_nothing(size: tuple[int, int]) -> None:
    assert may_be_coded(np.zeros((*size, 3), np.uint8))


def test_large_pictures_are_looked_at_in_parts() -> None:
    text = np.tile(EDGED["text"](), (7, 5, 1))
    assert not may_be_coded(text)
    assert may_be_coded(jpeg(text, 60))


@pytest.mark.parametrize("level", [0, 255])
def test_a_ground_of_pure_white_or_black_stays_pure(level: int) -> None:
    picture = np.full((200, 240, 3), level, np.uint8)
    picture[40:136, 64:160] = photograph(96, 96).clip(1, 254)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=30)
    before = np.asarray(Image.open(file))
    after = np.asarray(aecodec.enhance(Image.open(file)))
    blocks = (before == level).reshape(25, 8, 30, 8, 3).all((1, 3, 4))
    assert blocks.mean() > 0.5
    assert (after.reshape(25, 8, 30, 8, 3)[blocks.nonzero()[0], :, blocks.nonzero()[1]] == level).all()
    assert (after != before).any()
