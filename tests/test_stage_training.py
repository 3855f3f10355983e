"""The stages' short trainings: they learn, resume, and what they export is what the run time computes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from typer.testing import CliRunner

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torchvision, which compressai imports
    from aecodec.training import restoration
    from aecodec.training.data import to_tensor
    from aecodec.training.export_stages import export_stage
    from aecodec.training.loop import Run, Schedule, save_weights
    from aecodec.training.restoration import (
        Denoising,
        Enhancement,
        Restoration,
        SRCNNTask,
        SuperResolution,
    )

from aecodec.cli import app
from aecodec.cli.train import STAGES
from aecodec.model.network import Network

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves

IMAGES = [np.asarray(data.astronaut()), np.asarray(data.coffee())]


def task_of(name: str) -> Restoration:
    torch.manual_seed(0)
    if name == "enhance":
        return Enhancement(IMAGES, IMAGES, batch=4, side=32, with_our_codec=False)
    if name == "upscale":
        return SuperResolution(IMAGES, IMAGES, batch=4, side=48)
    if name.startswith("srcnn"):
        return SRCNNTask(IMAGES, IMAGES, int(name[-1]), batch=4)
    return Denoising(IMAGES, IMAGES, batch=4, side=32)


@pytest.mark.parametrize(
    ("name", "steps"), [("denoise", 12), ("enhance", 25), ("upscale", 40), ("srcnn3", 30)]
)
def test_a_stage_learns(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoration, "VALIDATION_SIDE", 96)
    task = task_of(name)
    with torch.no_grad():
        before = task.validate(task.network.eval())
    task.network.train()
    run = Run(Schedule(steps=2 * steps, rate=1e-3, warm_up=5, average=0.9), task)
    for _ in range(steps):
        run.train_step()
    with torch.no_grad():
        after = task.validate(run.average.network)
    figures = [np.mean([p["psnr"] for p in points]) for points in (before, after)]
    assert figures[1] > figures[0]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("denoise", {"denoise": [(3, 24, 40), (1, 24, 40)]}),
        ("enhance", {"enhance": [(3, 24, 40)]}),
        ("upscale", {f"upscale{s}": [(1, 9, 14), (1, 9 * s, 14 * s)] for s in (2, 3, 4)}),
        ("srcnn2", {"srcnn2": [(1, 20, 30)]}),
    ],
)
def test_an_export_computes_what_was_trained(
    name: str, shapes: dict[str, list[tuple[int, int, int]]], tmp_path: Path
) -> None:
    task = task_of(name)
    for weight in task.network.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    save_weights(task.network, tmp_path / "weights.safetensors")
    names = export_stage(name, tmp_path / "weights.safetensors", tmp_path / "networks", {"summary": "a test"})
    assert names == list(shapes)
    manifest = json.loads((tmp_path / "networks" / "manifest.json").read_text())
    assert {manifest[graph]["summary"] for graph in names} == {"a test"}
    for graph, inputs in shapes.items():
        arrays = [torch.rand(1, *shape) for shape in inputs]
        scale = [int(graph[-1])] if name == "upscale" else []
        with torch.no_grad():
            expected = task.network.eval()(*arrays, *scale)
        network = Network((tmp_path / "networks" / f"{graph}.onnx").read_bytes)
        exported = network(0, *(array[0].numpy() for array in arrays))
        np.testing.assert_allclose(exported[0], expected[0].numpy(), atol=2e-3)


def test_noise_is_as_strong_as_said_and_gray_where_the_picture_is() -> None:
    images = torch.full((4, 3, 64, 64), 0.5)
    noisy = restoration.add_noise(images, torch.full((4, 1, 1, 1), 0.1), 2)
    assert noisy.std().item() == pytest.approx(0.1, rel=0.03)
    assert torch.equal(noisy[2:, 0], noisy[2:, 2])
    assert not torch.equal(noisy[:2, 0], noisy[:2, 2])


def test_a_gray_crop_becomes_a_gray_jpeg() -> None:
    image = restoration.gray(to_tensor(IMAGES[0][None, :64, :64])).expand(-1, 3, -1, -1)[0]
    jpeg = restoration.through_jpeg(image, 20, "4:2:0")
    assert torch.equal(jpeg[0], jpeg[2])
    assert 0 < float((jpeg - image).abs().mean()) < 0.1


def test_our_own_codec_spoils_pictures_for_training() -> None:
    spoiled = restoration.coded(IMAGES[0][:64, :64], 0)
    assert spoiled.shape == (64, 64, 3)
    assert not np.array_equal(spoiled, IMAGES[0][:64, :64])


def test_the_commands_train_and_export(tmp_path: Path) -> None:
    Image.fromarray(IMAGES[1]).save(tmp_path / "photo.png")
    run = tmp_path / "run"
    train = ["train", "denoise", "--data", str(tmp_path / "photo.png"), "--out", str(run), "--batch", "2"]
    for steps in ("1", "2"):
        result = CliRunner().invoke(app, [*train, "--steps", steps])
        assert result.exit_code == 0, result.output
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()] == [1, 2]
    export = ["train", "export-stage", "denoise", str(run / "weights.safetensors"), str(tmp_path / "nets")]
    assert CliRunner().invoke(app, export).exit_code == 0
    assert (tmp_path / "nets" / "denoise.onnx").exists()


def test_every_stage_has_a_command() -> None:
    listed = CliRunner().invoke(app, ["train", "--help"]).output
    for name in (*STAGES[:3], "srcnn"):
        assert f"  {name} " in listed
