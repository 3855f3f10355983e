"""Targets are kept: never over in bytes, never under in PSNR, and what is out of reach is said."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import aecodec
from aecodec.arrays import Floats, Pixels
from aecodec.encoder import encoder
from aecodec.encoder.lossless import DETAILED, LARGEST_SAMPLE, LosslessCandidate
from aecodec.encoder.quantisation import quantised
from aecodec.encoder.rate_control import DECIBELS, of_psnr, search, within_bytes
from aecodec.errors import TargetError
from aecodec.model.registry import model_named
from aecodec.picture import Picture
from aecodec.picture.lossless import write_pixels
from tests.common import noise, photograph, psnr_of, shipped_photograph

PICTURE = photograph(220, 180)


@pytest.mark.parametrize("limit", [900, 2500, 9000])
def test_max_bytes_is_kept_and_used(limit: int) -> None:
    data = aecodec.compress(PICTURE, max_bytes=limit)
    assert 0.9 * limit <= len(data) <= limit
    assert aecodec.decompress(data).size == (220, 180)


@pytest.mark.parametrize("spare", [0, 1000])
@pytest.mark.parametrize("size", [(220, 180), (400, 300)])
def test_a_lossless_file_within_the_limit_is_taken(size: tuple[int, int], spare: int) -> None:
    picture = photograph(*size)
    lossless = aecodec.compress(picture, lossless=True)
    limit = len(lossless) + spare
    assert aecodec.compress(picture, max_bytes=limit) == lossless
    assert aecodec.compress(picture, bpp=8 * limit / (size[0] * size[1])) == lossless


def test_a_lossless_file_over_the_limit_is_not_taken() -> None:
    limit = len(aecodec.compress(PICTURE, lossless=True)) - 1
    data = aecodec.compress(PICTURE, max_bytes=limit)
    assert aecodec.info(data).coding == "learned"
    assert len(data) <= limit


def test_bpp_is_max_bytes_by_pixels() -> None:
    data = aecodec.compress(PICTURE, bpp=0.5)
    assert 0.45 < aecodec.info(data).bpp <= 0.5


def test_psnr_is_reached_and_hardly_exceeded() -> None:
    data = aecodec.compress(PICTURE, psnr=33)
    assert 33 <= psnr_of(PICTURE, np.asarray(aecodec.decompress(data))) <= 33 + 4 * DECIBELS


@pytest.mark.parametrize("effort", [0, 1])
def test_no_quality_is_analysed_twice(monkeypatch: pytest.MonkeyPatch, effort: int) -> None:
    """The last rough trial becomes the file, whatever improves it."""
    model = model_named("base")
    analysis, analysed = model.for_search.analysis, []

    def noted(quality: float, pixels: Floats) -> list[Floats]:
        analysed.append(quality)
        return analysis(quality, pixels)

    monkeypatch.setitem(model.for_search.__dict__, "analysis", noted)
    aecodec.compress(PICTURE, max_bytes=2500, effort=effort, model=model.name)
    runs = Counter(analysed)
    assert 2 <= len(runs) <= 4
    assert max(runs.values()) == 1


def test_what_is_lossless_is_coded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One alpha plane and one sample each way, although the picture is reduced, as nothing else fits."""
    image, written = Image.fromarray(photograph(300, 260)), []

    def noted(pixels: Pixels, alpha: Pixels | None = None, *arguments: Any, **options: Any) -> bytes:
        mode = ("L" if pixels.ndim == 2 else "RGB") + ("" if alpha is None else "A")
        written.append((mode, "all" if pixels.shape[:2] == (260, 300) else "sample"))
        return write_pixels(pixels, alpha, *arguments, **options)

    image.putalpha(Image.new("L", image.size, 128))
    monkeypatch.setattr(aecodec.encoder.lossless, "write_pixels", noted)
    assert aecodec.info(aecodec.compress(image, max_bytes=700, reduce="auto")).scale > 1
    assert sorted(written) == [("L", "all"), ("L", "sample"), ("RGB", "sample"), ("RGBA", "sample")]


@pytest.mark.parametrize("height", [7, 50, 64])
def test_rows_that_occur_again_are_all_coded(height: int) -> None:
    """Of which a sample could know nothing, and which lossless coding serves best."""
    pixels = np.tile(photograph(256, height), (1280 // height, 1, 1))
    size = len(write_pixels(pixels, efforts=(0,)))
    assert LosslessCandidate(Picture(pixels)).quick_try.result() == size
    data = aecodec.compress(pixels, 50 if height < 64 else 90, tune="psnr")
    assert aecodec.info(data).coding == "lossless"


def test_a_sample_does_not_go_by_a_pattern() -> None:
    pixels = np.tile(np.arange(512, dtype=np.uint16)[:, None, None], (1, 256, 3)).astype(np.uint8)
    rows = np.arange(512) % 64 < 8
    pixels[rows] = noise(256, int(rows.sum()))
    quick = len(write_pixels(pixels, efforts=(0,)))
    assert LosslessCandidate(Picture(pixels)).quick_try.result() < 2 * quick


@pytest.mark.parametrize("size", [(70_000, 1), (1, 16_000), (9_000, 9), (300, 230)])
@pytest.mark.parametrize("alpha", [False, True])
def test_pictures_of_any_shape_have_a_sample(size: tuple[int, int], alpha: bool) -> None:
    pixels = noise(*size)
    sample = LosslessCandidate(Picture(pixels, alpha=pixels[:, :, 0] if alpha else None)).sample()
    assert sample.picture.pixels.shape[1:] == pixels.shape[1:]
    assert 0 < sample.height <= min(size[1], max(8, size[1] // 4))


@pytest.mark.parametrize("size", [(6000, 4000), (400, 60_000), (20_000, 1000)])
def test_samples_of_large_pictures_are_no_larger(size: tuple[int, int]) -> None:
    width, height = size
    rows = LosslessCandidate(Picture(np.zeros((height, width, 3), np.uint8))).sample().height
    assert LARGEST_SAMPLE / 2 < rows * width < 1.5 * LARGEST_SAMPLE


@pytest.mark.parametrize("share", [0.05, 0.5, 1])
def test_a_sample_says_what_pictures_full_of_detail_take(share: float) -> None:
    """Wherever the detail lies, and never more; of others every row is coded."""
    pixels = photograph(300, 420)
    pixels[: round(420 * (1 - share))] = 128
    quick = len(write_pixels(pixels, efforts=(0,)))
    estimate = LosslessCandidate(Picture(pixels)).quick_try.result()
    detailed = 8 * quick > DETAILED * 420 * 300
    assert detailed == (share > 0.1)
    assert share / 1.15 < estimate / quick < 1.15 if detailed else estimate == quick


def test_the_quick_try_begins_when_the_networks_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[LosslessCandidate] = []
    write = encoder.Encoder.write

    def before(*arguments: Any, **more: Any) -> Any:
        assert "quick_try" not in kept[0].__dict__
        return quantised(*arguments, **more)

    def noted(*arguments: Any) -> Any:
        assert "quick_try" in kept[0].__dict__
        return write(*arguments)

    def make(picture: Picture, keeps_hidden: bool) -> LosslessCandidate:
        kept.append(LosslessCandidate(picture, keeps_hidden))
        return kept[0]

    monkeypatch.setattr(encoder, "quantised", before)
    monkeypatch.setattr(encoder.Encoder, "write", noted)
    monkeypatch.setattr(encoder, "LosslessCandidate", make)
    data = aecodec.compress(photograph(300, 260))
    assert kept[0].quick_try.result() > len(data)


def test_a_lossless_file_is_found_in_few_rows() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (8, 3), np.uint8)
    pixels = colours[np.arange(16 * 4376).reshape(16, 4376) // 40 % 8]
    limit = len(aecodec.compress(pixels, lossless=True))
    assert aecodec.info(aecodec.compress(pixels, max_bytes=limit)).coding == "lossless"


def scanned_text() -> Image.Image:
    """Lines of letters, as a JPEG left them."""
    image, file = Image.new("RGB", (320, 240), "white"), io.BytesIO()
    letters = np.random.default_rng(0).integers(97, 123, (15, 60), np.uint8)
    for top, line in enumerate(letters):
        font = ImageFont.load_default(12)
        ImageDraw.Draw(image).text((2, 15 * top + 4), line.tobytes().decode(), "black", font)
    image.save(file, "JPEG", quality=90)
    return Image.open(file).convert("RGB")


def test_text_that_would_be_poor_is_lossless() -> None:
    """At twice the bytes at most, and not where bytes were asked for."""
    image = scanned_text()
    file, small = aecodec.compress(image), aecodec.compress(image, max_bytes=32_000)
    assert aecodec.info(file).coding == "lossless"
    assert aecodec.info(small).coding == "learned"
    assert len(file) < 2 * len(small) <= 64_000
    assert psnr_of(np.asarray(image), np.asarray(aecodec.decompress(small))) < 31
    assert aecodec.info(aecodec.compress(noise(100, 90), 10)).coding == "learned"


@pytest.mark.parametrize("beside", ["metadata", "alpha"])
def test_what_is_beside_the_pixels_makes_no_file_lossless(beside: str) -> None:
    """A learned file is poor here, and a lossless one over three times as large."""
    image = Image.fromarray(photograph(48, 96) // 2 + noise(48, 96) // 5).convert("L")
    plain = aecodec.compress(image)
    lossless = aecodec.compress(image, lossless=True)
    assert aecodec.info(plain).coding == "learned"
    assert len(lossless) > 3 * len(plain)
    if beside == "metadata":
        image.info["icc_profile"] = noise(100, 100)[:, :, 0].tobytes()
    else:
        image.putalpha(Image.fromarray(noise(48, 96)[:, :, 0] | 1))  # as seen everywhere
    assert aecodec.info(aecodec.compress(image)).coding == "learned"


def test_metadata_and_alpha_count() -> None:
    image = Image.fromarray(PICTURE)
    image.putalpha(Image.fromarray(noise(220, 180)[:, :, 0]))
    image.info["icc_profile"] = bytes(500)
    assert len(aecodec.compress(image, max_bytes=45000)) <= 45000


@pytest.mark.parametrize(
    ("target", "fragment"),
    [
        ({"max_bytes": 100}, "the smallest file has"),
        ({"bpp": 0.001}, "out of reach"),
        ({"psnr": 80}, "best is"),
    ],
)
def test_what_is_out_of_reach_is_said(target: dict[str, float], fragment: str) -> None:
    with pytest.raises(TargetError, match=fragment):
        aecodec.compress(PICTURE, **target)


def test_targets_exclude_each_other() -> None:
    with pytest.raises(TargetError, match="exclude each other"):
        aecodec.compress(PICTURE, bpp=1, psnr=30)


def test_lossless_is_lossless() -> None:
    data = aecodec.compress(noise(40, 30), lossless=True)
    assert aecodec.info(data).coding == "lossless"
    np.testing.assert_array_equal(np.asarray(aecodec.decompress(data)), noise(40, 30))


@dataclass(frozen=True)
class File:
    """Stands for an encoded file of so many bytes and dB."""

    size: int
    psnr: float = 0.0

    @property
    def data(self) -> bytes:
        return bytes(self.size)

    def slim(self) -> File:
        return self


class Files:
    """Pretends to encode files of 400 bytes and more, and counts them; rough ones are a little smaller."""

    def __init__(self, steepness: float, jump: float = 1) -> None:
        self.steepness, self.jump, self.written, self.guessed = steepness, jump, 0, 0

    def size(self, quality: float) -> int:
        return round(400 * math.exp(self.steepness * quality) * (self.jump if quality > 60 else 1))

    def write(self, quality: float) -> Any:
        self.written += 1
        return File(self.size(quality))

    def guess(self, quality: float) -> Any:
        self.guessed += 1
        return File(round(0.98 * self.size(quality)))


@pytest.mark.parametrize("steepness", [0.01, 0.03, 0.06])
@pytest.mark.parametrize("jump", [1, 3])
@pytest.mark.parametrize("limit", [500, 1000, 2000, 5000])
def test_the_search_is_short_and_never_over(steepness: float, jump: float, limit: int) -> None:
    files = Files(steepness, jump)
    reachable = max(size for n in range(101) if (size := files.size(n)) <= limit)
    file = within_bytes(files.write, files.guess, files.write, limit)
    assert 0.9 * reachable <= len(file.data) <= limit
    assert files.guessed <= 4
    assert files.written <= (3 if jump == 1 else 12)


@pytest.mark.parametrize("error", [0.5, 0.9, 1.1, 2])
def test_rough_sizes_that_are_far_off_cost_time_but_no_bytes(error: float) -> None:
    files = Files(0.03)

    def guess(quality: float) -> Any:
        return File(round(error * files.size(quality)))

    file = within_bytes(files.write, guess, files.write, 2000)
    assert 0.97 * 2000 <= len(file.data) <= 2000
    assert files.written <= 6


def test_flat_curves_are_searched_to_their_ends() -> None:
    def encode(quality: float) -> Any:
        size = round(1022 + quality)
        return File(size, 42.26 - 0.001 * (1122 - size))

    assert len(within_bytes(encode, encode, encode, 1022).data) == 1022
    assert 0.97 * 122 <= len(within_bytes(encode, encode, encode, 1122, fixed=1000).data) - 1000 <= 122
    with pytest.raises(TargetError, match="smallest file has 1022"):
        within_bytes(encode, encode, encode, 1021)
    assert of_psnr(encode, encode, 42.26).psnr >= 42.26
    with pytest.raises(TargetError, match=r"best is 42\.26"):
        of_psnr(encode, encode, 42.27)


@pytest.mark.parametrize("target", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["max_bytes", "bpp", "psnr"])
def test_what_is_no_target_is_refused(name: str, target: float) -> None:
    with pytest.raises(TargetError, match="no target"):
        aecodec.compress(PICTURE, **{name: target})


def test_bytes_that_do_not_depend_on_quality_leave_the_rest_used() -> None:
    image = Image.fromarray(PICTURE)
    image.info["icc_profile"] = bytes(20000)
    data = aecodec.compress(image, max_bytes=23000)
    assert 0.9 * 3000 <= len(data) - 20000 <= 3000


def test_the_search_ends_where_files_turn_lossless() -> None:
    def encode(quality: float) -> Any:
        return File(round(quality), math.inf if round(quality) > 50 else round(quality))

    trials = search(encode, attrgetter("psnr"), (60, 60.05), 0.17)
    assert len(trials) <= 12
    assert len(of_psnr(encode, encode, 60).data) == 51


def test_the_lowest_qualities_are_tried_before_bytes_are_out_of_reach() -> None:
    sizes = {0.0: 115, 0.05: 111}  # as a small photograph has them

    def write(quality: float) -> Any:
        return File(sizes.get(quality, round(115 + 3 * quality)))

    assert len(within_bytes(write, write, write, 111).data) == 111
    assert len(within_bytes(write, write, lambda quality: File(80), 80).data) == 80
    with pytest.raises(TargetError, match="110 bytes are out of reach: the smallest file has 111"):
        within_bytes(write, write, write, 110)


@pytest.mark.parametrize("effort", [0, 2])
def test_the_file_of_quality_0_is_within_reach(effort: int) -> None:
    for picture in (PICTURE, shipped_photograph("rocket")[:300, :308]):
        least = len(aecodec.compress(picture, quality=0, effort=effort))
        assert len(aecodec.compress(picture, max_bytes=least, effort=effort)) <= least


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_a_limit_just_below_the_lossless_file_is_used(seed: int) -> None:
    """Where a search turned to that file, which does not fit, lower qualities were the best that did."""
    random = np.random.default_rng(seed)
    picture = np.full((48, 64, 3), random.integers(0, 256, 3), np.uint8)
    for _ in range(6):
        (y, x), (height, width) = random.integers(0, (40, 56)), random.integers(4, 20, 2)
        picture[y : y + height, x : x + width] = random.integers(0, 256, 3)
    limit = len(aecodec.compress(picture, lossless=True)) - 1
    assert 0.95 * limit <= len(aecodec.compress(picture, max_bytes=limit)) <= limit


def test_the_psnr_that_is_called_the_best_can_be_had() -> None:
    def write(quality: float) -> Any:
        return File(0, 45.087 * quality / 100)

    with pytest.raises(TargetError, match=r"the best is 45\.08 dB"):
        of_psnr(write, write, 45.09)
    assert of_psnr(write, write, 45.08).psnr >= 45.08
