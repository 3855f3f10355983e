"""Metrics and rate differences reproduce published figures; codecs fall for none of the usual traps."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.benchmarks import metrics
from aecodec.benchmarks.bd_rate import NotComparableError, bd_rate, compare, rising
from aecodec.benchmarks.measure import Photograph, find_photographs, measure_one
from aecodec.benchmarks.metrics import METRICS, measure_all, ms_ssim_db, psnr_rgb, psnr_y, ssim, ssimulacra2
from aecodec.benchmarks.reference_codecs import (
    JPEG,
    OURS,
    OURS_ENHANCED,
    ReferenceCodec,
    all_codecs,
    ours,
    pillow_codecs,
)
from aecodec.benchmarks.run import KODAK
from tests.common import noise, photograph

CODECS = {codec.name: codec for codec in pillow_codecs()[0]}


def jpeg_round_trip(pixels: np.ndarray, quality: int) -> np.ndarray:
    codec = CODECS[JPEG]
    return np.asarray(codec.decode(codec.encode(Image.fromarray(pixels), quality)))


def test_kodak_is_whole() -> None:
    lines = (KODAK / "SHA256SUMS").read_text().splitlines()
    sums = {name.strip().lstrip("*"): digest for digest, name in (line.split(None, 1) for line in lines)}
    assert len(sums) == 24
    for name, digest in sums.items():
        assert hashlib.sha256((KODAK / Path(name).name).read_bytes()).hexdigest() == digest


@pytest.fixture(scope="session")
def kodak() -> list[Photograph]:
    return find_photographs(KODAK)[0]


def means_on(kodak: list[Photograph], codec: ReferenceCodec, *qualities: float) -> np.ndarray:
    """Mean bpp and PSNR at each quality (qualities, 2)."""
    files = [[measure_one(codec, one, quality, ("psnr",)) for quality in qualities] for one in kodak]
    return np.mean([[(file.bpp, file.metrics["psnr"]) for file in row] for row in files], axis=0)


def test_jpeg_on_kodak_is_calibrated(kodak: list[Photograph]) -> None:
    bpp, psnr = means_on(kodak, CODECS[JPEG], 10, 50, 90).T
    assert bpp == pytest.approx([0.256, 0.869, 2.315], abs=0.001)
    assert psnr == pytest.approx([26.67, 32.17, 38.03], abs=0.02)


def test_jpeg_without_optimised_tables_is_the_weaker_anchor_of_the_literature(
    kodak: list[Photograph],
) -> None:
    options = {**CODECS[JPEG].options, "optimize": False}
    [(bpp, psnr)] = means_on(kodak, replace(CODECS[JPEG], options=options), 10)
    assert bpp == pytest.approx(0.327, abs=0.001)
    assert psnr == pytest.approx(26.67, abs=0.02)


def test_webp_on_kodak_is_calibrated(kodak: list[Photograph]) -> None:
    [(bpp, psnr)] = means_on(kodak, CODECS["WebP"], 50)
    assert bpp == pytest.approx(0.673, abs=0.001)
    assert psnr == pytest.approx(33.01, abs=0.02)


def test_jpeg_2000_has_its_colour_transform(kodak: list[Photograph]) -> None:
    """Near the mean of ffmpeg's OpenJPEG on Kodak, 32.4 dB at 0.65 bpp; without it, 1.5 times the rate."""
    [(bpp, psnr)] = means_on(kodak, CODECS["JPEG 2000"], 33)
    assert psnr > 31
    assert bpp < 0.85


def test_every_codec_says_what_it_is() -> None:
    codecs, absent = all_codecs()
    assert codecs[0].name == OURS
    assert len({codec.name for codec in codecs}) == len(codecs)
    for codec in codecs:
        assert codec.version
        assert codec.licence
        assert "QUALITY" in codec.settings
    assert all(reason for reason in absent.values())


def test_an_effort_adds_two_rows_of_ours() -> None:
    *without, for_eye, for_psnr = ours(effort=7)
    assert without == ours()
    assert for_eye.options_at(30) == {"quality": 30, "effort": 7}
    assert for_psnr.options_at(30) == {"quality": 30, "tune": "psnr", "enhance": True, "effort": 7}
    versions = {codec.name: codec.version for codec in without}  # whose code digests all that an effort does
    assert (for_eye.version, for_psnr.version) == (versions[OURS], versions[OURS_ENHANCED])


@pytest.mark.parametrize("name", [codec.name for codec in all_codecs()[0]])
def test_every_codec_writes_larger_and_better_files_at_higher_quality(name: str) -> None:
    codec = next(codec for codec in all_codecs()[0] if codec.name == name)
    pixels = photograph(200, 170)
    files = [
        codec.encode(Image.fromarray(pixels), codec.qualities[n]) for n in (1, len(codec.qualities) // 2, -1)
    ]
    figures = [psnr_rgb(pixels, np.asarray(codec.decode(file))) for file in files]
    assert sorted(map(len, files)) == list(map(len, files))
    assert sorted(figures) == figures


def test_a_users_graph_is_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    shape = [1, 3, "rows", "columns"]
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "ab"]
    output = onnx.helper.make_tensor_value_info("distance", onnx.TensorProto.FLOAT, None)
    nodes = [
        onnx.helper.make_node("Sub", ["a", "b"], ["difference"]),
        onnx.helper.make_node("Abs", ["difference"], ["error"]),
        onnx.helper.make_node("ReduceMean", ["error"], ["distance"], keepdims=0),
    ]
    graph = onnx.helper.make_graph(nodes, "metric", inputs, [output])
    opset = onnx.helper.make_opsetid("", 13)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "lpips.onnx")
    before = metrics.metrics_version()
    monkeypatch.setenv(metrics.GRAPHS_VARIABLE, str(tmp_path))
    metrics.all_metrics.cache_clear()
    try:
        assert "lpips" in metrics.available_metrics()[0]
        assert "LPIPS" not in metrics.available_metrics()[1]
        assert metrics.metrics_version() != before
        dark, light = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
        assert measure_all(dark, light, ("lpips",))["lpips"] == pytest.approx(-0.4, abs=1e-4)
    finally:
        metrics.all_metrics.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for the program")
def test_butteraugli_is_a_metric_where_its_program_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / metrics.BUTTERAUGLI
    equal, other = "0.0\\n3-norm: 0.000000", "9.5\\n3-norm: 1.5146"
    program.write_text(f'#!/bin/sh\ncmp -s "$1" "$2" && echo "{equal}" || echo "{other}"\n')
    program.chmod(0o755)
    dark, light = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
    try:
        for folders, is_there in ((f"{tmp_path}:{os.defpath}", True), (str(tmp_path / "none"), False)):
            monkeypatch.setenv("PATH", folders)
            metrics.all_metrics.cache_clear()
            names, reasons = metrics.available_metrics()
            assert ("butteraugli" in names, "Butteraugli" in reasons) == (is_there, not is_there)
            expected = [{"butteraugli": 0.0}, {"butteraugli": -1.5146}] if is_there else [{}, {}]
            assert [measure_all(dark, other, ("butteraugli",)) for other in (dark, light)] == expected
    finally:
        metrics.all_metrics.cache_clear()


def test_psnr_does_not_wrap_around() -> None:
    dark, bright = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert psnr_rgb(dark, bright) == psnr_rgb(bright, dark) == pytest.approx(0)
    assert psnr_rgb(dark + np.uint8(1), dark) == pytest.approx(48.13, abs=0.01)
    assert psnr_rgb(dark, dark) == np.inf


def test_metrics_see_swapped_channels_and_the_wrong_reference() -> None:
    pixels = photograph(200, 200)
    near = jpeg_round_trip(pixels, 90)
    for metric in METRICS:
        value = metric.measure(pixels, near)
        assert metric.measure(pixels, near[:, :, ::-1]) < value
        assert metric.measure(photograph(220, 220)[20:, 20:], near) < value


def test_luma_is_that_of_bt_601() -> None:
    gray = np.full((16, 16, 3), 100, np.uint8)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        other = gray.copy()
        other[:, :, channel] += 10
        assert psnr_y(gray, other) == pytest.approx(20 * np.log10(255 / (10 * weight)), abs=1e-6)


def test_ms_ssim_is_that_of_pytorch_msssim() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from pytorch_msssim import ms_ssim

    pixels = photograph(256, 224)
    for other in (jpeg_round_trip(pixels, 10), jpeg_round_trip(pixels, 80), noise(256, 224)):
        tensors = [torch.tensor(p.transpose(2, 0, 1)[None].astype(np.float64)) for p in (pixels, other)]
        expected = -10 * np.log10(1 - ms_ssim(*tensors, data_range=255).item())
        assert ms_ssim_db(pixels, other) == pytest.approx(expected, abs=1e-3)


def test_metrics_that_a_picture_does_not_allow_are_absent() -> None:
    small = photograph(40, 8)
    measured = measure_all(small, jpeg_round_trip(small, 50), ("psnr", "ssim", "ms_ssim"))
    assert set(measured) == {"psnr"}


def test_ssimulacra2_is_that_of_libjxl() -> None:
    """By an implementation that was compared with libjxl's."""
    import torch
    from frame_analytics.ssimulacra2 import ssimulacra2 as reference

    pixels = photograph(255, 223)  # odd, as a scale's last row is then taken twice
    for other in (jpeg_round_trip(pixels, 10), jpeg_round_trip(pixels, 80), noise(255, 223)):
        tensors = [torch.tensor(p.transpose(2, 0, 1)[None].copy()) / 255 for p in (pixels, other)]
        with torch.compiler.set_stance("force_eager"):  # compiling it takes 9 s
            expected = float(reference(*tensors))
        assert ssimulacra2(pixels, other) == pytest.approx(expected, abs=0.01, rel=1e-4)


def test_perceptual_metrics_order_qualities() -> None:
    pixels = photograph(200, 200)
    good, bad = jpeg_round_trip(pixels, 85), jpeg_round_trip(pixels, 15)
    for metric in (ssim, ms_ssim_db, ssimulacra2):
        assert metric(pixels, good) > metric(pixels, bad)
    assert ssimulacra2(pixels, pixels) == pytest.approx(100, abs=0.1)


def curve(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


ANCHOR = curve((0.2, 28), (0.5, 31), (1.0, 34), (2.0, 37))
HALF = ANCHOR * (0.5, 1)


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_half_the_rate_is_minus_fifty_percent(method: str) -> None:
    assert bd_rate(ANCHOR, HALF, method) == pytest.approx(-50)
    assert bd_rate(HALF, ANCHOR, method) == pytest.approx(100)
    assert bd_rate(ANCHOR, ANCHOR, method) == pytest.approx(0)


def test_bd_rate_of_a_published_example_is_that_of_its_definition() -> None:
    """The points that implementations of VCEG-M33 carry as their example, and its cubics by hand."""
    first = curve((85.95, 31.42), (157.11, 34.24), (309.58, 37.18), (686.76, 40.28))
    second = curve((112.75, 31.24), (204.93, 34.17), (407.8, 37.21), (893.34, 40.39))
    cubics = [np.polynomial.Polynomial.fit(c[:, 1], np.log(c[:, 0]), 3).integ() for c in (first, second)]
    areas = [cubic(40.28) - cubic(31.42) for cubic in cubics]
    expected = 100 * (np.exp((areas[1] - areas[0]) / (40.28 - 31.42)) - 1)
    assert bd_rate(first, second) == pytest.approx(expected, abs=0.1)
    assert bd_rate(first, second, "akima") == pytest.approx(expected, abs=0.1)


def test_published_codecs_save_what_the_field_says_they_do(kodak: list[Photograph]) -> None:
    """Their published points against our JPEG, in the range that both cover.

    On 28 to 38 dB others find -52.1 %, -55.5 % and -62.9 % from the same points.
    """
    qualities = 5, 10, 20, 30, 50, 60, 70, 80, 88, 93
    anchor = rising(means_on(kodak, CODECS[JPEG], *qualities))
    published = json.loads((KODAK.parent / "published.json").read_text())["curves"]
    for name, saved in (
        ("hyperprior (Ballé 2018)", -52.1),
        ("mean-scale (Minnen 2018)", -55.5),
        ("Cheng 2020", -62.9),
    ):
        points = np.stack([published[name]["bpp"], published[name]["psnr"]], 1)
        assert bd_rate(anchor, rising(points)) == pytest.approx(saved, abs=0.5), name


def test_no_shared_range_is_no_number() -> None:
    above = np.add(ANCHOR, (0, 20))
    with pytest.raises(NotComparableError, match="share no range"):
        bd_rate(ANCHOR, above)
    with pytest.raises(NotComparableError, match="share no range"):
        compare({"a": ANCHOR}, {"a": above})
    with pytest.raises(NotComparableError, match="fewer than 4"):
        compare({"a": ANCHOR}, {"a": ANCHOR[:3]})
    with pytest.raises(NotComparableError, match="no quality"):
        compare({"a": ANCHOR}, {})


def test_the_range_that_counts_is_shared() -> None:
    comparison = compare({"a": ANCHOR}, {"a": np.add(HALF, (0, 1.5))})
    assert comparison
    assert (comparison.low, comparison.high) == (29.5, 37)
    assert comparison.overlap == pytest.approx(7.5 / 10.5)
    assert comparison.interval is None  # of one picture


def test_the_interval_holds_the_difference() -> None:
    random = np.random.default_rng(0)
    pictures = {str(n): ANCHOR * (2 ** random.normal(0, 0.4), 1) + (0, random.normal()) for n in range(12)}
    savings = {name: random.uniform(0.6, 0.8) for name in pictures}
    comparison = compare(pictures, {name: points * (savings[name], 1) for name, points in pictures.items()})
    assert comparison.interval
    assert comparison.interval[0] < comparison.pchip < comparison.interval[1]
    assert comparison.interval[0] >= -40
    assert comparison.interval[1] <= -20
    assert comparison.images == pytest.approx({name: 100 * (saving - 1) for name, saving in savings.items()})


def test_points_that_cost_more_for_nothing_are_dropped() -> None:
    points = curve((0.2, 28), (0.5, 31), (0.6, 30.9), (1.0, 34))
    assert rising(points).tolist() == curve((0.2, 28), (0.5, 31), (1.0, 34)).tolist()
