"""Gradient search for the y of one picture: stochastic Gumbel annealing of its symbols.

    y ──► symbols, drawn between two integers and ever nearer to one ──► bits; the decoder's picture
    ▲                                                                            │
    └──────────────── gradient of bits + lambda * squared error ◄────────────────┘

Bits are those of the coder's own tables. Source: Yang, Bamler and Mandt 2020 (arXiv 2006.04240), section 3.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.bitstream import QUALITY_UNITS
from codec.engine import Floats, thread_count
from codec.entropy import TURNS, Latents, refine, turns
from codec.errors import ModelError
from codec.model import DECODER_FILES, Model
from codec.tables import SCALE_LEVELS, Symbols, Tables
from codec.training.graphs import parameters_of
from codec.training.layers import anchor_weights, lagrangian
from codec.training.networks import Codec

RATE, LAST_RATE = 0.012, 0.0002  # of Adam, in quantisation steps, at first and, along a cosine, at last
MOMENTS = (0.9, 0.99)  # decay of Adam's averages
HOTTEST, COLDEST = 0.5, 0.02  # temperatures at which symbols are drawn
COOLING, COOLED_FROM = 3.5, 0.1  # by e**-3.5 over a whole search, but not in its first tenth
REFINED_EVERY = 10  # steps between refinements of levels by the symbols found so far
FARTHEST = 255  # magnitude of a symbol above which its bits are extrapolated
EXCHANGE = 1.3  # times the lambda of training is what rate and error of our files exchange for
CLOSEST = 1e-4  # that a latent is taken to be to an integer, which would be infinitely likelier than others


class Annealing(nn.Module):
    """In place of `Quantiser`: y, its means and scale indices (B, M, h, w) -> the decoder's y, relaxed.

    A symbol is drawn between the two integers around y - mean, of which the nearer is the likelier; the
    lower the temperature, the closer to one of them. The decoder's y is linear between integers.
    """

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self.inward, self.first_level = torch.from_numpy(tables.inward), tables.first_level
        self.generator = torch.Generator().manual_seed(0)

    def draw(self, size: torch.Size, temperature: float) -> None:
        """Choose at random what symbols of this size become until the next draw."""
        self.temperature = temperature
        uniform = torch.rand(size, generator=self.generator).contiguous(memory_format=torch.channels_last)
        self.noise = uniform.logit(eps=1e-6)  # the difference of two Gumbel variables is logistic

    def symbols(self, residual: Tensor, index: Tensor) -> Tensor:
        """Symbols of y - mean at scale indices, all (B, M, h, w); zero where they are not coded."""
        below = residual.detach().floor()
        above = (residual - below).clamp(CLOSEST, 1 - CLOSEST)
        preference = (above.atanh() - (1 - above).atanh()) / self.temperature
        drawn = below + torch.sigmoid((preference + self.noise) / self.temperature)
        return torch.where(index < self.first_level, 0, drawn)

    def forward(self, y: Tensor, means: Tensor, index: Tensor) -> Tensor:
        symbols = self.symbols(y - means, index)
        return means + symbols - symbols.clamp(-1, 1) * self.inward[index]


class Lagrangian:
    """Bits plus lambda times squared error of a picture (H, W, 3), as a function of its y (1, M, 2h, 2w)."""

    def __init__(self, model: Model, pixels: NDArray[np.uint8], latents: Latents) -> None:
        self.decoder, self.tables = decoder_of(model), model.tables
        self.annealing = self.decoder.quantiser = Annealing(model.tables)
        self.weights = anchor_weights(torch.tensor([latents.quality / QUALITY_UNITS]))
        self.worth = lambda_of(latents.quality)
        self.picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        self.z = batch_of(latents.z).float()
        self.own_levels = latents.index
        self.index = batch_of(latents.index).long()
        self.costs = costs(model.tables)
        self.refine(latents.symbols)

    def refine(self, symbols: Symbols) -> None:
        """Take bits from the levels that the coder would refine by these symbols (M, 2h, 2w)."""
        levels = self.own_levels
        for turn in range(1, TURNS):
            refined = refine(self.tables, self.own_levels, symbols, turn)
            levels = np.where(turns(levels.shape) == turn, refined, levels)
        self.first_costs = batch_of(levels).long() * (2 * FARTHEST + 1) + FARTHEST

    def __call__(self, y: Tensor, temperature: float) -> tuple[Tensor, Symbols]:
        """The Lagrangian of symbols drawn at a temperature, and those symbols (M, 2h, 2w), rounded."""
        self.annealing.draw(y.shape, temperature)
        with torch.autocast(y.device.type, torch.bfloat16):
            means = self.decoder.means(y, self.z, self.index, self.weights)
            image = self.decoder.synthesis(self.annealing(y, means, self.index), self.weights).float()
        symbols = self.annealing.symbols(y - means, self.index)
        height, width = self.picture.shape[2:]
        error = (255 * image[:, :, :height, :width] - self.picture).square().mean(1).sum()
        return self.bits(symbols) + self.worth * error, symbols.detach()[0].round().short().numpy()

    def bits(self, symbols: Tensor) -> Tensor:
        """Bits of all symbols (1, M, 2h, 2w), linear between integers."""
        below = symbols.detach().floor().clamp(-FARTHEST, FARTHEST - 1)
        place = self.first_costs + below.long()
        lower, upper = self.costs[place], self.costs[place + 1]
        return (lower + (upper - lower) * (symbols - below)).sum()


def search(model: Model, pixels: NDArray[np.uint8], y: Floats, latents: Latents, steps: int) -> Floats:
    """The y (M, 2h, 2w) of a picture (H, W, 3) after so many steps down its Lagrangian, from `y`.

    Of the latents the hyper-latent, scale indices and quality stay; the symbols are a first guess. The same
    call gives the same y on the same machine. Raises ModelError for a model of other networks than ours.
    """
    torch.set_num_threads(thread_count())
    objective = Lagrangian(model, pixels, latents)
    moving = batch_of(y.copy()).requires_grad_()
    optimiser = torch.optim.Adam([moving], RATE, MOMENTS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, LAST_RATE)
    for step in range(steps):
        loss, symbols = objective(moving, temperature_at(step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % REFINED_EVERY == 0:
            objective.refine(symbols)
    found: Floats = moving.detach()[0].numpy()
    return found


def batch_of(array: NDArray[Any]) -> Tensor:
    """An array (C, h, w) as a batch of one, channels last in memory, on which networks are twice as fast."""
    return torch.from_numpy(array)[None].contiguous(memory_format=torch.channels_last)


def temperature_at(progress: float) -> float:
    """The temperature when `progress`, 0 to 1, of the search is done."""
    return max(HOTTEST * math.exp(-COOLING * max(progress - COOLED_FROM, 0.0)), COLDEST)


def lambda_of(quality: int) -> float:
    """Bits that a squared error of a level, of 255, in a pixel is worth at `quality` in hundredths."""
    return EXCHANGE * float(lagrangian(torch.tensor([quality / QUALITY_UNITS])))


def costs(tables: Tables) -> Tensor:
    """Bits (levels * (2 * FARTHEST + 1),) of each symbol from -FARTHEST to FARTHEST at each level."""
    symbols = np.arange(-FARTHEST, FARTHEST + 1, dtype=np.float32)
    bits = [tables.bits_of(symbols, np.full(symbols.shape, n, np.uint8)) for n in range(SCALE_LEVELS)]
    return torch.from_numpy(np.concatenate(bits))


def decoder_of(model: Model) -> Codec:
    """The codec in torch, with the parameters of a model's decoder; raises ModelError if they do not fit."""
    codec = Codec().eval().requires_grad_(False)
    names = [file.removesuffix(".onnx") for file in DECODER_FILES if file.endswith(".onnx")]
    for name in names:
        found = parameters_of(model.files[f"{name}.onnx"])
        weights = {key.removeprefix(f"codec.{name}."): torch.from_numpy(w) for key, w in found.items()}
        try:
            getattr(codec, name).load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ModelError(
                f"model {model.name} has other networks ({reason}): choose an effort to 4"
            ) from error
    return codec
