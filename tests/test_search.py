"""The gradient search pays or changes nothing, and its bits and networks are those of the files."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torchvision, which compressai imports
    from codec.training.search import Annealing, Lagrangian, decoder_of, lambda_of, search

from codec import pipeline
from codec.errors import ModelError
from codec.model import Model
from codec.pipeline import DESCENTS, Pixels, analyse, cost, encode, encode_latents, read_latents
from codec.training.layers import anchor_weights, lagrangian
from tests.common import photograph

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of itself

QUALITY = 4000
MOST_DESCENT = len(DESCENTS) - 1  # effort, after which a search begins
STEPS = 150
WORD = 32  # bits, of which a stream consists


@pytest.fixture(autouse=True)
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pipeline.SEARCH_STEPS, 5, STEPS)


@pytest.fixture(scope="module")
def picture() -> Pixels:
    """Sides that no cell divides."""
    return photograph(120, 90)


def test_a_searched_file_costs_less_and_decodes_to_what_was_searched(model: Model, picture: Pixels) -> None:
    header, payload, latents = encode(model, picture, QUALITY, effort=5)
    found = read_latents(model, header, payload, picture.shape[:2])
    np.testing.assert_array_equal(found.symbols, latents.symbols)
    worth = lambda_of(QUALITY)
    costs = [
        cost(model, picture, worth, encode_latents(model, picture, QUALITY, effort))
        for effort in (0, MOST_DESCENT)
    ]
    assert cost(model, picture, worth, latents) < min(costs)


def test_a_search_that_does_not_pay_changes_nothing(
    model: Model, picture: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "codec.training.search.search", lambda model, pixels, y, latents, steps: np.rint(y / 8) * 8
    )
    known = [
        encode_latents(model, picture, QUALITY, effort).symbols.tobytes() for effort in (0, MOST_DESCENT)
    ]
    assert encode_latents(model, picture, QUALITY, 5).symbols.tobytes() in known


def test_a_search_over_tiles_is_no_worse_than_none(model: Model, picture: Pixels) -> None:
    plain, tiled = (encode_latents(model, picture, QUALITY, effort, core=3) for effort in (0, 5))
    assert cost(model, picture, lambda_of(QUALITY), tiled) <= cost(model, picture, lambda_of(QUALITY), plain)


def test_a_search_is_repeatable(model: Model, picture: Pixels) -> None:
    latents, y = encode_latents(model, picture, QUALITY), analyse(model, picture, QUALITY / 100)[0]
    first, second = (search(model, picture, y, latents, 2) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != y).any()


def test_the_networks_in_torch_are_those_of_the_model(model: Model) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(0, 2, (model.tables.inward.size * 5, 4, 6)).astype(np.float32)
    quality = torch.tensor([40.0])
    with torch.no_grad():
        image, pullback = decoder_of(model).synthesis.with_pullback(
            torch.from_numpy(y)[None], anchor_weights(quality)
        )
        np.testing.assert_allclose(image[0].numpy(), model.synthesis(40, y)[0], atol=1e-5)
        other, inside = rng.random((3, 64, 96), np.float32), np.ones((1, 64, 96), np.float32)
        inside[:, 50:] = 0
        error = (image.clamp(0, 1) - torch.from_numpy(other)) * torch.from_numpy(inside)
        gradient = pullback(error * lagrangian(quality) * 255**2 / 3)[0].numpy()
    found = model.gradient(40, y, other, inside)[0]
    np.testing.assert_allclose(found, gradient, atol=1e-3 * float(gradient.std()))


def test_networks_of_another_shape_are_refused(model: Model) -> None:
    other = replace(model, files={**model.files, "second_means.onnx": model.files["first_means.onnx"]})
    with pytest.raises(ModelError, match="choose an effort to 4"):
        decoder_of(other)


def test_cold_symbols_are_the_nearest_where_they_are_coded(model: Model) -> None:
    annealing, first = Annealing(model.tables), model.tables.first_level
    residual = torch.tensor([-2.7, -0.3, 0.2, 1.6, 1.6]).reshape(1, 5, 1, 1)
    index = torch.tensor([first] * 4 + [first - 1]).reshape(residual.shape)
    annealing.draw(residual.shape, 1e-3)
    symbols = annealing.symbols(residual, index).flatten()
    torch.testing.assert_close(symbols, torch.tensor([-3.0, 0, 0, 2, 0]))


def test_symbols_cost_what_the_coder_writes(model: Model, picture: Pixels) -> None:
    latents = encode_latents(model, picture, QUALITY)
    silent = replace(latents, symbols=np.zeros_like(latents.symbols))
    bits, written = [], []
    for each in (latents, silent):
        symbols = torch.from_numpy(each.symbols)[None].float()
        bits.append(float(Lagrangian(model, picture, each).bits(symbols)))
        written.append(8 * len(model.coder.encode(each, 0)))
    assert bits[0] - bits[1] == pytest.approx(written[0] - written[1], abs=2 * WORD)
