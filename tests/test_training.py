"""A short training: the loss falls, a run resumes, and what it exports compresses a picture."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torchvision, which compressai imports
    from codec.training.networks import (
        LAMBDA_RANGE,
        Codec,
        anchor_weights,
        lagrangian,
        turns,
    )
    from codec.training.train import Recipe, Run, principal_components, train, validate

import codec
from codec import pipeline

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and compressai warn of themselves

RECIPE = Recipe(steps=4, batch=4, crops=(64, 128), warm_up=2, average=0.5)
IMAGES = [np.asarray(data.astronaut()), np.asarray(data.coffee())]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def fresh() -> Codec:
    torch.manual_seed(0)
    return Codec(RECIPE.widths, principal_components(IMAGES, 0))


def test_qualities_interpolate_the_anchors() -> None:
    weights = anchor_weights(torch.tensor([0.0, 6.25, 100.0]))
    assert torch.equal(weights.sum(1), torch.ones(3))
    assert weights[1, :2].tolist() == [0.5, 0.5]
    assert lagrangian(torch.tensor([0.0, 100.0])).tolist() == pytest.approx(list(LAMBDA_RANGE))


def test_training_and_run_time_agree_on_the_turns() -> None:
    shape = (6, 4, 8)
    assert np.array_equal(turns(torch.zeros(1, *shape)).numpy(), pipeline.turns(shape))


def test_the_start_is_already_a_linear_codec(fresh: Codec) -> None:
    points = validate(fresh.eval(), [IMAGES[0][:256, :256]])
    assert points[-1]["psnr"] > 36
    assert points[0]["bpp"] < 1
    assert [p["psnr"] for p in points] == sorted(p["psnr"] for p in points)


def test_the_loss_falls(fresh: Codec) -> None:
    torch.manual_seed(0)
    run = Run(Recipe(steps=40, warm_up=2, batch=8), fresh.train())
    batch = torch.from_numpy(IMAGES[0][:128, :512].reshape(128, 4, 128, 3).copy())
    images = batch.permute(1, 3, 0, 2).float() / 255
    losses = [run.train_step(images) for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.97 * np.mean(losses[:3])


def test_a_run_resumes_and_its_export_compresses(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codec.training.export import export

    out = tmp_path / "run"
    train(Recipe(steps=2, batch=4, crops=(64, 128), warm_up=2), [photographs], out, [photographs])
    weights = train(RECIPE, [photographs], out, [photographs])
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4]

    model = export(weights, tmp_path / "models" / "tiny", [IMAGES[0][:128, :128]], {"summary": "a test"})
    monkeypatch.setenv("AECODEC_MODELS", str(tmp_path / "models"))
    file = codec.compress(IMAGES[1], 60, model="tiny")
    assert codec.info(file).model == model.fingerprint.hex()
    error = np.asarray(codec.decompress(file)).astype(float) - IMAGES[1]
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 28
    assert codec.info(file).bpp < 5


def test_training_can_start_from_weights(photographs: Path, tmp_path: Path, fresh: Codec) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in fresh.state_dict().items()}, tmp_path / "start.safetensors")
    recipe = Recipe(steps=1, batch=4, crops=(64, 128))
    weights = train(recipe, [photographs], tmp_path / "run", [], start=tmp_path / "start.safetensors")
    assert weights.exists()
