"""The model of the latents: hyper-latent, scales, and means in three context passes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecodec.encoder.quantisation import LAGRANGIANS
from aecodec.entropy.context import CONTEXT_PASS
from aecodec.entropy.hyperprior import HYPER_PASS, HYPER_PASSES, NEIGHBOURS
from aecodec.entropy.tables import SCALE_LEVELS
from aecodec.training.layers import ANCHORS, Pointwise, QualityGain, ResidualBlock, ResidualBlocks, Vjp
from aecodec.training.transforms import CodecConfig, PrincipalComponents

# Standard deviations, in quantisation steps, of the first and last scale index, as in Ballé et al. 2018.
SCALE_RANGE = (0.11, 256.0)
SCALE_STEP = math.log(SCALE_RANGE[1] / SCALE_RANGE[0]) / (SCALE_LEVELS - 1)
LATENT_PASS, POSITION_PASS = (torch.tensor(order, dtype=torch.int64) for order in (CONTEXT_PASS, HYPER_PASS))
# Standard deviation of the log of a scale from that of its scale index, which only guesses it.
SCALE_SPREAD = 0.4
# Bits that a squared quantisation step of error is worth: what the encoder takes from quality 10 on, so that
# training rounds as files are rounded.
BITS_PER_SQUARED_STEP = LAGRANGIANS[-1][1]
Z_STEP = 0.4  # quantisation step, of log-energy, with which the hyper-latent starts: finer costs bits for z
Z_GROUP = 16  # principal components that share an energy: fewer make z larger, more make scales coarser


def latent_passes(y: Tensor) -> Tensor:
    """The context pass, 0 to 2, of each latent (M, h, w) of y (B, M, h, w)."""
    channel, row, column = (torch.arange(side, device=y.device) for side in y.shape[1:])
    return LATENT_PASS.to(y.device)[channel[:, None, None] % 4, row[:, None] % 2, column % 2]


def round_through(x: Tensor) -> Tensor:
    """Round to integers, with the gradient of the identity (straight-through estimator)."""
    return x + (x.round() - x).detach()


def nearest_scale_index(scale_index: Tensor) -> Tensor:
    """The integer scale index nearest to a real one, of any shape."""
    return scale_index.detach().round().clamp(0, SCALE_LEVELS - 1).long()


def log_energy_of_gaussian(spread: float) -> float:
    """E[log(|y| + 0.03)] of a Gaussian with this standard deviation."""
    y = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * spread
    return float((y.abs() + 0.03).log().mean())


class HyperAnalysis(nn.Module):
    """y (B, M, h, w) -> z (B, M/16, h/2, w/2), not rounded: an energy meter plus a learned branch."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.floor = log_energy_of_gaussian(0.1)
        self.groups = config.latents // Z_GROUP
        self.embed = Pointwise(2 * config.latents, config.means)
        self.mix = Pointwise(4 * config.means, config.means)
        self.head = Pointwise(config.means, self.groups, zero=True)

    def forward(self, y: Tensor) -> Tensor:
        size = (y.shape[0], self.groups, Z_GROUP, *y.shape[2:])
        log_energy = (y.abs() + 0.03).log()
        energy = F.avg_pool2d(log_energy.reshape(size).mean(2), 2)
        h = self.embed(torch.cat([log_energy, torch.tanh(y)], 1))
        h = self.mix(F.pixel_unshuffle(F.hardswish(h), 2))
        return F.leaky_relu((energy - self.floor) / Z_STEP, 0.1) + self.head(F.hardswish(h))


class ScaleMap(nn.Module):
    """Rounded z (B, Z, h/2, w/2) -> scale index (B, M, h, w), real here, an integer map at run time.

    A 3x3 convolution with replicated borders, and an offset per channel and quality. The result is not
    clamped.
    """

    def __init__(self, config: CodecConfig, start: PrincipalComponents) -> None:
        super().__init__()
        groups = config.latents // Z_GROUP
        group = torch.arange(config.latents) // Z_GROUP
        log_spread = start.spread[: config.latents].log()
        in_group = log_spread.reshape(groups, Z_GROUP).mean(1)
        offset = (math.log(0.1 / SCALE_RANGE[0]) + log_spread - in_group[group]) / SCALE_STEP
        self.offset = QualityGain(offset.expand(ANCHORS, -1))
        weight = torch.zeros(config.latents, 4, groups, 3, 3)
        weight[torch.arange(config.latents), :, group, 1, 1] = Z_STEP / SCALE_STEP
        self.weight = nn.Parameter(weight.flatten(0, 1))

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            scale_index = F.conv2d(F.pad(z, (1, 1, 1, 1), mode="replicate"), self.weight)
        return F.pixel_shuffle(scale_index, 2) + self.offset(weights)


def hyper_passes(z: Tensor) -> Tensor:
    """The pass, 0 to 2, in which each position (h, w) of z (B, Z, h, w) is coded."""
    row, column = (torch.arange(side, device=z.device) for side in z.shape[2:])
    return POSITION_PASS.to(z.device)[row[:, None] % 2, column % 2]


def neighbour_kernels() -> Tensor:
    """Kernels (2, 1, 3, 3) that sum the neighbours of a position that are decoded before passes 1 and 2."""
    kernels = torch.zeros(len(NEIGHBOURS), 1, 3, 3)
    for kernel, offsets in zip(kernels, NEIGHBOURS, strict=True):
        for row, column in offsets:
            kernel[0, 1 + row, 1 + column] = 1
    return kernels


class HyperPrediction(nn.Module):
    """Rounded z (B, Z, h, w) -> its prediction (B, Z, h, w), each value from those that are coded before it.

    It is linear in the channels before and, from the second pass on, in the mean of the neighbours that are
    decoded by then: those at the corners in the second pass, those at the sides in the third.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        groups = config.latents // Z_GROUP
        self.in_place = nn.Parameter(
            torch.zeros(HYPER_PASSES, groups, groups)
        )  # (pass, channel, channel before)
        self.around = nn.Parameter(torch.zeros(len(NEIGHBOURS), groups, groups))
        self.offset = QualityGain(torch.zeros(ANCHORS, HYPER_PASSES * groups))
        self.register_buffer("neighbours", neighbour_kernels(), persistent=False)

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        channels, passes, offsets = z.shape[1], hyper_passes(z), self.offset(weights).chunk(HYPER_PASSES, 1)
        expected = torch.zeros_like(z)
        with torch.autocast(z.device.type, enabled=False):
            for number in range(HYPER_PASSES):
                before = self.in_place[number].tril(-1)[:, :, None, None]
                prediction = F.conv2d(z, before) + offsets[number]
                if number:
                    kernel = self.neighbours[number - 1 : number]
                    count = F.conv2d(torch.ones_like(z[:1, :1]), kernel, padding=1).clamp(min=1)
                    total = F.conv2d(z, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)
                    prediction = prediction + F.conv2d(
                        total / count, self.around[number - 1][:, :, None, None]
                    )
                expected = torch.where(passes == number, prediction, expected)
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
    """How far above a half a magnitude must be to be rounded up: (2, SCALE_LEVELS).

    The first row is for rounding to 1, the second for each further step. At the edge the bits of the step
    equal the worth of the error that it saves. Bits are those of a mixture of Gaussians, since a scale index
    only guesses the scale.
    """
    scale_index = torch.arange(SCALE_LEVELS, dtype=torch.float64)[:, None, None]
    deviates = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    scales = SCALE_RANGE[0] * (scale_index * SCALE_STEP + SCALE_SPREAD * deviates).exp()
    edges = torch.arange(4)[:, None] - 0.5  # of the symbols 0, 1 and 2
    shares = torch.softmax(-deviates.square() / 2, 0)
    bits = -(torch.special.ndtr(edges / scales).diff(dim=1) @ shares).log2()
    return (bits.diff(dim=1) / (2 * BITS_PER_SQUARED_STEP)).clamp(0, 0.45).float().T


class Quantiser(nn.Module):
    """y, its means and scale indices (B, M, h, w) -> y_hat, the decoder's y: mean plus symbol.

    Symbols are rounded nearly as in files: towards zero if that saves more bits than the error is worth.
    Symbols other than zero are reconstructed nearer to the mean, by an offset that is learned for each scale
    index, since small magnitudes are likelier than large ones. Rounding has the gradient of the identity.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reconstruction_offset = nn.Parameter(torch.zeros(SCALE_LEVELS))
        self.register_buffer("dead_zone", dead_zone(), persistent=False)

    def symbols(self, residual: Tensor, scale_index: Tensor) -> Tensor:
        """The symbols of residuals y - mean at integer scale indices, all (B, M, h, w)."""
        first, further = self.dead_zone[:, scale_index]
        size = residual.detach().abs()
        steps = (size + 0.5 - further).floor()
        steps = torch.where(steps < 2, size >= 0.5 + first, steps)
        return residual + (residual.detach().sign() * steps - residual).detach()

    def forward(self, y: Tensor, means: Tensor, real_index: Tensor) -> Tensor:
        scale_index = nearest_scale_index(real_index)
        symbols = self.symbols(y - means, scale_index)
        return (
            means + symbols - symbols.detach().sign() * Lookup.apply(self.reconstruction_offset, scale_index)
        )


class FirstMeans(nn.Module):
    """Rounded z -> features (B, F, h, w) for later passes, and the means (B, M, h, w) of the first pass."""

    def __init__(self, config: CodecConfig, ratio: Tensor) -> None:
        super().__init__()
        self.embed = Pointwise(config.latents // Z_GROUP, config.means)
        self.grow = Pointwise(config.means, 4 * config.means)
        self.block = ResidualBlock(*[torch.ones(ANCHORS, config.means)] * 2)
        self.head = Pointwise(config.means, config.latents, zero=True)
        self.log_gain = QualityGain((0.1 * ratio).log())

    def forward(self, z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        h = F.hardswish(self.embed(z * 0.1))
        h = self.block(F.pixel_shuffle(self.grow(h), 2), weights)
        return h, self.head(F.hardswish(h)) * self.log_gain(weights).exp()


class NextMeans(nn.Module):
    """Features, means so far, and y where it is decoded (zero elsewhere) -> refined means (B, M, h, w)."""

    def __init__(self, config: CodecConfig, ratio: Tensor) -> None:
        super().__init__()
        self.log_gain_in = QualityGain(-torch.log1p(ratio))
        self.embed = Pointwise(config.latents + config.means, config.context)
        self.blocks = ResidualBlocks(config.context_blocks, *[torch.ones(ANCHORS, config.context)] * 2)
        self.head = Pointwise(config.context, config.latents, zero=True)
        self.log_gain_out = QualityGain((0.1 * ratio).log())

    def forward(self, features: Tensor, means: Tensor, known: Tensor, weights: Tensor) -> Tensor:
        return means + self.with_vjp(features, known, weights)[0]

    def with_vjp(self, features: Tensor, known: Tensor, weights: Tensor) -> tuple[Tensor, Vjp]:
        """The correction of the means, and its approximate vector-Jacobian product to the decoded part of y.

        Both are made of operations that an exported graph can hold.
        """
        gain_in, gain_out = self.log_gain_in(weights).exp(), self.log_gain_out(weights).exp()
        embedded = self.embed.of_scaled(known, gain_in, features)
        h, blocks_vjp = self.blocks.with_vjp(embedded, weights)

        def vjp(gradient: Tensor) -> Tensor:
            inner = blocks_vjp(self.head.vjp(gradient * gain_out))
            return self.embed.vjp(inner)[:, : known.shape[1]] * gain_in

        return self.head(h) * gain_out, vjp
