"""Stages do what they promise: sizes, seams, gray, alpha, and that what hurts stays off."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import aecodec
from aecodec import restoration as stages
from aecodec.container import Stages, parse, read_stages, serialise, write_stages
from aecodec.decoder import decoding
from aecodec.picture import Picture
from aecodec.restoration import filtering, networks, upscaling
from aecodec.restoration.denoising import without_noise
from aecodec.restoration.noise import estimate_noise

PHOTOGRAPH = np.asarray(data.astronaut())[:160, 100:300]


def psnr(reference: np.ndarray, restored: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(reference, restored, data_range=255))


def noisy(pixels: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 33)])
def test_sizes_are_kept(size: tuple[int, int]) -> None:
    picture = Picture(np.ascontiguousarray(PHOTOGRAPH[: size[0], : size[1]]))
    assert stages.denoise(picture, 20).pixels.shape == (*size, 3)
    assert stages.enhance(picture).pixels.shape == (*size, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("method", ["learned", "srcnn", "bicubic"])
def test_enlarged_sizes_are_exact(scale: int, method: str) -> None:
    picture = Picture(np.ascontiguousarray(PHOTOGRAPH[:17, :23]))
    assert stages.upscale(picture, scale, method).pixels.shape == (17 * scale, 23 * scale, 3)


def test_tiles_of_restoration_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    in_one = without_noise(PHOTOGRAPH, 20, False)
    monkeypatch.setattr(filtering, "CORE", 5)
    parts = without_noise(PHOTOGRAPH, 20, False)
    assert np.abs(parts.astype(int) - in_one).max() <= 1


@pytest.mark.parametrize(("scale", "method"), [(2, "learned"), (3, "learned"), (2, "srcnn"), (4, "srcnn")])
def test_tiles_of_upscaling_leave_no_trace(scale: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    in_one = upscaling.enlarged(PHOTOGRAPH, scale, method)
    monkeypatch.setattr(upscaling, "CORE", 50)
    parts = upscaling.enlarged(PHOTOGRAPH, scale, method)
    assert np.abs(parts.astype(int) - in_one).max() <= 1


def test_gray_stays_gray_and_alpha_passes_through() -> None:
    gray = Image.fromarray(PHOTOGRAPH).convert("L")
    assert aecodec.denoise(gray, 20).mode == "L"
    assert aecodec.enhance(gray).mode == "L"
    assert aecodec.upscale(gray, 3).mode == "L"
    alpha = gray.point(lambda value: 255 * (value > 128))
    transparent = Image.fromarray(PHOTOGRAPH)
    transparent.putalpha(alpha)
    for restored in (aecodec.denoise(transparent, 20), aecodec.enhance(transparent)):
        assert restored.mode == "RGBA"
        assert restored.getchannel("A").tobytes() == alpha.tobytes()
    assert aecodec.upscale(transparent, 2).getchannel("A").size == (400, 320)


def test_denoising_removes_noise() -> None:
    damaged = noisy(PHOTOGRAPH, 25)
    gain = psnr(PHOTOGRAPH, without_noise(damaged, 25, False)) - psnr(PHOTOGRAPH, damaged)
    assert gain > 7


def test_floats_are_denoised_as_bytes_are() -> None:
    damaged = noisy(PHOTOGRAPH, 25)
    denoised = without_noise((damaged / 255).astype(np.float32), 25, False)
    assert np.abs(255 * denoised - without_noise(damaged, 25, False)).max() <= 0.51


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_noise_is_measured(sigma: float) -> None:
    noise = np.random.default_rng(1).normal(0, sigma, PHOTOGRAPH.shape)
    assert estimate_noise(((PHOTOGRAPH + noise) / 255).astype(np.float32)) == pytest.approx(sigma, rel=0.1)


def test_a_clean_photograph_has_little_noise() -> None:
    assert estimate_noise(PHOTOGRAPH) < 5


def test_enhancing_helps_a_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    Image.fromarray(PHOTOGRAPH).save(path, quality=10)
    damaged = np.asarray(Image.open(path))
    enhanced = np.asarray(aecodec.enhance(Image.open(path)))
    assert psnr(PHOTOGRAPH, enhanced) > psnr(PHOTOGRAPH, damaged) + 0.5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_networks_beat_bicubic_interpolation(scale: int) -> None:
    small = upscaling.downscale(PHOTOGRAPH, scale)
    psnr_of_method = {
        method: psnr(PHOTOGRAPH, upscaling.enlarged(small, scale, method)[:160, :200])
        for method in ("learned", "srcnn", "bicubic")
    }
    assert psnr_of_method["learned"] > psnr_of_method["srcnn"] > psnr_of_method["bicubic"]


def test_non_local_means_denoises() -> None:
    damaged = noisy(PHOTOGRAPH, 25)
    denoised = stages.denoise(Picture(damaged), 25, "nlm").pixels
    assert psnr(PHOTOGRAPH, denoised) > psnr(PHOTOGRAPH, damaged) + 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: aecodec.upscale(PHOTOGRAPH, 5),
        lambda: aecodec.upscale(PHOTOGRAPH, 2, "magic"),
        lambda: aecodec.denoise(PHOTOGRAPH, -1),
        lambda: aecodec.denoise(PHOTOGRAPH, 20, "magic"),
        lambda: aecodec.compress(PHOTOGRAPH, denoise="much"),
        lambda: aecodec.compress(PHOTOGRAPH, denoise=-2.0),
        lambda: aecodec.compress(PHOTOGRAPH, reduce=7),
        lambda: aecodec.compress(PHOTOGRAPH, lossless=True, denoise=20.0),
        lambda: aecodec.compress(PHOTOGRAPH, lossless=True, enhance=True),
        lambda: aecodec.compress(PHOTOGRAPH, psnr=30, reduce="auto"),
        lambda: aecodec.decompress(aecodec.compress(PHOTOGRAPH), upscale=9),
    ],
)
def test_what_is_not_offered_is_refused(wrong: object) -> None:
    with pytest.raises(aecodec.StageError):
        wrong()  # type: ignore[operator]


def test_a_picture_that_would_be_too_large_is_refused() -> None:
    flat = np.broadcast_to(np.uint8(0), (2**14, 2**12, 3))
    with pytest.raises(aecodec.StageError, match="over the limit"):
        stages.upscale(Picture(flat), 4)


def test_a_changed_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(aecodec.ModelError, match="is missing"):
        networks.network("elsewhere")
    name = next(iter(networks.read_manifest()))
    monkeypatch.setitem(networks.read_manifest(), name, {"sha256": "00" * 32})
    networks.network.cache_clear()
    with pytest.raises(aecodec.ModelError, match="was changed"):
        networks.network(name)


LATER = ((132, b"new"), (255, b""))  # stages of a later release that may be skipped
ALL_STAGES = Stages(noise=7, enhance=b"abcd", upscale=b"efgh", scale=3, unknown=LATER)


def test_the_box_of_stages_comes_back() -> None:
    assert read_stages(write_stages(ALL_STAGES)) == ALL_STAGES
    assert write_stages(Stages()) == b""


@pytest.mark.parametrize(
    "box",
    [
        b"",
        b"\x09",
        b"\x04\x01a",
        b"\x84",
        b"\x84\x02a",
        b"\x84\x00\x84\x00",
        b"\x85\x00\x84\x00",
        b"\x84\x80\x00",
        b"\x01\x00",
        b"\x02abcd\x01\x07",
        b"\x01\x07\x01\x07",
        b"\x03\x01efgh",
        b"\x03\x05efgh",
        write_stages(ALL_STAGES)[:-1],
    ],
)
def test_a_malformed_box_of_stages_is_refused(box: bytes) -> None:
    with pytest.raises(aecodec.BitstreamError):
        read_stages(box)


def test_stages_of_a_later_release_are_skipped_with_a_note_or_refused_by_name() -> None:
    container = parse(aecodec.compress(PHOTOGRAPH[:40, :40], lossless=True))
    later = serialise(replace(container, stages=Stages(unknown=LATER)))
    assert parse(later).stages.unknown == LATER
    with pytest.warns(UserWarning, match="stages of types 132, 255, of a later release, are left out"):
        assert aecodec.decompress(later).size == (40, 40)
    assert aecodec.info(later).scale == 1
    with pytest.raises(aecodec.LimitError, match="stage 4 is unknown: the file is damaged or of a later"):
        read_stages(b"\x04\x01a")


def test_a_file_records_its_stages() -> None:
    file = aecodec.compress(noisy(PHOTOGRAPH, 25), 40, denoise=25, reduce=2)
    info = aecodec.info(file)
    assert (info.noise, info.scale, info.enhanced) == (25, 2, False)
    assert aecodec.decompress(file).size == (200, 160)
    part = aecodec.decompress(file, region=(31, 17, 50, 40))
    assert part.tobytes() == aecodec.decompress(file).crop((31, 17, 81, 57)).tobytes()


def test_a_stage_that_is_not_installed_is_named() -> None:
    container = parse(aecodec.compress(PHOTOGRAPH, 40, reduce=2))
    other = serialise(
        type(container)(
            container.width,
            container.height,
            container.gray,
            container.payload,
            container.learned,
            stages=Stages(upscale=b"none", scale=2),
        )
    )
    with pytest.raises(aecodec.UnknownModelError, match="upscale2 6e6f6e65"):
        aecodec.decompress(other)


def test_a_lossless_picture_has_no_stages_after_it() -> None:
    container = parse(aecodec.compress(PHOTOGRAPH, lossless=True))
    data = serialise(
        type(container)(
            container.width, container.height, False, container.payload, stages=Stages(enhance=b"abcd")
        )
    )
    with pytest.raises(aecodec.LimitError, match="stages after it"):
        parse(data)


@pytest.mark.parametrize("name", ["astronaut", "grass", "page", "gravel", "coins"])
def test_denoise_auto_leaves_a_clean_picture_alone(name: str) -> None:
    pixels = np.asarray(getattr(data, name)())[:300, :300]
    assert aecodec.info(aecodec.compress(pixels, 40, denoise="auto")).noise == 0


@pytest.mark.parametrize("border", [0, 255])
def test_noise_is_measured_beside_clipped_borders(border: int) -> None:
    damaged = noisy(np.asarray(data.chelsea()), 25)
    damaged[:120] = border
    assert estimate_noise(damaged) == pytest.approx(25, rel=0.15)


def test_denoise_auto_makes_a_noisy_picture_smaller_and_better() -> None:
    damaged = noisy(PHOTOGRAPH, 25)
    plain, cleaned = aecodec.compress(damaged, 40), aecodec.compress(damaged, 40, denoise="auto")
    assert aecodec.info(cleaned).noise == pytest.approx(25, rel=0.2)
    assert len(cleaned) < len(plain)
    better, worse = (np.asarray(aecodec.decompress(file)) for file in (cleaned, plain))
    assert psnr(PHOTOGRAPH, better) > psnr(PHOTOGRAPH, worse)


@pytest.mark.parametrize("quality", [5, 60])
def test_enhancing_never_lowers_the_psnr(quality: float) -> None:
    plain = aecodec.compress(PHOTOGRAPH, quality, tune="psnr")
    enhanced = aecodec.compress(PHOTOGRAPH, quality, enhance=True)
    figures = [psnr(PHOTOGRAPH, np.asarray(aecodec.decompress(file))) for file in (plain, enhanced)]
    if aecodec.info(enhanced).enhanced:
        assert figures[1] >= figures[0] + 0.02
        assert len(enhanced) <= len(plain) + 8
    else:
        assert enhanced == plain


def test_an_enhancement_that_hurts_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "restored", lambda network, pixels, **_: 255 - pixels)
    assert not aecodec.info(aecodec.compress(PHOTOGRAPH, 5, enhance=True)).enhanced


def test_a_reduction_that_hurts_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    large = upscaling.enlarged
    monkeypatch.setattr(decoding, "enlarged", lambda *arguments: 255 - large(*arguments))
    assert aecodec.info(aecodec.compress(PHOTOGRAPH, 0, reduce="auto")).scale == 1


@pytest.mark.parametrize("quality", [0, 8])
def test_reducing_never_lowers_the_psnr(quality: float) -> None:
    plain = aecodec.compress(PHOTOGRAPH, quality, tune="psnr")
    chosen = aecodec.compress(PHOTOGRAPH, quality, reduce="auto")
    if aecodec.info(chosen).scale == 1:
        assert chosen == plain
    else:
        assert len(chosen) <= len(plain)
        figures = [psnr(PHOTOGRAPH, np.asarray(aecodec.decompress(file))) for file in (plain, chosen)]
        assert figures[1] >= figures[0] + 0.02


def test_reducing_reaches_smaller_sizes() -> None:
    least = len(aecodec.compress(PHOTOGRAPH, 0))
    with pytest.raises(aecodec.TargetError):
        aecodec.compress(PHOTOGRAPH, max_bytes=least // 3)
    file = aecodec.compress(PHOTOGRAPH, max_bytes=least // 3, reduce="auto")
    assert len(file) <= least // 3
    assert aecodec.info(file).scale > 1


def test_decompress_enhances_and_enlarges() -> None:
    file = aecodec.compress(PHOTOGRAPH, 10)
    assert aecodec.decompress(file, upscale=3).size == (600, 480)
    assert aecodec.decompress(file, enhance=True).tobytes() != aecodec.decompress(file).tobytes()
    kept = aecodec.compress(PHOTOGRAPH, lossless=True)
    assert aecodec.decompress(kept, enhance=True).tobytes() == aecodec.decompress(kept).tobytes()


def test_no_noise_changes_nothing() -> None:
    assert stages.denoise(Picture(PHOTOGRAPH), 0).pixels is PHOTOGRAPH


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"]
TINY = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 60), (60, 1), (3, 5), (33, 34)]  # widths and heights
METHODS = {
    "learned": (lambda image: aecodec.denoise(image, 20), 1),
    "nlm": (lambda image: aecodec.denoise(image, 20, "nlm"), 1),
    "blind": (aecodec.denoise, 1),
    "blind nlm": (lambda image: aecodec.denoise(image, method="nlm"), 1),
    "enhance": (aecodec.enhance, 1),
    **{
        f"{method} x{scale}": (partial(aecodec.upscale, scale=scale, method=method), scale)
        for scale in (2, 3, 4)
        for method in ("learned", "srcnn", "bicubic")
    },
}


@pytest.mark.filterwarnings("ignore:CMYK")
@pytest.mark.filterwarnings("ignore:.*left as it is")  # where a stage finds nothing to do
@pytest.mark.parametrize("size", TINY)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_every_mode_and_size(name: str, size: tuple[int, int]) -> None:
    stage, scale = METHODS[name]
    for mode in MODES:
        image = Image.fromarray(PHOTOGRAPH[: size[1], : size[0]]).convert(mode.removesuffix("A") or mode)
        if mode.endswith("A"):
            image = image.convert("LA" if mode == "LA" else "RGBA").convert(mode)
            image.putalpha(200)
        staged = stage(image)
        gray, transparent = mode in ("1", "L", "LA"), mode.endswith("A")
        assert staged.mode == ("L" if gray else "RGB") + "A" * transparent
        assert staged.size == (scale * size[0], scale * size[1])
        if transparent:
            assert staged.getchannel("A").getextrema() == (200, 200)
        near = np.asarray(staged.convert("RGB").resize(size, Image.Resampling.BOX), int)
        assert np.abs(near - np.asarray(image.convert("RGB"))).mean() < 60


@pytest.mark.parametrize("method", ["learned", "nlm"])
def test_what_is_flat_has_no_noise(method: str) -> None:
    pixels = np.full((40, 50, 3), 128, np.uint8)
    pixels[5:20, 30:] = noisy(pixels[5:20, 30:], 20)
    denoised = stages.denoise(Picture(pixels), 20, method).pixels
    np.testing.assert_array_equal(denoised[20:], pixels[20:])
    np.testing.assert_array_equal(denoised[:, :30], pixels[:, :30])
    assert denoised[5:20, 30:].std() < pixels[5:20, 30:].std() / 2


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 60), (40, 40)])
def test_flat_pictures_stay_flat(size: tuple[int, int], level: int) -> None:
    flat = np.full((*size, 3), level, np.uint8)
    np.testing.assert_array_equal(stages.denoise(Picture(flat), 20).pixels, flat)
    assert np.abs(stages.enhance(Picture(flat)).pixels.astype(int) - level).max() <= 1
    for method in upscaling.METHODS:
        for scale in upscaling.SCALES:
            enlarged = stages.upscale(Picture(flat), scale, method).pixels
            assert np.abs(enlarged.astype(int) - level).max() <= (6 if min(size) == 1 else 1)


@pytest.mark.parametrize(("given", "told"), [(0.1, 0.25), (0.3, 0.25), (20.3, 20.25), (25, 25)])
def test_a_file_tells_the_nearest_quarter_of_the_noise(given: float, told: float) -> None:
    assert aecodec.info(aecodec.compress(PHOTOGRAPH[:64, :64], 40, denoise=given)).noise == told
