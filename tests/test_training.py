"""A short training: the loss falls, a run resumes, and what it exports compresses a picture."""

from __future__ import annotations

import copy
import json
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torchvision, which compressai imports
    from aecodec.training import export, layers, rate_distortion
    from aecodec.training.data import Crops, Photographs, digest_of
    from aecodec.training.distortion import (
        DISSIMILARITY_WEIGHT,
        LEAK,
        SSIMULACRA2_WEIGHT,
        TUNINGS,
        VISUAL_SHARES,
        ms_ssim,
        ms_ssim_and_gradient,
        squared_error,
        visual_error,
    )
    from aecodec.training.hyperprior import BITS_PER_SQUARED_STEP, SCALE_STEP, Lookup, latent_passes
    from aecodec.training.layers import LAMBDA_RANGE, anchor_weights, lagrangian
    from aecodec.training.loop import (
        Run,
        Schedule,
        begun_with,
        load_weights,
        read_weights,
        save_weights,
        train,
    )
    from aecodec.training.networks import Z_LIMITS, Codec, load_codec
    from aecodec.training.pruning import TOLERANCE, prune_analysis
    from aecodec.training.rate_distortion import RateDistortion, principal_components
    from aecodec.training.smoothing import smooth_analysis
    from aecodec.training.ssimulacra2 import (
        ssimulacra2_distance,
        ssimulacra2_gradient,
        ssimulacra2_score,
    )
    from aecodec.training.transforms import CodecConfig, PrincipalComponents, config_of

import aecodec
from aecodec.arrays import Floats
from aecodec.container import CELL
from aecodec.decoder.reconstruction import decode_y
from aecodec.encoder.options import TUNED
from aecodec.encoder.quantisation import quantise
from aecodec.entropy.context import context_passes
from aecodec.entropy.hyperprior import CONTEXTS, EXPECTED_RANGE, hyper_steps
from aecodec.model.network import Network
from aecodec.model.registry import model_named
from aecodec.model.tiling import ANALYSIS_HALO, tiles
from tests.common import derivatives_along
from tests.test_cli import refusal, run_command

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and compressai warn of themselves
    pytest.mark.xdist_group("training"),  # whose principal components are computed once
]

SCHEDULE = Schedule(steps=4, warm_up=2, average=0.5)
IMAGES = [np.asarray(data.astronaut()), np.asarray(data.coffee())]
SMALL = replace(TUNINGS["psnr"], sides=(64, 128))
# A network that trains in a tenth of the time: what the loop does is the same for any.
NARROW = CodecConfig(
    latents=96,
    analysis=48,
    analysis_blocks=1,
    analysis_hidden=48,
    synthesis_blocks=1,
    fine_blocks=1,
    fine_features=8,
    means=32,
    context=32,
    context_blocks=1,
)


@pytest.fixture(scope="module", autouse=True)
def components_are_computed_once() -> Iterator[None]:
    """They take longer than the few steps of a test."""
    computed: dict[tuple[str, int], PrincipalComponents] = {}

    def components(images: Sequence[NDArray[np.uint8]], seed: int) -> PrincipalComponents:
        key = digest_of(list(images)), seed  # of pixels, wherever they lie
        if key not in computed:
            computed[key] = principal_components(images, seed)
        return computed[key]

    with pytest.MonkeyPatch.context() as context:
        context.setattr(rate_distortion, "principal_components", components)
        yield


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def shipped_weights(name: str) -> Path:
    return Path(export.__file__).with_name(f"{name}.safetensors")


def small_task(batch: int = 4, config: CodecConfig = NARROW) -> RateDistortion:
    torch.manual_seed(0)
    return RateDistortion(IMAGES, [IMAGES[0][:256, :256]], batch, SMALL, config=config)


@pytest.fixture(scope="module")
def fresh() -> Codec:
    return small_task(config=CodecConfig()).network


def test_qualities_interpolate_the_anchors() -> None:
    weights = anchor_weights(torch.tensor([0.0, 6.25, 100.0]))
    assert torch.equal(weights.sum(1), torch.ones(3))
    assert weights[1, :2].tolist() == [0.5, 0.5]
    assert lagrangian(torch.tensor([0.0, 100.0])).tolist() == pytest.approx(list(LAMBDA_RANGE))


def test_training_and_run_time_agree_on_the_context_passes() -> None:
    shape = (6, 4, 8)
    assert np.array_equal(latent_passes(torch.zeros(1, *shape)).numpy(), context_passes(shape))


def test_training_and_run_time_expect_the_same_of_a_hyper_latent() -> None:
    torch.manual_seed(1)
    trained = Codec()
    for weight in trained.hyper_prediction.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    z = torch.randint(-4, 9, (1, trained.config.latents // 16, 5, 7)).float()
    with torch.no_grad():
        expected = trained.hyper_prediction(z, anchor_weights(torch.tensor([37.5])))[0].flatten(1).numpy()
    for step in hyper_steps(export.initial_tables(trained), z[0].int().numpy(), 37.5):
        values = expected[step.channel, step.places]
        np.testing.assert_allclose(np.clip(values, *Z_LIMITS), step.origin + 0.5, atol=0.52)
        quarters = np.clip(4 * values, 4 * EXPECTED_RANGE[0], 4 * EXPECTED_RANGE[1] - 1)
        lower_quarters = step.context % CONTEXTS + 4 * EXPECTED_RANGE[0]
        np.testing.assert_allclose(quarters, lower_quarters + 0.5, atol=0.6)


def test_training_and_run_time_reconstruct_the_same() -> None:
    torch.manual_seed(2)
    trained = Codec()
    torch.nn.init.uniform_(trained.quantiser.reconstruction_offset, 0, 0.3)
    tables = export.initial_tables(trained)
    y, means = 4 * torch.randn(2, 3, 4, 6)
    index = torch.randint(tables.skip_below, 64, y.shape)
    with torch.no_grad():
        expected = trained.quantiser(y, means, index.float()).numpy()
    symbols = trained.quantiser.symbols(y - means, index).detach().numpy().astype(np.int16)
    model = Mock(tables=tables)
    model.first_means.return_value = None, means.numpy()
    model.second_means.return_value = model.third_means.return_value = [means.numpy()]
    (tile,) = tiles(2, 3, 3, 0)
    z, scale_index = np.zeros((1, 2, 3), np.int32), index.numpy().astype(np.uint8)
    reconstructed = decode_y(model, z, 50, tile, scale_index, symbols)
    np.testing.assert_allclose(reconstructed, expected, atol=1e-5)


def test_symbols_are_rounded_towards_zero_where_that_saves_more_than_it_costs() -> None:
    quantiser = Codec().quantiser
    residual = torch.tensor([-7.51, -1.6, -0.52, 0.49, 0.55, 0.9, 1.55, 2.45])

    def symbols(level: int) -> list[float]:
        levels = torch.full(residual.shape, level)
        return [float(symbol) for symbol in quantiser.symbols(residual, levels)]

    assert symbols(60) == [-8, -2, -1, 0, 1, 1, 2, 2]  # of a wide scale all magnitudes cost alike
    assert symbols(8) == [-7, -1, 0, 0, 0, 1, 1, 2]
    nearest = residual.round()
    for level in range(0, 64, 4):
        rounded = torch.tensor(symbols(level))
        assert (rounded.abs() <= nearest.abs()).all()
        assert ((nearest - rounded).abs() <= 1).all()


def test_training_rounds_nearly_as_files_do() -> None:
    torch.manual_seed(3)
    trained = Codec()
    index = torch.randint(2, 30, (320, 8, 8))
    y = torch.randn(320, 8, 8) * 0.11 * (index * SCALE_STEP).exp()
    tables, levels = export.initial_tables(trained), index.numpy().astype(np.uint8).ravel()
    in_files = quantise(
        tables,
        tables.rdoq_thresholds(BITS_PER_SQUARED_STEP),
        y.numpy(),
        levels,
        np.arange(y.numel()),
        np.zeros(y.numel(), np.float32),
    ).reshape(y.shape)
    in_training = trained.quantiser.symbols(y, index).detach().numpy()
    assert np.mean(in_files != in_training) < 0.01  # files know the scale, training spreads it
    assert np.abs(in_files - in_training).max() <= 1
    assert np.mean(in_files != np.rint(y.numpy())) > 0.02


def test_the_gradient_passes_rounding() -> None:
    residual = torch.randn(1, 4, 3, 3, requires_grad=True)
    Codec().quantiser.symbols(residual, torch.full(residual.shape, 10)).sum().backward()
    assert torch.equal(residual.grad, torch.ones_like(residual))


def exact_derivative(x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(F.hardswish(x).sum(), x)[0]


def test_the_derivative_of_the_activation_is_exact_but_for_its_bounds() -> None:
    x = torch.linspace(-4, 4, 801)
    torch.testing.assert_close(layers.hardswish_derivative(x), exact_derivative(x).clamp(0, 1))


def test_the_vjp_with_the_exact_derivative_is_what_autograd_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "hardswish_derivative", exact_derivative)
    torch.manual_seed(4)
    synthesis = Codec().synthesis
    for parameter in synthesis.parameters():  # whose branches are zero at the start
        torch.nn.init.normal_(parameter, std=0.1)
    y, weights = torch.randn(2, 320, 2, 3, requires_grad=True), anchor_weights(torch.tensor([10.0, 70.0]))
    image, vjp = synthesis.with_vjp(y, weights)
    towards = torch.randn_like(image)
    (expected,) = torch.autograd.grad(image, y, towards)
    with torch.no_grad():
        torch.testing.assert_close(vjp(towards), expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_the_gradient_through_the_means_is_what_autograd_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "hardswish_derivative", exact_derivative)
    torch.manual_seed(4)
    network = Codec()
    refinements = network.second_means, network.third_means
    for parameter in nn.ModuleList(refinements).parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    y, weights = torch.randn(2, 320, 2, 3, requires_grad=True), anchor_weights(torch.tensor([10.0, 70.0]))
    derivatives, passes = torch.randn(2, 320, 2, 3), latent_passes(y)
    features, means = torch.randn(2, network.config.means, 2, 3), torch.zeros_like(derivatives)
    for step, refine in enumerate(refinements, start=1):
        means = torch.where(passes < step, means, refine(features, means, y * (passes < step), weights))
    (expected,) = torch.autograd.grad(-(derivatives * means).sum(), y)
    with torch.no_grad():
        gradient = network.bits_gradient(y, features, derivatives, passes.expand_as(y), weights)
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_the_gradient_of_a_lookup() -> None:
    table = torch.rand(5, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor([[0, 3], [3, 4]])
    assert torch.autograd.gradcheck(lambda t: Lookup.apply(t, indices), (table,))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"analysis": torch.zeros(3)}, tmp_path / "other.safetensors")
    for load in (partial(load_weights, Codec()), load_codec):
        with pytest.raises(aecodec.ModelError, match="choose others"):
            load(tmp_path / "other.safetensors")


def test_a_codec_is_as_wide_as_its_weights(photographs: Path, tmp_path: Path) -> None:
    config = CodecConfig(
        latents=32,
        analysis=48,
        analysis_blocks=3,
        analysis_hidden=40,
        synthesis_blocks=1,
        fine_blocks=2,
        fine_features=5,
        means=24,
        context=20,
        context_blocks=4,
    )
    path, run = tmp_path / "narrow.safetensors", tmp_path / "run"
    save_weights(Codec(config), path)
    assert load_codec(path).config == config
    tuning = replace(SMALL, sides=(64, 64))
    assert begun_with(run, None) is None
    task = RateDistortion(IMAGES, [], 1, tuning, config=config_of(begun_with(run, path) or {}))
    assert task.network.config == config
    train(Schedule(steps=1), task, run, start=path)
    assert config_of(begun_with(run, None) or {}) == config  # as a run resumes
    task = RateDistortion.of([photographs], [], 1, "psnr", compiled=False, like=begun_with(run, None))
    assert task.network.config == config


@pytest.mark.parametrize("name", TUNED.values())
def test_the_shipped_weights_are_those_of_the_network(name: str) -> None:
    trained = load_codec(shipped_weights(name))
    model = model_named(name)
    reconstruction_offset = trained.quantiser.reconstruction_offset.detach().numpy()  # which nothing refits
    np.testing.assert_allclose(model.tables.reconstruction_offset, reconstruction_offset, atol=1e-3)


def test_the_start_is_already_a_linear_codec(fresh: Codec) -> None:
    with torch.no_grad():
        points = small_task().validate(fresh.eval())
    assert points[-1]["psnr"] > 36
    assert points[0]["bpp"] < 1
    assert [p["psnr"] for p in points] == sorted(p["psnr"] for p in points)


def test_small_pictures_to_validate_on_are_left_out() -> None:
    held_out = [IMAGES[0][:63, :200], IMAGES[0][:90, :64]]
    assert len(RateDistortion(IMAGES, held_out, 1, SMALL).held_out) == 1
    with pytest.raises(aecodec.AecodecError, match="at least 64 pixels"):
        RateDistortion(IMAGES, held_out[:1], 1, SMALL)


def test_the_loss_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task(8)
    batch = torch.from_numpy(IMAGES[0][:128, :512].reshape(128, 4, 128, 3).copy())
    images = batch.permute(1, 3, 0, 2).float() / 255
    monkeypatch.setattr(task, "loss", lambda progress: task.loss_of(images))
    run = Run(Schedule(steps=40, warm_up=2), task)
    losses = [run.train_step() for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.97 * np.mean(losses[:3])


def pair_of_images(deviation: float = 20) -> tuple[Tensor, Tensor]:
    """A photograph and the same with noise, both (1, 3, 256, 320) in [0, 1]."""
    clean = IMAGES[0][:256, :320]
    noisy = np.clip(clean + np.random.default_rng(4).normal(0, deviation, clean.shape), 0, 255)
    images = torch.from_numpy(np.stack([clean, noisy.astype(np.uint8)])).permute(0, 3, 1, 2).float() / 255
    return images[:1], images[1:]


def test_ms_ssim_is_that_of_pytorch_msssim() -> None:
    from pytorch_msssim import ms_ssim as reference

    clean, noisy = pair_of_images()
    for decoded in (noisy, noisy[..., :201, :250]):
        original = clean[..., : decoded.shape[2], : decoded.shape[3]]
        expected = reference(decoded, original, data_range=1.0, size_average=False)
        assert float(ms_ssim(decoded, original)) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("deviation", [1, 4, 20, 60])
def test_ssimulacra2_is_that_of_an_independent_implementation(deviation: float) -> None:
    from frame_analytics.ssimulacra2 import ssimulacra2

    clean, noisy = pair_of_images(deviation)
    for decoded in (noisy, F.avg_pool2d(noisy, 3, 1, 1), noisy[..., :177, :203]):
        original = clean[..., : decoded.shape[2], : decoded.shape[3]]
        score = float(ssimulacra2_score(ssimulacra2_distance(decoded, original)))
        with torch.compiler.set_stance("force_eager"):  # compiling it takes 9 s
            assert score == pytest.approx(float(ssimulacra2(original, decoded)), abs=0.1)


def test_ssimulacra2_of_equal_images_is_100_and_has_a_gradient() -> None:
    clean = pair_of_images()[0].requires_grad_()
    distance = ssimulacra2_distance(clean, clean.detach())
    (gradient,) = torch.autograd.grad(distance.sum(), clean)
    assert float(ssimulacra2_score(distance)) > 99
    assert torch.isfinite(gradient).all()


def test_the_gradient_of_ssimulacra2_is_what_autograd_finds() -> None:
    original, decoded = pair_of_images(8)
    decoded = decoded.requires_grad_()
    distance = ssimulacra2_distance(decoded, original)
    (expected,) = torch.autograd.grad(256 * 320 * distance.sum(), decoded)
    gradient = ssimulacra2_gradient(decoded, original, largest=torch.inf)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    bounded = ssimulacra2_gradient(decoded, original)
    assert float(F.cosine_similarity(bounded.flatten(), expected.flatten(), 0)) > 0.95


def test_what_overshoots_white_costs_next_to_nothing() -> None:
    white = torch.ones(1, 3, 256, 256)
    assert float(visual_error(white + 0.1, white)) < 2 * LEAK * float(visual_error(white - 0.1, white))
    assert float(visual_error(white + 0.1, white)) > 0  # or it might grow without end


def test_there_is_a_model_for_each_tuning() -> None:
    assert TUNINGS.keys() == TUNED.keys()


def graphs_error(tune: str, decoded: Tensor, image: Tensor) -> Tensor:
    """The error of an image as exported graphs know it: MS-SSIM with windows at the borders too."""
    squared = squared_error(decoded, image).sum()
    if tune == "psnr":
        return squared
    seen, structural = VISUAL_SHARES
    dissimilarity = DISSIMILARITY_WEIGHT * (1 - ms_ssim_and_gradient(decoded, image)[0].mean())
    distance = SSIMULACRA2_WEIGHT * ssimulacra2_distance(decoded, image).sum()
    return seen * distance + structural * dissimilarity + (1 - seen - structural) * squared


@pytest.mark.parametrize(("tune", "tolerance"), [("psnr", 1e-6), ("visual", 0.25)])
def test_gradients_are_those_of_errors(tune: str, tolerance: float) -> None:
    """Those of 4-norms are bounded, so that of `visual` is not exactly the gradient."""
    original = torch.from_numpy(IMAGES[1][None, :320, :320].copy()).permute(0, 3, 1, 2).float() / 255
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(original.shape, np.float32))
    decoded = (original + 0.03 * noise).clamp(0.001, 1).requires_grad_()
    error = graphs_error(tune, decoded, original)
    (expected,) = torch.autograd.grad(320**2 * error, decoded)
    gradient = TUNINGS[tune].gradient(decoded, original)
    assert float((gradient - expected).norm() / expected.norm()) < tolerance
    if tune == "psnr":  # efforts of `visual` go by shares of their own
        assert float(error.detach()) == pytest.approx(float(TUNINGS[tune].error(decoded, original)), rel=0.1)


@pytest.mark.parametrize("tune", TUNINGS)
def test_the_gradient_of_a_model_is_of_what_it_is_tuned_for(tune: str) -> None:
    """As exported, of a picture that ends inside its cells."""
    model, quality = model_named(TUNED[tune]), torch.tensor([40.0])
    image = IMAGES[1][100:228, 100:324].transpose(2, 0, 1).astype(np.float32) / 255
    inside = np.ones((1, *image.shape[1:]), np.float32)
    inside[:, 110:, :] = inside[:, :, 200:] = 0
    y, z = model.analysis(40, image)
    y += 0.2 * np.random.default_rng(0).standard_normal(y.shape, np.float32)
    worth = float(lagrangian(quality)) * 255**2 * image[0].size

    def half_error(y: Floats) -> float:
        decoded = image + (np.clip(model.synthesis(40, y)[0], 0, 1) - image) * inside
        images = (torch.from_numpy(pixels[None]).double() for pixels in (decoded, image))
        return worth / 2 * float(graphs_error(tune, *images))

    features, nothing = model.first_means(40, np.rint(z))[0], np.zeros_like(y)
    gradient, of_bits = model.gradient(40, y, image, inside, features, nothing, nothing)
    assert not of_bits.any()
    ratios = derivatives_along(half_error, y, gradient)
    np.testing.assert_array_less(0.6, ratios)  # derivatives of the activation are clamped
    np.testing.assert_array_less(ratios, 1.25)  # and so are weights of the worst places, with `visual`


def test_the_gradient_of_similarity_is_what_autograd_finds() -> None:
    """Of sides, too, of which the coarsest scale has two samples."""
    original = torch.from_numpy(IMAGES[1][None, 200:232, 200:296].copy()).permute(0, 3, 1, 2).double() / 255
    decoded = F.avg_pool2d(original, 3, 1, 1).requires_grad_()
    similarity, gradient = ms_ssim_and_gradient(decoded, original)
    (expected,) = torch.autograd.grad(32 * 96 * similarity.mean(), decoded)
    torch.testing.assert_close(gradient, expected)
    same, none = ms_ssim_and_gradient(original, original)
    torch.testing.assert_close(same, torch.ones(3, dtype=torch.double))
    assert none.abs().max() < 1e-9


@pytest.mark.parametrize("tune", TUNINGS)
def test_errors_have_gradients_that_undo_them(tune: str) -> None:
    original = torch.from_numpy(IMAGES[1][None, :192, :192].copy()).permute(0, 3, 1, 2).float() / 255
    decoded = F.avg_pool2d(original, 3, 1, 1).requires_grad_()
    before = TUNINGS[tune].error(decoded, original)
    (gradient,) = torch.autograd.grad(before.sum(), decoded)
    step = 1e-3 * (gradient.abs() / gradient.abs().mean()).clamp(max=4) * gradient.sign()
    assert TUNINGS[tune].error(decoded - step, original) < before


def test_a_run_is_resumed_only_with_what_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(Schedule(steps=1, warm_up=2, seed=3), small_task(), tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["seed"] == 3
    assert record["batch"] == small_task().batch
    assert record["network"]["latents"] == NARROW.latents
    train(Schedule(steps=2, warm_up=2, seed=3), small_task(), tmp_path)  # the budget may grow
    with pytest.raises(aecodec.AecodecError, match=r"another seed \(it had seed 3\).*--start"):
        train(Schedule(steps=3, warm_up=2, seed=4), small_task(), tmp_path)
    task = small_task()
    task.images = [IMAGES[0]]
    with pytest.raises(aecodec.AecodecError, match="another data"):
        train(Schedule(steps=3, warm_up=2, seed=3), task, tmp_path)
    monkeypatch.setattr("aecodec.training.record.commit", lambda: "another")
    with pytest.raises(aecodec.AecodecError, match="another commit"):
        train(Schedule(steps=3, warm_up=2, seed=3), small_task(), tmp_path)


def test_photographs_beyond_the_memory_are_decoded_as_they_are_drawn(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in ("tar", "tar.gz"):
        with tarfile.open(
            tmp_path / f"photographs.{suffix}", "w:gz" if suffix == "tar.gz" else "w"
        ) as archive:
            archive.add(photographs, "photographs")
    kept = Photographs([photographs])
    monkeypatch.setattr("aecodec.training.data.MEMORY", 0)
    for source in (photographs, tmp_path / "photographs.tar", tmp_path / "photographs.tar.gz"):
        decoded = Photographs([source])
        assert not decoded.in_memory
        assert decoded.digest == kept.digest
        assert torch.equal(Crops(decoded, 64, 1).batch(3, 64), Crops(kept, 64, 1).batch(3, 64))


def test_a_run_resumes_and_its_export_compresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    train(replace(SCHEDULE, steps=2), small_task(), out)
    weights = train(SCHEDULE, small_task(), out)
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4]

    folder, record = tmp_path / "models" / "tiny", {"summary": "a test"}
    model = export.export(weights, folder, [IMAGES[0][:256, :256]], "psnr", record, 1, 1)
    monkeypatch.setenv("AECODEC_MODELS", str(tmp_path / "models"))
    file = aecodec.compress(IMAGES[1], 60, model="tiny")
    assert aecodec.info(file).model == model.fingerprint.hex()
    error = np.asarray(aecodec.decompress(file)).astype(float) - IMAGES[1]
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 26
    assert aecodec.info(file).bpp < 5


def matrices_of_8_bits(model: bytes) -> list[NDArray[np.int8]]:
    """The matrices of a graph that its products of 8 bits take, one each."""
    graph = onnx.load_from_string(model).graph
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    return [weights[node.input[1]] for node in graph.node if node.op_type == "MatMulInteger"]


@pytest.mark.parametrize("name", TUNED.values())
def test_pairs_of_products_of_8_bits_fit_into_16(name: str) -> None:
    """In which processors without VNNI add them up, and saturate."""
    matrices = matrices_of_8_bits(model_named(name).files["analysis.onnx"])
    assert all(matrix.dtype == np.int8 for matrix in matrices)
    largest = [int(np.abs(matrix.astype(int)).max()) for matrix in matrices]
    assert len(largest) >= 12
    assert 2 * 255 * max(largest) < 2**15


def test_what_lies_beyond_the_halo_hardly_counts_for_the_analysis() -> None:
    """Of the shipped weights, before what their products of 8 bits round."""
    network = load_codec(shipped_weights("base")).eval()
    picture = torch.from_numpy(IMAGES[0][: 3 * CELL, : 12 * CELL].transpose(2, 0, 1).copy())[None] / 255
    other = picture.clone()
    other[..., :CELL] = 1 - other[..., :CELL]
    for quality in (5.0, 50.0, 100.0):
        weights = anchor_weights(torch.tensor([quality]))
        with torch.no_grad():
            y, changed = (network.analysis(image, weights) for image in (picture, other))
            z, z_changed = (network.hyper_analysis(latent) for latent in (y, changed))
        assert float((y - changed)[..., :2].abs().max()) > 0.1
        for change, beyond in ((y - changed, 2 * (1 + ANALYSIS_HALO)), (z - z_changed, 1 + ANALYSIS_HALO)):
            assert float(change[..., beyond:].abs().max()) < 0.02  # of a step
            assert float(change[..., beyond].square().mean().sqrt()) < 5e-3  # where it is nearest


def test_hidden_channels_that_others_can_stand_in_for_are_left_out() -> None:
    torch.manual_seed(0)
    network = Codec(CodecConfig(analysis_blocks=3, analysis_hidden=256)).eval()
    silent, double, needed = network.analysis.blocks
    x, weights = torch.from_numpy(IMAGES[0][None, :128, :128]).permute(0, 3, 1, 2) / 255, torch.eye(9)[:1]
    with torch.no_grad():
        for block in network.analysis.blocks:
            nn.init.normal_(block.project.weight, std=0.2)
        silent.project.weight[:, 100:] = 0
        double.expand.weight[128:] = double.expand.weight[:128]
        silent.expand.weight[:30], silent.expand.bias[:30] = 0, 2  # the same everywhere
        before = network.analysis(x, weights)
        prune_analysis(network, IMAGES)
        after = network.analysis(x, weights)
    assert [len(block.expand.weight) for block in (silent, double, needed)] == [128, 128, 256]
    assert float((after - before).abs().max()) < 10 * TOLERANCE
    assert float((after - before).square().mean().sqrt()) < 2 * TOLERANCE


def test_products_of_8_bits_are_nearly_those_of_floats(fresh: Codec) -> None:
    """With channels balanced, which changes nothing else, nearer than without."""
    torch.manual_seed(1)
    network = copy.deepcopy(fresh).eval()
    loud = torch.logspace(-1.5, 1.5, network.config.analysis)[torch.randperm(network.config.analysis)]
    with torch.no_grad():
        for block in network.analysis.blocks:
            block.expand.weight /= loud  # as what enters is not
            block.log_gain_in.rows += loud.log()
            block.project.weight.normal_(std=0.02)
    picture = IMAGES[1][:192, :256].transpose(2, 0, 1).astype(np.float32) / 255
    errors, outputs = [], []
    assert matrices_of_8_bits(
        export.graph(fresh, "analysis", TUNINGS["psnr"])
    )  # in which all branches are zero
    for changed in (network, smooth_analysis(copy.deepcopy(network), IMAGES)):
        with torch.no_grad():
            y = changed.analysis(torch.from_numpy(picture)[None], anchor_weights(torch.tensor([60.0])))[0]
        model = export.graph(changed, "analysis", TUNINGS["psnr"])
        assert len(matrices_of_8_bits(model)) == 2 * len(network.analysis.blocks)
        exported = Network(partial(bytes, model))
        errors.append(np.sqrt(np.square(exported(60.0, picture)[0] - y.numpy()).mean()))
        outputs.append(y)
    assert float((outputs[1] - outputs[0]).abs().max()) < 1e-3
    assert errors[1] < min(0.05, 0.5 * errors[0])


def test_refitting_lowers_the_bits_of_symbols_and_changes_the_scale_map_alone() -> None:
    from aecodec.training.refit import refit_scales, symbol_bits

    network = small_task().network.eval()
    with torch.no_grad():
        network.scale_map.offset.rows += 6  # scales twice as wide as they should be
    images = torch.from_numpy(IMAGES[0][None, :256, :256].copy()).permute(0, 3, 1, 2).float() / 255
    before = {name: value.clone() for name, value in network.state_dict().items()}
    bits = float(symbol_bits(network, images, torch.tensor([50.0])).detach())
    refit_scales(network, IMAGES, 12)
    assert float(symbol_bits(network, images, torch.tensor([50.0])).detach()) < 0.995 * bits
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"scale_map.weight", "scale_map.offset.rows"}


def test_training_can_start_from_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    task = small_task()
    halved = {name: tensor.half().contiguous() for name, tensor in task.network.state_dict().items()}
    save_file(halved, tmp_path / "start.safetensors")
    weights = train(Schedule(steps=1), task, tmp_path / "run", start=tmp_path / "start.safetensors")
    assert weights.exists()
    assert float(task.network.y_prior.likelihood_lower_bound.bound) == pytest.approx(1e-9)
    with pytest.raises(aecodec.AecodecError, match="checkpoint already"):
        train(Schedule(steps=1), task, tmp_path / "run", start=tmp_path / "start.safetensors")


def test_a_checkpoint_of_another_optimiser_or_a_share_of_one_is_refused() -> None:
    run = Run(SCHEDULE, small_task())
    with pytest.raises(aecodec.AecodecError, match="go on from its weights, with --start"):
        run.load({**run.state(), "kind": "Adam"})
    with pytest.raises(aecodec.AecodecError, match="share of 2 processes, not of 1: train with as many"):
        run.load({**run.state(), "processes": 2})


def test_the_command_trains(photographs: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from aecodec.cli import app

    save_weights(Codec(NARROW), tmp_path / "start.safetensors")
    sources = ["--data", str(photographs), "--start", str(tmp_path / "start.safetensors")]
    command = ["train", "codec", *sources, "--out", str(tmp_path / "run"), "--steps", "1", "--batch", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize("command", ["codec", "denoise", "srcnn"])
def test_weights_to_start_from_are_not_overwritten(command: str, photographs: Path, tmp_path: Path) -> None:
    start = tmp_path / "weights.safetensors"
    save_weights(Codec(NARROW), start)
    before = start.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    sources = ["--data", photographs, "--start", start, "--out", tmp_path / "link"]
    refusal(run_command("train", command, *sources, "--steps", "1"), 2, "is the input: name another")
    assert start.read_bytes() == before


def test_a_folder_that_should_be_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(aecodec.ModelError, match=rf"{tmp_path} holds no weights"):
        read_weights(tmp_path)


def test_a_file_that_should_be_a_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    refusal(run_command("train", "export-stage", "denoise", file, file), 1, f"{file}: File exists")


def test_what_is_compiled_is_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def compiled(network: Codec, dynamic: bool) -> Callable[..., object]:
        return lambda *arguments: calls.append(arguments) or network(*arguments)

    monkeypatch.setattr(torch, "compile", compiled)
    task = RateDistortion(IMAGES, [], batch=2, tuning=SMALL, compiled=True, config=NARROW)
    task.loss(0).backward()
    assert len(calls) == 1
    assert task.network.analysis.head.weight.grad is not None


def test_compiling_needs_a_compiler(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from aecodec.cli import app

    monkeypatch.setenv("CXX", "no-compiler-at-all")
    command = [
        "train",
        "codec",
        "--data",
        str(photographs),
        "--out",
        str(tmp_path),
        "--steps",
        "1",
        "--compile",
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert "needs no-compiler-at-all" in str(result.exception)
