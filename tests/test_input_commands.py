"""The commands' options for inputs, and files that nobody can read among others that are done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.cli.batch import attempt, exists, outcomes
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.errors import AecodecError
from tests.common import noise, photograph
from tests.fuzz.pictures import deep_png, saved
from tests.test_cli import refusal, run_command

DAMAGED = "damaged.avif"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A deep picture, an animation, one that is cut, a damaged and a sound one."""
    frames = [Image.fromarray(noise(9, 7, seed)) for seed in range(3)]
    (tmp_path / "deep.png").write_bytes(deep_png(2, 3))
    frames[0].save(tmp_path / "frames.webp", save_all=True, append_images=frames[1:], lossless=True)
    (tmp_path / "cut.bmp").write_bytes(saved(frames[0], "BMP")[:-100])
    avif = saved(Image.fromarray(photograph(90, 60)), "AVIF")
    (tmp_path / DAMAGED).write_bytes(avif[: len(avif) // 2] + bytes(len(avif) - len(avif) // 2))
    frames[0].save(tmp_path / "sound.png")
    return tmp_path


@pytest.mark.parametrize("command", ["compress", "upscale"])
def test_options_of_inputs(pictures: Path, command: str) -> None:
    done = [("deep.png", "--depth", "8"), ("frames.webp", "--frame", "1"), ("cut.bmp", "--tolerant")]
    notes = ["rounded to 8", "", "of its pixels are missing"]
    for (name, *options), note in zip(done, notes, strict=True):
        out = pictures / f"{name}.{'aec' if command == 'compress' else 'png'}"
        refusal(run_command(command, pictures / name, out), 1, options[0], name)
        result = run_command(command, pictures / name, out, *options)
        assert result.returncode == 0, result.stderr
        assert note in result.stderr
        assert out.exists()
    refusal(
        run_command(command, pictures / "frames.webp", pictures / "o", "--frame", "3"), 1, "it holds 3 frames"
    )
    refusal(
        run_command(command, pictures / "sound.png", pictures / "o", "--max-pixels", "62"), 1, "--max-pixels"
    )
    refusal(run_command(command, pictures / "sound.png", pictures / "o", "--depth", "16"), 2, "choose 8")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_picture_does_not_end_the_batch(pictures: Path, jobs: int) -> None:
    names = [pictures / DAMAGED, pictures / "sound.png"]
    result = run_command("compress", *names, "-d", pictures / "out", "-j", jobs, "--json", "--quiet")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"{DAMAGED}: cannot be read" in result.stderr
    assert (pictures / "out" / "sound.aec").exists()
    assert {Path(json.loads(line)["input"]).name for line in result.stdout.splitlines()} == {
        DAMAGED,
        "sound.png",
    }


def work(job: Job) -> Record:
    """Fails as no code should, for one of the jobs."""
    if job.source.name == "a":
        raise ZeroDivisionError("division\nby zero")
    return {"input": str(job.source)}


@pytest.mark.parametrize("count", [1, 2])
def test_a_fault_of_ours_is_the_failure_of_one_file(count: int) -> None:
    jobs = [Job(Path(name), Path("out")) for name in "abc"]
    came = {job.source.name: outcome for job, outcome in outcomes(jobs, work, Batch(jobs=count, quiet=True))}
    assert [came[name] for name in "bc"] == [{"input": "b"}, {"input": "c"}]
    assert isinstance(came["a"], AecodecError)
    text = str(came["a"])
    assert text.startswith("a: a fault of aecodec (ZeroDivisionError: division by zero, in ")
    assert text.endswith("please report it, with the file if you can")


def test_an_interrupt_is_no_failure_of_a_file() -> None:
    def interrupted(_: Job) -> Record:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, exists, Batch(), Job(Path("a"), Path("b")))


def test_the_limit_of_inputs_is_one_of_work(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1, 6_000_000), np.uint8)).save(tmp_path / "thin.png")  # as 192 million pixels
    result = run_command("compress", tmp_path / "thin.png", "--max-pixels", "100000000")
    refusal(result, 1, "takes the work of 6000000x32", "--max-pixels")
