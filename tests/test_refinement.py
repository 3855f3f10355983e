"""An effort pays, its gradients are what they say, and where its tiles lie leaves no trace."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from aecodec import QualityError, compress, decompress
from aecodec.arrays import Floats, Pixels
from aecodec.decoder.reconstruction import decode_y_of_symbols
from aecodec.encoder import refinement
from aecodec.encoder.options import TUNED
from aecodec.encoder.quantisation import quantised
from aecodec.entropy.context import context_passes
from aecodec.model.registry import Model, model_named
from aecodec.model.tiling import tiles
from tests.common import derivatives_along, photograph, psnr_of

QUALITY = 50.0


def test_effort_pays() -> None:
    """Each effort takes fewer bytes for its PSNR than quality alone would have taken."""
    picture = photograph(240, 200)
    files = [compress(picture, 50, tune="psnr", effort=effort) for effort in range(7)]
    figures = [psnr_of(picture, np.asarray(decompress(file))) for file in files]
    better = compress(picture, 52, tune="psnr")
    exchange = (len(better) - len(files[0])) / (psnr_of(picture, np.asarray(decompress(better))) - figures[0])
    costs = [len(file) - exchange * figure for file, figure in zip(files, figures, strict=True)]
    assert costs == sorted(costs, reverse=True)
    assert costs[4] < costs[0] - 0.05 * len(files[0])


def test_the_exported_gradient_of_bits_is_about_that_through_the_means(model: Model) -> None:
    """A small step of what is known earlier moves later means by nearly as much as it says."""
    rng = np.random.default_rng(0)
    y, z = model.analysis(40, photograph(96, 64).transpose(2, 0, 1).astype(np.float32) / 255)
    image, inside = np.zeros((3, 64, 96), np.float32), np.zeros((1, 64, 96), np.float32)
    derivatives, z = rng.standard_normal(y.shape, np.float32), np.rint(z)
    pass_of = context_passes(y.shape)

    def bits(y: Floats) -> float:
        features, means = model.first_means(40, z)
        for step, network in enumerate((model.second_means, model.third_means), start=1):
            refined = network(40, features, means, np.where(pass_of < step, y, np.float32(0)))[0]
            means = np.where(pass_of < step, means, refined)
        return float(-(derivatives * means).sum(dtype=np.float64))  # of residuals that fall as means rise

    features, _ = model.first_means(40, z)
    of_error, gradient = model.gradient(
        40, y, image, inside, features, derivatives, pass_of.astype(np.float32)
    )
    assert not of_error.any()
    assert not gradient[pass_of == 2].any()  # the last say nothing of others
    ratios = derivatives_along(bits, y, gradient)
    np.testing.assert_array_less(0.6, ratios)
    np.testing.assert_array_less(ratios, 1.05)


@pytest.mark.parametrize(("tune", "tolerance"), [("psnr", 1e-3), ("visual", 0.25)])
def test_refinement_in_tiles_leaves_no_seam(photo: Pixels, tune: str, tolerance: float) -> None:
    """But for the 4-norms of SSIMULACRA 2, which are a tile's own, as in training a crop's."""
    model = model_named(TUNED[tune])
    unrefined = quantised(model, photo, QUALITY, refines=True)
    assert unrefined.state
    moves = []
    for core in (28, 3):
        changed = deepcopy(unrefined.state)
        refinement.refine(model, photo, unrefined.latents, changed, 0.3, 1.0, core)
        moves.append(changed.y - unrefined.state.y)
    whole_picture, tiled = moves
    assert np.abs(whole_picture).max() > 0.05
    assert np.linalg.norm(tiled - whole_picture) < tolerance * np.linalg.norm(whole_picture)


def test_refinement_starts_from_what_the_decoder_knows(model: Model, photo: Pixels) -> None:
    unrefined = quantised(model, photo, QUALITY, refines=True)
    assert unrefined.state
    rows, columns = unrefined.latents.z.shape[1:]
    (tile,) = tiles(rows, columns, max(rows, columns), 0)
    decoded = decode_y_of_symbols(model, unrefined.latents, tile)
    np.testing.assert_allclose(unrefined.state.y_hat, decoded, atol=1e-4)
    assert quantised(model, photo, QUALITY).state is None  # which takes memory


def test_curvature_is_measured_once(model: Model, photo: Pixels) -> None:
    unrefined = quantised(model, photo, QUALITY, refines=True)
    assert unrefined.state
    assert not unrefined.state.curvature.any()
    curvatures = []
    for _ in range(2):
        refinement.refine(model, photo, unrefined.latents, unrefined.state, 0.3, 1.0, 28)
        curvatures.append(unrefined.state.curvature.copy())
    np.testing.assert_array_equal(*curvatures)
    assert curvatures[0].min() >= refinement.LEAST_CURVATURE
    assert curvatures[0].std() > 0.2


def test_curvature_is_that_of_each_position() -> None:
    rng = np.random.default_rng(0)
    expected = np.array([[[1.0, 5, 9, 30]]], np.float32)
    rounding = rng.uniform(-0.5, 0.5, (2000, 1, 4)).astype(np.float32)
    elsewhere = rng.standard_normal(rounding.shape, np.float32)  # what other latents' errors do here
    curvature = refinement.estimate_curvature(expected * rounding + elsewhere, rounding)
    np.testing.assert_allclose(curvature, np.maximum(expected, refinement.LEAST_CURVATURE), rtol=0.1)
    unknown = refinement.estimate_curvature(np.zeros_like(rounding), np.zeros_like(rounding))
    np.testing.assert_array_equal(unknown, np.full((1, 1, 4), refinement.CURVATURE))


@pytest.mark.parametrize("effort", [-1, 10])
def test_effort_out_of_range_is_refused(effort: int) -> None:
    with pytest.raises(QualityError, match="effort"):
        compress(photograph(20, 20), effort=effort)
