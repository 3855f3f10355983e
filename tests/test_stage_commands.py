"""The commands of the stages, and what compress, decompress and info say of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import drawn
from tests.common import photograph
from tests.test_cli import refusal, run_command


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
    result = run_command(*command, photo, tmp_path / "out.png")
    assert result.returncode == 0, result.stderr
    assert f"{size[0]}x{size[1]} RGB" in result.stderr
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == size


def test_a_name_without_suffix_becomes_png(photo: Path, tmp_path: Path) -> None:
    assert run_command("upscale", "--method", "bicubic", photo, tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out") as image:
        assert image.format == "PNG"


def test_an_existing_output_is_refused(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"kept")
    refusal(run_command("denoise", photo, tmp_path / "out.png"), 2, "exists", "--force")
    assert (tmp_path / "out.png").read_bytes() == b"kept"
    refusal(run_command("denoise", photo), 2, "is the input")


def test_many_pictures_go_into_a_folder(photo: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(photo.read_bytes())
    result = run_command(
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
    refusal(run_command(*command, photo, tmp_path / "out.png"), 2, message)
    assert not (tmp_path / "out.png").exists()


def test_a_picture_too_small_to_measure_its_noise_is_left_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(photograph(5, 4)).save(tmp_path / "dot.png")
    result = run_command("denoise", tmp_path / "dot.png", tmp_path / "out.png", "--json")
    assert result.returncode == 0, result.stderr
    assert "5x4 pixels are too few to measure noise: left as it is, give it with --sigma" in result.stderr
    assert json.loads(result.stdout)["noise"] == 0
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(image, photograph(5, 4))
    result = run_command("denoise", "--sigma", "9", tmp_path / "dot.png", tmp_path / "two.png")
    assert "noise of 9 removed" in result.stderr


def test_a_file_says_what_was_done(photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "photo.aec"
    result = run_command("compress", photo, file, "--denoise", "25", "--reduce", "2", "-q", "30")
    assert result.returncode == 0, result.stderr
    for phrase in ("noise of 25 removed", "coded at 1/2 size"):
        assert phrase in result.stderr
        assert phrase in run_command("info", file).stdout
    assert (
        run_command("decompress", file, tmp_path / "large.png", "--enhance", "--upscale", "2").returncode == 0
    )
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (180, 120)


def test_models_lists_the_stages() -> None:
    listed = run_command("models").stdout
    for name in ("denoise", "enhance", "upscale2", "upscale3", "upscale4", "srcnn2", "srcnn3"):
        assert f"stage {name}: fingerprint" in listed


def test_the_noise_that_was_removed_is_said(photo: Path, tmp_path: Path) -> None:
    result = run_command("denoise", photo, tmp_path / "out.png", "--json")
    noise = json.loads(result.stdout)["noise"]
    assert noise == pytest.approx(25, rel=0.25)
    assert f"noise of {noise:.3g} removed" in result.stderr


@pytest.mark.parametrize("command", ["denoise", "enhance"])
def test_a_clean_drawing_is_left_as_it_is(command: str, tmp_path: Path) -> None:
    Image.fromarray(drawn.text()).save(tmp_path / "text.png")
    result = run_command(command, tmp_path / "text.png", tmp_path / "out.png", "--json")
    assert "left as it is" in result.stderr
    record = json.loads(result.stdout)
    assert not record["noise" if command == "denoise" else "enhanced"]
    assert "left as it is" in record["notes"][0]
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(image, drawn.text())


@pytest.mark.parametrize("method", ["learned", "nlm"])
@pytest.mark.parametrize("size", [(60, 1), (1, 60), (1, 1)])
def test_one_row_or_column_is_denoised(method: str, size: tuple[int, int], tmp_path: Path) -> None:
    Image.fromarray(photograph(*size)).save(tmp_path / "row.png")
    for number, options in enumerate(((), ("--sigma", "20"))):
        target = tmp_path / f"{number}.png"
        result = run_command("denoise", "--method", method, *options, tmp_path / "row.png", target)
        assert result.returncode == 0, result.stderr
        with Image.open(target) as image:
            assert image.size == size


def test_outputs_that_are_jpeg(photo: Path, tmp_path: Path) -> None:
    image = Image.open(photo).convert("RGBA")
    image.save(tmp_path / "opaque.png")
    image.putalpha(100)
    image.save(tmp_path / "clear.png")
    out = tmp_path / "out.jpg"
    for name in ("opaque", "clear"):
        assert run_command("compress", tmp_path / f"{name}.png", tmp_path / f"{name}.aec").returncode == 0
    for command, suffix in (("decompress", "aec"), ("upscale", "png")):
        assert run_command(command, tmp_path / f"opaque.{suffix}", "-o", out, "-f").returncode == 0
        best = out.stat().st_size
        clear = tmp_path / f"clear.{suffix}"
        refusal(run_command(command, clear, "-o", out, "-f"), 1, "transparency", "--background")
        result = run_command(command, clear, "-o", out, "-f", "--background", "#f00", "--jpeg-quality", "30")
        assert result.returncode == 0, result.stderr
        assert out.stat().st_size < best
        with Image.open(out) as written:
            assert written.getpixel((5, 5))[0] > written.getpixel((5, 5))[1]
        refusal(
            run_command(command, clear, "-o", out, "-f", "--background", "reddish"),
            2,
            "--background 'reddish'",
        )
        assert run_command(command, clear, "-o", out, "-f", "--jpeg-quality", "0").returncode == 2
