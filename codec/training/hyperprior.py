"""What is known of latents before they are read: the hyper-latent, scales, and means in three steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecodec.entropy.tables import SCALE_LEVELS
from aecodec.training.layers import ANCHORS, Block, Blocks, Pointwise, Pullback, Table
from aecodec.training.transforms import PrincipalComponents, Widths

SCALE_RANGE = (0.11, 256.0)  # standard deviations, in quantisation steps, of the first and last level
SCALE_STEP = math.log(SCALE_RANGE[1] / SCALE_RANGE[0]) / (SCALE_LEVELS - 1)
SCALE_SPREAD = 0.4  # deviation of the log of a scale from its level's
STEP_WORTH = (
    20.0  # bits for a squared step of error: what `aecodec.decoder.reconstruction` takes from quality 10 on
)
Z_STEP = 0.4  # of log-energy, in which the hyper-latent starts
Z_GROUP = 16  # principal components that share an energy


def turns(y: Tensor) -> Tensor:
    """At which step, 0 to 2, the mean of each latent (M, h, w) of y (B, M, h, w) is final.

    Step 2 is one colour of a checkerboard, the other colour is split by rows; both alternate with channels.
    """
    channel = torch.arange(y.shape[1], device=y.device)[:, None, None]
    row = torch.arange(y.shape[2], device=y.device)[:, None]
    column = torch.arange(y.shape[3], device=y.device)
    early = (row + channel // 2) % 2
    return torch.where((row + column + channel) % 2 == 0, early, 2)


def round_through(x: Tensor) -> Tensor:
    """Round to integers, with the gradient of the identity (straight-through estimator)."""
    return x + (x.round() - x).detach()


def nearest_level(index: Tensor) -> Tensor:
    """The whole level of a real scale index, of any shape."""
    return index.detach().round().clamp(0, SCALE_LEVELS - 1).long()


def log_energy_of_gaussian(spread: float) -> float:
    """E[log(|y| + 0.03)] of a Gaussian with this standard deviation."""
    y = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * spread
    return float((y.abs() + 0.03).log().mean())


class HyperAnalysis(nn.Module):
    """y (B, M, h, w) -> z (B, M/16, h/2, w/2), not rounded: an energy meter plus a learned branch."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.floor = log_energy_of_gaussian(0.1)
        self.groups = widths.latents // Z_GROUP
        self.embed = Pointwise(2 * widths.latents, widths.means)
        self.mix = Pointwise(4 * widths.means, widths.means)
        self.head = Pointwise(widths.means, self.groups, zero=True)

    def forward(self, y: Tensor) -> Tensor:
        size = (y.shape[0], self.groups, Z_GROUP, *y.shape[2:])
        log_energy = (y.abs() + 0.03).log()
        energy = F.avg_pool2d(log_energy.reshape(size).mean(2), 2)
        h = self.embed(torch.cat([log_energy, torch.tanh(y)], 1))
        h = self.mix(F.pixel_unshuffle(F.hardswish(h), 2))
        return F.leaky_relu((energy - self.floor) / Z_STEP, 0.1) + self.head(F.hardswish(h))


class ScaleMap(nn.Module):
    """Rounded z (B, Z, h/2, w/2) -> scale index (B, M, h, w), real here, an integer map at run time.

    A 3x3 convolution with replicated borders, an offset per channel and quality, clamped to the levels.
    """

    def __init__(self, widths: Widths, start: PrincipalComponents) -> None:
        super().__init__()
        groups = widths.latents // Z_GROUP
        own = torch.arange(widths.latents) // Z_GROUP
        log_spread = start.spread[: widths.latents].log()
        in_group = log_spread.reshape(groups, Z_GROUP).mean(1)
        offset = (math.log(0.1 / SCALE_RANGE[0]) + log_spread - in_group[own]) / SCALE_STEP
        self.offset = Table(offset.expand(ANCHORS, -1))
        weight = torch.zeros(widths.latents, 4, groups, 3, 3)
        weight[torch.arange(widths.latents), :, own, 1, 1] = Z_STEP / SCALE_STEP
        self.weight = nn.Parameter(weight.flatten(0, 1))

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            index = F.conv2d(F.pad(z, (1, 1, 1, 1), mode="replicate"), self.weight)
        return F.pixel_shuffle(index, 2) + self.offset(weights)


def hyper_turns(z: Tensor) -> Tensor:
    """The turn, 0 to 2, in which each position (h, w) of z (B, Z, h, w) is coded: even, odd, the rest."""
    row = torch.arange(z.shape[2], device=z.device)[:, None] % 2
    column = torch.arange(z.shape[3], device=z.device) % 2
    return torch.where(row == column, row, 2)


class HyperPrediction(nn.Module):
    """Rounded z (B, Z, h, w) -> what is expected of it (B, Z, h, w), each from what is coded before it.

    Linear in the channels before it and, from the second turn on, in the mean of the neighbours that are
    known by then: those at the corners in the second turn, those at the sides in the third.
    """

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        groups = widths.latents // Z_GROUP
        self.in_place = nn.Parameter(torch.zeros(3, groups, groups))  # (turn, channel, channel before)
        self.around = nn.Parameter(torch.zeros(2, groups, groups))
        self.offset = Table(torch.zeros(ANCHORS, 3 * groups))
        corners = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 0, 1]])
        sides = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
        self.register_buffer("neighbours", torch.stack([corners, sides])[:, None], persistent=False)

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        channels, turn, offsets = z.shape[1], hyper_turns(z), self.offset(weights).chunk(3, 1)
        expected = torch.zeros_like(z)
        with torch.autocast(z.device.type, enabled=False):
            for step in range(3):
                before = self.in_place[step].tril(-1)[:, :, None, None]
                found = F.conv2d(z, before) + offsets[step]
                if step:
                    kernel = self.neighbours[step - 1 : step]
                    count = F.conv2d(torch.ones_like(z[:1, :1]), kernel, padding=1).clamp(min=1)
                    total = F.conv2d(z, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)
                    found = found + F.conv2d(total / count, self.around[step - 1][:, :, None, None])
                expected = torch.where(turn == step, found, expected)
        return expected


class Lookup(torch.autograd.Function):
    """table (N,), indices of any shape -> the table's values there; differentiable in the table."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.size = len(table)
        return table[indices]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        sums = torch.bincount(indices.flatten(), weights=gradient.flatten(), minlength=ctx.size)
        return sums.to(gradient.dtype), None


def dead_zone() -> Tensor:
    """How far beyond a half a magnitude must be for its first and for each further step: (2, SCALE_LEVELS).

    There the bits of the step are worth the error that it saves. A level only guesses the scale, so bits are
    those of a mixture of Gaussians.
    """
    level = torch.arange(SCALE_LEVELS, dtype=torch.float64)[:, None, None]
    deviates = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    scales = SCALE_RANGE[0] * (level * SCALE_STEP + SCALE_SPREAD * deviates).exp()
    edges = torch.arange(4)[:, None] - 0.5  # of the symbols 0, 1 and 2
    shares = torch.softmax(-deviates.square() / 2, 0)
    bits = -(torch.special.ndtr(edges / scales).diff(dim=1) @ shares).log2()
    return (bits.diff(dim=1) / (2 * STEP_WORTH)).clamp(0, 0.45).float().T


class Quantiser(nn.Module):
    """y, its means and scale indices (B, M, h, w) -> the decoder's y: a mean plus whole steps.

    Symbols are rounded about as files have them, towards zero where that saves more bits than it costs in
    error. Others than zero are reconstructed nearer to the mean, by an offset learned for each level, since
    small magnitudes are likelier than large ones. Rounding passes gradients straight through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inward = nn.Parameter(torch.zeros(SCALE_LEVELS))
        self.register_buffer("dead_zone", dead_zone(), persistent=False)

    def symbols(self, residual: Tensor, level: Tensor) -> Tensor:
        """Whole steps for y - mean at levels of the scale, all (B, M, h, w)."""
        first, further = self.dead_zone[:, level]
        size = residual.detach().abs()
        steps = (size + 0.5 - further).floor()
        steps = torch.where(steps < 2, size >= 0.5 + first, steps)
        return residual + (residual.detach().sign() * steps - residual).detach()

    def forward(self, y: Tensor, means: Tensor, index: Tensor) -> Tensor:
        level = nearest_level(index)
        symbols = self.symbols(y - means, level)
        return means + symbols - symbols.detach().sign() * Lookup.apply(self.inward, level)


class FirstMeans(nn.Module):
    """Rounded z -> features (B, F, h, w) for the context and the means (B, M, h, w) of the first half."""

    def __init__(self, widths: Widths, ratio: Tensor) -> None:
        super().__init__()
        self.embed = Pointwise(widths.latents // Z_GROUP, widths.means)
        self.grow = Pointwise(widths.means, 4 * widths.means)
        self.block = Block(*[torch.ones(ANCHORS, widths.means)] * 2)
        self.head = Pointwise(widths.means, widths.latents, zero=True)
        self.log_gain = Table((0.1 * ratio).log())

    def forward(self, z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        h = F.hardswish(self.embed(z * 0.1))
        h = self.block(F.pixel_shuffle(self.grow(h), 2), weights)
        return h, self.head(F.hardswish(h)) * self.log_gain(weights).exp()


class NextMeans(nn.Module):
    """Features, the means so far and the known part of y, zero elsewhere -> means (B, M, h, w) refined."""

    def __init__(self, widths: Widths, ratio: Tensor) -> None:
        super().__init__()
        self.log_gain_in = Table(-torch.log1p(ratio))
        self.embed = Pointwise(widths.latents + widths.means, widths.context)
        self.blocks = Blocks(widths.context_blocks, *[torch.ones(ANCHORS, widths.context)] * 2)
        self.head = Pointwise(widths.context, widths.latents, zero=True)
        self.log_gain_out = Table((0.1 * ratio).log())

    def forward(self, features: Tensor, means: Tensor, known: Tensor, weights: Tensor) -> Tensor:
        return means + self.with_pullback(features, known, weights)[0]

    def with_pullback(self, features: Tensor, known: Tensor, weights: Tensor) -> tuple[Tensor, Pullback]:
        """What is added to the means, and nearly the pullback from it to what is known.

        In operations that an exported graph can hold.
        """
        gain_in, gain_out = self.log_gain_in(weights).exp(), self.log_gain_out(weights).exp()
        embedded = self.embed.of_scaled(known, gain_in, features)
        h, through_blocks = self.blocks.with_pullback(embedded, weights)

        def pullback(gradient: Tensor) -> Tensor:
            inner = through_blocks(self.head.pullback(gradient * gain_out))
            return self.embed.pullback(inner)[:, : known.shape[1]] * gain_in

        return self.head(h) * gain_out, pullback
