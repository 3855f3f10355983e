"""The commands of the stages, and what compress, decompress and info say of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.common import photograph
from tests.test_cli import aecodec, refusal


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    noise = np.random.default_rng(0).normal(0, 25, (60, 90, 3))
    pixels = np.clip(photograph(90, 60) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("command", "size"),
    [
        (["denoise"], (90, 60)),
        (["denoise", "--sigma", "25"], (90, 60)),
        (["denoise", "--sigma", "25", "--method", "nlm"], (90, 60)),
        (["enhance"], (90, 60)),
        (["upscale"], (180, 120)),
        (["upscale", "-s", "3", "--method", "srcnn"], (270, 180)),
        (["upscale", "-s", "4", "--method", "bicubic"], (360, 240)),
    ],
)
def test_a_stage_writes_a_picture(
    command: list[str], size: tuple[int, int], photo: Path, tmp_path: Path
) -> None:
    result = aecodec(*command, photo, tmp_path / "out.png")
    assert result.returncode == 0, result.stderr
    assert f"{size[0]}x{size[1]} RGB" in result.stderr
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == size


def test_a_name_without_suffix_becomes_png(photo: Path, tmp_path: Path) -> None:
    assert aecodec("upscale", "--method", "bicubic", photo, tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out") as image:
        assert image.format == "PNG"


def test_an_existing_output_is_refused(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"kept")
    refusal(aecodec("denoise", photo, tmp_path / "out.png"), 2, "exists", "--force")
    assert (tmp_path / "out.png").read_bytes() == b"kept"
    refusal(aecodec("denoise", photo), 2, "is the input")


def test_many_pictures_go_into_a_folder(photo: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(photo.read_bytes())
    result = aecodec(
        "upscale", tmp_path / "a.png", tmp_path / "b.png", "-d", tmp_path / "large", "--json", "--quiet"
    )
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(record["width"], record["height"]) for record in records] == [(180, 120)] * 2
    assert sorted(path.name for path in (tmp_path / "large").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["denoise", "--method", "magic"], "magic"),
        (["upscale", "--method", "magic"], "magic"),
        (["compress", "--denoise", "much"], "--denoise much"),
        (["compress", "--denoise", "-3"], "--denoise -3"),
        (["compress", "--reduce", "7"], "--reduce 7"),
        (["compress", "--lossless", "--denoise", "20"], "lossless"),
        (["denoise", "--sigma", "-1"], "sigma -1"),
        (["denoise", "--sigma", "99"], "sigma 99"),
        (["upscale", "-s", "5"], "scale 5"),
        (["decompress", "--upscale", "5"], "--upscale 5"),
    ],
)
def test_what_is_not_offered_is_refused(
    command: list[str], message: str, photo: Path, tmp_path: Path
) -> None:
    refusal(aecodec(*command, photo, tmp_path / "out.png"), 2, message)
    assert not (tmp_path / "out.png").exists()


def test_a_picture_too_small_to_measure_its_noise_is_refused(tmp_path: Path) -> None:
    Image.fromarray(photograph(5, 4)).save(tmp_path / "dot.png")
    refusal(aecodec("denoise", tmp_path / "dot.png", tmp_path / "out.png"), 2, "5x4", "--sigma")
    assert aecodec("denoise", "--sigma", "9", tmp_path / "dot.png", tmp_path / "out.png").returncode == 0


def test_a_file_says_what_was_done(photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "photo.aec"
    result = aecodec("compress", photo, file, "--denoise", "25", "--reduce", "2", "-q", "30")
    assert result.returncode == 0, result.stderr
    for phrase in ("noise of 25 removed", "coded at 1/2 size"):
        assert phrase in result.stderr
        assert phrase in aecodec("info", file).stdout
    assert aecodec("decompress", file, tmp_path / "large.png", "--enhance", "--upscale", "2").returncode == 0
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (180, 120)


def test_models_lists_the_stages() -> None:
    listed = aecodec("models").stdout
    for name in ("denoise", "enhance", "upscale2", "upscale3", "upscale4", "srcnn2", "srcnn3"):
        assert f"stage {name}: fingerprint" in listed
